// OpenAI's SDK for Node, through an Unpinned beside it: OPENAI_BASE_URL=http://127.0.0.1:8080/v1 node openai_node.mjs
import OpenAI from "openai";

const client = new OpenAI();
const history = [{ role: "user", content: "My name is Ada." }];
const first = await client.responses.create({ model: "gpt-5", input: history });
history.push(...first.output, { role: "user", content: "What is my name?" });
const second = await client.responses.create({ model: "gpt-5", input: history });
console.log(second.output_text);
