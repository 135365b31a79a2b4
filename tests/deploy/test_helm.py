"""`deploy/helm/`: the chart's values against their schema; what it makes of them, where helm is installed."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from proxy import __version__
from proxy.settings.table import TABLE
from tests.deploy.balancers import program
from tests.deploy.test_kubernetes import VERSIONS, complaints
from tests.support.process import ROOT

yaml = pytest.importorskip("yaml", reason="pip install '.[test-deploy]'")
jsonschema = pytest.importorskip("jsonschema", reason="pip install '.[test-deploy]'")

CHART = ROOT / "deploy" / "helm" / "unpinned"
DEPLOYMENT = (CHART / "templates" / "deployment.yaml").read_text()
SIDECAR = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "deployment.yaml").read_text())
# Everything that can be set, so that every branch of the templates is taken.
EVERYTHING: dict[str, Any] = {
    "image": {
        "repository": "example.com/unpinned",
        "digest": "sha256:" + "a" * 64,
        "pullSecrets": [{"name": "x"}],
    },
    "settings": {"UNPINNED_WORKERS": 2, "UNPINNED_STORE": "file:/run/secrets/unpinned/store", "UNPINNED_INSPECT": True},
    "secret": "unpinned",
    "tls": {"secret": "unpinned-tls", "clientCaSecret": "clients"},
    "clients": [{"podSelector": {"matchLabels": {"app": "application"}}}],
    "service": {"type": "LoadBalancer", "port": 443, "annotations": {"a": "b"}},
    "podLabels": {"team": "x"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
}


def defaults() -> Any:
    """The chart's own values."""
    return yaml.safe_load((CHART / "values.yaml").read_text())


def faults(values: Any) -> list[str]:
    """What the chart's schema has against values."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(values)]


def test_its_own_values_are_what_its_schema_wants() -> None:
    """The defaults, and what sets everything, are valid; each value has a place in the schema."""
    assert faults(defaults()) == []
    assert faults({**defaults(), **EVERYTHING}) == []


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 2},
        {"replicas": "two"},
        {"settings": {"MODE": "auto"}},
        {"settings": {"UNPINNED_LISTEN": "0.0.0.0:1"}},
        {"settings": {"UNPINNED_TLS_CERT": "/x"}},
        {"image": {"repository": "x", "digest": "latest"}},
        {"tls": {"secret": "", "clientCaSecret": "clients"}},
        {"service": {"type": "ClusterIP", "port": 0}},
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(values: dict[str, Any]) -> None:
    """A misspelt, impossible or contradicting value, and a setting that is the chart's, is refused before its use."""
    assert faults({**defaults(), **values})


def test_it_is_of_this_version() -> None:
    """The chart installs the version that it lies beside."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["apiVersion"], chart["appVersion"]) == ("v2", __version__)


def test_every_setting_it_names_exists() -> None:
    """The variables that it sets itself, or by default, are settings."""
    named = set(re.findall(r"name: (UNPINNED_[A-Z_]+)", DEPLOYMENT)) | set(defaults()["settings"])
    assert named <= {row.variable for row in TABLE}
    assert {"UNPINNED_LISTEN", "UNPINNED_ADMIN_LISTEN", "UNPINNED_DRAIN_TIMEOUT"} <= named


def test_it_is_as_careful_as_the_sidecar() -> None:
    """Probes and rights are those of `deploy/kubernetes/`."""
    [sidecar] = SIDECAR["spec"]["template"]["spec"]["initContainers"]
    block = DEPLOYMENT.partition("          ports:\n")[2].partition("          {{- if or .Values.secret")[0]
    block = re.sub(r"\{\{.*\}\}", "null", block)
    container = yaml.safe_load("ports:\n" + re.sub(r"^ {10}", "", block, flags=re.MULTILINE))
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[name]["httpGet"].pop("port") == "admin"
        wanted = json.loads(json.dumps(sidecar[name]))
        del wanted["httpGet"]["port"]
        assert container[name] == wanted
    assert container["securityContext"] == sidecar["securityContext"]


def rendered(folder: Path, values: dict[str, Any]) -> str:
    """What helm makes of the chart with values."""
    path = folder / "values.json"
    path.write_text(json.dumps(values))
    done = helm("template", "unpinned", str(CHART), "--values", str(path))
    assert done.returncode == 0, done.stderr
    return done.stdout


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm, where it is installed."""
    return subprocess.run([program("helm"), *arguments], capture_output=True, text=True, check=False)


def test_helm_has_nothing_against_it() -> None:
    """Helm's linter finds nothing; it refuses a value that the schema does."""
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout
    assert helm("template", "unpinned", str(CHART), "--set", "replicas=two").returncode != 0


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_would_take_it(version: str, tmp_path: Path) -> None:
    """What helm makes of the defaults, and of everything that can be set, is what Kubernetes' schema allows."""
    for values in ({}, EVERYTHING):
        text = rendered(tmp_path, values)
        assert complaints(text, version, tmp_path) == ""
    assert 'name: UNPINNED_INSPECT, value: "on"' in text
