"""A mocked service with 1 000 stubs, through a real uvicorn, and what finding the stub costs by itself.

The bare part is an ordinary FastAPI route, unwatched. Linear matching, each stub tried in turn as WireMock does,
runs in the very same application.
"""

import time

from reqscope.service.mock.request import MockRequest

from . import mock_apps as apps
from .contenders import Bench, Measure, Numbers, Target
from .load import saturate
from .server import CORE_SHARE as _SHARE
from .server import Factory, pin, serving
from .workloads import request

_RATE, _CPU = "requests/s", "CPU µs of the server per request"
_MATCH, _MATCH_10 = "µs to find the stub of 1 000", "µs to find the stub of 10 000"
_MATCH_ALIKE = "µs to find the stub of 1 000, of which 100 share its method and first segment"


def _served(factory: Factory) -> Numbers:
    message = request("POST", f"/s{apps.ASKED}/7", b'{"amount":5}', "application/json")
    with serving(factory) as server:
        pin(1)
        saturate(server.port, message, 0.3)
        before = server.cpu()
        load = saturate(server.port, message, 0.8)
        cpu = (server.cpu() - before) / load.requests * 1e6
        return {_RATE: load.rate, _CPU: cpu, _SHARE: load.rate * cpu / 1e6}


def _matched(stubs: int, seconds: float, *, linear: bool, alike: int = 1) -> float:
    index = apps.store(stubs, alike).index
    path = apps.path(stubs // 2 + alike // 2, alike)  # half of those that share its first segment are before it
    if linear:
        index = apps.LinearIndex(index.stubs)
    count, begun = 0, time.process_time()
    while (passed := time.process_time() - begun) < seconds:
        asked = MockRequest("POST", f"{path}/7", b"", (), b'{"amount":5}')
        found = next(stub for stub in index.candidates(asked) if stub.takes(asked))
        assert found.stub.request.path == f"{path}/{{id}}"
        count += 1
    return passed / count * 1e6


def _mock(factory: Factory, *, linear: bool) -> Measure:
    def measure(scale: float) -> Numbers:
        numbers = _served(factory)
        numbers[_MATCH] = _matched(apps.STUBS, 0.3 * scale, linear=linear)
        numbers[_MATCH_ALIKE] = _matched(apps.STUBS, 0.3 * scale, linear=linear, alike=100)
        numbers[_MATCH_10] = _matched(10 * apps.STUBS, 0.3 * scale, linear=linear)
        return numbers

    return measure


BENCH = Bench(
    title="a mocked service with 1 000 stubs",
    contenders={
        "FastAPI route": lambda scale: _served(apps.fastapi_route),
        "reqscope": _mock(apps.reqscope_mock, linear=False),
        "linear matching": _mock(apps.linear_mock, linear=True),
    },
    metrics={
        _RATE: "FastAPI route",
        _CPU: "FastAPI route",
        _MATCH: "linear matching",
        _MATCH_ALIKE: "linear matching",
        _MATCH_10: "linear matching",
        _SHARE: None,
    },
    targets=(
        Target(_RATE, "reqscope", at_least=0.5, against="FastAPI route"),
        Target(_MATCH, "reqscope", at_most=0.1, against="linear matching"),
    ),
)
