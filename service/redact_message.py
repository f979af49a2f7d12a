"""One HTTP request in a file: what of it would be masked, and what it looks like then."""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import h11

from .bodies import unpack
from .redaction import MASK, Redaction


class NotARequest(ValueError):
    """The text is no HTTP request. The message says why."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A value that would be masked."""

    place: str
    """`path`, `query`, `header` or `body`."""
    name: str
    size: int
    """Bytes that nobody would see."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """A request as readers would see it."""

    message: bytes
    losses: tuple[Loss, ...]


def redact_message(message: bytes, redaction: Redaction) -> Redacted:
    """Pass an HTTP/1.1 request through the gate that captured requests pass.

    Lines may end as the file has them, and everything after the first blank line is the body.

    :raises NotARequest: it is none
    """
    head, _, body = message.replace(b"\r\n", b"\n").partition(b"\n\n")
    if len(head) + 2 < len(message) and b"\r\n\r\n" in message:
        body = message.partition(b"\r\n\r\n")[2]
    request = _parse(head)
    target, _, query = request.target.partition(b"?")
    losses: list[Loss] = []
    path = _path(target, redaction, losses)
    masked_query = _query(query, redaction, losses)
    lines = [request.method + b" " + path + (b"?" + masked_query if query else b"") + b" HTTP/1.1"]
    pairs = [(bytes(name), bytes(value)) for name, value in request.headers.raw_items()]
    for (name, value), (_, masked) in zip(pairs, redaction.headers(pairs), strict=True):
        if masked != value:
            losses.append(Loss("header", name.decode("latin-1"), len(value)))
        lines.append(name + b": " + masked)
    headers = {name.lower(): value for name, value in pairs}
    masked_body = _body(body, headers, redaction, losses)
    return Redacted(b"\r\n".join(lines) + b"\r\n\r\n" + masked_body, tuple(losses))


def _parse(head: bytes) -> h11.Request:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"\r\n".join(head.strip(b"\n").split(b"\n")) + b"\r\n\r\n")
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise NotARequest(
            f"{error}; it begins as `POST /path HTTP/1.1`, and then come `Host:` and other headers"
        ) from None
    if not isinstance(event, h11.Request):
        raise NotARequest("there is no whole request in it")
    return event


def _path(target: bytes, redaction: Redaction, losses: list[Loss]) -> bytes:
    path = target.decode("latin-1")
    masked = redaction.path(path)
    if masked != path:
        losses.append(Loss("path", "", len(path)))
    return masked.encode("latin-1", "replace")


def _query(query: bytes, redaction: Redaction, losses: list[Loss]) -> bytes:
    masked = redaction.query(query)
    for before, after in zip(query.split(b"&"), masked.split(b"&"), strict=False):
        if before != after:
            name, _, value = before.partition(b"=")
            losses.append(Loss("query", unquote_to_bytes(name).decode("utf-8", "replace"), len(value)))
    return masked


def _body(body: bytes, headers: dict[bytes, bytes], redaction: Redaction, losses: list[Loss]) -> bytes:
    kind = headers.get(b"content-type", b"")
    unpacked = unpack(body, headers.get(b"content-encoding", b""), 64 << 20)
    content = body if unpacked is None else unpacked[0]
    masked = redaction.body(content, kind)
    if masked != content:
        found = masked.count(MASK) - content.count(MASK)
        losses.append(Loss("body", f"{found} value{'s' if found != 1 else ''}", len(content)))
    return masked
