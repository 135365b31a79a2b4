"""LiteLLM's SDK: its Responses API, through a client with a portable transport."""

import httpx
import litellm
from litellm.llms.custom_httpx.http_handler import HTTPHandler

from unpinned import PortableTransport

client = HTTPHandler(client=httpx.Client(transport=PortableTransport(), timeout=600))
history = [{"role": "user", "content": "My name is Ada."}]
first = litellm.responses(model="openai/gpt-5", input=history, client=client)
history += [item.model_dump(exclude_none=True) for item in first.output]
history.append({"role": "user", "content": "What is my name?"})
second = litellm.responses(model="openai/gpt-5", input=history, client=client)
print(second.output[-1].content[0].text)
