"""The bounded protocol with httptools, which is what uvicorn takes where it is installed."""

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .bounded import Awaited, Bounded
from .limits import Limits, check_head

_FRAMING: Final = 16
"""Bytes that may go along with each byte of a body that comes in chunks."""


class BoundedHttpTools(Bounded, HttpToolsProtocol):  # type: ignore[misc]  # it is typed for a transport of any kind
    """uvicorn's protocol within `limits`."""

    def __init__(self, *arguments: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.limits = limits
        self.url = b""
        self._awaited: Awaited = ("head", 0)
        self._size = 0
        """Bytes of a head that is not whole, or of a body with what frames it."""
        self._payload = 0

    def awaited(self) -> Awaited:
        return self._awaited

    def data_received(self, data: bytes) -> None:
        before = self._awaited
        super().data_received(data)
        if before == self._awaited and not self._refused:
            self._size += len(data)
            self._check_size()

    def _check_size(self) -> None:
        # httptools gathers each part of a head, and of what frames a chunk, until it is whole.
        match self._awaited[0]:
            case "head" if len(self.url) >= self.limits.head:
                self.refuse(414, f"the address is longer than {self.limits.head} bytes")
            case "head" if self._size > self.limits.head:
                self.refuse(431, f"the headers are larger than {self.limits.head} bytes")
            case "body" if self._size > self.limits.head + (1 + _FRAMING) * self._payload:
                self.refuse(400, "the chunks of the body hold little but what frames them")
            case _:
                pass

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await("head", 1)

    def on_headers_complete(self) -> None:
        assert self.parser is not None
        check_head(self.limits, self.parser.get_http_version(), self.url, self.headers)
        self._await("body")
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            self.headers = []  # else uvicorn adds trailers to the headers that the application already has

    def on_body(self, body: bytes) -> None:
        self._payload += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._await("nothing")
        super().on_message_complete()

    def _await(self, what: Any, more: int = 0) -> None:
        self._awaited = (what, self._awaited[1] + more)
        self._size = self._payload = 0
