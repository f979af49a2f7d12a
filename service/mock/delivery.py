"""An answer on its way: at once, late, in pieces, or broken on purpose."""

import os
import socket
import struct
from itertools import pairwise
from typing import Any, Final

import anyio
from starlette.types import Receive, Send

from reqscope.service.exchange import Exchange

from .answer import Answer

_LINGER: Final = struct.pack("ii", 1, 0)
_GONE: Final = 1.0
"""Seconds for the server to notice that a connection was broken."""


async def deliver(answer: Answer, exchange: Exchange | None, receive: Receive, send: Send) -> None:
    """Send the answer. Safe to cancel.

    :param exchange: what has been seen of the request, for what is broken on purpose to be told from what broke
    """
    if answer.delay and await _is_gone(answer.delay, receive):
        return
    if answer.fault in ("reset", "empty"):
        await _break(answer, exchange, receive, send)
        return
    body = answer.body
    headers = (*answer.headers, (b"content-length", b"%d" % len(body)))
    if answer.status in (204, 304):
        headers = answer.headers
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.fault == "truncated":
        half = body[: len(body) // 2]
        if half:
            await send({"type": "http.response.body", "body": half, "more_body": True})
        await _break(answer, exchange, receive, send)
    elif answer.chunks > 1 and body:
        await _dribble(answer, receive, send)
    else:
        await send({"type": "http.response.body", "body": body})


async def _dribble(answer: Answer, receive: Receive, send: Send) -> None:
    body = answer.body
    count = min(answer.chunks, len(body))
    cuts = [len(body) * number // count for number in range(count + 1)]
    for number, (start, end) in enumerate(pairwise(cuts), 1):
        if await _is_gone(answer.over / count, receive):
            return
        await send({"type": "http.response.body", "body": body[start:end], "more_body": number < count})


async def _is_gone(seconds: float, receive: Receive) -> bool:
    """Wait, and return whether the client went away meanwhile."""
    with anyio.move_on_after(seconds):
        while (await receive())["type"] != "http.disconnect":
            pass
        return True
    return False


async def _break(answer: Answer, exchange: Exchange | None, receive: Receive, send: Send) -> None:
    """End the connection as the fault has it. A server other than uvicorn ends it in its own way."""
    if exchange is not None:
        exchange.fault = f"mock_{answer.fault}"
        exchange.disconnected = True
        exchange.publish(None)
    transport = _transport(send)
    if transport is None:
        return
    if answer.fault == "reset":
        _reset(transport)
    else:
        transport.close()
    with anyio.move_on_after(_GONE):
        while (await receive())["type"] != "http.disconnect":
            pass


def _transport(send: Send) -> Any:
    """Return uvicorn's connection. ASGI has no word for breaking one."""
    owner = getattr(send, "__self__", None)
    while isinstance(owner, Exchange):
        owner = getattr(owner.server_send, "__self__", None)
    return getattr(owner, "transport", None)


def _reset(transport: Any) -> None:
    # uvloop keeps the socket to itself, but the option belongs to what the file descriptor refers to.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    transport.abort()
