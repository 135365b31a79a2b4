"""The load balancers' files for real: the installed program, this very file, three Unpinned processes behind it.

    with fleet(upstream.url) as fleet, balanced(NGINX, fleet, tmp_path) as balancer:
        with balancer.client() as client: ...

Only addresses (and where nginx writes its log) are replaced. Everything listens on loopback addresses of its own, on
the ports that stand in the files, so that a process can come back where it was.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.process import ROOT, Process, running
from tests.support.raw_client import PATIENCE, RawClient
from tests.support.upstream_server import Received

PORT = 8080
ADMIN_PORT = 8081
ESTABLISHED = "01"  # in /proc/net/tcp


@dataclass(frozen=True)
class Kind:
    """A load balancer: its program, its file, how it is started and told to end."""

    program: str
    file: str
    arguments: Callable[[Path], list[str]]
    listen: str
    graceful_stop: signal.Signals
    reload: signal.Signals
    livez: bytes

    def __str__(self) -> str:
        return self.program

    def configured(self, addresses: list[str], own: str, directory: Path) -> Path:
        """The file, with addresses in place of names, and its log in `directory`."""
        text = (ROOT / self.file).read_text()
        for number, address in enumerate(addresses, 1):
            text = text.replace(f"unpinned-{number}:", f"{address}:")
        assert text.count(self.listen) == 1
        text = text.replace(self.listen, self.listen.replace(":8080", "8080").replace("8080", f"{own}:8080"))
        path = directory / Path(self.file).name
        path.write_text(text.replace("/var/log/nginx", str(directory)))
        return path


NGINX = Kind(
    program="nginx",
    file="nginx.conf",
    arguments=lambda path: ["-e", "stderr", "-c", str(path), "-g", f"daemon off; pid {path.parent}/pid;"],
    listen="listen 8080 ",
    graceful_stop=signal.SIGQUIT,
    reload=signal.SIGHUP,
    livez=b"/nginx-livez",
)
HAPROXY = Kind(
    program="haproxy",
    file="deploy/haproxy.cfg",
    arguments=lambda path: ["-W", "-db", "-f", str(path)],
    listen="bind :8080 ",
    graceful_stop=signal.SIGUSR1,
    reload=signal.SIGUSR2,
    livez=b"/haproxy-livez",
)
KINDS = (NGINX, HAPROXY)


def program(name: str) -> str:
    """Where a program is; the test is skipped where it is not."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def own_addresses(count: int) -> list[str]:
    """Loopback addresses that nobody else uses: their network is drawn until nobody listens there."""
    while True:
        network = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}"  # not drawn for secrecy
        with ExitStack() as stack, contextlib.suppress(OSError):
            for port in (PORT, ADMIN_PORT):
                stack.enter_context(socket.create_server((f"{network}.1", port)))
            return [f"{network}.{number}" for number in range(1, count + 1)]


@dataclass
class Fleet:
    """Three processes, each at an address of its own."""

    upstream: str
    addresses: list[str]
    own: str
    processes: list[Process] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self, number: int) -> Process:
        """Start a process; the path of its upstream tells which one it is."""
        address = self.addresses[number]
        listen, admin, upstream = f"{address}:{PORT}", f"{address}:{ADMIN_PORT}", f"{self.upstream}/{number}"
        arguments = ("--listen", listen, "--admin-listen", admin, "--upstream", upstream)
        return self._stack.enter_context(running(*arguments))

    def wait_ready(self) -> None:
        """Wait until all listen."""
        for process in self.processes:
            assert process.port == PORT

    def end(self) -> None:
        """Tell all to end at once, so that nobody waits for one after the other."""
        for process in self.processes:
            for number in (signal.SIGTERM, signal.SIGINT):
                process.send_signal(number)

    def restart(self, number: int) -> None:
        """End a process in order, and start another in its place."""
        process = self.processes[number]
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        self.replace(number)

    def replace(self, number: int) -> None:
        """Start another process in the place of one that has ended."""
        self.processes[number] = self.start(number)
        self.wait_ready()

    def kill(self, number: int) -> None:
        """End a process without a word."""
        self.processes[number].send_signal(signal.SIGKILL)
        self.processes[number].wait()


def number_of(received: Received) -> int:
    """Which process sent this upstream."""
    return int(received.target.split(b"/")[1])


@contextmanager
def fleet(upstream: str) -> Iterator[Fleet]:
    """Three Unpinned processes in front of `upstream`."""
    *addresses, own = own_addresses(4)
    made = Fleet(upstream, addresses, own)
    with made._stack:
        made.processes = [made.start(number) for number in range(len(addresses))]
        made.wait_ready()
        yield made
        made.end()


@dataclass
class Balancer:
    """A running load balancer."""

    kind: Kind
    address: str
    process: "subprocess.Popen[bytes]"

    def client(self) -> RawClient:
        """A connection to it."""
        return RawClient(PORT, self.address)

    def stop(self) -> None:
        """Tell it to end when its streams have."""
        self.process.send_signal(self.kind.graceful_stop)

    def reload(self) -> None:
        """Tell it to read its file again."""
        self.process.send_signal(self.kind.reload)

    def kept(self, addresses: list[str]) -> int:
        """How many connections there are to `addresses`."""
        there = {f"{int.from_bytes(socket.inet_aton(each), sys.byteorder):08X}:{PORT:04X}" for each in addresses}
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        return sum(1 for words in lines if words[2] in there and words[3] == ESTABLISHED)

    def accepts(self) -> bool:
        """Whether it takes connections."""
        return accepts(self.address, PORT)


@contextmanager
def balanced(kind: Kind, behind: Fleet, directory: Path) -> Iterator[Balancer]:
    """The load balancer in front of `behind`."""
    if kind is NGINX and os.geteuid() != 0:
        pytest.skip("Debian's nginx keeps its folders for root")
    path = kind.configured(behind.addresses, behind.own, directory)
    command = [program(kind.program), *kind.arguments(path)]
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    balancer = Balancer(kind, behind.own, process)
    try:
        wait_until(lambda: balancer.accepts() or process.poll() is not None, f"{kind} did not start")
        assert process.poll() is None, (directory / "output").read_text()
        yield balancer
    finally:
        process.terminate()
        process.wait(PATIENCE)


def accepts(address: str, port: int) -> bool:
    """Whether anybody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def wait_until(so: Callable[[], bool], otherwise: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)
