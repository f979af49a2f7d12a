"""One cost as a picture: SVG that stands by itself, in light and dark."""

import math
from html import escape
from typing import Final

from benchmarks.report import number

from .cost import Grown, whole

_WIDTH: Final = 460
_HEIGHT: Final = 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 30, 44, 44

_STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600; fill: #1f2328 }
.value { fill: #1f2328; stroke: #fff; stroke-width: 3px; paint-order: stroke }
.grid { stroke: #d0d7de }
.cost { fill: none; stroke: #2a6fc9; stroke-width: 2 }
.point { fill: #2a6fc9 }
.linear { fill: none; stroke: #57606a; stroke-dasharray: 4 4 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 }
  .title, .value { fill: #f0f6fc }
  .value { stroke: #0d1117 }
  .grid { stroke: #3d444d }
  .cost { stroke: #6cb0ff }
  .point { fill: #6cb0ff }
  .linear { stroke: #9198a1 }
}
"""


def plot(grown: Grown) -> str:
    """Return a cost over sizes, both axes logarithmic, and beside it what growing in proportion would be."""
    axes = _Axes(grown)
    title = escape(f"{grown.growth.cost}, {grown.growth.unit}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" aria-label="{escape(grown.growth.title)}"><style>{_STYLE}</style>'
        f'<text class="title" x="{_LEFT - 52}" y="20">{title}</text>'
        f"{axes.costs()}{axes.sizes()}{axes.in_proportion()}{axes.line()}</svg>\n"
    )


class _Axes:
    def __init__(self, grown: Grown) -> None:
        self._grown = grown
        self._low = math.floor(math.log10(min(grown.costs)))
        self._high = max(math.ceil(math.log10(max(grown.costs))), self._low + 1)
        self._points = [
            (self._x(size), self._y(cost)) for size, cost in zip(grown.growth.sizes, grown.costs, strict=True)
        ]

    def _x(self, size: float) -> float:
        first, last = self._grown.growth.sizes[0], self._grown.growth.sizes[-1]
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log(size / first) / math.log(last / first)

    def _y(self, cost: float) -> float:
        share = (math.log10(cost) - self._low) / (self._high - self._low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    def costs(self) -> str:
        """The axis on the left: a line for each power of ten."""
        return "".join(
            f'<path class="grid" d="M{_LEFT - 10},{self._y(10.0**power):.1f}H{_WIDTH - _RIGHT + 10}"/>'
            f'<text x="{_LEFT - 16}" y="{self._y(10.0**power) + 4:.1f}" text-anchor="end">{whole(10.0**power)}</text>'
            for power in range(self._low, self._high + 1)
        )

    def sizes(self) -> str:
        """The axis below: the sizes that were measured."""
        marks = "".join(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{whole(size)}</text>'
            for size, (x, _) in zip(self._grown.growth.sizes, self._points, strict=True)
        )
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        name = escape(self._grown.growth.by)
        return f'{marks}<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{name}</text>'

    def in_proportion(self) -> str:
        """What the first cost would become if it grew as the size does, as far as there is room."""
        sizes, cost = self._grown.growth.sizes, self._grown.costs[0]
        size = min(sizes[-1], sizes[0] * 10.0**self._high / cost)
        (x, y), to = self._points[0], self._y(cost * size / sizes[0])
        return f'<path class="linear" d="M{x:.1f},{y:.1f}L{self._x(size):.1f},{to:.1f}"/>'

    def line(self) -> str:
        """What was measured. A value stands on the side of the line where there is room for it."""
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in self._points)
        marks = "".join(
            f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
            f'<text class="value" x="{x:.1f}" y="{y + (18 if y < _TOP + 18 else -9):.1f}" text-anchor="middle">'
            f"{number(cost)}</text>"
            for (x, y), cost in zip(self._points, self._grown.costs, strict=True)
        )
        return f'<polyline class="cost" points="{points}"/>{marks}'
