"""Who is measured: ours, nginx, and rivals where they are installed. One row each; nothing here measures."""

import functools
import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench import work
from tests.bench.work import Work

ROOT: Final = Path(__file__).parents[2]
_RIVALS: Final = Path(__file__).with_name("rivals")
_MODULES: Final = Path("/usr/lib/nginx/modules")
_LUA_MODULES: Final = ("ndk_http_module.so", "ngx_http_lua_module.so")


class Place(NamedTuple):
    """What a proxy is given: a directory of its own, a port to listen on, upstream's port."""

    directory: Path
    port: int
    upstream: int


def _by_path(task: Work, place: Place) -> bytes:
    return work.request(task, place.port)


@dataclass(frozen=True)
class Proxy:
    """One candidate: how to get it, how to run it, and how it is asked."""

    name: str
    what: str
    install: str
    is_installed: Callable[[], bool]
    version: Callable[[], str]
    command: Callable[[Place], list[str]]
    request: Callable[[Work, Place], bytes] = _by_path
    directory: Path | None = None
    """Where it is started."""
    relays_bytes: bool = True
    """Whether answers have the length that upstream gave them."""
    opens_sockets: bool = True
    """Whether WebSockets pass."""


_PORTABLE: Final = "makes requests portable"


def ours(arguments: str = "", *, name: str = "unpinned", what: str = _PORTABLE, directory: Path = ROOT) -> Proxy:
    """Unpinned at its default settings but for `arguments`, from the sources in `directory`."""
    return Proxy(
        name=name,
        what=what,
        install="pip install .",
        is_installed=(directory / "proxy" / "__main__.py").exists,
        version=lambda: f"Python {sys.version.split()[0]}, {_commit(directory)}",
        command=functools.partial(_our_command, arguments),
        directory=directory,
    )


def _our_command(arguments: str, place: Place) -> list[str]:
    listen = ["--listen", f"127.0.0.1:{place.port}", "--admin-listen", "off"]
    upstream = ["--upstream", f"http://127.0.0.1:{place.upstream}"]
    return [sys.executable, "-m", "proxy", "serve", *listen, *upstream, *shlex.split(arguments)]


def _commit(directory: Path) -> str:
    return _first_line(["git", "-C", str(directory), "describe", "--always", "--dirty"])


_RELAYED: Final = "proxy_request_buffering off; client_body_buffer_size 128k;"


def _nginx(place: Place, main: str = "", location: str = _RELAYED) -> list[str]:
    values = {"directory": place.directory, "port": place.port, "upstream": place.upstream, "location": location}
    values["main"] = main + ("user root;" if os.geteuid() == 0 else "")
    text = (_RIVALS / "nginx.conf").read_text()
    for key, value in values.items():
        text = text.replace("{" + key + "}", str(value))
    path = place.directory / "nginx.conf"
    path.write_text(text)
    return ["nginx", "-c", str(path), "-e", "stderr"]


def _nginx_lua(place: Place) -> list[str]:
    main = "".join(f"load_module {_MODULES / module};\n" for module in _LUA_MODULES)
    script = _RIVALS / "rewrite.lua"
    return _nginx(place, main, f"client_body_buffer_size 16m; access_by_lua_file {script};")


def _aiohttp_stack(place: Place) -> list[str]:
    return [sys.executable, str(_RIVALS / "aiohttp_stack.py"), str(place.port), str(place.upstream)]


def _caddy(place: Place) -> list[str]:
    path = place.directory / "Caddyfile"
    text = (_RIVALS / "Caddyfile").read_text()
    path.write_text(text.replace(":PORT", f":{place.port}").replace(":UPSTREAM", f":{place.upstream}"))
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(path)]


def _litellm(place: Place) -> list[str]:
    path = place.directory / "litellm.yaml"
    rows = [
        f"  - model_name: {_model(plan)}\n    litellm_params:\n      model: openai/bench\n      api_key: none\n"
        f"      api_base: http://127.0.0.1:{place.upstream}/{plan}/v1\n"
        for plan in _PLANS
    ]
    path.write_text("model_list:\n" + "".join(rows))
    return ["litellm", "--config", str(path), "--host", "127.0.0.1", "--port", str(place.port), "--num_workers", "1"]


_PLANS: Final = ("size=1500", "size=4000", "size=700", "events=500,gap=0", "events=500,gap=1", "events=10,gap=1000")


def _model(plan: str) -> str:
    return "bench-" + re.sub(r"\W", "-", plan)


def _litellm_request(task: Work, place: Place) -> bytes:
    named = work.MODEL.replace(b"bench", _model(task.plan).encode())
    return work.request(task._replace(body=task.body.replace(work.MODEL, named, 1)), place.port, in_path=False)


def _portkey_request(task: Work, place: Place) -> bytes:
    host = f"x-portkey-provider: openai\r\nx-portkey-custom-host: http://127.0.0.1:{place.upstream}/{task.plan}/v1\r\n"
    return work.request(task, place.port, host.encode(), in_path=False)


def _has(program: str) -> Callable[[], bool]:
    return lambda: shutil.which(program) is not None


def _first_line(command: list[str]) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return "no version"
    said = (ended.stdout or ended.stderr).strip().partition("\n")[0]
    return said.removeprefix("nginx version: ") if ended.returncode == 0 else "no version"


def _says(*command: str) -> Callable[[], str]:
    return lambda: _first_line(list(command))


NGINX: Final = Proxy(
    name="nginx",
    what="relays only",
    install="apt install nginx",
    is_installed=_has("nginx"),
    version=_says("nginx", "-v"),
    command=_nginx,
)
RIVALS: Final = (
    Proxy(
        name="nginx+lua",
        what="removes ids",
        install="apt install nginx libnginx-mod-http-lua lua-cjson",
        is_installed=lambda: _has("nginx")() and all((_MODULES / module).exists() for module in _LUA_MODULES),
        version=NGINX.version,
        command=_nginx_lua,
    ),
    Proxy(
        name="aiohttp",
        what="removes ids; uvicorn, ASGI, aiohttp and orjson",
        install="pip install aiohttp",
        is_installed=lambda: importlib.util.find_spec("aiohttp") is not None,
        version=lambda: f"aiohttp {importlib.metadata.version('aiohttp')}",
        command=_aiohttp_stack,
        opens_sockets=False,
    ),
    Proxy(
        name="caddy",
        what="relays only",
        install="apt install caddy",
        is_installed=_has("caddy"),
        version=_says("caddy", "version"),
        command=_caddy,
    ),
    Proxy(
        name="litellm",
        what="relays only",
        install="pip install 'litellm[proxy]'",
        is_installed=_has("litellm"),
        version=_says("litellm", "--version"),
        command=_litellm,
        request=_litellm_request,
        relays_bytes=False,
        opens_sockets=False,
    ),
    Proxy(
        name="portkey",
        what="relays only",
        install="npm install --global @portkey-ai/gateway",
        is_installed=_has("gateway"),
        version=lambda: "no version",
        command=lambda place: ["gateway", f"--port={place.port}", "--headless"],
        request=_portkey_request,
        relays_bytes=False,
        opens_sockets=False,
    ),
)


VARIANTS: Final = {
    "quiet": ("--log-level warning", f"{_PORTABLE}; no line for a request"),
    "strip": ("--mode strip", f"{_PORTABLE}, in any case"),
    "recover": ("--mode recover", "sends requests as they came"),
    "observe": ("--mode observe", "says what it would do"),
    "store": ("--store memory", f"{_PORTABLE}; hears each answer for a store"),
}
"""Unpinned otherwise than by default: more arguments, and what it then does; measured where they are named."""


def chosen(names: Iterable[str], our_arguments: str, others: Mapping[str, Path]) -> tuple[list[Proxy], list[Proxy]]:
    """The candidates by name (all but variants, if there is none), those that can run and those that are missing.

    nginx is the first; `others` are sources of Unpinned elsewhere, by the name that they have in the table.
    """
    wanted = set(names)
    elsewhere = [ours(our_arguments, name=name, directory=directory) for name, directory in others.items()]
    variants = [
        ours(f"{our_arguments} {arguments}", name=name, what=what)
        for name, (arguments, what) in VARIANTS.items()
        if name in wanted
    ]
    rows = [NGINX, *elsewhere, ours(our_arguments), *variants, *RIVALS]
    rows = [row for row in rows if not wanted or row.name in {*wanted, *others} or row is NGINX]
    return [row for row in rows if row.is_installed()], [row for row in rows if not row.is_installed()]
