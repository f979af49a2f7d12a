"""What load tools write about a run, read from the files that they write.

Formats: k6 (`--summary-export`, `handleSummary` data, `-o json`), Locust (`_stats.csv`), vegeta (`report -type=json`,
`encode -to json`), hey (text, `-o csv`), oha (`--output-format json`), wrk (text), JMeter (JTL as CSV).
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import Any, Final

from .model import ClientSide, RunError

LARGEST: Final = 256 << 20
_SERVER_ERROR: Final = 500
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)

_K6_FAILED: Final = "k6 counts a status of 400 and above as failed."
_WRK_FAILED: Final = "wrk counts every status outside of 2xx and 3xx as an error, and socket errors too."
_CORRECTED: Final = "wrk corrects its percentiles for requests that a stall kept it from sending."

Row = Mapping[str, str]


def read_client_side(content: bytes, source: str) -> ClientSide:
    """Return what a tool's file says; which tool it is shows in the file.

    :param source: name of the file, to be shown
    :raises RunError: it is none that is known, or is damaged
    """
    if len(content) > LARGEST:
        raise RunError(f"{source} is larger than {LARGEST >> 20} MiB; give the tool's summary instead")
    text = content.decode("utf-8-sig", "replace")
    try:
        found = _read(text)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, csv.Error, RecursionError) as error:
        raise RunError(f"{source} looks like a load tool's, but cannot be read: {error!r}") from None
    if found is None:
        raise RunError(
            f"{source} is not what a load tool writes, as far as is known: k6 (JSON, summary), Locust (_stats.csv), "
            "vegeta (JSON), hey (text, CSV), oha (JSON), wrk (text) or JMeter (JTL as CSV)"
        )
    found.source = source[:200]
    return found


def _read(text: str) -> ClientSide | None:
    start = text.lstrip()[:4_000]
    if start.startswith("{"):
        return _read_json(text)
    if re.search(r"^Running .+ test @ ", start, re.MULTILINE):
        return _wrk(text)
    if start.startswith("Summary:") and "Latency distribution" in text:
        return _hey(text)
    header = start.partition("\n")[0]
    readers: dict[str, Callable[[list[dict[str, str]]], ClientSide]] = {
        "response-time,DNS+dialup": _hey_rows,
        "Type,Name,Request Count": _locust,
        "timeStamp,elapsed": _jmeter,
    }
    for beginning, read in readers.items():
        if header.replace('"', "").startswith(beginning):
            return read(list(csv.DictReader(io.StringIO(text.lstrip()))))
    return None


def _read_json(text: str) -> ClientSide | None:
    try:
        document: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        return _read_lines([json.loads(line) for line in text.splitlines() if line.strip()])
    if "http_req_duration" in document.get("metrics", ()):
        return _k6(document)
    if "latencies" in document and "requests" in document:
        return _vegeta(document)
    if "summary" in document and "latencyPercentiles" in document:
        return _oha(document)
    return _read_lines([document])


def _read_lines(lines: Sequence[dict[str, Any]]) -> ClientSide | None:
    points = [line for line in lines if line.get("type") == "Point"]
    if points:
        return _k6_points(points)
    if lines and all({"latency", "timestamp", "code"} <= line.keys() for line in lines):
        times = [line["latency"] / 1e9 for line in lines]
        failed = sum(line["code"] == 0 or line["code"] >= _SERVER_ERROR for line in lines)
        return _from_times("vegeta", times, failed)
    return None


def _k6(document: dict[str, Any]) -> ClientSide:
    metrics = {name: metric.get("values", metric) for name, metric in document["metrics"].items()}
    times, requests = metrics["http_req_duration"], metrics.get("http_reqs", {})
    failed = metrics.get("http_req_failed", {})
    notes = [_K6_FAILED]
    if dropped := metrics.get("dropped_iterations", {}).get("count"):
        notes.append(f"k6 dropped {dropped} iterations: it had no user free to send them on time.")

    def seconds(name: str) -> float | None:
        return times[name] / 1_000 if name in times else None

    return ClientSide(
        tool="k6",
        source="",
        requests=requests.get("count"),
        errors=failed.get("passes"),
        rate=requests.get("rate"),
        mean=seconds("avg"),
        p50=seconds("med"),
        p90=seconds("p(90)"),
        p95=seconds("p(95)"),
        p99=seconds("p(99)"),
        maximum=seconds("max"),
        notes=notes,
    )


def _k6_points(points: Iterable[dict[str, Any]]) -> ClientSide:
    values: dict[str, list[float]] = {}
    for point in points:
        values.setdefault(point["metric"], []).append(point["data"]["value"])
    failed = int(sum(values.get("http_req_failed", ())))
    found = _from_times("k6", [value / 1_000 for value in values["http_req_duration"]], failed)
    found.notes.append(_K6_FAILED)
    return found


def _vegeta(document: dict[str, Any]) -> ClientSide:
    times = {name: value / 1e9 for name, value in document["latencies"].items()}
    codes = {int(code): count for code, count in document.get("status_codes", {}).items()}
    return ClientSide(
        tool="vegeta",
        source="",
        requests=document["requests"],
        errors=sum(count for code, count in codes.items() if code == 0 or code >= _SERVER_ERROR),
        duration=document["duration"] / 1e9,
        rate=document["rate"],
        mean=times.get("mean"),
        p50=times.get("50th"),
        p90=times.get("90th"),
        p95=times.get("95th"),
        p99=times.get("99th"),
        maximum=times.get("max"),
    )


def _oha(document: dict[str, Any]) -> ClientSide:
    summary, quantiles = document["summary"], document["latencyPercentiles"]
    statuses = {int(code): count for code, count in document.get("statusCodeDistribution", {}).items()}
    unanswered = sum(document.get("errorDistribution", {}).values())
    return ClientSide(
        tool="oha",
        source="",
        requests=sum(statuses.values()) + unanswered,
        errors=unanswered + sum(count for code, count in statuses.items() if code >= _SERVER_ERROR),
        duration=summary["total"],
        rate=summary["requestsPerSec"],
        mean=summary["average"],
        maximum=summary["slowest"],
        p50=quantiles.get("p50"),
        p90=quantiles.get("p90"),
        p95=quantiles.get("p95"),
        p99=quantiles.get("p99"),
    )


def _wrk(text: str) -> ClientSide:
    total = _one(r"(\d+) requests in ([\d.]+)(us|ms|s|m|h),", text)
    mean = _one(r"Latency\s+([\d.]+)(us|ms|s|m|h)\s+[\d.]+(?:us|ms|s|m|h)\s+([\d.]+)(us|ms|s|m|h)", text)
    quantiles = {
        f"p{float(percent):g}": _seconds(value, unit)
        for percent, value, unit in re.findall(r"^\s*([\d.]+)%\s+([\d.]+)(us|ms|s|m|h)\s*$", text, re.MULTILINE)
    }
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return ClientSide(
        tool="wrk",
        source="",
        requests=int(total[1]),
        errors=int(refused[1] if refused else 0) + sum(map(int, sockets.groups() if sockets else ())),
        duration=_seconds(total[2], total[3]),
        rate=float(_one(r"Requests/sec:\s+([\d.]+)", text)[1]),
        mean=_seconds(mean[1], mean[2]),
        maximum=_seconds(mean[3], mean[4]),
        notes=[_WRK_FAILED, _CORRECTED],
        p50=quantiles.get("p50"),
        p90=quantiles.get("p90"),
        p95=quantiles.get("p95"),
        p99=quantiles.get("p99"),
    )


def _hey(text: str) -> ClientSide:
    statuses = {int(code): int(count) for code, count in re.findall(r"\[(\d+)\]\s+(\d+) responses", text)}
    _, _, unanswered = text.partition("Error distribution:")
    lost = sum(int(count) for count in re.findall(r"^\s+\[(\d+)\]", unanswered, re.MULTILINE))
    quantiles = {f"p{percent}": float(value) for percent, value in re.findall(r"(\d+)%+ in ([\d.]+) secs", text)}
    return ClientSide(
        tool="hey",
        source="",
        requests=sum(statuses.values()) + lost,
        errors=lost + sum(count for code, count in statuses.items() if code >= _SERVER_ERROR),
        duration=float(_one(r"Total:\s+([\d.]+) secs", text)[1]),
        rate=float(_one(r"Requests/sec:\s+([\d.]+)", text)[1]),
        mean=float(_one(r"Average:\s+([\d.]+) secs", text)[1]),
        maximum=float(_one(r"Slowest:\s+([\d.]+) secs", text)[1]),
        p50=quantiles.get("p50"),
        p90=quantiles.get("p90"),
        p95=quantiles.get("p95"),
        p99=quantiles.get("p99"),
    )


def _hey_rows(rows: Sequence[Row]) -> ClientSide:
    failed = sum(int(row["status-code"]) >= _SERVER_ERROR for row in rows)
    return _from_times("hey", [float(row["response-time"]) for row in rows], failed)


def _locust(rows: Sequence[Row]) -> ClientSide:
    row = [row for row in rows if row["Name"] == "Aggregated"][-1]

    def seconds(name: str) -> float | None:
        value = row.get(name) or "N/A"
        return None if value == "N/A" else float(value) / 1_000

    return ClientSide(
        tool="Locust",
        source="",
        requests=int(row["Request Count"]),
        errors=int(row["Failure Count"]),
        rate=float(row["Requests/s"]),
        mean=seconds("Average Response Time"),
        p50=seconds("50%"),
        p90=seconds("90%"),
        p95=seconds("95%"),
        p99=seconds("99%"),
        maximum=seconds("Max Response Time"),
        notes=["Locust rounds its percentiles to two digits, and counts a status of 400 and above as failed."],
    )


def _jmeter(rows: Sequence[Row]) -> ClientSide:
    failed = sum(row["success"].lower() != "true" for row in rows)
    found = _from_times("JMeter", [int(row["elapsed"]) / 1_000 for row in rows], failed)
    began = min(int(row["timeStamp"]) for row in rows)
    found.duration = (max(int(row["timeStamp"]) + int(row["elapsed"]) for row in rows) - began) / 1_000
    found.rate = len(rows) / found.duration if found.duration else None
    return found


def _from_times(tool: str, times: Sequence[float], errors: int) -> ClientSide:
    """Nearest rank, as everywhere here."""
    ordered = sorted(times)
    if not ordered:
        return ClientSide(tool=tool, source="", requests=0, errors=0)
    p50, p90, p95, p99 = (ordered[ceil(fraction * len(ordered)) - 1] for fraction in _QUANTILES)
    return ClientSide(
        tool=tool,
        source="",
        requests=len(ordered),
        errors=errors,
        mean=sum(ordered) / len(ordered),
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        maximum=ordered[-1],
    )


def _one(pattern: str, text: str) -> re.Match[str]:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"it has nothing like {pattern}")
    return match


def _seconds(value: str, unit: str) -> float:
    return float(value) * _UNITS[unit]
