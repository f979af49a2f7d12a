"""What must never be seen again: values that are masked by the name they stand under."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from reqscope.bus.event import Headers

MASK: Final = b"[redacted]"

SENSITIVE: Final = (
    "access-token",
    "api-key",
    "apikey",
    "auth-token",
    "authorization",
    "client-secret",
    "cookie",
    "credentials",
    "csrf-token",
    "id-token",
    "jwt",
    "passwd",
    "password",
    "private-key",
    "proxy-authorization",
    "refresh-token",
    "secret",
    "session",
    "session-id",
    "sessionid",
    "set-cookie",
    "sig",
    "signature",
    "token",
    "x-access-token",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-session-token",
    "x-xsrf-token",
    "xsrf-token",
)
"""Names of headers and query parameters, in lower case with `-` for `_`."""


class Redaction:
    """Masks headers and query parameters by name, in any case and with `_` for `-`.

    Works on bytes, and remembers what it decided about a name: it runs on the request path.

    :param names: what to mask; none masks nothing
    """

    def __init__(self, names: Iterable[str] = SENSITIVE) -> None:
        self._masked = _Decisions(names)

    def headers(self, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Return the same headers in the same order, the values of sensitive ones masked."""
        masked = self._masked
        return tuple([(name, MASK if masked[name] else value) for name, value in headers])

    def query(self, query: bytes) -> bytes:
        """Return the same query string, the values of sensitive parameters masked."""
        if not query:
            return query
        return b"&".join([self._parameter(pair) for pair in query.split(b"&")])

    def _parameter(self, pair: bytes) -> bytes:
        name, equals, _ = pair.partition(b"=")
        return name + equals + MASK if equals and self._masked[name] else pair


class _Decisions(dict[bytes, bool]):
    """Whether a name is sensitive, worked out once for each spelling."""

    _BOUND = 4096  # names come from clients, so what is remembered must be bounded

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self._sensitive = frozenset(_normal(name.encode("latin-1", "replace")) for name in names)

    def __missing__(self, name: bytes) -> bool:
        decision = _normal(unquote_to_bytes(name)) in self._sensitive
        if len(self) < self._BOUND:
            self[name] = decision
        return decision


def _normal(name: bytes) -> bytes:
    return name.strip().lower().replace(b"_", b"-")
