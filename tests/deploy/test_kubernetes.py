"""`deploy/kubernetes/`: what `kubectl apply -k` would send, against the schemas of Kubernetes, and the sidecar run."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.balancers import own_addresses, program
from tests.support.process import ROOT, Process

yaml = pytest.importorskip("yaml", reason="pip install '.[test-deploy]'")

BASE = ROOT / "deploy" / "kubernetes"
STORE = BASE / "store"
PROBES = ("readinessProbe", "livenessProbe")
VERSIONS = ("1.30", "1.37")  # the first that has all that is used, and one of today


@pytest.fixture(scope="module")
def rendered() -> str:
    """What kustomize makes of the base."""
    return kustomized(BASE)


@pytest.fixture(scope="module")
def with_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What kustomize makes of the base with the store added."""
    folder = tmp_path_factory.mktemp("overlay")
    paths = {"resources": [os.path.relpath(BASE, folder)], "components": [os.path.relpath(STORE, folder)]}
    (folder / "kustomization.yaml").write_text(json.dumps(paths))
    return kustomized(folder)


def kustomized(folder: Path) -> str:
    """What kustomize makes of a folder."""
    done = subprocess.run([program("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def complaints(text: str, version: str, folder: Path) -> str:
    """What the schemas of a version of Kubernetes have against `text`."""
    path = folder / "rendered.yaml"
    path.write_text(text)
    command = [program("kubernetes-validate"), "--quiet", "--strict", "-k", version, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_would_take_it(rendered: str, with_store: str, version: str, tmp_path: Path) -> None:
    """Every object is what Kubernetes' schema allows, and nothing more."""
    assert complaints(rendered, version, tmp_path) == ""
    assert complaints(with_store, version, tmp_path) == ""


@pytest.mark.parametrize(
    ("right", "wrong"), [("volumeClaimTemplates:", "volumeClaimTemplate:"), ("port: 6379", "port: x")]
)
def test_a_typo_in_the_store_would_be_seen(with_store: str, right: str, wrong: str, tmp_path: Path) -> None:
    """The check above rejects a planted typo there as well."""
    assert right in with_store
    assert "did not validate" in complaints(with_store.replace(right, wrong), VERSIONS[-1], tmp_path)


def test_the_store_is_found(with_store: str) -> None:
    """Unpinned's container names the store's service, is let in there, and has a key; the store ends where it began."""
    every: dict[str, Any] = {
        f"{each['kind']} {each['metadata']['name']}": each for each in yaml.safe_load_all(with_store)
    }
    pod = every["Deployment application"]["spec"]["template"]
    environment = {each["name"]: each for each in pod["spec"]["initContainers"][0]["env"]}
    service = every["Service unpinned-store"]
    [port] = service["spec"]["ports"]
    assert environment["UNPINNED_STORE_SCOPE"]["value"] == "application"
    [mount] = pod["spec"]["initContainers"][0]["volumeMounts"]
    [volume] = pod["spec"]["volumes"]
    assert (volume["name"], volume["secret"]["secretName"]) == (mount["name"], "unpinned-store")
    files = [f"file:{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]]
    assert files == [environment["UNPINNED_STORE"]["value"], environment["UNPINNED_STORE_KEY"]["value"]]
    assert f"@unpinned-store:{port['port']}/0" in (STORE / "kustomization.yaml").read_text()
    store = every["StatefulSet unpinned-store"]["spec"]
    assert service["spec"]["selector"].items() <= store["template"]["metadata"]["labels"].items()
    [rule] = every["NetworkPolicy unpinned-store"]["spec"]["ingress"]
    assert rule["from"][0]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    [container] = store["template"]["spec"]["containers"]
    assert container["ports"][0]["containerPort"] == port["port"]
    mount = container["volumeMounts"][1]
    [held] = store["template"]["spec"]["volumes"]
    assert (mount["name"], held["secret"]["secretName"]) == (held["name"], "unpinned-store")
    for command in (container["command"], *(container[probe]["exec"]["command"] for probe in PROBES)):
        assert f"{mount['mountPath']}/password" in command[2]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("readinessProbe:", "readinesProbe:"),
        ("terminationGracePeriodSeconds: 180", "terminationGracePeriodSeconds: 3m"),
        ("readOnlyRootFilesystem: true", "readonlyRootFilesystem: true"),
        ("containerPort: 8081", 'containerPort: "8081"'),
        ("maxUnavailable: 1", "maxUnavailabel: 1"),
    ],
)
def test_a_typo_would_be_seen(rendered: str, right: str, wrong: str, tmp_path: Path) -> None:
    """The check above rejects a planted typo."""
    assert right in rendered
    assert "did not validate" in complaints(rendered.replace(right, wrong), VERSIONS[-1], tmp_path)


def test_a_file_that_is_missing_would_be_seen(tmp_path: Path) -> None:
    """Kustomize rejects a base whose resource is not there."""
    (tmp_path / "kustomization.yaml").write_text((BASE / "kustomization.yaml").read_text())
    done = subprocess.run([program("kubectl"), "kustomize", str(tmp_path)], capture_output=True, check=False)
    assert done.returncode != 0


@pytest.fixture
def objects(rendered: str) -> dict[str, Any]:
    """The objects by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(rendered)}


@pytest.fixture
def pod(objects: dict[str, Any]) -> dict[str, Any]:
    """The pod that the Deployment makes."""
    found: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]
    return found


@pytest.fixture
def sidecar(pod: dict[str, Any]) -> dict[str, Any]:
    """Unpinned's container."""
    [found] = pod["initContainers"]
    return dict(found)


def test_it_is_a_sidecar(sidecar: dict[str, Any]) -> None:
    """Unpinned goes on running beside the application, which starts when Unpinned is ready."""
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["startupProbe"]


def test_it_is_locked_up(pod: dict[str, Any], sidecar: dict[str, Any]) -> None:
    """It runs as the image's user, with a read-only root, no capability and no token."""
    context = sidecar["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in (ROOT / "Dockerfile").read_text()
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


def test_nobody_is_killed_while_draining(objects: dict[str, Any], pod: dict[str, Any]) -> None:
    """The pod has longer to end than the application's pause and Unpinned's drain take together."""
    [application] = pod["containers"]
    pause = application["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = float(objects["ConfigMap"]["data"]["UNPINNED_DRAIN_TIMEOUT"])
    assert pod["terminationGracePeriodSeconds"] > pause + drain


def test_its_names_fit(objects: dict[str, Any], pod: dict[str, Any], sidecar: dict[str, Any]) -> None:
    """The service finds the pods, the sidecar its settings, and the application Unpinned."""
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    [application] = pod["containers"]
    assert objects["Service"]["spec"]["selector"].items() <= labels.items()
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert objects["Service"]["spec"]["ports"][0]["targetPort"] in {port["name"] for port in application["ports"]}
    assert sidecar["envFrom"] == [{"configMapRef": {"name": objects["ConfigMap"]["metadata"]["name"]}}]
    [base_url] = [each["value"] for each in application["env"] if each["name"] == "OPENAI_BASE_URL"]
    assert base_url == f"http://{objects['ConfigMap']['data']['UNPINNED_LISTEN']}/v1"


def test_it_runs(objects: dict[str, Any], sidecar: dict[str, Any]) -> None:
    """With these settings it starts, and answers all three probes where they ask."""
    [address] = own_addresses(1)
    image = dict(re.findall(r"(UNPINNED_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))
    settings = {**image, **objects["ConfigMap"]["data"]}
    here = {name: re.sub(r"^(0\.0\.0\.0|127\.0\.0\.1)(?=:)", address, value) for name, value in settings.items()}
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    process = Process([sys.executable, "-m", "proxy"], here)
    try:
        assert process.port == 8080
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = sidecar[probe]["httpGet"]
            url = f"http://{address}:{ports[asked['port']]}{asked['path']}"
            with urllib.request.urlopen(url, timeout=20) as answer:
                assert answer.status == 200
    finally:
        process.close()
