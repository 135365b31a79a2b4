"""`python -m tests.deploy.image [--base FOLDER]`: builds the image without a Docker daemon, and runs it.

Needs root, buildah, and debootstrap unless a folder with a Debian is given; takes about a minute. No registry of images
is asked: the base is a Debian made here. The container is a chroot with a read-only root, the image's user, entry
point and environment, on a loopback address of its own; `unpinned healthcheck` is asked as Docker would.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proxy import __version__
from tests.deploy.balancers import ADMIN_PORT, PORT, accepts, own_addresses, wait_until
from tests.support.process import ROOT

BASE, IMAGE = "localhost/unpinned-test-base", "localhost/unpinned-test"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
# Where this machine has them: how its own pip finds packages.
OURS = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")


def run(*command: str | Path) -> str:
    """What a command printed; the program ends with its complaint where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    """The root of a container of `image`, or of an empty one."""
    container = run("buildah", "from", image)
    try:
        yield Path(run("buildah", "mount", container))
        if image == "scratch":
            run("buildah", "commit", "--quiet", container, BASE)
    finally:
        run("buildah", "rm", container)


def make_base(debian: Path) -> None:
    """An image of a Debian with Python."""
    if not debian.exists():
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", debian)
    with mounted("scratch") as root:
        run("cp", "--archive", f"{debian}/.", root)


def build() -> dict[str, Any]:
    """The image of the Dockerfile; its configuration."""
    volumes = [f"--volume={path}:{path}:ro" for path in OURS if Path(path).exists()]
    arguments = [f"--build-arg=PYTHON_IMAGE={BASE}", f"--build-arg=VERSION={__version__}"]
    run("buildah", "build", "--format=docker", f"--tag={IMAGE}", *volumes, *arguments, ROOT)
    inspected = json.loads(run("buildah", "inspect", "--type=image", IMAGE))
    found: dict[str, Any] = inspected["Docker"]["config"]
    return found


class Container:
    """A chroot into the image, its root read-only."""

    def __init__(self, root: Path, config: dict[str, Any], variables: dict[str, str]) -> None:
        variables = {**dict(each.split("=", 1) for each in config["Env"]), **variables}
        environment = [f"{name}={value}" for name, value in variables.items()]
        script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec chroot --userspec="$@"'
        chroot = ["sh", "-ec", script, str(root), config["User"], str(root), "/usr/bin/env", "-i", *environment]
        self.prefix = ["unshare", "--mount", *chroot]

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        """Run a command in it."""
        return subprocess.Popen([*self.prefix, *command])

    def run(self, *command: str) -> int:
        """Run a command in it; its exit code."""
        return subprocess.run([*self.prefix, *command], check=False).returncode


def expect(what: str, *, so: bool) -> None:
    """Say whether something is as it has to be, and end if not."""
    sys.stdout.write(f"{'ok' if so else 'NOT OK'}: {what}\n")
    sys.stdout.flush()
    if not so:
        sys.exit(1)


def try_out(root: Path, config: dict[str, Any]) -> None:
    """Start it, ask its health, tell it to end."""
    [address] = own_addresses(1)
    settings = [each.split("=", 1) for each in config["Env"] if each.startswith("UNPINNED_")]
    container = Container(root, config, {name: value.replace("0.0.0.0", address) for name, value in settings})
    expect("its root is read-only", so=container.run("touch", "/probe") != 0)
    expect("it runs as 65532", so=container.run("sh", "-c", 'test "$(id -u):$(id -g)" = 65532:65532') == 0)
    kind, *healthcheck = config["Healthcheck"]["Test"]
    expect("before it runs it is not healthy", so=kind == "CMD" and container.run(*healthcheck) != 0)
    process = container.start(*config["Entrypoint"])
    try:
        wait_until(lambda: accepts(address, PORT) and accepts(address, ADMIN_PORT), "it did not start")
        expect("it starts, and is healthy", so=container.run(*healthcheck) == 0)
        process.send_signal(signal.Signals[config.get("StopSignal", "SIGTERM")])
        expect("it ends in order", so=process.wait(20) == 0)
    finally:
        process.kill()


def look_at(config: dict[str, Any]) -> None:
    """What the image says of itself."""
    expect("it is labelled", so=config["Labels"]["org.opencontainers.image.version"] == __version__)
    expect("it exposes both ports", so=set(config["ExposedPorts"]) == {f"{PORT}/tcp", f"{ADMIN_PORT}/tcp"})
    expect("its user is a number", so=config["User"] == "65532:65532")


def main() -> None:
    """Build, look, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="a folder with a Debian that has Python")
    chosen = parser.parse_args()
    os.environ.update(STORAGE_DRIVER="vfs", BUILDAH_ISOLATION="chroot")
    folder = Path(tempfile.mkdtemp())
    try:
        make_base(chosen.base or folder / "debian")
        config = build()
        look_at(config)
        with mounted(IMAGE) as root:
            try_out(root, config)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
