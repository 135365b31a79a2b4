"""Two servers whose instances of the fake API keep the latest response of each lane of a WebSocket; real processes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import openai

from proxy import fake_openai
from tests.support.process import Process, running

KEY = "sk-demo-1"


class World:
    """Two servers, each with an instance of the API; a proxy in front of each."""

    def __init__(self, stack: ExitStack, arguments: list[str], **options: Any) -> None:
        apps = [fake_openai.build(instance=name, **options) for name in ("here", "there")]
        self.direct = [stack.enter_context(fake_openai.running(app)) for app in apps]
        started = [running("--upstream", f"{url}/v1", *arguments) for url in self.direct]
        self.processes: list[Process] = [stack.enter_context(one) for one in started]
        self._stack = stack
        self._arguments = arguments

    def replace(self) -> None:
        """Wait for the end of the first process; then another one takes its address, in front of the other API."""
        listen = f"127.0.0.1:{self.processes[0].port}"
        assert self.processes[0].wait() == 0
        another = running("--listen", listen, "--upstream", f"{self.direct[1]}/v1", *self._arguments)
        self._stack.enter_context(another).wait_logged(lambda line: "listen" in line)

    def sdk(self, number: int, *, direct: bool = False) -> Any:
        """The SDK at one server; without a proxy where it is direct. Untyped: `connect` has more than its stubs."""
        return openai.OpenAI(base_url=self.url(number, direct=direct), api_key=KEY, max_retries=0)

    def url(self, number: int, *, direct: bool = False) -> str:
        """The base URL of one server."""
        return f"{self.direct[number] if direct else f'http://127.0.0.1:{self.processes[number].port}'}/v1"


@contextmanager
def world(*arguments: str, **options: Any) -> Iterator[World]:
    """Two servers whose proxies have these arguments, and whose APIs have these options."""
    with ExitStack() as stack:
        yield World(stack, list(arguments), **options)
