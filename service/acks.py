"""`?ack=disk`: an answer that comes only when the records are in the log file, and safe from a loss of power.

Without it an answer says that a record is in the ring and was offered to each sink.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, nullcontext
from typing import Final, TypeAlias
from urllib.parse import parse_qs

import anyio

from reqscope.bus import Event, SinkRunner

from .posted import Refusal

Published: TypeAlias = Callable[[Sequence[Event]], None]

_WITHIN: Final = 10.0
_NO_FILE: Final = "ack=disk waits for the log file, and there is none: start with --log file or both"
_NOT_KNOWN: Final = "the records were received, but it is not known whether they are on the disk"
_AGAIN: Final = ((b"retry-after", b"1"),)


# One for all who ask for nothing, which are nearly all.
_AT_ONCE: Final = nullcontext[Published](lambda events: None)


def acknowledging(query: bytes, sinks: Sequence[SinkRunner]) -> AbstractAsyncContextManager[Published]:
    """Call what this yields with events that were published in the same turn of the event loop.

    If the query asks for it, the end of the block waits until they are on the disk, but for ten seconds at the most.

    :raises Refusal: the query asks for something else; at the beginning, nothing here can promise that; at the end,
        they may not be there
    """
    return _on_disk(sinks) if query and _asks(query) else _AT_ONCE


@asynccontextmanager
async def _on_disk(sinks: Sequence[SinkRunner]) -> AsyncGenerator[Published]:
    files = [sink for sink in sinks if sink.keeps]
    if not files:
        raise Refusal(400, _NO_FILE)
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
            raise Refusal(503, f"{_NOT_KNOWN} yet, after {_WITHIN:g} s", _AGAIN)
        if lost:
            raise Refusal(503, f"{_NOT_KNOWN}: {lost} could not be written", _AGAIN)


def _asks(query: bytes) -> bool:
    asked = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("ack", [])
    if any(each != "disk" for each in asked):
        raise Refusal(400, "ack takes the word disk, and nothing else")
    return bool(asked)
