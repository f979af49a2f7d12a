"""Capture around a small FastAPI application: what it costs the application, in requests and in latency.

The bare application is the yardstick. The hand-written minimum shows what any monitor written as ASGI middleware
must pay: it keeps four values of a request, where ours keeps headers, query, route, client, sizes and clocks too.

Where others change the speed of a machine from second to second, two processes that are measured one after the other
say little. So one that has both applications serves them in turns of a tenth of a second, too; that is the stricter
measure, as each finds the processor's caches full of the other.
"""

from statistics import median

from . import capture_apps as apps
from .contenders import Bench, Measure, Numbers, Target
from .load import clients, saturate
from .server import CORE_SHARE, Factory, pin, serving
from .workloads import request

_BODY = b'{"product": 7, "amount": 2, "note": "' + b"x" * 160 + b'"}'
_REQUESTS = {
    "GET": request("GET", "/items/42?page=2"),
    "POST 200 B": request("POST", "/orders?page=2", _BODY, "application/json"),
}
_TURN = 0.1
"""Seconds of a turn."""

_IN_TURNS = "requests/s, captured beside bare in turns, in one process"


def _served(factory: Factory) -> Measure:
    def measure(scale: float) -> Numbers:
        numbers: Numbers = {}
        with serving(factory) as server:
            pin(1)
            for name, message in _REQUESTS.items():
                saturate(server.port, message, 0.2)
                before = server.cpu()
                load = saturate(server.port, message, 0.8 * scale)
                cpu = server.cpu() - before
                numbers |= {
                    CORE_SHARE: min(cpu / load.seconds, numbers.get(CORE_SHARE, 1.0)),
                    f"{name}, requests/s": load.rate,
                    f"{name}, CPU µs of the server per request": cpu / load.requests * 1e6,
                    f"{name}, p50 ms": load.quantile(0.5) * 1e3,
                    f"{name}, p99 ms": load.quantile(0.99) * 1e3,
                }
        return numbers

    return measure


def _in_turns(scale: float) -> Numbers:
    numbers: Numbers = {}
    with serving(apps.both_shops) as server, clients(server.port) as opened:
        pin(1)
        for name, captured in _REQUESTS.items():
            bare = captured.replace(b"?page=2", b"?page=3")
            for message in (bare, captured):
                opened.saturate(message, 0.5)
            ratios: list[float] = []
            for _ in range(max(1, round(8 * scale))):
                # Bare first and last: a machine that becomes slower meanwhile is no advantage to either.
                order = (bare, captured, captured, bare)
                before, one, other, after = (opened.saturate(message, _TURN).rate for message in order)
                ratios.append((one + other) / (before + after))
            numbers[f"{name}, {_IN_TURNS}"] = median(ratios)
    return numbers


_PER_REQUEST = ("requests/s", "CPU µs of the server per request", "p50 ms", "p99 ms")

BENCH = Bench(
    title="a FastAPI application, watched",
    contenders={
        "bare": _served(apps.bare_shop),
        "hand-written minimum": _served(apps.minimum_shop),
        "CaptureMiddleware, ring full": _served(apps.captured_shop),
        "CaptureMiddleware, without request ids": _served(apps.uncorrelated_shop),
        "CaptureMiddleware, all bodies": _served(apps.captured_bodies_shop),
        "both": _in_turns,
    },
    metrics={
        **{f"{name}, {metric}": "bare" for name in _REQUESTS for metric in _PER_REQUEST},
        **{f"{name}, {_IN_TURNS}": None for name in _REQUESTS},
        CORE_SHARE: None,
    },
    targets=[
        Target(f"{name}, requests/s", "CaptureMiddleware, ring full", at_least=0.85, against="bare")
        for name in _REQUESTS
    ]
    + [Target(f"{name}, {_IN_TURNS}", "both", at_least=0.85) for name in _REQUESTS],
    rounds=9,
)
