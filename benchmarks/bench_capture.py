"""Capture around a small FastAPI application: what it costs the application, in requests and in latency.

The bare application is the yardstick. The hand-written minimum shows what any monitor written as ASGI middleware
must pay: it keeps four values of a request, where ours keeps headers, query, route, client, sizes and clocks too.
"""

from . import capture_apps as apps
from .contenders import Bench, Measure, Numbers, Target
from .load import saturate
from .server import CORE_SHARE, Factory, pin, serving
from .workloads import request

_BODY = b'{"product": 7, "amount": 2, "note": "' + b"x" * 160 + b'"}'
_REQUESTS = {
    "GET": request("GET", "/items/42?page=2"),
    "POST 200 B": request("POST", "/orders", _BODY, "application/json"),
}


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


_PER_REQUEST = ("requests/s", "CPU µs of the server per request", "p50 ms", "p99 ms")

BENCH = Bench(
    title="a FastAPI application, watched",
    contenders={
        "bare": _served(apps.bare_shop),
        "hand-written minimum": _served(apps.minimum_shop),
        "CaptureMiddleware, ring full": _served(apps.captured_shop),
        "CaptureMiddleware, without request ids": _served(apps.uncorrelated_shop),
        "CaptureMiddleware, all bodies": _served(apps.captured_bodies_shop),
    },
    metrics={**{f"{name}, {metric}": "bare" for name in _REQUESTS for metric in _PER_REQUEST}, CORE_SHARE: None},
    targets=[
        Target(f"{name}, requests/s", "CaptureMiddleware, ring full", at_least=0.85, against="bare")
        for name in _REQUESTS
    ],
    rounds=9,
)
