"""Systemd's side: sockets that are handed over, what it is notified of, and the unit files."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.support.process import COMMAND, ROOT, Process, running
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import Gate, answer, event_stream
from tests.support.upstream_server import ScriptedUpstream

GET = request(b"GET", b"/v1/models")
READY = request(b"GET", b"/readyz")
UNITS = ROOT / "deploy" / "systemd"


# Puts descriptors where systemd does, and becomes the program.
ADOPT = """
import fcntl, os, sys
moved = [fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 100) for number in sys.argv[1].split()]
for place, number in enumerate(moved, 3):
    os.dup2(number, place)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def handed(*numbers: int, arguments: tuple[str, ...] = (), count: str = "", names: str = "") -> Iterator[Process]:
    """The proxy with these descriptors handed over."""
    command = (sys.executable, "-c", ADOPT, " ".join(map(str, numbers)), *COMMAND, *arguments)
    variables = {"LISTEN_FDS": count or str(len(numbers)), "LISTEN_FDNAMES": names}
    with closing(Process(command, variables, numbers)) as process:
        yield process


def port_of(listener: socket.socket) -> int:
    """The port of a socket."""
    return int(listener.getsockname()[1])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sockets_are_handed_over(upstream: ScriptedUpstream, workers: str) -> None:
    """Both sockets of systemd are used in the place of the settings, by their names; the start line names them."""
    upstream.will_always_answer(answer(200))
    arguments = ("--upstream", upstream.url, "--workers", workers)
    with ExitStack() as stack:
        data, admin = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        numbers = (admin.fileno(), data.fileno())
        with handed(*numbers, arguments=arguments, names="admin:listen") as process:
            assert (process.port, process.admin_port) == (port_of(data), port_of(admin))
            assert exchange(process.port, GET).status == 200
            assert exchange(process.admin_port, READY).status == 200
            process.send_signal(signal.SIGHUP)
            process.wait_message("The settings are taken over")
            assert exchange(process.port, GET).status == 200


def test_a_restart_loses_no_connection(upstream: ScriptedUpstream) -> None:
    """While the service is restarted, connections wait at systemd's socket, and the next process answers them."""
    upstream.will_always_answer(answer(200))
    arguments = ("--upstream", upstream.url, "--admin-listen", "off")
    with socket.create_server(("127.0.0.1", 0)) as data:
        with handed(data.fileno(), arguments=arguments) as process:
            process.wait_message("Listening")
        with RawClient(port_of(data)) as client:
            client.send(GET)
            assert not client.readable_within(0.2)
            with handed(data.fileno(), arguments=arguments):
                assert client.answer().status == 200


@contextmanager
def something(kind: str) -> Iterator[int]:
    """A descriptor that is no socket at which connections can be accepted."""
    with ExitStack() as stack:
        if kind == "file":
            yield stack.enter_context(tempfile.TemporaryFile()).fileno()
        elif kind == "datagrams":
            yield stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).fileno()
        else:
            yield stack.enter_context(socket.socket()).fileno()


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("file", "unpinned: LISTEN_FDS: descriptor 3 is no socket: Socket operation on non-socket."),
        ("datagrams", "unpinned: LISTEN_FDS: descriptor 3 is a socket at which no connection can be accepted."),
        ("silent", "unpinned: LISTEN_FDS: descriptor 3 is a socket at which no connection can be accepted."),
    ],
)
def test_what_is_no_socket_is_refused(kind: str, sentence: str) -> None:
    """What is handed over and is no listening socket ends the start with one sentence and code 2."""
    with something(kind) as number, handed(number) as process:
        assert (process.wait(), process.text) == (2, sentence)


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        ("many", "unpinned: LISTEN_FDS is 'many', but must be a number of descriptors."),
        ("1", "unpinned: LISTEN_FDS: descriptor 3 is no socket: Bad file descriptor."),
    ],
)
def test_what_is_not_there_is_refused(count: str, sentence: str) -> None:
    """So does a number that is none, or that has no descriptor behind it."""
    with handed(count=count) as process:
        assert (process.wait(), process.text) == (2, sentence)


def test_too_many_are_refused() -> None:
    """There are two listeners, so that a third socket is a mistake."""
    with ExitStack() as stack:
        numbers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).fileno() for _ in range(3)]
        with handed(*numbers) as process:
            assert process.wait() == 2
            assert process.text == "unpinned: LISTEN_FDS hands over 3 sockets, but there are two listeners."


def test_what_is_for_another_process_is_left_alone(upstream: ScriptedUpstream) -> None:
    """Variables that a parent has inherited from systemd mean nothing here."""
    with running("--upstream", upstream.url, LISTEN_PID="1", LISTEN_FDS="1") as process:
        assert exchange(process.admin_port, READY).status == 200


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_notified(upstream: ScriptedUpstream, tmp_path: Path, *, abstract: bool) -> None:
    """READY when it serves, RELOADING and READY around a reload, also one that fails, STOPPING when it drains."""
    upstream.will_always_answer(answer(200))
    name = f"@unpinned-{tmp_path.parent.name}-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(20)

        def heard() -> str:
            return manager.recv(1024).decode()

        with running("--upstream", upstream.url, NOTIFY_SOCKET=name) as process:
            assert heard() == "READY=1"
            assert exchange(process.port, GET).status == 200
            process.send_signal(signal.SIGHUP)
            assert heard().startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert heard() == "READY=1"
            process.send_signal(signal.SIGTERM)
            assert heard() == "STOPPING=1"


def test_it_says_that_it_stops_before_it_has_stopped(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """A drain that takes long is known to be one."""
    gate = Gate()
    upstream.will_answer(event_stream([b"data: 1\n\n", gate]))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        with running("--upstream", upstream.url, NOTIFY_SOCKET=str(tmp_path / "notify")) as process:
            with RawClient(process.port) as client:
                client.send(GET)
                client.until(b"data: 1")
                process.send_signal(signal.SIGTERM)
                assert [manager.recv(1024), manager.recv(1024)] == [b"READY=1", b"STOPPING=1"]
                gate.open()
            assert process.wait() == 0


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")
def test_systemd_itself_hands_over(upstream: ScriptedUpstream) -> None:
    """Systemd's own tool binds the sockets, and starts the proxy when the first client connects, which is answered."""
    upstream.will_always_answer(answer(200))
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = port_of(one), port_of(other)
    sockets = [word for port in ports for word in ("--listen", f"127.0.0.1:{port}")]
    command = ["systemd-socket-activate", *sockets, "--fdname=listen:admin", *COMMAND]
    with closing(Process([*command, "--upstream", upstream.url], {})) as process:
        process.wait_logged(lambda line: f"Listening on 127.0.0.1:{ports[1]}" in str(line))
        assert exchange(ports[0], GET).status == 200
        assert exchange(ports[1], READY).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """Systemd finds no fault with the units; a planted one it finds."""
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/unpinned/bin/unpinned", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    assert verified(tmp_path) == (0, "")
    service = tmp_path / "unpinned.service"
    service.write_text(service.read_text().replace("KillMode=mixed", "KillMode=mixt"))
    assert "kill mode" in verified(tmp_path)[1]


def verified(folder: Path) -> tuple[int, str]:
    """What systemd says of the units in a folder."""
    command = ["systemd-analyze", "verify", *map(str, sorted(folder.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if str(folder) in line or "unpinned" in line]
    return done.returncode, "\n".join(lines)
