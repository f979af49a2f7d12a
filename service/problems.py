"""Answers in case of trouble: problem details (RFC 9457), and the plain ASGI way to send any answer."""

from http import HTTPStatus

from starlette.types import Scope, Send

from reqscope.bus.encoding import encode

PROBLEM = b"application/problem+json"


def problem(status: int, detail: str, **more: object) -> bytes:
    """Return the body of a problem answer: what happened, in one sentence that says what to do."""
    return encode(
        {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    )


async def respond(
    send: Send,
    status: int,
    body: bytes,
    content_type: bytes = b"application/json",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Send a whole answer."""
    fixed = ((b"content-type", content_type), (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": fixed + headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(
    scope: Scope, send: Send, status: int, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Send a problem instead of what a request or a WebSocket asked for.

    What it still sends is not read: closing the connection is the only way not to be sent all of it.
    """
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # before it was accepted, so the answer is a 403
    else:
        await respond(send, status, problem(status, detail), PROBLEM, (*headers, (b"connection", b"close")))
