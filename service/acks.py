"""`?ack=disk`: an answer that comes only when the records are in the log file, and safe from a loss of power.

Without it an answer says that a record is in the ring and was offered to each sink.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Final
from urllib.parse import parse_qs

import anyio

from reqscope.bus import Event, SinkRunner

_WITHIN: Final = 10.0
_NO_FILE: Final = "ack=disk waits for the log file, and there is none: start with --log file or both"
_NOT_KNOWN: Final = "the records were received, but it is not known whether they are on the disk"


class AckError(Exception):
    """What was asked for cannot be said.

    :ivar status: the HTTP status for that
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@asynccontextmanager
async def acknowledging(query: bytes, sinks: Sequence[SinkRunner]) -> AsyncGenerator[Callable[[Sequence[Event]], None]]:
    """Call what this yields with events that were published in the same turn of the event loop.

    If the query asks for it, the end of the block waits until they are on the disk, but for ten seconds at the most.

    :raises AckError: at the beginning, nothing here can promise that; at the end, they may not be there
    """
    if not _asked(query):
        yield lambda events: None
        return
    files = [sink for sink in sinks if sink.keeps]
    if not files:
        raise AckError(400, _NO_FILE)
    with ExitStack() as stack:
        awaited = [stack.enter_context(file.awaiting()) for file in files]

        def published(events: Sequence[Event]) -> None:
            for each in awaited:
                each.add(events)

        yield published
        lost = None
        with anyio.move_on_after(_WITHIN):
            lost = max([await each.lost() for each in awaited])
        if lost is None:
            raise AckError(503, f"{_NOT_KNOWN} yet, after {_WITHIN:g} s")
        if lost:
            raise AckError(503, f"{_NOT_KNOWN}: {lost} could not be written")


def _asked(query: bytes) -> bool:
    if b"ack" not in query:
        return False
    asked = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("ack", [])
    if any(each != "disk" for each in asked):
        raise AckError(400, "ack takes the word disk, and nothing else")
    return bool(asked)
