"""Real log files for the history: what the log sink writes."""

import time
from pathlib import Path

from reqscope.bus import Event, JsonLogSink

ROTATED = "requests.2026-11-21T10-55-28.000Z.jsonl"
HOUR = 3_600 * 10**9


def write_log(path: Path, count: int, *, first: int = 1, ago: int = 0, route: str = "/items/{id}") -> Path:
    """Append `count` requests that were numbered from `first` up, `ago` nanoseconds before now."""
    sink = JsonLogSink.to_file(path, "cafebabe")
    now = time.time_ns() - ago
    events = [
        Event(
            time=now + number,
            seq=number,
            method="GET",
            path=f"/items/{number}",
            route=route,
            status=200 + number % 2 * 300,
            total=number / 1_000,
        )
        for number in range(first, first + count)
    ]
    sink.write(events)
    sink.close()
    return path
