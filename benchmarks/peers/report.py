"""The table of who was measured."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any, TypeAlias

from benchmarks.report import machine, number

from .contenders import BARE, CONTENDERS
from .measure import KINDS, Measurement

Rounds: TypeAlias = Mapping[str, Mapping[str, Sequence[Measurement]]]
"""What was measured, by kind of request and contender, one entry a round."""

_HEAD = (
    "| contender | requests/s | of bare | CPU µs per request | of bare | p50 ms | p99 ms | memory MiB |\n"
    "| --- | --: | --: | --: | --: | --: | --: | --: |"
)


def summary(rounds: Rounds, unavailable: Mapping[str, str], doubts: Sequence[str], command: str) -> dict[str, Any]:
    """Return everything there is to say, ready for JSON."""
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine() | {"processor": platform.machine()},
        "command": command,
        "versions": {each.package: each.version for each in CONTENDERS if each.package and each.available},
        "unavailable": dict(unavailable),
        "doubts": list(doubts),
        "kinds": {
            KINDS[kind]: {name: _figures(measured, of[BARE]) for name, measured in of.items() if measured}
            for kind, of in rounds.items()
        },
    }


def markdown(result: Mapping[str, Any]) -> str:
    """Return the summary for people."""
    return "\n".join(_lines(result)) + "\n"


def _figures(measured: Sequence[Measurement], bare: Sequence[Measurement]) -> dict[str, Any]:
    ratios = {
        name: _spread([getattr(m, name) / getattr(b, name) for m, b in zip(measured, bare, strict=False)])
        for name in ("rate", "cpu")
    }
    spreads = {name: _spread([getattr(each, name) for each in measured]) for name in Measurement._fields}
    return {"rounds": len(measured), **spreads, "ratio": ratios}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "lowest": min(values), "highest": max(values)}


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    about = result["machine"]
    yield "# Reqscope beside its peers"
    yield ""
    yield f"Measured {result['measured']} with `{result['command']}` on {about['cores']} cores ({about['processor']},"
    yield f"{about['system']}, Python {about['python']}): wrk with 32 connections on one core, the server on the other,"
    yield "each contender in a fresh process, taking turns. Medians; ratios are the median of those within each round,"
    yield "with the lowest and the highest beside them."
    for doubt in result["doubts"]:
        yield f"\n**Not to be relied upon:** {doubt}."
    for kind, contenders in result["kinds"].items():
        rounds = max(each["rounds"] for each in contenders.values())
        yield f"\n## {kind} (rounds: {rounds})\n\n{_HEAD}"
        for name, figures in contenders.items():
            yield _row(name, figures)
        for name, why in result["unavailable"].items():
            yield f"| {name} | unavailable: {why} | | | | | | |"
    yield "\n## Versions\n"
    yield ", ".join(f"{package} {version}" for package, version in sorted(result["versions"].items())) + "."


def _row(name: str, figures: Mapping[str, Any]) -> str:
    cells = [
        name,
        number(figures["rate"]["median"]),
        _ratio(figures["ratio"]["rate"]),
        number(figures["cpu"]["median"]),
        _ratio(figures["ratio"]["cpu"]),
        *(number(figures[each]["median"]) for each in ("p50", "p99", "memory")),
    ]
    return f"| {' | '.join(cells)} |"


def _ratio(spread: Mapping[str, float]) -> str:
    digits = 2 if spread["median"] >= 0.1 else 3
    shown = [f"{spread[each]:.{digits}f}" for each in ("median", "lowest", "highest")]
    return f"**{shown[0]}** ({shown[1]} to {shown[2]})"
