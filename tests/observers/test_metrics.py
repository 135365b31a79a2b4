"""What is counted, and how it reads."""

import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy import __version__
from proxy.build import build
from proxy.events import Answered, Recovered, Refused, StoreFailed, TurnEnded, Unrecovered, UpstreamFailed
from proxy.hints import Hint
from proxy.observers.gauges import Gauges
from proxy.observers.metrics import SECONDS, Metrics
from proxy.observers.prometheus import FAMILIES, exposition
from proxy.report import Report
from tests.support.pages import between, page
from tests.support.readme_tables import metrics_table


def answered(**changed: Any) -> Answered:
    """A rewritten request that took a second, three quarters of it upstream's and an eighth the client's."""
    report = Report("rewritten", "lossless", removed={"item_id": 3, "previous_response_id": 1})
    told: dict[str, Any] = {
        "method": "POST",
        "route": "responses",
        "path": "/v1/responses",
        "status": 200,
        "seconds": 4.0,
        "complete": True,
        "report": report,
        "first_byte": 1.0,
        "upstream": 0.75,
        "client": 0.125,
    }
    return Answered(**{**told, **changed})


def read(*events: Any, levels: Gauges | None = None) -> dict[tuple[str, ...], float]:
    """The samples after `events`: by name and the values of their labels, which stand in the order of their names."""
    metrics = Metrics()
    for event in events:
        metrics.notice("req-1", event)
    text, _ = exposition(metrics, levels or Gauges())
    families = text_string_to_metric_families(text.decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def happened(samples: dict[tuple[str, ...], float], name: str) -> dict[tuple[str, ...], float]:
    """The samples called `name` that are not 0, by the values of their labels."""
    return {key[1:]: value for key, value in samples.items() if key[0] == name and value}


def test_requests() -> None:
    """Requests are counted by route, action, fidelity and status, and what was taken out of them by its name."""
    samples = read(answered(), answered(), answered(status=0, first_byte=None, report=Report()))
    assert happened(samples, "unpinned_requests_total") == {
        ("rewritten", "lossless", "responses", "200"): 2,
        ("passthrough", "exact", "responses", "0"): 1,
    }
    assert happened(samples, "unpinned_removed_total") == {("item_id",): 6, ("previous_response_id",): 2}


def test_durations() -> None:
    """The time to the first byte, what of it was added here, and the whole are histograms by route."""
    samples = read(answered(), answered(first_byte=None, seconds=1000.0), answered(route="other"))
    sums = {name: samples[f"unpinned_{name}_seconds_sum", "responses"] for name in ("time_to_first_byte", "overhead")}
    assert sums == {"time_to_first_byte": 1.0, "overhead": 0.125}
    assert samples["unpinned_time_to_first_byte_seconds_count", "responses"] == 1
    assert samples["unpinned_request_duration_seconds_sum", "responses"] == 1004
    whole = "unpinned_request_duration_seconds_bucket"
    assert [samples[whole, le, "responses"] for le in ("2.56", "5.12", "655.36", "+Inf")] == [0, 1, 1, 2]
    assert samples["unpinned_overhead_seconds_bucket", "0.1", "other"] == 0
    assert samples["unpinned_overhead_seconds_bucket", "0.25", "other"] == 1


def test_the_buckets() -> None:
    """The buckets are those of OpenTelemetry's conventions for generative AI, doubled on to more than ten minutes."""
    conventional = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
    assert (*conventional, 163.84, 327.68, 655.36) == SECONDS


def test_a_value_at_a_bound() -> None:
    """A value that is a bound belongs to the bucket of that bound."""
    samples = read(answered(first_byte=1.28, upstream=1.28, client=0.0))
    bucket = "unpinned_time_to_first_byte_seconds_bucket"
    assert [samples[bucket, le, "responses"] for le in ("0.64", "1.28")] == [0, 1]
    assert samples["unpinned_overhead_seconds_bucket", "0.0001", "responses"] == 1


def test_recovery() -> None:
    """Refusals are counted by what they say, attempts by what was sent again, and how it ended."""
    samples = read(
        Refused(404, "item", "portable"),
        Refused(400, "pairing", "fresh"),
        Recovered("fresh", 3),
        Refused(404, "item", "portable"),
        Unrecovered("item", 2),
        Unrecovered("encrypted", 1),
    )
    assert happened(samples, "unpinned_refusals_total") == {("item",): 2, ("pairing",): 1, ("encrypted",): 1}
    assert happened(samples, "unpinned_recovery_attempts_total") == {("portable",): 2, ("fresh",): 1}
    assert happened(samples, "unpinned_recoveries_total") == {("recovered",): 1, ("unrecovered",): 2}


def test_a_store() -> None:
    """Lookups are counted by what came of them, and what failed by what it was."""
    samples = read(
        *(answered(report=Report(store=store)) for store in ("hit", "hit", "miss", "down", None)),
        StoreFailed("recall"),
        StoreFailed("overflow"),
    )
    counts = {("hit",): 2, ("miss",): 1, ("down",): 1, ("recall_failed",): 1, ("overflow_failed",): 1}
    assert happened(samples, "unpinned_store_total") == counts


def test_hints() -> None:
    """Refusals of what cannot travel are counted by what it is, those of turns as well."""
    file = Report(hint=Hint("file"))
    samples = read(
        answered(status=404, report=file),
        answered(),
        TurnEnded(1, 404, 0.1, complete=True, report=file),
    )
    assert happened(samples, "unpinned_hints_total") == {("file",): 2}


def test_errors() -> None:
    """A fault is counted once: upstream's where it happened, others where they were answered."""
    samples = read(
        UpstreamFailed("upstream_unreachable"),
        answered(status=502, fault="upstream_unreachable"),
        answered(status=503, fault="overloaded"),
        UpstreamFailed("upstream_cut"),
        answered(complete=False),
    )
    causes = {("upstream_unreachable",): 1, ("overloaded",): 1, ("upstream_cut",): 1}
    assert happened(samples, "unpinned_errors_total") == causes


def test_levels() -> None:
    """What goes up and down is read when it is asked for."""
    samples = read(levels=Gauges(in_flight=7, streams=6, lessons=5, in_use=4, idle=3, waiting=2))
    connections = {("in_use",): 4, ("idle",): 3, ("waiting",): 2}
    assert happened(samples, "unpinned_upstream_connections") == connections
    assert happened(samples, "unpinned_requests_in_flight") == {("waiting",): 1, ("streaming",): 6}
    assert samples["unpinned_lessons",] == 5
    assert samples["unpinned_build_info", build(), __version__] == 1


def test_what_has_not_happened_is_zero() -> None:
    """What is known and has not happened is there with 0, so that its first time is an increase."""
    samples = read()
    for sample in (
        ("removed_total", "item_reference"),
        ("refusals_total", "locked"),
        ("recovery_attempts_total", "same"),
        ("recoveries_total", "unrecovered"),
        ("errors_total", "upstream_cut"),
        ("request_duration_seconds_count", "compact"),
    ):
        assert samples[f"unpinned_{sample[0]}", sample[1]] == 0


def test_turns() -> None:
    """A turn of a WebSocket counts by what was done to it, and so does what was taken out."""
    metrics = Metrics()
    for _ in range(2):
        metrics.notice("", TurnEnded(0, 200, 1.0, True, Report("rewritten", "lossless", {"item_id": 2}, store="hit")))
    assert metrics.turns == {("rewritten", "lossless"): 2}
    assert metrics.removed == {"item_id": 4}
    assert metrics.store["hit"] == 2
    text, _ = exposition(metrics, Gauges())
    assert 'unpinned_turns_total{action="rewritten",fidelity="lossless"} 2.0' in text.decode()


def test_few_families() -> None:
    """There are at most twenty families, and nothing is exposed beside them."""
    assert len(FAMILIES) <= 20
    text, _ = exposition(Metrics(), Gauges())
    named = [line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")]
    assert named == [family.name for family in FAMILIES]


def test_open_metrics() -> None:
    """Whoever accepts OpenMetrics gets it."""
    text, media_type = exposition(Metrics(), Gauges(), "application/openmetrics-text; version=1.0.0")
    assert media_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    assert exposition(Metrics(), Gauges())[1].startswith("text/plain")


def test_promtool_has_nothing_to_say() -> None:
    """Prometheus' own lint finds names, units and help as they should be."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    metrics = Metrics()
    for event in (answered(), Refused(404, "item", "portable"), UpstreamFailed("upstream_cut")):
        metrics.notice("", event)
    text, _ = exposition(metrics, Gauges())
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_documented_table() -> None:
    """The documented table of metrics is what is exposed."""
    assert between("metrics", page("metrics")) == metrics_table()
