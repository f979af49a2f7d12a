"""Charts as SVG that stands by itself: no script, and the colours of the page around it."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 540
HEIGHT: Final = 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 10, 26
_MOST_POINTS: Final = 600
"""A longer run is drawn by the worst of neighbouring seconds: the eye could not tell more apart."""

Show = Callable[[float], str]


class Line(NamedTuple):
    """One line, or one layer of a stack. None makes a gap."""

    name: str
    colour: str
    """Name of a CSS variable, without `--`."""
    values: Sequence[float | None]
    dashed: bool = False


def lines_chart(
    seconds: Sequence[float], lines: Sequence[Line], show: Show, *, stacked: bool = False, binary: bool = False
) -> str:
    """Return a chart over time.

    :param seconds: where values are on the x axis, ascending, in seconds since the beginning
    :param lines: as many values each as there are `seconds`
    :param show: writes a value of the y axis
    :param stacked: lay each line upon those before it, as areas
    :param binary: whether values are bytes, whose round numbers are powers of two
    """
    xs, lines = _thinned(seconds, lines)
    if stacked:
        lines = _stacked(lines)
    top = _nice(
        max((value for line in lines for value in line.values if value is not None), default=0.0), binary=binary
    )
    left, right = (xs[0], max(xs[-1], xs[0] + 1)) if xs else (0.0, 1.0)
    plot = _Plot(left - 0.5, right + 0.5, top) if stacked else _Plot(left, right, top)  # a bar is as wide on both sides
    body = [plot.grid(show), *(plot.time_axis())]
    drawn = reversed(lines) if stacked else lines
    body += [plot.area(xs, line) if stacked else plot.line(xs, line) for line in drawn]
    return _svg("".join(body), f"{', '.join(line.name for line in lines)} over time")


def quantile_chart(lines: Sequence[Line], fractions: Sequence[float], show: Show) -> str:
    """Return a percentile plot: durations over fractions, on an axis that gives each nine the same room."""
    xs = [-math.log10(1 - fraction) for fraction in fractions]
    top = _nice(max((value for line in lines for value in line.values if value is not None), default=0.0))
    plot = _Plot(0.0, xs[-1] if xs else 1.0, top)
    marks = [(0.0, "p0"), (-math.log10(0.5), "p50"), (1.0, "p90"), (2.0, "p99"), (3.0, "p99.9"), (4.0, "p99.99")]
    axis = "".join(plot.tick(x, name) for x, name in marks if x <= plot.right + 1e-9)
    return _svg(plot.grid(show) + axis + "".join(plot.line(xs, line) for line in lines), "Duration by percentile")


def legend(lines: Sequence[Line]) -> str:
    """Return what each colour is, as HTML."""
    items = "".join(
        f'<span><i style="background:var(--{line.colour})"></i>{escape(line.name)}</span>' for line in lines
    )
    return f'<p class="legend">{items}</p>'


class _Plot:
    def __init__(self, left: float, right: float, top: float) -> None:
        self.left, self.right, self.top = left, right, top

    def x(self, value: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (value - self.left) / (self.right - self.left)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / self.top

    def grid(self, show: Show) -> str:
        parts: list[str] = []
        for step in range(5):
            value = self.top * step / 4
            y = self.y(value)
            text = escape(show(value)) if value else "0"
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
            )
        return "".join(parts)

    def tick(self, x: float, text: str) -> str:
        at = self.x(x)
        anchor = "end" if at > WIDTH - 40 else "middle"
        return f'<text x="{at:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{escape(text)}</text>'

    def time_axis(self) -> list[str]:
        span = self.right - self.left
        step = next((each for each in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600) if span / each <= 9), 7200)
        first = math.ceil(self.left / step) * step
        marks = range(int(first), int(self.right) + 1, step)
        return [self.tick(mark, f"{mark} s" if span < 180 else f"{mark // 60}:{mark % 60:02}") for mark in marks]

    def line(self, xs: Sequence[float], line: Line) -> str:
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        style = f'style="stroke:var(--{line.colour})"'
        parts: list[str] = []
        for piece in _pieces(xs, line.values):
            if len(piece) == 1:
                (x, y), colour = piece[0], line.colour
                parts.append(f'<circle r="2" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" style="fill:var(--{colour})"/>')
                continue
            points = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in piece)
            parts.append(f'<polyline class="line" {style}{dash} points="{points}"/>')
        return "".join(parts)

    def area(self, xs: Sequence[float], line: Line) -> str:
        if not xs:
            return ""
        width = max(1.0, (WIDTH - _LEFT - _RIGHT) / (len(xs) + 1) * 0.86)
        bars = "".join(
            f"M{self.x(x) - width / 2:.1f},{self.y(0):.1f}V{self.y(value):.1f}h{width:.1f}V{self.y(0):.1f}z"
            for x, value in zip(xs, line.values, strict=True)
            if value
        )
        return f'<path style="fill:var(--{line.colour})" d="{bars}"/>'


def _pieces(xs: Sequence[float], values: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, value in zip(xs, values, strict=True):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((x, value))
    return [piece for piece in pieces if piece]


def _thinned(xs: Sequence[float], lines: Sequence[Line]) -> tuple[list[float], list[Line]]:
    step = math.ceil(len(xs) / _MOST_POINTS) or 1
    if step == 1:
        return list(xs), list(lines)
    worst = [
        line._replace(values=[_worst(line.values[i : i + step]) for i in range(0, len(xs), step)]) for line in lines
    ]
    return list(xs[::step]), worst


def _worst(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _stacked(lines: Sequence[Line]) -> list[Line]:
    below: list[float] = [0.0] * (len(lines[0].values) if lines else 0)
    stacked: list[Line] = []
    for line in lines:
        sums = [under + (value or 0.0) for under, value in zip(below, line.values, strict=True)]
        stacked.append(
            line._replace(values=[total if value else None for total, value in zip(sums, line.values, strict=True)])
        )
        below = sums
    return stacked


def _nice(highest: float, *, binary: bool = False) -> float:
    """The next value above that can be read off an axis of four parts."""
    if highest <= 0:
        return 4.0 if binary else 1.0
    if binary:
        return 2.0 ** math.ceil(math.log2(highest * 1.02))
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10, 12) if step * power >= highest * 1.02)


def _svg(body: str, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{body}</svg>'
    )
