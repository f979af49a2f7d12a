"""The mock as an ASGI application: stubs answer, and what no stub answers is told why."""

import time
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.service.exchange import Exchange
from reqscope.service.ongoing import current
from reqscope.service.problems import PROBLEM, problem
from reqscope.service.routes import below_root

from .answer import Answer
from .delivery import deliver
from .matching import Miss
from .paths import is_reserved, normalised
from .record import Recorder, RecordError
from .request import MockRequest
from .store import StubStore

MAX_BODY: Final = 1 << 20
_HEADERS: Final = ((b"content-type", PROBLEM),)
_SANDBOX: Final = ((b"content-security-policy", b"sandbox"), (b"x-content-type-options", b"nosniff"))


class MockApp:
    """Answers HTTP requests from stubs.

    :param own: answers what is reserved, and all that is not HTTP
    :param panel: where the panel is, if that is on the same port; an answer must then not be able to touch its pages
    :param recorder: where requests go that no stub answers
    """

    def __init__(
        self, store: StubStore, own: ASGIApp, *, panel: str | None = None, recorder: Recorder | None = None
    ) -> None:
        self.store = store
        self._own = own
        self._recorder = recorder
        self._panel = panel
        self._more = () if panel is None else _SANDBOX

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_own(normalised(below_root(scope))):
            await self._own(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        exchange = current()
        if len(body) > MAX_BODY:
            detail = f"the body is larger than {MAX_BODY} bytes"
            answer = Answer(413, (*_HEADERS, (b"connection", b"close")), problem(413, detail))
        else:
            answer = await self._answer(scope, body, exchange)
        if self._more:
            answer = answer._replace(headers=answer.headers + self._more)
        await deliver(answer, exchange, receive, send)

    def _is_own(self, path: str) -> bool:
        return is_reserved(path) or (self._panel is not None and f"{path}/".startswith(f"{self._panel}/"))

    async def _answer(self, scope: Scope, body: bytes, exchange: Exchange | None) -> Answer:
        path, query, headers = below_root(scope), scope.get("query_string", b""), scope["headers"]
        request = MockRequest(scope["method"], path, query, headers, body, time.time_ns())
        found = self.store.answer(request)
        if found is not None:
            stub, answer = found
            scope["route"] = stub  # its path is the template that the route is known by
            if exchange is not None:
                exchange.stub = stub.name
            return answer
        if self._recorder is not None:
            try:
                return await self._recorder.forward(request)
            except RecordError as error:
                return Answer(502, _HEADERS, problem(502, str(error)))
        misses = self.store.explain(request)
        nearest = [{"stub": miss.stub, "why": [each for each in miss.verdicts if not each.fits]} for miss in misses]
        shown = self.store.masked(request).path
        detail = f"no stub answers {request.method} {shown}{_hint(misses)}"
        return Answer(404, _HEADERS, problem(404, detail, nearest=nearest))


def _hint(misses: list[Miss]) -> str:
    if not misses:
        return "; there is none like it"
    why = "; ".join(
        f"{each.field} should be {each.expected} and is {each.actual}" for each in misses[0].verdicts if not each.fits
    )
    return f"; the nearest is {misses[0].stub}: {why}"


async def _read(receive: Receive) -> bytes | None:
    """Return the body, at least one byte more than is allowed of one that is too large; None if the client went."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunk: bytes = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if not message.get("more_body", False) or size > MAX_BODY:
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
