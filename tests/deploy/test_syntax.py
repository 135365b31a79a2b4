"""The load balancers' own check of their files, which rejects a planted typo."""

import subprocess
from pathlib import Path

import pytest

from tests.deploy.balancers import HAPROXY, KINDS, NGINX, Kind, program

ADDRESSES = ["127.0.0.1"] * 3
CHECK = {NGINX: ["-t", "-e", "stderr", "-c"], HAPROXY: ["-c", "-f"]}


def accepts(kind: Kind, folder: Path, right: str = "", wrong: str = "") -> bool:
    """Whether the program takes its file, with `wrong` in the place of `right`."""
    path = kind.configured(ADDRESSES, "127.0.0.1", folder)
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong) if right else text)
    command = [program(kind.program), *CHECK[kind], str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_program_takes_its_file(kind: Kind, tmp_path: Path) -> None:
    """The load balancer finds no fault with its file."""
    assert accepts(kind, tmp_path)


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (NGINX, "proxy_buffering off", "proxy_bufering off"),
        (NGINX, "proxy_read_timeout 3660s", "proxy_read_timeout 3660x"),
        (NGINX, "http://unpinned;", "http://unpined;"),
        (HAPROXY, "balance leastconn", "balance leastcon"),
        (HAPROXY, "default_backend unpinned", "default_backend unpined"),
        (HAPROXY, "timeout server 3660s", "timeout servr 3660s"),
    ],
)
def test_a_typo_would_be_seen(kind: Kind, right: str, wrong: str, tmp_path: Path) -> None:
    """The check above rejects a planted typo."""
    assert not accepts(kind, tmp_path, right, wrong)
