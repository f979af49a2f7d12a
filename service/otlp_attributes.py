"""Attributes under their names of today and of before 2024: SDKs send either, and often the old ones by default.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from reqscope.bus.encoding import encode
from reqscope.bus.event import Headers

from .otlp_records import Attributes, Source, Value, text
from .sealed import Gate

_METHOD: Final = ("http.request.method", "http.method")
_STATUS: Final = ("http.response.status_code", "http.status_code")
_SCHEME: Final = ("url.scheme", "http.scheme")
_CLIENT: Final = ("client.address", "http.client_ip", "net.peer.ip", "net.sock.peer.addr", "network.peer.address")
_VERSION: Final = ("network.protocol.version", "http.flavor")
_AGENT: Final = ("user_agent.original", "http.user_agent")
_HOST: Final = ("server.address", "http.host", "net.host.name", "http.server_name")
_PORT: Final = ("server.port", "net.host.port")
_REQUEST_SIZE: Final = ("http.request.body.size", "http.request_content_length")
_RESPONSE_SIZE: Final = ("http.response.body.size", "http.response_content_length")
_TARGET: Final = ("url.path", "url.query", "http.target", "url.full", "http.url")
_OTHERS: Final = ("http.route", "error.type", "http.request.method_original")
_SHOWN: Final = frozenset(
    name
    for names in (_METHOD, _STATUS, _SCHEME, _CLIENT, _VERSION, _AGENT, _HOST, _PORT, _REQUEST_SIZE, _RESPONSE_SIZE)
    for name in (*names, *_TARGET, *_OTHERS)
)
_REQUEST_HEADER: Final = "http.request.header."
_RESPONSE_HEADER: Final = "http.response.header."
_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_MAX_STATUS: Final = 999
_INT64: Final = 1 << 63


class HttpAttributes:
    """What the attributes of a server span say of its request."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._url = self._split()

    @property
    def method(self) -> str:
        method = self._text(*_METHOD)
        return (self._text("http.request.method_original") or method) if method == "_OTHER" else method

    @property
    def path(self) -> str:
        return self._text("url.path") or self._url[1]

    @property
    def query(self) -> str:
        return self._text("url.query") or self._url[2]

    @property
    def scheme(self) -> str:
        return self._text(*_SCHEME) or self._url[0]

    @property
    def status(self) -> int:
        status = self._number(*_STATUS)
        return status if status <= _MAX_STATUS else 0

    @property
    def route(self) -> str:
        return self._text("http.route")

    @property
    def client(self) -> str:
        return self._text(*_CLIENT)

    @property
    def version(self) -> str:
        return self._text(*_VERSION)

    @property
    def request_size(self) -> int:
        return self._number(*_REQUEST_SIZE)

    @property
    def response_size(self) -> int:
        return self._number(*_RESPONSE_SIZE)

    @property
    def error(self) -> str:
        """Type of what went wrong; a status alone is none."""
        error = self._text("error.type")
        return "" if error.isdecimal() else short_type(error)

    @property
    def is_websocket(self) -> bool:
        return self.scheme in ("ws", "wss") or self._text("network.protocol.name") == "websocket"

    def request_headers(self) -> Headers:
        """Return the request headers that were exported, and what is known to have been one."""
        headers = [*self._headers(_REQUEST_HEADER)]
        names = {name for name, _ in headers}
        known = ((b"host", self._host()), (b"user-agent", self._text(*_AGENT)))
        return (*((name, _bytes(value)) for name, value in known if value and name not in names), *headers)

    def response_headers(self) -> Headers:
        return tuple(self._headers(_RESPONSE_HEADER))

    def others(self) -> Attributes:
        """Return the attributes that are no field of an event."""
        return {
            name: value
            for name, value in self._attributes.items()
            if name not in _SHOWN and not name.startswith((_REQUEST_HEADER, _RESPONSE_HEADER))
        }

    def _host(self) -> str:
        host = self._text(*_HOST) or self._url[3]
        port = self._number(*_PORT)
        return (
            f"{host}:{port}" if host and port and ":" not in host and port != _DEFAULT_PORT.get(self.scheme) else host
        )

    def _headers(self, prefix: str) -> Iterator[tuple[bytes, bytes]]:
        for name, value in self._attributes.items():
            if name.startswith(prefix):
                # Python's instrumentation writes underscores, which next to no header has.
                header = _bytes(name.removeprefix(prefix).replace("_", "-"))
                yield from ((header, _bytes(text(each))) for each in (value if isinstance(value, list) else [value]))

    def _split(self) -> tuple[str, str, str, str]:
        """Scheme, path, query and host: each from the first that has it. Targets may come without their query."""
        parts = [_parts(self._text(name)) for name in ("http.target", "url.full", "http.url")]
        scheme, path, query, host = (next(filter(None, each), "") for each in zip(*parts, strict=True))
        return scheme, path, query, host

    def _text(self, *names: str) -> str:
        return next((found for name in names if (found := text(self._attributes.get(name)))), "")

    def _number(self, *names: str) -> int:
        return next((found for name in names if (found := _number(self._attributes.get(name)))), 0)


def short_type(name: str) -> str:
    """Return the name of a type without the module it is in, as capture has it."""
    return name.rpartition(".")[2] or name


def masked_json(source: Source, gate: Gate, **more: Value) -> bytes:
    """Return the resource, and what is not empty of `more`, as JSON whose secrets are masked."""
    told: Attributes = {name: value for name, value in more.items() if value}
    resource = {name: value for name, value in source.resource.items() if name != "service.name"}
    if resource:
        told["resource"] = resource
    return gate.content(encode(told), b"application/json") if told else b""


def _parts(address: str) -> tuple[str, str, str, str]:
    try:
        url = urlsplit(address)
    except ValueError:  # no address at all
        return "", address, "", ""
    return url.scheme, url.path, url.query, url.netloc.rpartition("@")[2]


def _number(value: Value) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _INT64 else 0


def _bytes(value: str) -> bytes:
    return value.encode("latin-1", "backslashreplace")
