"""Dashboard, scrape configuration and alerts speak of metrics that there are, and Prometheus' own tool takes them."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from prometheus_client.core import HistogramMetricFamily

from proxy.observers.prometheus import FAMILIES
from tests.deploy.balancers import PORT, Fleet, fleet, program, wait_until
from tests.support.raw_client import PATIENCE, exchange, request
from tests.support.scripts import json_answer
from tests.support.upstream_server import ScriptedUpstream

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
DASHBOARD: Final = json.loads((DEPLOY / "grafana" / "unpinned.json").read_text())
ALERTS: Final = (DEPLOY / "prometheus" / "alerts.yml").read_text()
TESTS: Final = (DEPLOY / "prometheus" / "alerts_test.yml").read_text()
NAMES: Final = re.findall(r"alert: (\w+)", ALERTS)

GIVEN_BY_PROMETHEUS: Final = {"instance", "job", "le"}


def series() -> dict[str, set[str]]:
    """What can be asked for: each series' name, and its labels."""
    known = {"up": set(GIVEN_BY_PROMETHEUS)}
    for family in FAMILIES:
        ends = ("_bucket", "_sum", "_count") if family.kind is HistogramMetricFamily else ("",)
        known |= {family.name + end: {*family.labels, *GIVEN_BY_PROMETHEUS} for end in ends}
    return known


def targets() -> Iterator[tuple[str, str]]:
    """Each expression of the dashboard, and the panel it stands in."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def strangers(text: str) -> set[str]:
    """What `text` asks for that is not there: names of series, and labels of theirs."""
    known = series()
    found = set(re.findall(r"\bunpinned_\w+", text)) - known.keys()
    for name, labels in re.findall(r"\b(unpinned_\w+|up)\{([^}]*)\}", text):
        found |= {f"{name}: {label}" for label in re.findall(r"(\w+)\s*[=!]~?", labels)} - {
            f"{name}: {label}" for label in known.get(name, ())
        }
    grouped = {label for each in re.findall(r"\bby \(([^)]*)\)", text) for label in re.split(r",\s*", each)}
    return found | (grouped - set().union(*known.values()))


@pytest.fixture
def promtool() -> str:
    """Prometheus' tool."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed")
    return program


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the files for Prometheus, to be damaged."""
    return Path(shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus"))


def judged(promtool: str, *arguments: str, inside: Path) -> tuple[bool, str]:
    """Whether the tool takes it, and what it says."""
    done = subprocess.run([promtool, *arguments], cwd=inside, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def test_only_of_metrics_that_there_are() -> None:
    """Dashboard and alerts ask for series and labels that are exposed."""
    for title, expression in targets():
        assert not strangers(expression), title
    assert not strangers(ALERTS)
    assert strangers('sum by (colour) (unpinned_requests{status="1"}) / unpinned_lessons{shape=~".+"}') == {
        "colour",
        "unpinned_requests",
        "unpinned_requests: status",
        "unpinned_lessons: shape",
    }


def test_every_metric_is_shown() -> None:
    """There is no family that the dashboard leaves out."""
    shown = " ".join(expression for _, expression in targets())
    assert not [family.name for family in FAMILIES if family.name not in shown]


def test_the_dashboard_is_one() -> None:
    """Panels have numbers of their own, do not cover each other, and follow the choice of data source and process."""
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert all('instance=~"$instance"' in expression for _, expression in targets())
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    assert {"datasource", "instance"} <= variables
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels)))
    assert used <= variables | {"__rate_interval"}


def test_its_expressions_are_promql(promtool: str, tmp_path: Path) -> None:
    """Prometheus can read every expression of the dashboard."""

    def rules(*expressions: str) -> bool:
        named = {f"panel:{number}": expression for number, expression in enumerate(expressions)}
        written = [{"record": name, "expr": expression} for name, expression in named.items()]
        path = tmp_path / "rules.yml"
        path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": written}]}))
        return judged(promtool, "check", "rules", path.name, inside=tmp_path)[0]

    expressions = [expression.replace("$__rate_interval", "5m") for _, expression in targets()]
    assert rules(*expressions)
    assert not rules(*expressions, "sum by (x (up)")


def test_the_configuration_is_taken(promtool: str, copied: Path) -> None:
    """Prometheus takes the scrape configuration with its rules, and rejects a typo in either."""
    assert judged(promtool, "check", "config", "prometheus.yml", inside=copied)[0]
    for file, right, wrong in (
        ("prometheus.yml", "scrape_configs", "scrape_config"),
        ("alerts.yml", "expr: up", "exp: up"),
        ("alerts.yml", "sum by", "sum bye"),
    ):
        kept = (copied / file).read_text()
        (copied / file).write_text(kept.replace(right, wrong, 1))
        assert not judged(promtool, "check", "config", "prometheus.yml", inside=copied)[0], wrong
        (copied / file).write_text(kept)


def test_the_alerts_do_what_they_should(promtool: str, copied: Path) -> None:
    """The alerts' own tests pass."""
    passed, said = judged(promtool, "test", "rules", "alerts_test.yml", inside=copied)
    assert passed, said


@pytest.mark.parametrize("alert", NAMES)
def test_every_alert_is_tried(promtool: str, copied: Path, alert: str) -> None:
    """The alerts' own tests fail when an alert never fires, and when it always does."""
    for expression in ("vector(0) > 1", "up >= 0 or unpinned_requests_total >= 0 or vector(1)"):
        damaged = re.sub(
            rf"(alert: {alert}\n\s+expr: )(\|\n(?: {{10,}}.*\n)+|.*\n)", rf"\1{expression}\n", ALERTS, count=1
        )
        assert damaged != ALERTS
        (copied / "alerts.yml").write_text(damaged)
        assert judged(promtool, "check", "rules", "alerts.yml", inside=copied)[0]
        passed, said = judged(promtool, "test", "rules", "alerts_test.yml", inside=copied)
        assert not passed
        assert alert in said


def test_the_processes_of_compose_are_scraped() -> None:
    """The scrape configuration names the Unpinned of `compose.yaml`, where their admin listeners are."""
    configuration = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    names = set(re.findall(r'"(unpinned-\d):8081"', configuration))
    assert names == set(re.findall(r"aliases: \[(unpinned-\d)\]", (DEPLOY / "compose.yaml").read_text()))
    assert len(names) == 3


class Prometheus:
    """A running Prometheus, asked over its API."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.log: list[str] = []
        self._process = process
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, expression: str) -> list[Any]:
        """What an expression is now, series by series."""
        found: list[Any] = self._told(f"query?query={quote(expression, safe='')}")["result"]
        return found

    def has(self, expression: str) -> bool:
        """Whether an expression is anything now."""
        return bool(self.ask(expression))

    def alerts(self) -> list[str]:
        """The names of the alerts that it watches."""
        return [rule["name"] for group in self._told("rules")["groups"] for rule in group["rules"]]

    def is_ready(self) -> bool:
        """Whether it can be asked."""
        return any("ready to receive" in line for line in self.log)

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)

    def _told(self, what: str) -> Any:
        told = json.loads(exchange(self._port(), request(b"GET", f"/api/v1/{what}".encode())).body)
        assert told["status"] == "success", told
        return told["data"]

    def _port(self) -> int:
        [line] = [line for line in self.log if 'msg="Listening on"' in line]
        return int(line.rpartition(":")[2])

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self.log.extend(map(str.rstrip, lines))


@contextmanager
def scraping(copied: Path, behind: Fleet) -> Iterator[Prometheus]:
    """Prometheus with the very configuration, but for addresses in place of names, and no wait between two scrapes."""
    path = copied / "prometheus.yml"
    text = path.read_text().replace("15s", "200ms")
    for number, address in enumerate(behind.addresses, 1):
        text = text.replace(f"unpinned-{number}:", f"{address}:")
    path.write_text(text)
    arguments = [f"--config.file={path}", f"--storage.tsdb.path={copied / 'data'}", "--web.listen-address=127.0.0.1:0"]
    process = subprocess.Popen([program("prometheus"), *arguments], cwd=copied, stderr=subprocess.PIPE, text=True)
    prometheus = Prometheus(process)
    try:
        wait_until(prometheus.is_ready, "Prometheus did not start")
        yield prometheus
    finally:
        prometheus.end()


def test_a_real_prometheus(upstream: ScriptedUpstream, copied: Path) -> None:
    """Prometheus scrapes three processes by this configuration, loads the alerts, and can draw every panel."""
    body = b'{"input": "hi"}'
    with fleet(upstream.url) as behind, scraping(copied, behind) as prometheus:
        wait_until(lambda: len(prometheus.ask('up{job="unpinned"} == 1')) == 3, "not all were scraped")
        assert prometheus.ask("sum(unpinned_requests_total)") == []
        for address in behind.addresses:
            upstream.will_answer(json_answer({}))
            asked = request(b"POST", b"/v1/responses", [(b"Content-Type", b"application/json")], body)
            assert exchange(PORT, asked, address).status == 200
        wait_until(
            lambda: [each["value"][1] for each in prometheus.ask("sum(unpinned_requests_total)")] == ["3"],
            "not all requests were counted",
        )
        assert prometheus.alerts() == NAMES
        for title, expression in targets():
            for name, value in (("$__rate_interval", "1m"), ("$instance", ".*"), ("$route", ".*")):
                expression = expression.replace(name, value)  # noqa: PLW2901 - as Grafana does
            prometheus.ask(expression)
            if title in ("In flight", "Connections to upstream", "Processes", "Whole answers"):
                wait_until(partial(prometheus.has, expression), f"{title} stays empty")
