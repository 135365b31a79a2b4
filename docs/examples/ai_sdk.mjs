// The AI SDK, through an Unpinned beside it: OPENAI_BASE_URL=http://127.0.0.1:8080/v1 node ai_sdk.mjs
// With `store: false` it sends the items themselves, where it would send references to them.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText } from "ai";

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const model = openai.responses("gpt-5");
const providerOptions = { openai: { store: false, include: ["reasoning.encrypted_content"] } };
const messages = [{ role: "user", content: "My name is Ada." }];
const first = await generateText({ model, messages, providerOptions });
messages.push(...first.response.messages, { role: "user", content: "What is my name?" });
const second = await generateText({ model, messages, providerOptions });
console.log(second.text);
