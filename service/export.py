"""What the ring holds as a file, and one request as a command."""

from collections import deque
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import Annotated, Final, Literal, TypeAlias

from anyio.lowlevel import checkpoint
from fastapi import APIRouter, HTTPException, Query
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from reqscope.bus import Event, EventBus, Filter
from reqscope.bus.commands import CannotCopyError, Client, command
from reqscope.bus.export_har import HarExport
from reqscope.bus.exports import CsvExport, Export, NdjsonExport
from reqscope.bus.filter_syntax import MAX_LENGTH

from .query import read_filter

Format: TypeAlias = Literal["ndjson", "csv", "har"]

_FORMATS: Final[dict[Format, Callable[[str], Export]]] = {"ndjson": NdjsonExport, "csv": CsvExport, "har": HarExport}

_TURN: Final = 0.005
"""Seconds of opening and writing events before the event loop gets a turn."""
_PRIVATE: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def export_router(bus: EventBus) -> APIRouter:
    """Return the routes that hand out what was captured: as a file, and as commands.

    To be included before the query API, whose last route answers everything else below `/api/`.
    """
    router = APIRouter()

    @router.get("/api/export", summary="What a filter selects as a file, oldest first", response_class=Response)
    async def export(
        format: Format,  # noqa: A002 - the parameter's public name
        filter: Annotated[str, Query(description="such as `status:5xx path:/api/*`", max_length=MAX_LENGTH)] = "",  # noqa: A002 - the same
        limit: Annotated[int | None, Query(ge=1, description="as many of the newest; without it, all")] = None,
    ) -> Response:
        passes = read_filter(filter)
        events = deque(bus.ring.since(bus.ring.first - 1, sealed=True).events)
        if limit is not None:
            events = await _newest(events, passes, limit)
        file = _FORMATS[format](bus.boot)
        name = f"reqscope-{datetime.now(UTC):%Y%m%d-%H%M%S}.{file.suffix}"
        headers = {**_PRIVATE, "content-disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(_streamed(file, events, passes), media_type=file.media_type, headers=headers)

    @router.get("/api/events/{event_id}/as/{client}", summary="One request as a command", response_class=Response)
    async def copy(
        event_id: str,
        client: Client,
        base_url: Annotated[str, Query(max_length=2_000, description="where to; else where it came to")] = "",
    ) -> Response:
        event = bus.find(event_id)
        if event is None:
            raise HTTPException(404, f"event {event_id} is not, or no longer, in the ring")
        try:
            text = command(event, client, base_url)
        except CannotCopyError as error:
            raise HTTPException(409, str(error)) from None
        return PlainTextResponse(text, headers=_PRIVATE)

    return router


async def _newest(events: deque[Event], passes: Filter, limit: int) -> deque[Event]:
    """Return the newest events that pass, oldest first. Cancelling it changes nothing."""
    found = deque[Event]()
    turn = perf_counter() + _TURN
    for event in reversed(events):
        if passes(event):
            found.appendleft(event)
            if len(found) == limit:
                break
        if perf_counter() > turn:
            await checkpoint()
            turn = perf_counter() + _TURN
    return found


async def _streamed(file: Export, events: deque[Event], passes: Filter) -> AsyncGenerator[bytes]:
    """Yield the file in pieces, each the work of one turn, and let go of the events that are written.

    Cancelling it, as a client does that goes away, leaves the file without its end.
    """
    piece = file.start()
    while events:
        turn = perf_counter() + _TURN
        pieces = [piece]
        while events and perf_counter() < turn:
            event = events.popleft()
            if passes(event):
                pieces.append(file.add(event.open()))
        piece = b""
        if whole := b"".join(pieces):
            yield whole
        await checkpoint()
    yield piece + file.end()
