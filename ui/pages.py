"""What the pages beside the live view show: routes, errors, requests in flight, and the monitor itself."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeAlias

from reqscope.bus import EventBus, Stats
from reqscope.bus.refusedfields import refused_fields
from reqscope.bus.routestats import WINDOWS
from reqscope.bus.schema import failure_view

LIVE: Final = "live"
PAGES: Final = ("routes", "errors", "flight", "runs", "mock", "system")

_MOST_ERRORS: Final = 100
_MOST_FIELDS: Final = 100
_MOST_IN_FLIGHT: Final = 200
_MOST_ROUTES: Final = 501
_NAMES: Final = ("pid", "api_port", "panel_port")
"""Numbers that count nothing."""

System: TypeAlias = Callable[[], Mapping[str, Mapping[str, Any]]]
"""Sections of names and values: what there is to say of the process, its versions and settings."""


def nothing() -> Mapping[str, Mapping[str, Any]]:
    """Return no sections."""
    return {}


def no_runs() -> object:
    """Return that there are none."""
    return {"live": [], "past": []}


class Pages:
    """Builds the content of a page, as it is at this moment.

    :param system: what the page of the monitor itself shows beside the bus
    :param mock: what the page of a mock shows, where there is one
    :param runs: what the page of load-test runs shows: `live` ones, and `past` ones
    """

    def __init__(
        self,
        bus: EventBus,
        stats: Stats,
        system: System = nothing,
        mock: Callable[[], object] | None = None,
        runs: Callable[[], object] = no_runs,
    ) -> None:
        self._bus = bus
        self._stats = stats
        self._system = system
        self._mock = mock
        self._runs = runs

    def content(self, page: str, window: int | None) -> object:
        """Return what `page` shows.

        :param window: seconds that numbers are of; None for all of the time
        :raises KeyError: there is no such page
        """
        build: dict[str, Callable[[], object]] = {
            "routes": lambda: self._routes(window),
            "errors": self._errors,
            "flight": lambda: self._bus.in_flight.oldest(_MOST_IN_FLIGHT),
            "mock": lambda: None if self._mock is None else self._mock(),
            "runs": self._runs,
            "system": self._sections,
        }
        return build[page]()

    def seen(self, field: str) -> list[str]:
        """Return values of a filter's field that have been seen, the busiest first."""
        rows = self._stats.by_route()
        match field:
            case "route":
                return list(dict.fromkeys(row.route for row in rows if not row.route.startswith("(")))
            case "method":
                return list(dict.fromkeys(row.method for row in rows if row.method))
            case _:
                return []

    def _routes(self, window: int | None) -> list[tuple[object, ...]]:
        rows = self._stats.by_route(window)[:_MOST_ROUTES]
        return [
            (
                row.method,
                row.route,
                row.count,
                row.rate,
                row.errors,
                row.p50,
                row.p95,
                row.p99,
                row.maximum,
                row.received + row.sent,
                row.last,
            )
            for row in rows
        ]

    def _errors(self) -> object:
        bus = self._bus
        refused = refused_fields(bus.ring, bus.boot)
        del refused.fields[_MOST_FIELDS:]
        groups = [failure_view(group, bus.boot) for group in bus.failures.latest()[:_MOST_ERRORS]]
        return {"groups": groups, "refused": refused}

    def _sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        bus = self._bus.statistics()
        ring = {name.replace("_", " "): value for name, value in asdict(bus.ring).items() if name != "oldest_time"}
        readers = {
            reader.name: f"{reader.delivered:,} delivered, {reader.missed:,} missed, {reader.pending:,} pending"
            for reader in bus.readers
        }
        sections = {"Ring": {**ring, "refused": bus.refused, "thinned": bus.thinned}, "Readers": readers}
        return [
            (title, [(name, _shown(name, value)) for name, value in values.items()])
            for title, values in {**sections, **self._system()}.items()
        ]


def _shown(name: str, value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() if name.endswith(("bytes", "body_cap")):
            return f"{value / (1 << 20):.1f} MiB" if value >= 1 << 20 else f"{value / 1024:.1f} KiB"
        case int() if name not in _NAMES:
            return f"{value:,}"
        case float():
            return f"{value:,g}"
        case None | "" | ():
            return "none"
        case {} if not value:  # a mapping pattern matches any
            return "none"
        case _:
            return str(value)


def window_of(text: object) -> int | None:
    """Return the window that a page asks for; None, which is all of the time, for anything unknown."""
    return next((window for window in WINDOWS if str(window) == str(text)), None)
