"""What the numbers of a run say, and what they cannot, in sentences."""

from typing import Final

from .figures import duration, number, share
from .model import MAX_SECONDS, ClientSide, Run
from .thresholds import enough

_LATE: Final = 0.05
"""Seconds of loop lag from which on requests noticeably waited before anything could see them."""

BLIND: Final = (
    "Latency here is time in the application: from when the server handed a request over to the last byte of its "
    "response. What a request waited before that, in the network, in the accept queue or behind a blocked event loop, "
    "is not in it. Loop lag shows where that happened.",
    "A closed-loop tool (wrk, hey, ab, siege, Locust, k6 with VUs) sends no request while it waits for an answer, so a "
    "stall that hundreds of users would have felt is one slow request here and there: coordinated omission. "
    "An open-loop tool (vegeta, k6 with an arrival rate, wrk2) counts it.",
    "Refused connections, DNS, TLS and time-outs that never became a request are known to the client alone.",
)


def findings(run: Run) -> list[str]:
    """Return what stands out, the gravest first."""
    found: list[str] = []
    if not run.requests:
        return ["No requests were seen."]
    if run.errors:
        found.append(
            f"{number(run.errors)} of {number(run.requests)} requests failed ({share(run.errors, run.requests)})."
        )
    if run.losses.total:
        found.append(f"{number(run.losses.total)} requests were not counted; see what was lost.")
    lag = max((second.lag for second in run.seconds if second.lag is not None), default=0.0)
    p95 = run.durations.quantile(0.95)
    if lag >= _LATE and p95 is not None and lag > p95:
        found.append(
            f"The event loop was late by up to {duration(lag)}, which is more than p95 ({duration(p95)}): clients "
            "waited longer than latency here says."
        )
    if not enough(run.durations, 0.99):
        found.append(f"{number(run.durations.count)} requests are too few samples for a p99 that is not chance.")
    if run.state == "interrupted":
        found.append("The server ended before the run did.")
    return found


def losses(run: Run) -> list[str]:
    """Return what the monitor did not see, and what it cost."""
    lost = run.losses
    named = (
        (lost.missed, "were evicted before they could be counted"),
        (lost.refused, "came when the bus was closed or too far behind"),
        (lost.skipped, "passed while capture was switched off after failures of its own"),
        (lost.unattributed, "were left out by sampling, so that nobody can say whether they belong here"),
    )
    sentences = [f"{number(count)} requests {what}." for count, what in named if count]
    if not sentences:
        sentences.append("Nothing was lost: every request that reached the application is counted.")
    if lost.forgotten_seconds:
        sentences.append(
            f"The timeline lacks its first {number(lost.forgotten_seconds)} seconds: it keeps the last "
            f"{number(MAX_SECONDS)}. All other numbers hold them."
        )
    if lost.faults:
        sentences.append(f"Capture failed {number(lost.faults)} times; the requests themselves went on.")
    cost = f"Recording took {duration(lost.recorder_seconds)} of the event loop"
    sentences.append(f"{cost} ({share_of(lost.recorder_seconds, run.span)} of the run)." if run.span else f"{cost}.")
    return sentences


def share_of(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2g} %" if whole else "0 %"


def differences(run: Run, client: ClientSide) -> list[str]:
    """Return why the client's numbers are other than the server's."""
    found: list[str] = []
    if client.requests is not None and client.requests != run.requests:
        more = client.requests - run.requests
        found.append(
            f"The client counts {number(more)} more: they never reached the application, or the run here was shorter."
            if more > 0
            else f"The server counts {number(-more)} more: requests that the client gave up, did not count (its last "
            "ones in flight, or a warm-up), or that others sent."
        )
    for name, mine, theirs in (
        ("p50", run.durations.quantile(0.5), client.p50),
        ("p95", run.durations.quantile(0.95), client.p95),
        ("p99", run.durations.quantile(0.99), client.p99),
    ):
        if mine is not None and theirs is not None and theirs > 1.1 * mine and theirs - mine > 0.0005:
            found.append(
                f"{name}: the client waited {duration(theirs - mine)} longer than the application took. That is "
                "network, connecting, and queueing before the application."
            )
    lag = max((second.lag for second in run.seconds if second.lag is not None), default=0.0)
    if found and lag >= _LATE:
        found.append(f"The event loop was late by up to {duration(lag)}: requests queued behind it.")
    if client.p99 is not None and client.maximum is not None and client.maximum > 10 * max(client.p99, 1e-9):
        found.append("The client's worst is far beyond its p99, which looks like stalls under coordinated omission.")
    return found or ["Both sides agree."]
