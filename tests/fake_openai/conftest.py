"""Fake APIs on ephemeral ports."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Unpack

import httpx2
import pytest

from proxy.fake_openai import build, running
from proxy.fake_openai.app import Settings
from tests.fake_openai.asking import Fake, Start


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts instances that end with the test."""
    with ExitStack() as stack:
        http = stack.enter_context(httpx2.Client(trust_env=False, timeout=60))

        def begin(**options: Unpack[Settings]) -> Fake:
            return Fake(stack.enter_context(running(build(**options))), http)

        yield begin


@pytest.fixture
def fake(start: Start) -> Fake:
    """One instance with the default options."""
    return start()


@pytest.fixture(scope="module")
def shared() -> Iterator[Fake]:
    """One instance for tests that leave nothing behind."""
    with httpx2.Client(trust_env=False, timeout=60) as http, running(build()) as url:
        yield Fake(url, http)
