"""LangChain: a chat over the Responses API, its history replayed with each turn."""

from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from openai import DefaultHttpxClient

from unpinned import PortableTransport

model = ChatOpenAI(
    model="gpt-5",
    use_responses_api=True,
    output_version="responses/v1",
    http_client=DefaultHttpxClient(transport=PortableTransport()),
)
history = []
for question in ("My name is Ada.", "What is my name?"):
    history.append(HumanMessage(question))
    history.append(model.invoke(history))
    print(history[-1].text)
