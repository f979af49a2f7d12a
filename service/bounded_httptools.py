"""The bounded protocol with httptools, which is what uvicorn takes where it is installed.

What runs here runs for each request, between the system's sockets and the application. So uvicorn's methods are called
by its class's name: Python 3.11 makes an object for each `super()`.
"""

import sys
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .bounded import BODY, HEAD, KIND, NOTHING, Awaited, Bounded
from .limits import Limits
from .request_head import check_head

_FRAMING: Final = 16
"""Bytes that may go along with each byte of a body that comes in chunks."""

_UNKNOWN: Final = sys.maxsize

_begin = HttpToolsProtocol.on_message_begin
_headers_complete = HttpToolsProtocol.on_headers_complete
_message_complete = HttpToolsProtocol.on_message_complete
_receive = HttpToolsProtocol.data_received
_body = HttpToolsProtocol.on_body
_response_complete = HttpToolsProtocol.on_response_complete


class BoundedHttpTools(Bounded, HttpToolsProtocol):  # type: ignore[misc]  # it is typed for a transport of any kind
    """uvicorn's protocol within `limits`."""

    __slots__ = ("_awaited", "_came", "_payload", "_size", "url")

    def __init__(self, *arguments: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*arguments, limits=limits, **options)
        self.url = b""
        self._awaited: Awaited = HEAD
        self._came = _UNKNOWN
        """As many bytes as the present head has, or more."""
        self._size = 0
        """Bytes of a head that is not whole, or of a body with what frames it."""
        self._payload = 0

    def awaited(self) -> Awaited:
        return self._awaited

    def data_received(self, data: bytes) -> None:
        if self._awaited & KIND != NOTHING or self._refused:
            self._receive_more(data)
            return
        # Nothing was under way, so no timer runs, and a head that is whole came with this.
        self._came = len(data)
        _receive(self, data)
        if self._awaited & KIND != NOTHING or (cycle := self.cycle) is None or cycle.response_complete:
            self._watch_next()

    def _receive_more(self, data: bytes) -> None:
        before, self._came = self._awaited, _UNKNOWN
        super().data_received(data)
        if before == self._awaited and not self._refused:
            self._size += len(data)
            self._check_size()

    def _check_size(self) -> None:
        # httptools gathers each part of a head, and of what frames a chunk, until it is whole.
        kind, most = self._awaited & KIND, self.limits.head
        if kind == HEAD and len(self.url) >= most:
            self.refuse(414, f"the address is longer than {most} bytes")
        elif kind == HEAD and self._size > most:
            self.refuse(431, f"the headers are larger than {most} bytes")
        elif kind == BODY and self._size > most + (1 + _FRAMING) * self._payload:
            self.refuse(400, "the chunks of the body hold little but what frames them")

    def on_message_begin(self) -> None:
        _begin(self)
        self._awaited = (self._awaited | KIND) + 1  # the next one's head
        self._size = self._payload = 0

    def on_headers_complete(self) -> None:
        limits = self.limits
        parser: Any = self.parser  # which is None only once the connection is lost, and nothing is parsed any more
        check_head(limits.head, limits.headers, parser.get_http_version(), self.url, self.headers, self._came)
        self._awaited += 1
        self._size = 0
        _headers_complete(self)
        if not parser.should_upgrade():
            self.headers = []  # else uvicorn adds trailers to the headers that the application already has

    def on_body(self, body: bytes) -> None:
        self._payload += len(body)
        _body(self, body)

    def on_message_complete(self) -> None:
        self._awaited += 1
        _message_complete(self)

    def on_response_complete(self) -> None:
        _response_complete(self)
        self._watch_unsent()
