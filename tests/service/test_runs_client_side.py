"""Files of load tools. Those of tools that are not installed here are written as their documentation has them."""

import json

import pytest

from reqscope.service.runs.client_side import read_client_side
from reqscope.service.runs.findings import differences
from reqscope.service.runs.model import ClientSide, RunError

from .test_runs_thresholds import run

K6_TIMES = {"avg": 12.5, "min": 1.0, "med": 10.0, "max": 80.0, "p(90)": 20.0, "p(95)": 40.0}
K6_SUMMARY = {
    "metrics": {
        "http_req_duration": K6_TIMES,
        "http_reqs": {"count": 400, "rate": 40.0},
        "http_req_failed": {"passes": 4, "fails": 396, "value": 0.01},
        "dropped_iterations": {"count": 7, "rate": 0.7},
    }
}
K6_HANDLED = {"metrics": {name: {"type": "x", "values": metric} for name, metric in K6_SUMMARY["metrics"].items()}}
K6_POINTS = "\n".join(
    [json.dumps({"type": "Metric", "metric": "http_req_duration", "data": {"type": "trend"}})]
    + [
        json.dumps({"type": "Point", "metric": name, "data": {"time": "2026-01-01T00:00:00Z", "value": value}})
        for number in range(1, 101)
        for name, value in (("http_req_duration", number), ("http_req_failed", number == 100))
    ]
)
VEGETA = {
    "latencies": {"total": 1, "mean": 2e6, "50th": 1e6, "90th": 3e6, "95th": 4e6, "99th": 9e6, "max": 1e7, "min": 1e5},
    "duration": 10_000_000_000,
    "requests": 500,
    "rate": 50.0,
    "status_codes": {"200": 490, "404": 4, "503": 5, "0": 1},
}
VEGETA_RESULTS = "\n".join(
    json.dumps(
        {
            "attack": "a",
            "seq": n,
            "code": 200 if n else 0,
            "timestamp": "2026-01-01T00:00:00Z",
            "latency": n * 1_000_000,
        }
    )
    for n in range(100)
)
OHA = {
    "summary": {"total": 2.0, "slowest": 0.05, "fastest": 0.001, "average": 0.004, "requestsPerSec": 100.0},
    "latencyPercentiles": {"p50": 0.003, "p90": 0.008, "p95": 0.01, "p99": 0.02},
    "statusCodeDistribution": {"200": 195, "500": 3},
    "errorDistribution": {"connection refused": 2},
}
JMETER = "timeStamp,elapsed,label,responseCode,success,bytes,Latency\n" + "".join(
    f"{1_700_000_000_000 + n * 10},{n},home,200,{str(n != 5).lower()},100,{n}\n" for n in range(1, 101)
)


@pytest.mark.parametrize(
    ("content", "tool", "requests", "errors", "p50", "p95", "maximum"),
    [
        (json.dumps(K6_SUMMARY), "k6", 400, 4, 0.010, 0.040, 0.080),
        (json.dumps(K6_HANDLED), "k6", 400, 4, 0.010, 0.040, 0.080),
        (K6_POINTS, "k6", 100, 1, 0.050, 0.095, 0.100),
        (json.dumps(VEGETA), "vegeta", 500, 6, 0.001, 0.004, 0.010),
        (VEGETA_RESULTS, "vegeta", 100, 1, 0.049, 0.094, 0.099),
        (json.dumps(OHA), "oha", 200, 5, 0.003, 0.010, 0.050),
        (JMETER, "JMeter", 100, 1, 0.050, 0.095, 0.100),
    ],
)
def test_a_tools_file_is_read(
    content: str, tool: str, requests: int, errors: int, p50: float, p95: float, maximum: float
) -> None:
    side = read_client_side(content.encode(), "out")

    assert (side.tool, side.requests, side.errors) == (tool, requests, errors)
    assert (side.p50, side.p95, side.maximum) == pytest.approx((p50, p95, maximum))


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"hello", b"{}", b"[1]", b"{", b"\xff\xfe", b'{"metrics": {"http_req_duration": 5}}'),
        *(b"Running 2s test @ http://x\n", b"timeStamp,elapsed\nx,y\n", b"Type,Name,Request Count\n", b"1\n2\n"),
        *(b'{"latencies": 5, "requests": 1}', b'{"type": "Point"}\n5', b"[" * 100_000),
    ],
)
def test_a_file_that_no_tool_wrote_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(RunError, match="out"):
        read_client_side(content, "out")


def test_a_difference_between_both_sides_is_explained() -> None:
    side = ClientSide(tool="x", source="x", requests=4_100, p50=0.5, p99=0.4)
    said = " ".join(differences(run(0.1, 0.2, 0.3, 0.4), side))

    assert "The client counts 100 more" in said
    assert "p50: the client waited" in said
    assert "late by up to 250 ms" in said
    assert differences(run(0.1), ClientSide(tool="x", source="x", requests=1_000)) == ["Both sides agree."]
