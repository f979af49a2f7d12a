"""A bound on what a request may send."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import refuse


class BodyLimit:
    """Answers 413 to a body that is too large: at once if its size is declared, else when it becomes so.

    Starlette's own middleware answers only once the application reads, and in plain text.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        too_large = f"the body is larger than {self._limit} bytes"
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not declared.isdigit() or int(declared[:20]) > self._limit:
            await refuse(scope, send, 413, too_large)
            return
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise HTTPException(413, too_large, {"connection": "close"})
            return message

        await self._app(scope, bounded, send)
