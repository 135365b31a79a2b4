"""OpenAI's SDK, streaming: events arrive as they are made, and refusals inside a stream are recovered from as well."""

from openai import DefaultHttpxClient, OpenAI

from unpinned import PortableTransport

history = []
with OpenAI(http_client=DefaultHttpxClient(transport=PortableTransport())) as client:
    for question in ("My name is Ada.", "What is my name?"):
        history.append({"role": "user", "content": question})
        with client.responses.stream(model="gpt-5", input=history) as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    print(event.delta, end="", flush=True)
            history += stream.get_final_response().output
        print()
