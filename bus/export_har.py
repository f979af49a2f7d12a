"""An HTTP archive (HAR 1.2) of requests, for the tools that read those.

http://www.softwareishard.com/blog/har-12-spec/
"""

import re
from collections import Counter
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from .encoding import encode
from .event import Body, Event, Headers
from .resend import quoted
from .schema import Entry, header, text_or_base64, view

JsonObject: TypeAlias = dict[str, Any]

_UNKNOWN: Final = -1
_NOT_SEEN: Final = {"blocked": _UNKNOWN, "dns": _UNKNOWN, "connect": _UNKNOWN, "ssl": _UNKNOWN, "send": 0}
"""Phases that only the client sees. The specification wants a number of 0 or more for sending."""
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_NOT_IN_A_URL: Final = re.compile(rb"[^A-Za-z0-9._~!$&'()*+,;=:@/?%-]|%(?![0-9A-Fa-f]{2})")
_LEFT_OUT: Final = {"websocket": "WebSocket", "log": "log record", "record": "ingested record"}
_OWN: Final = (
    *("seq", "http.route", "client.address", "request_id", "trace_id", "span_id", "ttfb", "duration", "app_duration"),
    *("error.type", "exception.message", "exception.fingerprint"),
)
"""What the format has no place for, under the names that it has everywhere."""


class HarExport:
    """Requests as an HTTP archive; see `reqscope.bus.exports.Export`.

    What is no request is left out, and counted in the comment at the end. What the format has no place for, such as
    the route, stands in `_reqscope`. Cookies are in the headers only.

    :param boot: the bus's, for event ids
    """

    media_type = "application/json"
    suffix = "har"

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._separator = b""
        self._left_out = Counter[str]()

    def start(self) -> bytes:
        creator = encode({"name": "Reqscope", "version": version("reqscope")})
        return b'{"log":{"version":"1.2","creator":' + creator + b',"entries":['

    def add(self, event: Event) -> bytes:
        if event.kind != "request":
            self._left_out[event.kind] += 1
            return b""
        piece = self._separator + encode(_entry(event, self._boot))
        self._separator = b",\n"
        return piece

    def end(self) -> bytes:
        counts = [f"{count} {_LEFT_OUT[kind]}{'' if count == 1 else 's'}" for kind, count in self._left_out.items()]
        if not counts:
            return b"]}}\n"
        return b'],"comment":' + encode(f"Left out, as they are no requests: {', '.join(counts)}.") + b"}}\n"


def _entry(event: Event, boot: str) -> JsonObject:
    shown: JsonObject = msgspec.to_builtins(view(event, boot, Entry))
    wait = _milliseconds(event.total if event.ttfb is None else event.ttfb)
    time = max(wait, _milliseconds(event.total))
    return {
        "startedDateTime": shown["timestamp"],
        "time": time,
        "request": _request(event),
        "response": _response(event),
        "cache": {},
        "timings": _NOT_SEEN | {"wait": wait, "receive": round(time - wait, 3)},
        "_reqscope": {"id": shown["id"]} | {name: shown[name] for name in _OWN if name in shown},
    }


def _request(event: Event) -> JsonObject:
    headers, query = event.request_headers, event.query.decode("latin-1")
    described: JsonObject = _message(event, headers, event.request_size) | {
        "method": event.method,
        "url": _url(event),
        "queryString": [_pair(*pair) for pair in parse_qsl(query, keep_blank_values=True, errors="replace")],
    }
    body = event.request_body or (Body(data=event.body, captured=event.request_size) if event.body else None)
    if body is not None:
        content = _content(body, event.request_size)
        if "encoding" in content:  # of which the format knows in responses only
            content["_encoding"] = content.pop("encoding")
        described["postData"] = {"mimeType": header(headers, b"content-type"), "text": "", **content}
    return described


def _response(event: Event) -> JsonObject:
    headers, body = event.response_headers, event.response_body
    unpacked = body is not None and body.captured == event.response_size and header(headers, b"content-encoding")
    size = len(body.data) if body is not None and unpacked else event.response_size
    content = _content(body, event.response_size) if body is not None else {}
    return _message(event, headers, event.response_size) | {
        "status": event.status,
        "statusText": _phrase(event.status),
        "content": {"size": size, "mimeType": header(headers, b"content-type"), **content},
        "redirectURL": header(headers, b"location"),
    }


def _message(event: Event, headers: Headers, body_size: int) -> JsonObject:
    """Return what requests and responses have in common."""
    return {
        "httpVersion": f"HTTP/{event.http_version}" if event.http_version else "",
        "cookies": [],
        "headers": [_pair(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers],
        "headersSize": _UNKNOWN,
        "bodySize": body_size,
    }


def _content(body: Body, size: int) -> JsonObject:
    if body.withheld is not None:
        return {"comment": f"withheld: {body.withheld}"}
    text, base64 = text_or_base64(body.data)
    content = {"text": text} if base64 is None else {"text": base64, "encoding": "base64"}
    if body.captured < size:
        return content | {"comment": f"{body.captured} of {size} bytes captured"}
    return content if body.complete else content | {"comment": "cut off at its end"}


def _url(event: Event) -> str:
    """Return an address that is one, whatever the client called the host."""
    host = header(event.request_headers, b"host")
    origin = f"{event.scheme or 'http'}://{host if _HOST.fullmatch(host) else 'unknown.invalid'}"
    query = _NOT_IN_A_URL.sub(lambda match: b"%%%02X" % match[0][0], event.query).decode()
    path = quoted(event.path)
    return f"{origin}{'' if path.startswith('/') else '/'}{path}{'?' if query else ''}{query}"


def _pair(name: str, value: str) -> JsonObject:
    return {"name": name, "value": value}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _milliseconds(seconds: float | None) -> float:
    return 0 if seconds is None else round(seconds * 1000, 3)
