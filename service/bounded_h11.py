"""The bounded protocol with h11, for where httptools is not."""

import re
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .bounded import BODY, HEAD, NEXT, NOTHING, Awaited, Bounded
from .limits import Limits
from .request_head import BadHead, check_head

_LENIENT: Final = re.compile(rb"(?i)(?<!\r)\n|\n[ \t]|\ncontent-length:([^\n]*,|(?s:.*)\ncontent-length:)")
"""What h11 lets pass: a line feed alone, a header over two lines, a length that is said twice."""


class BoundedH11(Bounded, H11Protocol):  # type: ignore[misc]  # it is typed for a transport of any kind
    """uvicorn's protocol within `limits`."""

    def __init__(self, *arguments: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*arguments, limits=limits, **options)
        self.conn: _Connection = _Connection(limits)

    def awaited(self) -> Awaited:
        state, number = self.conn.their_state, self.conn.requests * NEXT
        if state is h11.IDLE and (number == 0 or self.conn.trailing_data[0]):
            return number | HEAD
        return number | (BODY if state is h11.SEND_BODY else NOTHING)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_next()  # only now does h11 look at what came meanwhile


class _Connection(h11.Connection):
    """h11's side of the connection, with what it leaves to whoever uses it."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(h11.SERVER, limits.head)
        self._limits = limits
        self.requests = 0

    def next_event(self) -> Any:
        waiting = self.trailing_data[0] if self.their_state is h11.IDLE else b""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                self.requests += 1
                self._check(event, waiting[: len(waiting) - len(self.trailing_data[0])])
        except BadHead as bad:
            raise h11.RemoteProtocolError(str(bad), error_status_hint=bad.status) from bad
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == 431 and waiting and b"\n" not in waiting:
                raise h11.RemoteProtocolError("the address is too long", error_status_hint=414) from error
            raise
        return event

    def _check(self, request: h11.Request, head: bytes) -> None:
        if _LENIENT.search(head):
            raise BadHead(400, "each header must be one line that ends in CRLF, and Content-Length one number")
        most, headers = self._limits, list(request.headers)
        check_head(most.head, most.headers, request.http_version.decode(), request.target, headers, len(head))
