"""What a run has to keep to: expressions such as `p(95)<500`, in the grammar of k6's thresholds where it fits."""

import operator
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from .model import Durations, Judgement, Numbers, Result, Run

BREACHED: Final = 99
"""Exit status when a threshold was breached, which is k6's."""

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "===": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_EXPRESSION: Final = re.compile(
    r"\s*(?P<name>[a-z_]+)(?:\((?P<argument>[^()]*)\))?\s*(?:\{\s*route\s*:\s*(?P<route>.+)\})?\s*"
    r"(?P<operator><=|>=|===|==|!=|<|>)\s*(?P<sign>[+-])?(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>%|ms|s)?\s*"
)
_LATENCIES: Final = ("avg", "min", "med", "max", "p")
_CLASSES: Final = re.compile(r"[1-5]xx|[1-5]\d\d|errors?")
_ENOUGH: Final = 10
"""Requests that must lie beyond a percentile for it to be told from chance."""

HELP: Final = (
    "one looks like p(95)<500, avg<200, max<2s, rate(5xx)<0.01, count>1000, rps>50 or lag<100; durations are in ms. "
    "{route:GET /items/{id}} behind the name is about one route, and with a baseline +10% is about it: p(95)<+10%"
)


class ThresholdError(ValueError):
    """An expression is none. The message says what is wrong and what one looks like."""


class Threshold(NamedTuple):
    """One condition. Made by `parse`."""

    text: str
    name: str
    argument: str
    """Of `p`, a percentile; of `rate` and `count`, a class of statuses, a status or `error`; else empty."""
    route: str
    """Method and template, or template alone; empty for all requests."""
    operator: str
    limit: float
    """Milliseconds for durations. For a relative one, the difference."""
    relative: bool
    """Whether it is about the baseline."""
    percent: bool

    def judge(self, run: Run, baseline: Run | None = None) -> Result:
        """Return how `run` keeps to it."""
        if not run.requests:
            return self._result("failed", "no requests were seen")
        value = self._value(run)
        if value is None:
            if self.route and _numbers(run, self.route) is None:
                return self._result("failed", f"no requests to {self.route} were seen")
            return self._result("unclear", "nothing was timed")
        if not self.relative:
            few = self._too_few(run)
            note = f", of {few} requests only" if few is not None else ""
            return self._result(self._holds(value, self.limit), f"{self._shown(value)}{note}")
        return self._compare(run, value, baseline)

    def _compare(self, run: Run, value: float, baseline: Run | None) -> Result:
        if baseline is None:
            return self._result("unclear", "there is no baseline to compare with")
        before = self._value(baseline)
        if before is None:
            return self._result("unclear", "the baseline has nothing to compare with")
        limit = before * (1 + self.limit / 100) if self.percent else before + self.limit
        detail = f"{self._shown(value)}, after {self._shown(before)}"
        for few, whose in ((self._too_few(run), "this run"), (self._too_few(baseline), "the baseline")):
            if few is not None:
                return self._result("unclear", f"{detail}: too few samples, {whose} has {few}")
        return self._result(self._holds(value, limit), detail)

    def _holds(self, value: float, limit: float) -> Judgement:
        return "passed" if _OPERATORS[self.operator](value, limit) else "failed"

    def _result(self, judgement: Judgement, detail: str) -> Result:
        return Result(threshold=self.text, judgement=judgement, detail=detail)

    def _too_few(self, run: Run) -> int | None:
        """How many requests there are, if a percentile is asked for that so few do not give."""
        numbers = _numbers(run, self.route)
        if self.name not in ("p", "med") or numbers is None:
            return None
        fraction = self._fraction()
        return numbers.durations.count if not enough(numbers.durations, fraction) else None

    def _fraction(self) -> float:
        return float(self.argument) / 100 if self.name == "p" else 0.5

    def _value(self, run: Run) -> float | None:
        if self.name == "lag":
            lags = [second.lag for second in run.seconds if second.lag is not None]
            return max(lags) * 1_000 if lags else None
        if (numbers := _numbers(run, self.route)) is None:
            return None
        if self.name in _LATENCIES:
            seconds = self._latency(numbers.durations)
            return None if seconds is None else seconds * 1_000
        match self.name:
            case "rate":
                return _count(numbers, self.argument or "error") / numbers.requests
            case "count":
                return float(_count(numbers, self.argument) if self.argument else numbers.requests)
            case _:
                return numbers.requests / run.span if run.span else None

    def _latency(self, durations: Durations) -> float | None:
        match self.name:
            case "avg":
                return durations.mean
            case "min":
                return durations.minimum
            case "max":
                return durations.maximum if durations.count else None
            case _:
                return durations.quantile(self._fraction())

    def _shown(self, value: float) -> str:
        if self.name in _LATENCIES or self.name == "lag":
            return f"{value:.4g} ms" if value < 1_000 else f"{value:.0f} ms"
        return (
            f"{100 * value:.3g} %"
            if self.name == "rate"
            else f"{value:,.4g}"
            if self.name == "rps"
            else f"{value:,.0f}"
        )


def parse(text: str) -> Threshold:
    """Return the threshold that `text` says.

    :raises ThresholdError: it is none
    """
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise ThresholdError(f"{text!r} is not a threshold: {HELP}")
    name, argument, unit = match["name"], (match["argument"] or "").strip(), match["unit"]
    _check_name(text, name, argument, has_route=match["route"] is not None)
    relative = match["sign"] is not None
    number = float(match["number"])
    duration = name in _LATENCIES or name == "lag"
    if unit in ("s", "ms") and not duration:
        raise ThresholdError(f"{text!r}: {name} is not a duration, so it has no {unit}")
    if unit == "%" and not relative and name != "rate":
        raise ThresholdError(f"{text!r}: a share in % is for rate; +{match['number']}% is about the baseline")
    if unit == "s":
        number *= 1_000
    if unit == "%" and not relative:
        number /= 100
    limit = -number if match["sign"] == "-" else number
    route = (match["route"] or "").strip().strip('"')
    return Threshold(text.strip(), name, argument, route, match["operator"], limit, relative, unit == "%")


def judge(run: Run, baseline: Run | None = None) -> list[Result]:
    """Return how `run` keeps to its thresholds."""
    return [parse(text).judge(run, baseline) for text in run.thresholds]


def enough(durations: Durations, fraction: float) -> bool:
    """Whether there are requests enough for a quantile that is not chance: ten beyond it, on either side."""
    return durations.count * min(1 - fraction, fraction) >= _ENOUGH - 1e-9


def _check_name(text: str, name: str, argument: str, *, has_route: bool) -> None:
    if name == "p":
        try:
            within = 0 < float(argument) < 100
        except ValueError:
            within = False
        if not within:
            raise ThresholdError(f"{text!r}: p has a percentile between 0 and 100, such as p(95), not p({argument})")
    elif name in ("rate", "count"):
        if argument and not _CLASSES.fullmatch(argument):
            raise ThresholdError(f"{text!r}: {name} is of 2xx, 3xx, 4xx, 5xx, a status or error, not of {argument!r}")
    elif name in (*_LATENCIES, "rps", "lag"):
        if argument:
            raise ThresholdError(f"{text!r}: {name} has nothing in brackets")
    else:
        raise ThresholdError(f"{text!r}: there is no {name!r}; {HELP}")
    if name == "lag" and has_route:
        raise ThresholdError(f"{text!r}: the lag of the event loop is no route's own")


def _numbers(run: Run, route: str) -> Numbers | None:
    if not route:
        return run
    return next((each for each in run.routes if route in (each.name, each.route)), None)


def _count(numbers: Numbers, of: str) -> int:
    if of in ("error", "errors"):
        return numbers.errors
    if of.endswith("xx"):
        return sum(count for status, count in numbers.statuses.items() if status // 100 == int(of[0]))
    return numbers.statuses.get(int(of), 0)
