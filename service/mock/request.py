"""A request, as stubs look at it: read once, and each part taken apart when it is first asked for."""

from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl

import msgspec
from msgspec import UNSET

from reqscope.bus.event import Headers

from .paths import normalised

_MOST_FIELDS: Final = 1_000
_decode: Final = msgspec.json.decode


class MockRequest:
    """One request to the mock, whole.

    :param path: decoded, with or without empty segments
    :param body: as it was sent
    """

    def __init__(self, method: str, path: str, query: bytes, headers: Headers, body: bytes, time: int = 0) -> None:
        self.method = method
        self.path = normalised(path)
        self.raw_query = query
        self.raw_headers = headers
        self.body = body
        self.time = time
        """Wall clock when it came, in nanoseconds since the epoch."""
        self.stub: str | None = None
        """The name of the stub that answered."""
        self.path_values: dict[str, str] = {}
        """The values of the stub's path template."""

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return _fields(self.raw_query)

    @cached_property
    def headers(self) -> dict[str, list[str]]:
        """By name in lower case."""
        headers: dict[str, list[str]] = {}
        for name, value in self.raw_headers:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return headers

    @cached_property
    def form(self) -> dict[str, list[str]]:
        kind = self.headers.get("content-type", [""])[0].lower()
        return _fields(self.body) if kind.startswith("application/x-www-form-urlencoded") else {}

    @cached_property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @cached_property
    def json_or_unset(self) -> Any:
        """The body as JSON, or UNSET if it is none, whatever its content type says."""
        try:
            return _decode(self.body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return UNSET

    @property
    def json(self) -> Any:
        """The body as JSON, None if it is none."""
        return None if self.json_or_unset is UNSET else self.json_or_unset

    @property
    def size(self) -> int:
        """Bytes that it takes, near enough to bound memory by."""
        headers = sum(len(name) + len(value) + 130 for name, value in self.raw_headers)
        return 600 + len(self.path) + len(self.raw_query) + len(self.body) + headers


def _fields(data: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(data.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:  # more fields than any stub asks for
        return {}


def pairs(data: bytes) -> list[tuple[str, str]]:
    """Return the parameters of a query string in their order."""
    return parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
