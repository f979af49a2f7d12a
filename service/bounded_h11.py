"""The bounded protocol with h11, for where httptools is not."""

import re
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .bounded import Awaited, Bounded
from .limits import BadHead, Limits, check_head

_LENIENT: Final = re.compile(rb"(?i)(?<!\r)\n|\n[ \t]|\ncontent-length:([^\n]*,|(?s:.*)\ncontent-length:)")
"""What h11 lets pass: a line feed alone, a header over two lines, a length that is said twice."""


class BoundedH11(Bounded, H11Protocol):  # type: ignore[misc]  # it is typed for a transport of any kind
    """uvicorn's protocol within `limits`."""

    def __init__(self, *arguments: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.limits = limits
        self.conn: _Connection = _Connection(limits)

    def awaited(self) -> Awaited:
        state, number = self.conn.their_state, self.conn.requests
        if state is h11.IDLE and (number == 0 or self.conn.trailing_data[0]):
            return "head", number
        return ("body" if state is h11.SEND_BODY else "nothing"), number


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
        check_head(self._limits, request.http_version.decode(), request.target, list(request.headers))
