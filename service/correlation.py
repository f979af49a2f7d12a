"""Request ids, and the trace a request belongs to, where structlog and the application's log lines find them."""

import os
import re
import secrets
from collections.abc import Collection, Iterable
from contextvars import ContextVar, Token
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from starlette.types import Message
from structlog.contextvars import bind_contextvars, reset_contextvars

Pair: TypeAlias = tuple[bytes, bytes]
Tokens: TypeAlias = tuple[Token[str], ...]

UNBOUND: Final[Tokens] = ()

_NAMES: Final = frozenset((b"x-request-id", b"traceparent"))
_name: Final = itemgetter(0)

_REQUEST_ID: Final = re.compile(rb"[\w.:+/=@-]{1,128}")
_TRACEPARENT: Final = re.compile(
    rb"(?!ff|00-.{53})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?"
)
"""https://www.w3.org/TR/trace-context/#traceparent-header"""

_UNSET: Final[Any] = ...
"""What structlog takes for a variable that is not bound."""

_REMEMBERED: Final = 1_000
_without: Final = set[int]()
"""Hashes of heads that have neither a request id nor a trace: looking for one costs four times as much as this."""

_process = secrets.token_hex(4)


def _renew() -> None:
    global _process
    _process = secrets.token_hex(4)


os.register_at_fork(after_in_child=_renew)  # a forked worker's requests are others


class Trace(NamedTuple):
    """The caller's place in a distributed trace."""

    trace_id: str
    span_id: str


def _variable(name: str) -> ContextVar[str]:
    """Return structlog's own context variable: setting it directly costs a tenth of `bind_contextvars`."""
    tokens = bind_contextvars(**{name: ""})
    reset_contextvars(**tokens)
    return tokens[name].var


_request_id: Final = _variable("request_id")
_trace_id: Final = _variable("trace_id")
_span_id: Final = _variable("span_id")
_bind: Final = _request_id.set


def begin(headers: Collection[Pair], head: bytes, number: int, afresh: bool = False) -> tuple[str, Tokens]:
    """Return the request's own id if it has a sound one, otherwise a new one, and bind it and its trace.

    Bound are structlog's context variables `request_id`, `trace_id` and `span_id`, until `unbind`.

    :param head: the same headers, packed: a client sends the same ones over and over, mostly without an id
    :param number: what tells a new id from all others of this process
    :param afresh: whether the context is that of an earlier request, whose trace is not this one's
    """
    request_id, found = f"{_process}-{number}", None
    # Hashes, because heads hold secrets that must not stay. Two heads have the same once in 2**63.
    if hash(head) not in _without:
        request_id, found = _look(headers, head, request_id)
    if found is None and not afresh:
        return request_id, (_bind(request_id),)
    # Nothing is bound before all is known, and then at once: what fails in between would stay bound.
    trace_id, span_id = found or (_UNSET, _UNSET)
    return request_id, (_request_id.set(request_id), _trace_id.set(trace_id), _span_id.set(span_id))


def named(headers: Collection[Pair]) -> tuple[str, Trace | None]:
    """Return what `given` and `trace` do, at little cost for most requests, which name neither."""
    if _NAMES.isdisjoint(map(_name, headers)):
        return "", None
    return given(headers), trace(headers)


def _look(headers: Collection[Pair], head: bytes, request_id: str) -> tuple[str, Trace | None]:
    if not _NAMES.isdisjoint(map(_name, headers)):
        return given(headers) or request_id, trace(headers)
    if len(_without) >= _REMEMBERED:
        _without.clear()
    _without.add(hash(head))
    return request_id, None


def given(headers: Iterable[Pair]) -> str:
    """Return the request's own id, or an empty text if it has none that is sound."""
    match = _first(_REQUEST_ID, b"x-request-id", headers)
    return match[0].decode() if match else ""


def trace(headers: Iterable[Pair]) -> Trace | None:
    """Return the trace that the request names, if it does so soundly."""
    match = _first(_TRACEPARENT, b"traceparent", headers)
    return Trace(match[1].decode(), match[2].decode()) if match else None


def _first(sound: re.Pattern[bytes], name: bytes, headers: Iterable[Pair]) -> re.Match[bytes] | None:
    matches = (sound.fullmatch(value) for each, value in headers if each == name)
    return next(filter(None, matches), None)


def unbind(tokens: Tokens) -> None:
    """Put structlog's context variables back to what they were.

    :raises ValueError: this is another context than the one they were bound in
    """
    for token in tokens:
        token.var.reset(token)


def echo(message: Message, request_id: str) -> Message:
    """Return the start of a response with the request's id in its headers, and any other message as it is."""
    if message["type"] != "http.response.start":
        return message
    headers = [pair for pair in message.get("headers", ()) if bytes(pair[0]).lower() != b"x-request-id"]
    return {**message, "headers": [*headers, (b"x-request-id", request_id.encode())]}
