"""A run as it is kept, exported and imported: plain values, one JSON document for each."""

from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from reqscope.bus.histogram import Histogram

FORMAT: Final = "reqscope.run"
VERSION: Final = 1
"""Of the document. A change that older readers would misread gets the next number."""

CLASSES: Final = ("2xx", "3xx", "4xx", "5xx", "other")
LARGEST: Final = 64 << 20
"""Bytes of a document that can be imported."""
MAX_SECONDS: Final = 6 * 3600
"""Seconds in a run's timeline: a run that nobody ends must not grow for ever."""

State: TypeAlias = Literal["live", "ended", "interrupted"]
Judgement: TypeAlias = Literal["passed", "failed", "unclear"]


class RunError(Exception):
    """What was asked for cannot be had. The message says what to do."""


class Durations(msgspec.Struct, kw_only=True):
    """How long requests took, in seconds to the last byte of the response, as a mergeable histogram.

    The buckets are those of `reqscope.bus.histogram`: a quantile is within 1 % of a duration that was recorded.
    """

    count: int = 0
    total: float = 0.0
    minimum: float | None = None
    maximum: float = 0.0
    buckets: dict[int, int] = {}

    def quantile(self, fraction: float) -> float | None:
        return self.quantiles((fraction,))[0]

    def quantiles(self, fractions: Iterable[float]) -> list[float | None]:
        """Return the quantiles at ascending `fractions`; None where nothing was timed."""
        return Histogram.of(self.buckets, self.maximum).quantiles(fractions)

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None


class Numbers(msgspec.Struct, kw_only=True):
    """What is counted of a set of requests."""

    requests: int = 0
    errors: int = 0
    """Status 500 and above, or an exception."""
    statuses: dict[int, int] = {}
    """0 stands for no status."""
    received: int = 0
    """Bytes of request bodies."""
    sent: int = 0
    """Bytes of response bodies."""
    durations: Durations = msgspec.field(default_factory=Durations)


class Route(Numbers, kw_only=True):
    """One route of a run."""

    method: str
    route: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.route}".strip()


class Second(msgspec.Struct, kw_only=True):
    """What ended in one second, and how the process was."""

    time: int
    """Seconds since the epoch."""
    classes: list[int] = msgspec.field(default_factory=lambda: [0] * len(CLASSES))
    """Requests by status class, in the order of `CLASSES`."""
    received: int = 0
    sent: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    maximum: float | None = None
    in_flight: int | None = None
    """The most that samples saw."""
    lag: float | None = None
    """Seconds that the event loop was late, at worst."""
    cpu: float | None = None
    """Cores that the process used; 1.0 is one of them, all of the time."""
    memory: int | None = None
    """Bytes that the process had in memory."""

    @property
    def requests(self) -> int:
        return sum(self.classes)


class Sample(msgspec.Struct, kw_only=True):
    """One request of a group of errors, secrets masked."""

    event: str
    """Its id, which the ring may no longer know."""
    time: float
    path: str
    duration: float | None = None
    message: str = ""


class ErrorGroup(msgspec.Struct, kw_only=True):
    """Requests that failed in one way."""

    method: str
    route: str
    status: int
    error: str | None
    count: int
    samples: list[Sample] = []


class Losses(msgspec.Struct, kw_only=True):
    """What the monitor itself did not see, or could not attribute, and what it cost."""

    missed: int = 0
    """Evicted from the ring before the recorder came to them."""
    refused: int = 0
    """Not taken by the bus."""
    skipped: int = 0
    """Passed unwatched while capture was switched off."""
    faults: int = 0
    """Failures of the capture's own."""
    unattributed: int = 0
    """Left out by sampling, so that nobody can say whose they were."""
    forgotten_seconds: int = 0
    """Seconds that the timeline no longer has, because it has so many later ones. What ended in them is counted."""
    recorder_seconds: float = 0.0
    """Processor time of the event loop that recording the run took."""

    @property
    def total(self) -> int:
        return self.missed + self.refused + self.skipped + self.unattributed


class Result(msgspec.Struct, kw_only=True):
    """How one threshold came out."""

    threshold: str
    judgement: Judgement
    detail: str
    """What was found, in words."""


class ClientSide(msgspec.Struct, kw_only=True):
    """What the load tool itself reported. What a tool does not say is None. Durations in seconds."""

    tool: str
    source: str
    """Name of the file it was read from."""
    requests: int | None = None
    errors: int | None = None
    duration: float | None = None
    rate: float | None = None
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    maximum: float | None = None
    notes: list[str] = []


class Run(Numbers, kw_only=True):
    """One load test as the server saw it."""

    format: Literal["reqscope.run"] = FORMAT
    version: int = VERSION
    id: str
    label: str
    state: State = "live"
    tool: str = ""
    origin: str = "api"
    """What began it: api, observe, panel, header, baggage, trace, user-agent or signature."""
    command: str = ""
    exit_status: int | None = None
    """Of the command, where there was one."""
    started: float
    """Seconds since the epoch."""
    ended: float | None = None
    first: float | None = None
    """When the first request began."""
    last: float | None = None
    """When the last one ended."""
    revision: str = ""
    """Of the source code that the server ran in, if it is under git."""
    host: dict[str, str] = {}
    settings: dict[str, str] = {}
    routes: list[Route] = []
    seconds: list[Second] = []
    error_groups: list[ErrorGroup] = []
    losses: Losses = msgspec.field(default_factory=Losses)
    thresholds: list[str] = []
    baseline: str = ""
    results: list[Result] = []
    client: list[ClientSide] = []
    notes: list[str] = []

    @property
    def span(self) -> float:
        """Seconds from the first request's start to the last one's end."""
        return max(0.0, self.last - self.first) if self.first is not None and self.last is not None else 0.0

    @property
    def rate(self) -> float:
        """Requests per second of `span`."""
        return self.requests / self.span if self.span else 0.0

    @property
    def verdict(self) -> Judgement | None:
        """The worst of the results; None where no threshold was set."""
        found = {result.judgement for result in self.results}
        return next((each for each in ("failed", "unclear", "passed") if each in found), None)


def summary(run: Run) -> dict[str, Any]:
    """Return what lists and progress lines show of a run. Durations in seconds."""
    p50, p95, p99 = run.durations.quantiles((0.5, 0.95, 0.99))
    return {
        "id": run.id,
        "label": run.label,
        "state": run.state,
        "tool": run.tool,
        "origin": run.origin,
        "started": run.started,
        "ended": run.ended,
        "span": round(run.span, 3),
        "revision": run.revision,
        "requests": run.requests,
        "errors": run.errors,
        "rate": round(run.rate, 3),
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "maximum": run.durations.maximum if run.durations.count else None,
        "lost": run.losses.total,
        "verdict": run.verdict,
        "results": msgspec.to_builtins(run.results),
    }


def encode_run(run: Run) -> bytes:
    """Return the document."""
    return msgspec.json.encode(run)


def decode_run(document: bytes) -> Run:
    """Return the run of a document.

    :raises RunError: it is none, is of another version, or contradicts itself
    """
    if len(document) > LARGEST:
        raise RunError(f"a run has {LARGEST >> 20} MiB at the most; this is {len(document) >> 20} MiB")
    try:
        head = msgspec.json.decode(document, type=_Head)
        if head.version != VERSION:
            raise RunError(f"this is version {head.version} of a run's document; this Reqscope reads {VERSION}")
        run = msgspec.json.decode(document, type=Run)
    except msgspec.MsgspecError as error:
        raise RunError(f"this is not a run that Reqscope exported: {error}") from None
    except UnicodeDecodeError:
        raise RunError("this is not a run that Reqscope exported: it is no UTF-8") from None
    _check(run)
    return run


class _Head(msgspec.Struct):
    format: Literal["reqscope.run"]
    version: int


def _check(run: Run) -> None:
    for part in (run, *run.routes):
        durations = part.durations
        counts = durations.buckets.values()
        if any(count < 0 for count in counts) or sum(counts) != durations.count or durations.count > part.requests:
            raise RunError("this run contradicts itself: the histogram does not hold as many as were counted")
        if any(abs(bucket) > 40_000 for bucket in durations.buckets):
            raise RunError("this run contradicts itself: the histogram has buckets for durations that cannot be")
    if any(len(second.classes) != len(CLASSES) for second in run.seconds):
        raise RunError(f"this run contradicts itself: a second has counts for {', '.join(CLASSES)}")
    if not run.id or len(run.id) > 64 or not run.id.replace("-", "").isalnum() or not run.id.isascii():
        raise RunError("the id of a run is of letters, digits and hyphens")
