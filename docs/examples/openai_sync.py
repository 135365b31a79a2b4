"""OpenAI's SDK: each turn may be answered by another server.

As all examples here it reads OPENAI_API_KEY, and OPENAI_BASE_URL where that is set.
"""

from openai import DefaultHttpxClient, OpenAI

from unpinned import PortableTransport

with OpenAI(http_client=DefaultHttpxClient(transport=PortableTransport())) as client:
    history = [{"role": "user", "content": "My name is Ada."}]
    history += client.responses.create(model="gpt-5", input=history).output
    history.append({"role": "user", "content": "What is my name?"})
    raw = client.responses.with_raw_response.create(model="gpt-5", input=history)
    print(raw.headers["x-unpinned-action"])
    print(raw.parse().output_text)
