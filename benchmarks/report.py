"""Medians, spreads and ratios, as a table or as JSON."""

import os
import platform
from collections.abc import Iterator
from statistics import median
from typing import Any

from reqscope.bus.compiled import COMPILED

from .contenders import Bench, Target
from .runner import Rounds


def summary(name: str, bench: Bench, rounds: Rounds) -> dict[str, Any]:
    """Return everything there is to say about one benchmark, ready for JSON."""
    return {
        "name": name,
        "title": bench.title,
        "rounds": len(next(iter(rounds.values()))),
        "metrics": [
            {"metric": metric, "bare": bare, "contenders": list(_rows(metric, bare, rounds))}
            for metric, bare in bench.metrics.items()
        ],
        "targets": [_target(target, rounds) for target in bench.targets],
    }


def machine() -> dict[str, Any]:
    """Return what the numbers were measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "python": platform.python_version(),
        "system": platform.system(),
        "hot path": "compiled" if COMPILED else "interpreted",
    }


def table(result: dict[str, Any]) -> str:
    """Return one benchmark's summary for people."""
    lines = [f"{result['name']}: {result['title']} (rounds: {result['rounds']})"]
    for metric in result["metrics"]:
        lines += ["", f"  {metric['metric']:<52}{'median':>12}{'lowest':>12}{'highest':>12}{'ratio':>9}"]
        for row in metric["contenders"]:
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
            values = "".join(f"{number(row[key]):>12}" for key in ("median", "lowest", "highest"))
            lines.append(f"    {row['contender']:<50}{values}{ratio:>9}")
    if result["targets"]:
        lines.append("")
        lines += [f"  target: {each['text']}: {number(each['value'])}, {each['verdict']}" for each in result["targets"]]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Return `value` with three or four digits that mean something."""
    if abs(value) >= 1_000:
        digits = max(0, len(str(int(abs(value)))) - 4)
        return f"{round(value, -digits):,.0f}".replace(",", " ")
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _rows(metric: str, bare: str | None, rounds: Rounds) -> Iterator[dict[str, Any]]:
    for contender, measured in rounds.items():
        values = [numbers[metric] for numbers in measured if metric in numbers]
        if values:
            yield {
                "contender": contender,
                "median": median(values),
                "lowest": min(values),
                "highest": max(values),
                "ratio": None if bare is None else _ratio(metric, contender, bare, rounds),
                "values": values,
            }


def _ratio(metric: str, contender: str, against: str, rounds: Rounds) -> float | None:
    """The median of the ratios within each round: what slowed a whole round down cancels out."""
    pairs = [(mine[metric], theirs[metric]) for mine, theirs in zip(rounds[contender], rounds[against], strict=True)]
    ratios = [mine / theirs for mine, theirs in pairs if theirs]
    return median(ratios) if ratios else None


def _target(target: Target, rounds: Rounds) -> dict[str, Any]:
    if target.against is None:
        value: float | None = median(numbers[target.metric] for numbers in rounds[target.contender])
    else:
        value = _ratio(target.metric, target.contender, target.against, rounds)
    assert value is not None
    bound = target.at_least if target.at_least is not None else target.at_most
    assert bound is not None
    met = value >= bound if target.at_least is not None else value <= bound
    sign = "≥" if target.at_least is not None else "≤"
    of = f" times {target.against}" if target.against else ""
    return {
        "text": f"{target.metric}, {target.contender} {sign} {number(bound)}{of}",
        "value": value,
        "verdict": "met" if met else "missed",
    }
