"""Requests that pages of other sites make a browser send.

The rules are those of the Fetch Metadata standard's resource isolation policy, and where a browser sends no such
headers (over plain HTTP, to anything but this machine) those of Go's `http.CrossOriginProtection`. What is no browser
sends neither `Sec-Fetch-Site` nor `Origin`, and passes.
"""

from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from .problems import refuse

_OURS: Final = (b"same-origin", b"none")  # none: typed into the address bar, or a bookmark


class Origins:
    """Whose pages may send requests: the server's own, and some others.

    :param own: further names of this server, with the port where that is not the scheme's; behind a proxy, the `Host`
        of a request may be another than the browser knows
    :param allowed: origins of other sites, such as `https://shop.example`; `*` allows all
    """

    def __init__(self, own: Iterable[str] = (), allowed: Iterable[str] = ()) -> None:
        self._own = frozenset(name.lower().encode() for name in own)
        self.allowed = tuple(origin.lower().rstrip("/") for origin in allowed)

    def is_foreign(self, scope: Scope, *, links: bool = False) -> bool:
        """Return whether a page of another site sent this.

        :param links: let pass what a click on a link sends, which shows a page and tells the other site nothing
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if "*" in self.allowed or (origin is not None and origin.decode("latin-1").lower() in self.allowed):
            return False
        if site is not None:
            return site not in _OURS and not (links and _is_link(scope, headers))
        if origin is None:
            return False
        name = origin.lower().partition(b"://")[2]  # of `null`, which anybody can be, nothing is left
        return not name or (name != headers.get(b"host", b"").lower() and name not in self._own)


def _is_link(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    navigates = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
    return navigates and scope.get("method") in ("GET", "HEAD")


class OriginGate:
    """Answers 403 to whatever a page of another site sends, reads and streams and WebSockets included."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and self._origins.is_foreign(scope, links=True):
            await refuse(scope, send, 403, "a page of another site sent this, and only the panel's own pages may")
        else:
            await self._app(scope, receive, send)
