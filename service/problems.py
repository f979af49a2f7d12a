"""Answers in case of trouble: problem details (RFC 9457), and the plain ASGI way to send any answer."""

from http import HTTPStatus

from starlette.types import Send

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
