"""`deploy/regions/`: two regions with a key each and one store; when one is away its conversations go on in the other.

Real nginx with the very files, real Unpinned processes as the Compose file has them, a Redis, and a fake API in each
region that takes the key of that region alone.
"""

import base64
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest

from proxy import fake_openai
from tests.deploy.balancers import PORT, accepts, own_addresses, program, wait_until
from tests.deploy.composition import Composition, interpolated
from tests.deploy.test_compose import check, image_environment
from tests.support.process import ROOT, Process
from tests.support.redis_server import redis_running

yaml = pytest.importorskip("yaml", reason="pip install '.[test-deploy]'")

FOLDER = ROOT / "deploy" / "regions"
TEXT = interpolated((FOLDER / "compose.yaml").read_text(), {}).replace("$$", "$")
REGIONS = ("eu", "us")
TOKEN = "my-application"


class Running:
    """What the Compose file runs, as processes."""

    def __init__(self, made: Composition, directory: Path, stack: ExitStack) -> None:
        self.made = made
        self.directory = directory
        self.stack = stack
        self.processes: dict[str, Process] = {}

    def nginx(self, name: str, file: str, port: int, places: Mapping[str, object]) -> None:
        """Start the nginx of service `name`, with `places` in place of the files that it reads besides."""
        folder = self.directory / name
        folder.mkdir()
        text = (FOLDER / file).read_text().replace("/var/log/nginx", str(folder))
        text = text.replace(f"listen {port}", f"listen {self.made.address(name)}:{port}")
        for region in REGIONS:
            text = text.replace(f"server {region}:", f"server {self.made.address(region)}:")
        for path, place in places.items():
            text = text.replace(f"include {path}", f"include {place}")
        (folder / "nginx.conf").write_text(text)
        options = ["-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", f"daemon off; pid {folder}/pid;"]
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen([program("nginx"), *options], stdout=output, stderr=output)
        self.stack.callback(process.wait, 20)
        self.stack.callback(process.terminate)
        wait_until(lambda: accepts(self.made.address(name), port) or process.poll() is not None, f"{name} is not there")
        assert process.poll() is None, (folder / "output").read_text()

    def unpinned(self, name: str) -> None:
        """Start the Unpinned of a region."""
        patient = {"UNPINNED_STORE_TIMEOUT": "20"}  # however busy the machine is
        process = Process(self.made.command(name), {**self.made.environment(name, image_environment()), **patient})
        self.stack.callback(process.close)
        assert process.port == PORT
        self.processes[name] = process

    def stop(self, name: str) -> None:
        """Stop the Unpinned of a region, which writes down what its store has not got yet."""
        self.processes[name].send_signal(signal.SIGTERM)
        assert self.processes[name].wait() == 0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """All of it, with a fake API for each region."""
    program("nginx")
    pytest.importorskip("redis")
    if os.geteuid() != 0:
        pytest.skip("Debian's nginx keeps its folders for root")
    directory = tmp_path_factory.mktemp("regions")
    services = {name: each for name, each in yaml.safe_load(TEXT)["services"].items() if name != "redis"}
    folders = {f"/run/secrets/{name}": directory / name for name in ("store", "store-key")}
    with ExitStack() as stack:
        redis = stack.enter_context(redis_running())
        (directory / "store").write_text(redis.url)
        (directory / "store-key").write_text(base64.b64encode(bytes(32)).decode())
        all_ = Running(Composition(services, own_addresses(len(services)), folders), directory, stack)
        for region in REGIONS:
            all_.nginx(f"{region}-api", "api.conf", 8090, places_of(region, directory, stack))
            all_.unpinned(region)
        all_.nginx("front", "front.conf", 8080, {})
        yield all_


def places_of(region: str, directory: Path, stack: ExitStack) -> dict[str, object]:
    """What the nginx behind a region's Unpinned reads: who may use it, its key, and where its API is."""
    api = fake_openai.build(instance=region, organization="org-1", keys=frozenset({f"sk-{region}-1"}))
    url = stack.enter_context(fake_openai.running(api))
    texts = {
        "/run/secrets/applications": f'"Bearer {TOKEN}" 1;',
        "/run/secrets/key": f'proxy_set_header Authorization "Bearer sk-{region}-1";',
        "region.conf": re.sub(r"https://[a-z.]+", url, (FOLDER / f"{region}.conf").read_text()),
    }
    places = {path: directory / f"{region}-{Path(path).name}" for path in texts}
    for path, text in texts.items():
        places[path].write_text(text)
    return dict(places)


def test_compose_would_take_it() -> None:
    """The file is what the specification of Compose allows, and a typo would be seen."""
    check(TEXT)
    with pytest.raises(ValueError, match=r".+"):
        check(TEXT.replace("stop_grace_period", "stop_grace_perod"))


def test_each_region_has_a_key_of_its_own() -> None:
    """The key of a region is a file that just the nginx behind its Unpinned reads, and in no environment."""
    services = yaml.safe_load(TEXT)["services"]
    for name, service in services.items():
        keys = [each["source"] for each in service.get("secrets", []) if isinstance(each, dict)]
        assert keys == ([f"{name.removesuffix('-api')}-key"] if name.endswith("-api") else []), name
        assert "sk-" not in str(service)


def test_a_conversation_goes_on_in_the_other_region(running: Running) -> None:
    """When its region is stopped in the middle, the next turn is answered in the other one, with the whole context.

    The application sends only what is new, and its key, which no API has seen, never leaves. What was made before is
    found by its id, and says where it was made.
    """
    url = f"http://{running.made.address('front')}:{PORT}/v1"
    with openai.OpenAI(base_url=url, api_key=TOKEN, max_retries=0) as client:
        ask = client.responses
        first = ask.create(model="gpt-5", input="My name is Ada.")
        second = ask.create(model="gpt-5", input="My dog is Bo.", previous_response_id=first.id)
        conversation = client.conversations.create()
        ask.create(model="gpt-5", input="My name is Eve.", conversation=conversation.id)
        running.stop("eu")
        raw = ask.with_raw_response.create(model="gpt-5", input="What is my name?", previous_response_id=second.id)
        assert "your name is Ada" in raw.parse().output_text
        assert (raw.headers["x-unpinned-store"], raw.headers["x-unpinned-fidelity"]) == ("hit", "lossless")
        assert ask.retrieve(second.id).to_dict() == second.to_dict()
        with pytest.raises(openai.NotFoundError) as refused:
            ask.input_items.list(second.id)
        assert refused.value.response.headers["x-unpinned-hint"] == "made-at=eu"
        third = ask.create(model="gpt-5", input="And now?", previous_response_id=raw.parse().id)
        assert "your name is Ada" in third.output_text
        other = ask.create(model="gpt-5", input="What is my name?", conversation=conversation.id)
        assert "your name is Eve" in other.output_text


def test_an_unknown_application_is_refused(running: Running) -> None:
    """A key that is no application's is answered with 401 before any API is asked."""
    url = f"http://{running.made.address('front')}:{PORT}/v1"
    with (
        openai.OpenAI(base_url=url, api_key="sk-us-1", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="not one of the applications"),
    ):
        client.responses.create(model="gpt-5", input="Hello")
