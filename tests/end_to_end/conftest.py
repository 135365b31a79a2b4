"""Two servers of one application: each with its own instance of the fake API, and an Unpinned in front of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from proxy import fake_openai
from proxy.responses.policy import Policy
from tests.support.product import unpinned

MODEL = "gpt-5"
KEY = "sk-demo-1"


@dataclass
class Place:
    """One server's way to the API: directly, and through Unpinned in each mode. Its clients are closed with `stack`."""

    direct: str
    through: dict[str, str]
    stack: ExitStack

    def directly(self) -> openai.OpenAI:
        """The SDK without Unpinned."""
        return self._sdk(self.direct)

    def client(self, mode: str = "strip") -> openai.OpenAI:
        """The SDK through an Unpinned in `mode`."""
        return self._sdk(self.through[mode])

    def async_client(self, mode: str = "strip") -> openai.AsyncOpenAI:
        """The asynchronous SDK through an Unpinned in `mode`; who asks for it closes it."""
        return openai.AsyncOpenAI(base_url=f"{self.through[mode]}/v1", api_key=KEY, max_retries=0)

    def _sdk(self, url: str) -> openai.OpenAI:
        return self.stack.enter_context(openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0))


Start = Callable[..., Place]


@contextmanager
def starting() -> Iterator[Start]:
    """Starts instances of the fake API with the options given, and an Unpinned for each mode in front of each."""
    with ExitStack() as stack:

        def started(profile: Any = "openai", **options: Any) -> Place:
            direct = stack.enter_context(fake_openai.running(fake_openai.build(profile=profile, **options)))
            through = {}
            for mode in ("strip", "recover"):
                policy = Policy(mode=mode, profile=profile)
                through[mode] = f"http://127.0.0.1:{stack.enter_context(unpinned(direct, policy))}"
            return Place(direct, through, stack)

        yield started


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts instances for one test."""
    with starting() as started:
        yield started


@pytest.fixture
def here(start: Start) -> Place:
    """Where a conversation begins."""
    return start(instance="here")


@pytest.fixture
def there(start: Start) -> Place:
    """Where it goes on."""
    return start(instance="there")
