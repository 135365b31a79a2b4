"""The metrics as Prometheus reads them: one table of families, filled when it is asked for.

Loaded at the first scrape, by whoever is asked: the library takes longer to load than the proxy to start.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any, Final, NamedTuple, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from proxy import __version__
from proxy.http.faults import HOP
from proxy.observers.gauges import Levels
from proxy.observers.metrics import Durations, Histogram, Metrics, failed
from proxy.report import REMOVED, STORE, STORE_FAILURES, RefusalKind

Samples = Iterable[tuple[tuple[str, ...], float | Histogram]]

OUTCOMES: Final = (*STORE, *(failed(failure) for failure in STORE_FAILURES))
CAUSES: Final = tuple(code for code, row in HOP.items() if row.kind == "upstream_error")


class Family(NamedTuple):
    """One family of metrics: what it is called, the labels it has, what it means, and where its samples come from."""

    kind: type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]
    name: str
    labels: tuple[str, ...]
    meaning: str
    samples: Callable[[Metrics, Levels], Samples]


def _counted(counts: Mapping[Any, int], known: Iterable[str]) -> Samples:
    """Each count, and 0 for what is known and has not happened: an increase from nothing is none to Prometheus."""
    return [((name,), count) for name, count in {**dict.fromkeys(known, 0), **counts}.items()]


def _durations(metrics: Metrics, which: Callable[[Durations], Histogram]) -> Samples:
    return [((route,), which(durations)) for route, durations in metrics.durations.items()]


FAMILIES: Final = (
    Family(
        CounterMetricFamily,
        "unpinned_requests_total",
        ("route", "action", "fidelity", "status"),
        "Requests that are over; status 0 is a client that left before it was answered.",
        lambda metrics, _: [((*key[:3], str(key[3])), count) for key, count in metrics.requests.items()],
    ),
    Family(
        HistogramMetricFamily,
        "unpinned_time_to_first_byte_seconds",
        ("route",),
        "From the head of a request to the head of its answer, all attempts included.",
        lambda metrics, _: _durations(metrics, lambda durations: durations.first_byte),
    ),
    Family(
        HistogramMetricFamily,
        "unpinned_request_duration_seconds",
        ("route",),
        "From the head of a request to the end of its answer.",
        lambda metrics, _: _durations(metrics, lambda durations: durations.whole),
    ),
    Family(
        HistogramMetricFamily,
        "unpinned_overhead_seconds",
        ("route",),
        "What of the time to the first byte was spent waiting neither for upstream nor for the client: added here.",
        lambda metrics, _: _durations(metrics, lambda durations: durations.overhead),
    ),
    Family(
        CounterMetricFamily,
        "unpinned_removed_total",
        ("kind",),
        "What was taken out of requests, by the names of x-unpinned-removed.",
        lambda metrics, _: _counted(metrics.removed, REMOVED),
    ),
    Family(
        CounterMetricFamily,
        "unpinned_refusals_total",
        ("refusal",),
        "Refusals by upstream of a kind that can be recovered from; the last one of several attempts is not counted.",
        lambda metrics, _: _counted(metrics.refusals, get_args(RefusalKind)),
    ),
    Family(
        CounterMetricFamily,
        "unpinned_recovery_attempts_total",
        ("remedy",),
        "Requests sent again after a refusal: the same bytes, made portable, repaired, or trimmed (fresh).",
        lambda metrics, _: _counted(metrics.attempts, ("same", "portable", "repaired", "fresh")),
    ),
    Family(
        CounterMetricFamily,
        "unpinned_recoveries_total",
        ("outcome",),
        "Requests that were refused for a reason that can be recovered from, by how that ended.",
        lambda metrics, _: _counted(metrics.recoveries, ("recovered", "unrecovered")),
    ),
    Family(
        CounterMetricFamily,
        "unpinned_errors_total",
        ("cause",),
        "Faults of the hop to upstream and of this process, by their code.",
        lambda metrics, _: _counted(metrics.errors, CAUSES),
    ),
    Family(
        CounterMetricFamily,
        "unpinned_store_total",
        ("outcome",),
        "Requests that referred to what a store may know (hit, miss, down), and what failed by what was being done.",
        lambda metrics, _: _counted(metrics.store, OUTCOMES),
    ),
    Family(
        GaugeMetricFamily,
        "unpinned_upstream_connections",
        ("state",),
        "Connections to upstream that are in_use or idle, and requests that are waiting for one.",
        lambda _, now: [(("in_use",), now.in_use), (("idle",), now.idle), (("waiting",), now.waiting)],
    ),
    Family(
        GaugeMetricFamily,
        "unpinned_requests_in_flight",
        ("phase",),
        "Requests in progress: waiting for their answer to begin, or streaming it.",
        lambda _, now: [(("waiting",), max(0, now.in_flight - now.streams)), (("streaming",), now.streams)],
    ),
    Family(
        GaugeMetricFamily,
        "unpinned_lessons",
        (),
        "What has been learnt from refusals and is not forgotten yet.",
        lambda _, now: [((), now.lessons)],
    ),
    Family(
        GaugeMetricFamily,
        "unpinned_build_info",
        ("version",),
        "Always 1; the label is the version that runs.",
        lambda _metrics, _now: [((__version__,), 1)],
    ),
)


class _Collector(Collector):
    def __init__(self, metrics: Metrics, levels: Levels) -> None:
        self._metrics = metrics
        self._levels = levels

    def collect(self) -> Iterable[Metric]:
        """Every family with its samples."""
        for row in FAMILIES:
            family = row.kind(row.name, row.meaning, labels=row.labels)
            for labels, value in row.samples(self._metrics, self._levels):
                _add(family, labels, value)
            yield family


def _add(family: Metric, labels: tuple[str, ...], value: float | Histogram) -> None:
    if isinstance(family, HistogramMetricFamily) and isinstance(value, Histogram):
        bounds = [*(f"{bound:g}" for bound in value.bounds), "+Inf"]
        counted = zip(bounds, map(float, accumulate(value.counts)), strict=True)
        family.add_metric(labels, list(counted), value.total)
    elif isinstance(family, CounterMetricFamily | GaugeMetricFamily) and not isinstance(value, Histogram):
        family.add_metric(labels, value)


def exposed(metrics: Metrics, levels: Levels, accept: str = "") -> tuple[bytes, str]:
    """All families in the format that `accept` asks for, and that format's media type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(metrics, levels))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


def markdown() -> str:
    """The README's table."""
    lines = ["| metric | labels | meaning |", "|---|---|---|"]
    for row in FAMILIES:
        labels = " ".join(f"`{label}`" for label in row.labels)
        lines.append(f"| `{row.name}` | {labels} | {row.meaning} |")
    return "\n".join(lines)
