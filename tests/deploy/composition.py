"""`deploy/compose.yaml` without Docker: its services as processes, each network namespace a loopback address.

Read as Compose reads it (variables from an env file, YAML's merges), and run as written but for what a namespace would
have done: names and `0.0.0.0` become the namespace's address, and so does `127.0.0.1`.
"""

import re
import sys
from pathlib import Path
from typing import Any

from tests.support.process import ROOT

FILE = ROOT / "deploy" / "compose.yaml"
STORE = ROOT / "deploy" / "compose.store.yaml"
Service = dict[str, Any]


def variables(env_file: str) -> dict[str, str]:
    """The variables of an env file."""
    lines = (ROOT / env_file).read_text().splitlines()
    return {name: value for line in lines if not line.startswith("#") for name, _, value in [line.partition("=")]}


def interpolated(text: str, values: dict[str, str]) -> str:
    """`text` with `${NAME:-default}` filled in."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: values.get(found[1]) or found[2], text)


def joined(first: Any, second: Any) -> Any:
    """Two files as Compose joins them: mappings are merged, lists lengthened, other values replaced."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {**first, **{name: joined(first.get(name), value) for name, value in second.items()}}
    return [*first, *second] if isinstance(first, list) and isinstance(second, list) else second


def namespace(name: str, services: dict[str, Service]) -> str:
    """The service whose network namespace a service lives in."""
    mode: str = services[name].get("network_mode", f"service:{name}")
    assert mode.startswith("service:"), mode
    return mode.removeprefix("service:")


class Composition:
    """The services, and where their namespaces are on this machine."""

    def __init__(self, services: dict[str, Service], addresses: list[str], folders: dict[str, Path]) -> None:
        self.services = services
        self.folders = folders
        owners = [name for name in services if namespace(name, services) == name]
        self.addresses = dict(zip(owners, addresses, strict=True))

    def address(self, name: str) -> str:
        """Where a name leads: a service's own, if it has a namespace of its own, or an alias."""
        for service, address in self.addresses.items():
            aliases = self.services[service].get("networks", {}).get("default", {}).get("aliases", [])
            if name in (service, *aliases):
                return address
        raise LookupError(name)

    def placed(self, text: str, name: str) -> str:
        """A word of service `name`'s with addresses for names, and folders for volumes."""
        here = self.addresses[namespace(name, self.services)]
        text = re.sub(r"\b(0\.0\.0\.0|127\.0\.0\.1)\b", here, text)
        text = re.sub(r"(?<=//)[a-z]+-?[a-z\d]*(?=:\d)", lambda found: self._found(found[0]), text)
        for mount, folder in self.folders.items():
            text = text.replace(mount, str(folder))
        return text

    def _found(self, host: str) -> str:
        return host if host == "localhost" else self.address(host)

    def command(self, name: str) -> list[str]:
        """What a container of ours runs: the image's entry point unless the service has its own."""
        words = [*self.services[name].get("entrypoint", ["unpinned"]), *self.services[name].get("command", [])]
        started = {"python": [sys.executable], "unpinned": [sys.executable, "-m", "proxy"]}[words[0]]
        return [*started, *(self.placed(word, name) for word in words[1:])]

    def environment(self, name: str, image: dict[str, str]) -> dict[str, str]:
        """The image's environment, and the service's."""
        merged = {**image, **self.services[name].get("environment", {})}
        return {variable: self.placed(str(value), name) for variable, value in merged.items()}
