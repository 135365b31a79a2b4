"""The figures: what is measured, in which unit, and what is to be reached. One row a figure."""

from typing import Final, Literal, NamedTuple

from tests.bench.shapes import SIZES, shapes

Values = dict[str, float]


class Figure(NamedTuple):
    """One row of the table. A goal is a ratio to nginx in the same run, an absolute value, or what nginx has."""

    name: str
    label: str
    unit: str
    digits: int = 0
    goal: Literal["ratio", "absolute", "nginx", "none"] = "none"
    reach: float = 0
    aim: float = 0


FIGURES: Final = (
    Figure("w1", "W1: 2 KB with ids, CPU", "µs/request", 1, "ratio", 5, 3),
    Figure("w2", "W2: 200 KB, 150 items with ids, CPU", "µs/request", 0, "ratio", 6, 3),
    Figure("w2_plain", "W2 without ids, CPU", "µs/request"),
    *(
        Figure(f"{size}, {shape}", f"{size}, {shape}, CPU", "µs/request")
        for size in SIZES
        for shape in shapes(*SIZES[size])
    ),
    Figure("w3", "W3: 8 MB of images, CPU", "µs/request", 0, "ratio", 5, 3),
    Figure("event", "W4: an event every ms, 10 streams, CPU", "µs/event", 1, "ratio", 1.6, 1.2),
    Figure("burst", "W4: 500 events at once, CPU", "µs/event", 2, "ratio", 2.5, 1.5),
    Figure("event_delay", "W4: delay added to an event, p50", "µs", 0, "nginx"),
    Figure("slow_event", "W5: 1,000 streams, an event a second each, CPU", "µs/event", 1),
    Figure("alone", "W6: one connection, CPU", "µs/request", 1),
    Figure("latency", "W6: latency added to a small request, p50", "µs", 0, "absolute", 300, 150),
    Figure("socket_event", "W7: WebSocket, a message every 2 ms, 20 tunnels, CPU", "µs/message", 1, "ratio", 1.3),
    Figure("socket_delay", "W7: delay added to a message of one tunnel, p50", "µs", 0, "absolute", 50),
    Figure("socket", "W7: memory for an idle tunnel", "KiB", 0, "absolute", 40),
    Figure("socket_stalled", "W7: memory for a stalled tunnel", "KiB", 0, "absolute", 300),
    Figure("session_event", "W8: session, an event every 2 ms, 20 sockets, CPU", "µs/event", 1, "ratio", 2),
    Figure("session_delay", "W8: delay added to an event, p50", "µs", 0, "absolute", 50),
    Figure("session", "W8: memory for an idle session", "KiB", 0, "absolute", 40),
    Figure("session_stalled", "W8: memory for a stalled session", "KiB", 0, "absolute", 300),
    Figure("start", "memory at start", "MiB", 1, "absolute", 40, 30),
    Figure("streams", "memory for 1,000 streams more", "MiB", 1, "absolute", 25, 18),
    Figure("held", "memory for an open stream that 200 KB asked for", "KiB"),
    Figure("stalled", "memory for a stalled stream", "KiB", 0, "absolute", 256, 64),
    Figure("many_streams", "memory for 5,000 streams more", "MiB", 1),
    Figure("ready", "start to ready", "s", 2, "absolute", 1, 0.4),
    Figure("failed", "failures, of all requests and 1,000 streams", "", 0, "absolute", 0),
    Figure("many_failed", "failures, of 5,000 streams", "", 0, "absolute", 0),
)
