"""The files of docs/examples/, each with the real library, against two servers that do not know each other's ids.

What is not installed is skipped: `pip install '.[test-examples]'` brings the Python libraries. For Node, EXAMPLES_NODE
names a folder in which `npm install openai ai @ai-sdk/openai` was run.
"""

import importlib.util
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from proxy.testing.servers import Pair, pair, proxy
from tests.support.process import ROOT, environment
from tests.support.serving import serving

EXAMPLES = ROOT / "docs" / "examples"
PYTHON = {
    "agents_sdk": "agents",
    "langchain_chat": "langchain_openai",
    "litellm_sdk": "litellm",
    "openai_async": "openai",
    "openai_stream": "openai",
    "openai_sync": "openai",
    "pydantic_ai_agent": "pydantic_ai",
}
"""The examples that are programs, and what each needs."""
APPS = {"own_gateway", "starlette_mount"}
NODE = {"ai_sdk": "@ai-sdk/openai", "openai_node": "openai"}


@pytest.fixture
def both() -> Iterator[Pair]:
    """Two servers, and the address at which a conversation has another one after each answer."""
    with pair() as servers:
        yield servers


def test_each_is_run() -> None:
    """Every example has its test."""
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PYTHON) | APPS
    assert {path.stem for path in EXAMPLES.glob("*.mjs")} == set(NODE)


def check(text: str, both: Pair) -> None:
    """The model knows the name that was said to the other server."""
    assert "your name is Ada" in text.splitlines()[-1] or "your name is Edsger" in text.splitlines()[-1]
    assert both.here.requests
    assert both.there.requests


@pytest.mark.parametrize("name", [name for name, needed in PYTHON.items() if needed == "openai"])
def test_openai(name: str, both: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The examples for OpenAI's SDK go on at the other server."""
    monkeypatch.setenv("OPENAI_BASE_URL", both.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    check(capsys.readouterr().out, both)


@pytest.mark.parametrize("name", [name for name, needed in PYTHON.items() if needed != "openai"])
def test_others(name: str, both: Pair) -> None:
    """The examples for other libraries go on at the other server, each in a process of its own."""
    if importlib.util.find_spec(PYTHON[name]) is None:
        pytest.skip("pip install '.[test-examples]'")
    variables = {"OPENAI_BASE_URL": both.url, "OPENAI_API_BASE": both.url, "OPENAI_API_KEY": "sk-test"}
    check(ran([sys.executable, str(EXAMPLES / f"{name}.py")], LITELLM_LOCAL_MODEL_COST_MAP="True", **variables), both)


@pytest.mark.parametrize("name", NODE)
def test_node(name: str, both: Pair, tmp_path: Path) -> None:
    """The examples for Node go on at the other server through an Unpinned beside them."""
    modules = Path(os.environ.get("EXAMPLES_NODE", "")) / "node_modules"
    if shutil.which("node") is None or not (modules / NODE[name]).is_dir():
        pytest.skip("EXAMPLES_NODE names no folder with the packages, or there is no node")
    (tmp_path / "node_modules").symlink_to(modules.absolute())
    program = str(shutil.copy(EXAMPLES / f"{name}.mjs", tmp_path))
    with proxy(both.url) as url:
        check(ran(["node", program], OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-test"), both)


def ran(command: list[str], **variables: str) -> str:
    """What a program prints, that ends well."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(**variables), timeout=55
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def example(name: str, both: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names of an example that is an app."""
    monkeypatch.setenv("OPENAI_BASE_URL", both.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-gateway")
    yield runpy.run_path(str(EXAMPLES / f"{name}.py"))


def talk(client: openai.OpenAI) -> Any:
    """Two turns; the raw answer to the second."""
    history: Any = [{"role": "user", "content": "My name is Ada."}]
    history += client.responses.create(model="gpt-5", input=history).output
    history.append({"role": "user", "content": "What is my name?"})
    return client.responses.with_raw_response.create(model="gpt-5", input=history)


def test_mounted(both: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounted under a path, the proxy sends paths without it; the rest of the application remains."""
    with (
        example("starlette_mount", both, monkeypatch) as names,
        serving(names["app"], lifespan="on") as port,
        openai.OpenAI(base_url=f"http://127.0.0.1:{port}/openai/v1", api_key="k") as client,
    ):
        raw = talk(client)
        assert httpx2.get(f"http://127.0.0.1:{port}/hello", trust_env=False).text == "hello"
        assert client.models.list().data
    assert raw.headers["x-unpinned-action"] == "rewritten"
    check(raw.parse().output_text, both)
    assert {recorded.path for recorded in both.requests} == {"/v1/responses", "/v1/models"}


def test_mounted_twice(both: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that mounts it may be mounted itself; at the end the connections to upstream are closed."""
    with example("starlette_mount", both, monkeypatch) as names:
        app: Starlette = names["app"]
        outer = Starlette(routes=[Mount("/a b", app)], lifespan=app.router.lifespan_context)
        with (
            serving(outer, lifespan="on") as port,
            openai.OpenAI(base_url=f"http://127.0.0.1:{port}/a%20b/openai/v1", api_key="k") as client,
        ):
            assert client.models.list().data
        assert both.requests[0].path == "/v1/models"
        assert names["upstream"].client.occupancy() == (0, 0, 0)


def test_around_a_gateway(both: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Around a gateway of one's own: each attempt passes it, and its client sees the answer to the last."""
    with (
        example("own_gateway", both, monkeypatch) as names,
        serving(names["app"], lifespan="on") as port,
        openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none") as client,
    ):
        raw = talk(client)
    assert raw.headers["x-unpinned-action"] == "recovered"
    check(raw.parse().output_text, both)
    assert names["counts"]["attempts"] == 3
