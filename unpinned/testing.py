"""For the tests of an application: whether its conversation survives a second server.

Fixtures, which pytest finds by itself where Unpinned is installed. They cost nothing unless a test asks for one.

- `unpinned_fake(name)` starts an instance of the fake API: `.url`, and `.requests` that it received.
- `unpinned_pair` is two instances that do not know each other's ids, `.here` and `.there`. `.url` leads to one of them,
  and after each answer to the other.
- `unpinned_proxy(base_url, mode="strip")` starts an Unpinned in front of a base URL, and gives its own.

```python
from openai import DefaultHttpxClient, OpenAI
from unpinned import PortableTransport
from unpinned.testing import assert_travels

def client(base_url):
    http_client = DefaultHttpxClient(transport=PortableTransport())
    return OpenAI(base_url=base_url, api_key="sk-test", http_client=http_client)

def chat(client):
    history = [{"role": "user", "content": "My name is Ada."}]
    history += client.responses.create(model="gpt-5", input=history).output
    history.append({"role": "user", "content": "What is my name?"})
    client.responses.create(model="gpt-5", input=history)

def test_the_chat_survives_another_server():
    assert_travels(client, chat)
```
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from proxy.testing.servers import Fake, Pair

__all__ = ["assert_travels", "unpinned_fake", "unpinned_pair", "unpinned_proxy"]


def assert_travels(
    client_factory: Callable[[str], Any], conversation: Callable[[Any], Any], *, reasoning: bool = False
) -> None:
    """Assert that a conversation goes on as if there were one server only, though each turn has another one.

    `client_factory` makes a client of a base URL. `conversation` holds two turns or more with it, and may be a
    coroutine function. It is held twice, at one server and at two in turn, and what the model saw of it is compared; of
    reasoning, which a server may not be able to read, only with `reasoning=True`. An AssertionError says which turn
    lost what.
    """
    from proxy.testing import travels  # noqa: PLC0415 -- pytest imports this module in every run

    __tracebackhide__ = True
    travels.assert_travels(client_factory, conversation, reasoning=reasoning)


@pytest.fixture
def unpinned_fake() -> "Iterator[Callable[[str], Fake]]":
    """A function that starts an instance of the fake API; it ends with the test."""
    from proxy.testing.servers import fake  # noqa: PLC0415 -- as above

    with ExitStack() as stack:
        yield lambda name: stack.enter_context(fake(name))


@pytest.fixture
def unpinned_pair() -> "Iterator[Pair]":
    """Two instances of the fake API that do not know each other's ids."""
    from proxy.testing.servers import pair  # noqa: PLC0415 -- as above

    with pair() as servers:
        yield servers


@pytest.fixture
def unpinned_proxy() -> Iterator[Callable[..., str]]:
    """A function that starts an Unpinned in front of a base URL, under settings such as `mode="strip"`."""
    from proxy.testing.servers import proxy  # noqa: PLC0415 -- as above

    with ExitStack() as stack:
        yield lambda upstream, **settings: stack.enter_context(proxy(upstream, **settings))
