"""One WebSocket from its handshake to its end: a tee on its messages that changes nothing."""

from collections.abc import Awaitable
from time import perf_counter
from typing import Final

from starlette.types import Message

from reqscope.bus import Event

from .exchange import CLIENT_CLOSED_REQUEST, DISCONNECTED, Exchange, unanswered
from .heads import encode, listed

_SWITCHING: Final = 101
_FORBIDDEN: Final = 403
_NORMAL: Final = 1000
_NO_STATUS: Final = 1005
"""Close codes: RFC 6455, 7.4.1."""


class WebSocketExchange(Exchange):
    """A WebSocket: one event when it ends, with the time it was open and how many messages went each way."""

    received: int = 0
    sent: int = 0
    close_code: int | None = None

    async def receive(self) -> Message:
        message = await self.server_receive()
        try:
            kind = message["type"]
            if kind == "websocket.receive":
                self.received += 1
                self.request_size += _size(message)
            elif kind == "websocket.disconnect" and self.close_code is None:
                self.close_code = message.get("code", _NO_STATUS)
        except Exception as error:
            self.plan.faults.record("receive", error)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        try:
            self.sending(message["type"], message)
        except Exception as error:
            self.plan.faults.record("send", error)
        return self.server_send(message)

    def sending(self, kind: str, message: Message) -> None:
        if kind == "websocket.send":
            self.sent += 1
            self.response_size += _size(message)
        elif kind == "websocket.accept":
            self._respond(_SWITCHING, message)
        elif kind == "websocket.http.response.start":
            self._respond(message["status"], message)
        elif kind == "websocket.http.response.body":
            self.response_size += len(message.get("body", b""))
        elif kind == "websocket.close":
            if not self.response[0]:
                self._respond(_FORBIDDEN, {})
            elif self.close_code is None:
                self.close_code = message.get("code", _NORMAL)

    def _respond(self, status: int, message: Message) -> None:
        ttfb = perf_counter() - self.clock
        headers = listed(message.get("headers", ()))
        self.response = status, encode(headers), len(headers), ttfb

    def publish(self, error: BaseException | None) -> Event:
        event = super().publish(error)
        event.kind = "websocket"
        event.messages_received, event.messages_sent = self.received, self.sent
        event.close_code = self.close_code
        return event

    def blame(self, status: int, error: BaseException | None) -> tuple[int, str | None]:
        if self.close_code is not None and not status:  # gone before it was answered
            return CLIENT_CLOSED_REQUEST, DISCONNECTED
        return unanswered(status, error)


def _size(message: Message) -> int:
    text: str | None = message.get("text")
    if text is None:
        return len(message.get("bytes") or b"")
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
