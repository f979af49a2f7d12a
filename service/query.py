"""The query API: what happened, one event whole, and the numbers."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import asdict
from typing import Annotated, Any, Final

from anyio.lowlevel import checkpoint
from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response

from reqscope.bus import Event, EventBus, Filter, FilterError
from reqscope.bus.encoding import encode
from reqscope.bus.filter_syntax import MAX_LENGTH
from reqscope.bus.refusedfields import refused_fields
from reqscope.bus.routestats import WINDOWS
from reqscope.bus.running import merged
from reqscope.bus.schema import Summary, detail, failure_view, view
from reqscope.bus.tracelines import trace_lines

from .bridge.receiver import Receiver
from .pipeline import Pipeline

MAX_LIMIT: Final = 1_000
_AT_ONCE: Final = 200
"""Events looked at before the event loop gets a turn."""
_OTHERS: Final = ["HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]

Statistics = Callable[[], dict[str, Any]]


class JSON(Response):
    """An answer that is encoded in one call, whatever was captured."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return encode(content)


def query_router(pipeline: Pipeline, more: Statistics, receiver: Receiver | None = None) -> APIRouter:
    """Return the routes of the control plane that read.

    :param more: what `/api/stats` is to tell beside the pipeline's own statistics
    :param receiver: None where no other process reports
    """
    router = APIRouter(default_response_class=JSON)
    bus = pipeline.bus

    @router.get("/api/events", summary="Events in order, oldest first")
    async def events(
        filter: Annotated[str, Query(description="such as `status:5xx path:/api/*`", max_length=MAX_LENGTH)] = "",  # noqa: A002 - the parameter's public name
        after: Annotated[
            int | None, Query(ge=0, description="go on behind this number; without it, the newest")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100,
    ) -> Response:
        passes = read_filter(filter)
        search = newest(bus, passes, limit) if after is None else _after(bus, passes, after, limit)
        found, missed, cursor = await search
        shown = [view(event.open(), bus.boot, Summary) for event in found]
        return JSON({"events": shown, "missed": missed, "next": cursor})

    @router.get("/api/events/{event_id}", summary="One event, with headers and body")
    async def event(event_id: str) -> Response:
        found = bus.find(event_id)
        if found is None:
            raise HTTPException(404, f"event {event_id} is not, or no longer, in the ring")
        return JSON(detail(found, bus.boot, trace_lines(bus.ring, found)))

    @router.get("/api/in-flight", summary="Requests that have begun and not ended, oldest first")
    async def in_flight(limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100) -> Response:
        here, count = bus.in_flight.here(limit), len(bus.in_flight)
        if receiver is None:
            return JSON({"in_flight": here, "count": count})
        running = merged((here, await receiver.running.ask()), limit)
        workers = receiver.workers
        answered = {"answered": receiver.running.answered, "expected": workers.expected}
        return JSON({"in_flight": running, "count": count + workers.in_flight, **answered})

    @router.get("/api/errors", summary="Exceptions by type, route and line, and fields that validation refused")
    async def errors() -> Response:
        groups = [failure_view(group, bus.boot) for group in bus.failures.latest()]
        return JSON({"errors": groups, "refused": refused_fields(bus.ring, bus.boot)})

    @router.get("/api/routes", summary="Numbers by route, the busiest first")
    async def routes(
        window: Annotated[
            int | None,
            Query(
                description=f"the last {WINDOWS} seconds; without it, all", json_schema_extra={"enum": [*WINDOWS, None]}
            ),
        ] = None,
    ) -> Response:
        if window is not None and window not in WINDOWS:
            raise HTTPException(400, f"window: one of {', '.join(map(str, WINDOWS))}, or none")
        return JSON({"routes": [asdict(row) for row in pipeline.stats.by_route(window)]})

    @router.get("/api/stats", summary="Counts, latencies, and what each reader delivered and missed")
    async def stats() -> Response:
        bus_now = bus.statistics()
        return JSON(
            {
                "boot": bus_now.boot,
                **asdict(bus_now.ring),
                "refused": bus_now.refused,
                "thinned": bus_now.thinned,
                "readers": [asdict(reader) for reader in bus_now.readers],
                "sinks": [asdict(sink.statistics()) for sink in pipeline.sinks],
                "failures": asdict(bus.failures.statistics()),
                "otlp": asdict(pipeline.exported),
                "loop_lag": asdict(pipeline.lag.snapshot()),
                **more(),
                "statistics": asdict(pipeline.stats.snapshot()),
            }
        )

    @router.api_route("/api/{rest:path}", methods=["GET", *_OTHERS], include_in_schema=False)
    async def nothing(request: Request, rest: str) -> Response:
        # Here, because what no route takes goes on to Gradio, whose answers are of another kind.
        if request.method in _OTHERS:
            raise HTTPException(405, f"/api/{rest} is for reading: GET", {"allow": "GET"})
        known = (
            "/api/events, /api/events/stream, /api/events/{id}, /api/in-flight, /api/errors, /api/routes, "
            "/api/history, /api/runs and /api/stats"
        )
        raise HTTPException(404, f"there is no /api/{rest}; there are {known}")

    @router.head("/livez", include_in_schema=False)
    @router.get("/livez", summary="The event loop turns")
    async def livez() -> Response:
        return JSON({"status": "ok"})

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", summary="Events are taken, and every sink can write")
    async def readyz() -> Response:
        failing = [sink.name for sink in (runner.statistics() for runner in pipeline.sinks) if sink.failing]
        if bus.closed:
            return JSON({"status": "closed"}, status_code=503)
        return JSON({"status": "degraded" if failing else "ok", "failing": failing})

    return router


def read_filter(text: str) -> Filter:
    """Return the filter of a request.

    :raises HTTPException: 400, saying where it goes wrong
    """
    try:
        return Filter.parse(text)
    except FilterError as error:
        raise HTTPException(400, f"filter: {error}, at character {error.position + 1}") from None


async def _after(bus: EventBus, passes: Filter, after: int, limit: int) -> tuple[list[Event], int, int]:
    """Read on from a cursor. One from another life of the bus is ahead of it: then everything is new."""
    batch = bus.ring.since(after if after <= bus.ring.last else 0, sealed=True)
    found: list[Event] = []
    async for event in _taking_turns(batch.events):
        if passes(event):
            found.append(event)
            if len(found) == limit:
                return found, batch.missed, event.seq
    return found, batch.missed, batch.next


async def newest(bus: EventBus, passes: Filter, limit: int) -> tuple[list[Event], int, int]:
    """Return the newest `limit` events that pass, none missed, and the number of the newest of all. Safe to cancel."""
    batch = bus.ring.since(bus.ring.first - 1, sealed=True)
    found: list[Event] = []
    async for event in _taking_turns(reversed(batch.events)):
        if passes(event):
            found.append(event)
            if len(found) == limit:
                break
    return found[::-1], 0, batch.next


async def _taking_turns(events: Iterable[Event]) -> AsyncIterator[Event]:
    """Go through `events`, and let the application have the event loop now and then: a filter may have to open them."""
    for number, event in enumerate(events, 1):
        if not number % _AT_ONCE:
            await checkpoint()
        yield event
