"""What open pages cost the server, and how late they are told.

Viewers are clients that speak Gradio's protocol and draw nothing (`viewers.py`). Records come in as batches, over HTTP,
so what the server does in all includes taking them in; what viewers cost is the difference to the same load without
them, per viewer. A heavy load makes full frames; at 1 000 events/s the delay is taken from sending a record to having
it, for each viewer and each record. An idle page gets what a quiet server sends.

The contenders are what is usually built with Gradio: a Textbox with every line so far, as in the documents that
Reqscope began with, and a Dataframe of the 500 latest records, each fetched once a second by each viewer. They get
1 000 events/s and ten viewers only: more is more than they can do with a core. What the Textbox costs grows with every
line, so its numbers are those of the first minute; the Dataframe never shows most of what comes, and has no delay for
that. The application of a contender does less with a record than Reqscope, which masks secrets, counts and keeps it.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from statistics import fmean
from typing import Final

from .contenders import Bench, Numbers, Target
from .load import loading
from .polled_app import polled, polled_table
from .server import Served, reqscope, serving
from .viewers import Watched, watching

_HEAVY: Final = 10_000
_STEADY: Final = 1_000
_FEW, _MANY = 10, 50
_TURNS: Final = 4
"""Times that the first viewer comes and goes."""
_SETTLE: Final = 1.5
"""Seconds between a change and the measurement."""

_FIRST, _MORE, _STEADY_MORE, _STEADY_MANY = (
    f"CPU of the first viewer at {_HEAVY} events/s, % of a core",
    f"CPU of one more, of {_FEW}, at {_HEAVY} events/s, % of a core",
    f"CPU of one more, of {_FEW}, at {_STEADY} events/s, % of a core",
    f"CPU of one more, of {_MANY}, at {_STEADY} events/s, % of a core",
)
_NONE: Final = f"CPU without viewers at {_HEAVY} events/s, % of a core"
_FRAMES, _FEW_FRAMES = (f"frames/s of each of {count} viewers at {_HEAVY} events/s" for count in (_MANY, _FEW))
_ALL: Final = f"CPU with {_MANY} viewers at {_HEAVY} events/s, % of a core"
_FRAME: Final = f"size of a frame at {_HEAVY} events/s, KiB"
_FEW_P50, _FEW_P99, _P50, _P99 = (
    f"{count} viewers at {_STEADY} events/s, sent to received, {of} ms"
    for count in (_FEW, _MANY)
    for of in ("p50", "p99")
)
_SEEN: Final = f"{_FEW} viewers at {_STEADY} events/s, share of the events that they got, %"
_AT_STEADY: Final = {_FEW: (_STEADY_MORE, _FEW_P50, _FEW_P99), _MANY: (_STEADY_MANY, _P50, _P99)}
_IDLE_MESSAGES, _IDLE_SIZE, _IDLE_CPU = (
    "an idle page, messages a minute",
    "an idle page, KiB a minute",
    "an idle page, CPU of the server, % of a core",
)


def _pushed(scale: float) -> Numbers:
    with reqscope() as server:
        numbers = _idle(server, 20 * scale) | _steady(server, 8 * scale, _FEW, _MANY)
        with loading(server.port, _HEAVY, batches=True):
            none, one = _first(server, 8 * scale)
            (few, watched), (many, crowd) = (_used(server, count, 8 * scale) for count in (_FEW, _MANY))
    return numbers | {
        _NONE: 100 * none,
        _ALL: 100 * many,
        _FIRST: 100 * (one - none),
        _MORE: 100 * (few - one) / (_FEW - 1),
        _FEW_FRAMES: watched.frames / _FEW / watched.seconds,
        _FRAMES: crowd.frames / _MANY / crowd.seconds,
        _FRAME: watched.size / watched.frames / 1024,
    }


def _polling(serve: Callable[[], AbstractContextManager[Served]], scale: float) -> Numbers:
    with serve() as server:
        return _idle(server, 20 * scale) | _steady(server, 8 * scale, _FEW)


def _idle(server: Served, seconds: float) -> Numbers:
    none, _ = _used(server, 0, seconds / 2)
    many, watched = _used(server, _MANY, seconds)
    minutes = watched.seconds / 60 * _MANY
    return {
        _IDLE_MESSAGES: watched.messages / minutes,
        _IDLE_SIZE: watched.size / 1024 / minutes,
        _IDLE_CPU: 100 * (many - none) / _MANY,
    }


def _steady(server: Served, seconds: float, *counts: int) -> Numbers:
    numbers: Numbers = {}
    with loading(server.port, _STEADY, batches=True):
        none, _ = _used(server, 0, seconds)
        for count in counts:
            used, watched = _used(server, count, seconds)
            more, p50, p99 = _AT_STEADY[count]
            numbers |= {more: 100 * (used - none) / count}
            numbers |= {p50: 1e3 * watched.quantile(0.5), p99: 1e3 * watched.quantile(0.99)}
            numbers.setdefault(_SEEN, 100 * len(watched.delays) / (_STEADY * watched.seconds * count))
    return numbers


def _first(server: Served, seconds: float) -> tuple[float, float]:
    """Return the share of a core without viewers and with one: means of turns, for it drifts by more than one costs."""
    shares = [[_used(server, count, seconds)[0] for count in (0, 1)] for _ in range(_TURNS)]
    none, one = (fmean(turn) for turn in zip(*shares, strict=True))
    return none, one


def _used(server: Served, viewers: int, seconds: float) -> tuple[float, Watched]:
    """Return the share of a core that the server uses while so many look, and what they got."""
    with watching(server.page, viewers) if viewers else nullcontext() as watched:
        time.sleep(_SETTLE)
        if watched:
            watched.read()
        used, begun = server.cpu(), time.perf_counter()
        time.sleep(seconds)
        share = (server.cpu() - used) / (time.perf_counter() - begun)
        return share, watched.read() if watched else Watched(0, seconds)


_PANEL, _TEXT, _TABLE = "reqscope serve, the panel", "Textbox polled by gr.Timer(1)", "Dataframe polled by gr.Timer(1)"

BENCH = Bench(
    title="what open pages cost the server, and how late they are told",
    contenders={
        _PANEL: _pushed,
        _TEXT: partial(_polling, partial(serving, polled)),
        _TABLE: partial(_polling, partial(serving, polled_table)),
    },
    metrics={
        **dict.fromkeys([_NONE, _FIRST, _MORE, _ALL, _FEW_FRAMES, _FRAMES, _FRAME, _STEADY_MANY, _P50, _P99]),
        **dict.fromkeys([_STEADY_MORE, _FEW_P50, _FEW_P99, _SEEN, _IDLE_MESSAGES, _IDLE_SIZE, _IDLE_CPU], _TEXT),
    },
    targets=[
        Target(_FIRST, _PANEL, at_most=2),
        Target(_MORE, _PANEL, at_most=2),
        Target(_P99, _PANEL, at_most=500),
    ],
    rounds=2,
)
