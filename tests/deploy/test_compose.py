"""`deploy/compose.yaml`: what Compose would read, and what it would run, run."""

import base64
import json
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from proxy.settings.table import TABLE
from tests.deploy.balancers import NGINX, PORT, Fleet, accepts, balanced, own_addresses, program, wait_until
from tests.deploy.composition import FILE, STORE, Composition, interpolated, joined, variables
from tests.support.process import ROOT, Process
from tests.support.raw_client import exchange, request

yaml = pytest.importorskip("yaml", reason="pip install '.[test-deploy]'")
compose_spec = pytest.importorskip("compose_spec", reason="pip install '.[test-deploy]'")

DEMO = variables("deploy/demo.env")
TEXT = interpolated(FILE.read_text(), DEMO)
DRAIN_TIMEOUT = float({row.name: row.default for row in TABLE}["drain_timeout"])


def services(text: str = TEXT) -> dict[str, Any]:
    """The services, with YAML's merges done."""
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def with_store() -> str:
    """Both files in one, the second with Compose's `$$` for a dollar."""
    files = (yaml.safe_load(interpolated(path.read_text(), DEMO)) for path in (FILE, STORE))
    text: str = yaml.safe_dump(joined(*files))
    return text.replace("$$", "$")


def check(text: str) -> None:
    """Raise ValueError unless `text` is what the specification of Compose allows, in itself consistent."""
    compose_spec.PyCompose.from_json(json.dumps(yaml.safe_load(text))).validate()


def test_compose_would_take_it() -> None:
    """The file is what the specification allows, with the demonstration's variables and with none."""
    check(TEXT)
    check(interpolated(FILE.read_text(), {}))
    check(with_store())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("stop_grace_period: 150s", "stop_grace_perod: 150s"),
        ("read_only: true", "read_only: sometimes"),
        ("condition: service_healthy", "condition: service_healhty"),
        ("stop_grace_period: 150s", "stop_grace_period: 150 secs"),
        ("driver_opts:", "driver_options:"),
        ('volumes: ["transcripts:', 'volumes: ["transcript:'),
    ],
)
def test_a_typo_would_be_seen(right: str, wrong: str) -> None:
    """The check above rejects a planted typo."""
    assert right in TEXT
    with pytest.raises(ValueError, match=r".+"):
        check(TEXT.replace(right, wrong))


def test_the_demonstrations_variables_are_used() -> None:
    """Each variable of `demo.env` is one that the file has, or Compose's own."""
    assert set(DEMO) - {"COMPOSE_PROFILES"} <= set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    assert DEMO["COMPOSE_PROFILES"] in services()["fake-openai"]["profiles"]


def test_containers_are_locked_up() -> None:
    """Each of our containers has a read-only root, no capability and no way to more."""
    ours = [service for service in services().values() if service["image"] == "unpinned"]
    assert len(ours) == 7
    for service in ours:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_nobody_is_killed_while_draining() -> None:
    """Whoever has streams may take longer to end than Unpinned gives them."""
    for name, service in services().items():
        if name.startswith(("unpinned", "application", "nginx")):
            assert float(service["stop_grace_period"].removesuffix("s")) > DRAIN_TIMEOUT, name
    assert services()["nginx"]["stop_signal"] == "SIGQUIT"


def test_what_it_mounts_is_there() -> None:
    """Each file and folder that a service mounts from the repository is in it, and each configuration in the file."""
    everything = yaml.safe_load(TEXT)
    mounts = [mount for service in services().values() for mount in service.get("volumes", [])]
    own = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert own
    assert all((FILE.parent / path).exists() for path in own)
    used = [config["source"] for service in services().values() for config in service.get("configs", [])]
    assert sorted(used) == sorted(everything["configs"])


def test_only_this_machine_gets_in() -> None:
    """Every published port is on the loopback interface."""
    ports = [port for service in services().values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def image_environment() -> dict[str, str]:
    """The settings that the Dockerfile puts into the image."""
    return dict(word.split("=", 1) for word in shlex.split((ROOT / "Dockerfile").read_text()) if "UNPINNED_" in word)


@pytest.fixture
def composition(tmp_path: Path) -> Iterator[Composition]:
    """The services of the demonstration, running."""
    found = {name: each for name, each in services().items() if each["image"] == "unpinned"}
    transcripts = tmp_path / "transcripts"
    transcripts.mkdir()
    made = Composition(found, own_addresses(4), {"/transcripts": transcripts, **secrets(TEXT)})
    with ExitStack() as stack:
        start(made, stack)
        yield made


def secrets(text: str) -> dict[str, Path]:
    """Where the services find each secret, and the file that it is in."""
    return {
        f"/run/secrets/{name}": FILE.parent / each["file"] for name, each in yaml.safe_load(text)["secrets"].items()
    }


def test_no_secret_is_in_a_command_or_an_environment() -> None:
    """Each key and password is a file that just the services read which are given it; the demonstration's are there."""
    every = services(with_store())
    for name, service in every.items():
        words = [*service.get("entrypoint", []), *service.get("environment", {}).values()]
        used = {found for word in words for found in re.findall(r"/run/secrets/([a-z0-9-]+)", str(word))}
        assert used == set(service.get("secrets", [])), name
        assert not re.search(r"sk-|requirepass [a-z0-9]", str(words)), name
    keys = [path.read_text().strip() for path in secrets(TEXT).values()]
    assert keys == ["sk-demo-1", "sk-demo-2", "sk-demo-3"]


def test_the_stores_network_is_its_own() -> None:
    """Only the namespaces of the three reach the Redis, and nothing outside."""
    every = yaml.safe_load(with_store())
    assert every["networks"]["store"] == {"internal": True}
    there = {name for name, each in every["services"].items() if "store" in each.get("networks", {})}
    assert there == {"redis", "application-1", "application-2", "application-3"}
    assert [*every["services"]["redis"]["networks"]] == ["store"]


def start(made: Composition, stack: ExitStack) -> None:
    """Start all of our services."""
    for name in (name for name, each in made.services.items() if each["image"] == "unpinned"):
        process = Process(made.command(name), made.environment(name, image_environment()))
        stack.callback(process.close)
        if name.startswith("unpinned"):
            assert process.port == PORT
    wait_until(lambda: accepts(made.address("fake-openai"), 8090), "the fake API did not start")


def test_it_runs(composition: Composition, tmp_path: Path) -> None:
    """A conversation that begins on one application server goes on over the others; nginx leads to all three."""
    pages = [f"http://{composition.address(f'application-{number}')}:3000" for number in (1, 2, 3)]
    with httpx2.Client(timeout=30, trust_env=False) as client:
        number = begun(client, pages[0])
        for page in (*pages, pages[0]):
            turn = asked(client, page, number, "unpinned")
            assert (turn["status"], turn["tools"]) == (200, 1), turn
        number = begun(client, pages[0])
        assert asked(client, pages[0], number, "directly")["status"] == 200
        assert asked(client, pages[1], number, "directly")["status"] == 404
    names = [f"unpinned-{number}" for number in (1, 2, 3)]
    behind = Fleet("", [composition.address(name) for name in names], own_addresses(1)[0])
    with balanced(NGINX, behind, tmp_path):
        question = request(b"GET", b"/v1/responses/resp_0", [(b"Authorization", b"Bearer sk-demo-1")])
        answers = [exchange(PORT, question, behind.own) for _ in range(3)]
    assert [answer.status for answer in answers] == [404] * 3
    assert all(answer.values(b"x-unpinned-request-id") for answer in answers)


def test_they_share_a_store(tmp_path: Path) -> None:
    """With the second file's Redis, what one server's key made another's continues; without a password it is closed."""
    every = services(with_store())
    held = {name: tmp_path / name.rsplit("/", 1)[-1] for name in secrets(with_store()) if "key-" not in name}
    ours = {name: each for name, each in every.items() if each["image"] == "unpinned" or name == "redis"}
    made = Composition(ours, own_addresses(5), {"/transcripts": tmp_path, **secrets(TEXT), **held})
    held["/run/secrets/redis-password"].write_text("f00d\n")
    held["/run/secrets/store"].write_text(f"redis://:f00d@{made.address('redis')}:6379/0\n")
    held["/run/secrets/store-key"].write_text(base64.b64encode(bytes(32)).decode())
    shell, option, words = every["redis"]["entrypoint"]
    words = made.placed(words, "redis").replace("/data", str(tmp_path))
    words = words.replace("redis-server -", f"{program('redis-server')} - --bind {made.address('redis')}")
    with ExitStack() as stack:
        redis = subprocess.Popen([shell, option, words], stdout=subprocess.DEVNULL)
        stack.callback(redis.wait, 20)
        stack.callback(redis.terminate)
        wait_until(lambda: accepts(made.address("redis"), 6379), "Redis did not start")
        with socket.create_connection((made.address("redis"), 6379)) as stranger:
            stranger.sendall(b"KEYS *\r\n")
            assert stranger.recv(100).startswith(b"-NOAUTH")
        start(made, stack)
        previous: dict[str, str] = {}
        for number, question in ((1, "My name is Ada."), (2, "What is my name?"), (3, "And now?")):
            body = {"model": "gpt-5", "input": question, **previous}
            url = f"http://{made.address(f'unpinned-{number}')}:{PORT}/v1/responses"
            fields = {"authorization": f"Bearer sk-demo-{number}"}
            answer = httpx2.post(url, json=body, headers=fields, trust_env=False, timeout=30)
            assert "your name is Ada" in answer.text
            assert answer.headers.get("x-unpinned-store", "hit") == "hit"
            previous = {"previous_response_id": answer.json()["id"]}


def test_prometheus_finds_all_three(composition: Composition, tmp_path: Path) -> None:
    """Prometheus, with the folder that the service mounts, scrapes each of the three (here every second)."""
    [mount] = services()["prometheus"]["volumes"]
    folder = shutil.copytree(FILE.parent / mount.split(":")[0], tmp_path / "prometheus")
    text = (folder / "prometheus.yml").read_text().replace("15s", "1s")
    for number in (1, 2, 3):
        text = text.replace(f"unpinned-{number}:", f"{composition.address(f'unpinned-{number}')}:")
    (folder / "prometheus.yml").write_text(text)
    [address] = own_addresses(1)
    options = [f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address={address}:9090"]
    command = [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://{address}:9090/api/v1/query"
        wait_until(lambda: answered(url, "sum(unpinned_build_info)") == ["3"], "they were not found")
    finally:
        process.terminate()
        process.wait(20)


def answered(url: str, query: str) -> list[str]:
    """The values that Prometheus has for a query, if it answers yet."""
    try:
        answer = httpx2.get(url, params={"query": query}, trust_env=False)
    except httpx2.TransportError:
        return []
    results = answer.json()["data"]["result"] if answer.is_success else []  # 503 until it has started
    return [result["value"][1] for result in results]


def test_grafana_is_told_of_prometheus() -> None:
    """Grafana's source is the service Prometheus, and it looks for dashboards where the repository's is mounted."""
    configs = {name: yaml.safe_load(each["content"]) for name, each in yaml.safe_load(TEXT)["configs"].items()}
    [source] = configs["grafana-datasource"]["datasources"]
    assert (source["url"], source["isDefault"]) == ("http://prometheus:9090", True)
    assert services()["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]
    [provider] = configs["grafana-dashboards"]["providers"]
    [mount] = services()["grafana"]["volumes"]
    assert mount.split(":")[1].startswith(provider["options"]["path"] + "/")


def begun(client: httpx2.Client, page: str) -> int:
    """The number of a new conversation, once the page answers."""

    def is_there() -> bool:
        try:
            return client.get(page).is_success
        except httpx2.TransportError:
            return False

    wait_until(is_there, f"{page} never answered")
    return int(client.post(f"{page}/conversations").json()["number"])


def asked(client: httpx2.Client, page: str, number: int, way: str) -> dict[str, Any]:
    """What came of a question, asked as the chat page does, once the servers behind the page answer."""
    question = {"question": "What is the weather in Paris? Use the tool get_weather.", "way": way}
    turn: dict[str, Any] = client.post(f"{page}/conversations/{number}", json=question).json()
    return turn
