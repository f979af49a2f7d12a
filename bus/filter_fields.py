"""The fields that a filter can look at."""

from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from operator import attrgetter
from typing import Final

from .event import Body, Event
from .filter_address import Address
from .filter_kinds import Cost, Field, Number, Predicate, Text, Texts, shortened
from .filter_numbers import count, duration, moment, plain_seconds, plain_status, size, status, status_bound
from .filter_tree import FIELD, FilterError, Term
from .schema import header, level

_BETWEEN: Final = "\0"
"""Between two texts that are searched as one."""


def _route(event: Event) -> str:
    # A sealed record's route and error are what a program wrote there: masking them is part of opening it.
    return (event.open() if event.kind == "record" and event.route else event).route or ""


def _error(event: Event) -> str:
    return (event.open() if event.kind == "record" and event.error else event).error or ""


def _query(event: Event) -> str:
    return event.open().query.decode("latin-1")


def _host(event: Event) -> str:
    return header(event.open().request_headers, b"host")


def _user_agent(event: Event) -> str:
    return header(event.open().request_headers, b"user-agent")


def _bodies(event: Event) -> list[str]:
    event.open()
    return [*_text(event.request_body), *_text(event.response_body), *_text(event.body)]


def _text(body: Body | bytes | None) -> list[str]:
    data = body.data if isinstance(body, Body) else body
    return [data.decode("utf-8", "replace")] if data else []


def _logs(event: Event) -> list[str]:
    return [line.message for line in event.open().logs]


FIELDS: Final[tuple[Field, ...]] = (
    Number(
        "status",
        "status:5xx",
        "status, class or range of statuses: 404, 4xx, 400-451; 0 where none is known",
        attrgetter("status"),
        status,
        "a status such as 404 or 5xx",
        bound=status_bound,
        least=1,
        plain=plain_status,
        choices=("2xx", "3xx", "4xx", "5xx", "400", "401", "403", "404", "422", "429", "499", "500", "502", "503"),
        operators=(":", ">=", "<=", ">", "<"),
    ),
    Text(
        "method",
        "method:POST,PUT",
        "HTTP method",
        attrgetter("method"),
        choices=("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"),
    ),
    Text(
        "path",
        "path:/api/*",
        "path without the query",
        lambda event: event.open().path,
        Cost.OPENS,
        fold=False,
        present=lambda event: True,
    ),
    Text(
        "route",
        'route:"/items/{id}"',
        "route template",
        _route,
        fold=False,
        present=lambda event: bool(event.route),
    ),
    Text("query", "query:*page=2*", "query string, as it was sent", _query, Cost.OPENS, fold=False),
    Text("host", "host:api.example.com", "host that was asked for, with its port", _host, Cost.OPENS),
    Address("client", "client:10.0.0.0/8", "address of the peer, or a network of peers", attrgetter("client")),
    Text("service", "service:shop", "service that an exporter named", attrgetter("service")),
    Text(
        "kind",
        "kind:websocket",
        "how it came in",
        attrgetter("kind"),
        choices=("request", "websocket", "log", "record"),
        closed=True,
    ),
    Text(
        "error",
        "error:*",
        "type of the exception, or client_disconnected; * for any",
        _error,
        present=lambda event: bool(event.error),
    ),
    Text(
        "stub",
        'stub:"pay"',
        "name of the stub that answered, where a mock did; * for any",
        lambda event: event.stub or "",
        fold=False,
        present=lambda event: bool(event.stub),
    ),
    Text(
        "level",
        "level:error",
        "error for what failed here, warning for what the client did wrong, info for the rest",
        level,
        choices=("info", "warning", "error"),
        closed=True,
    ),
    Number(
        "dur",
        "dur>250ms",
        "time until the last byte of the response: us, ms, s, m, h",
        attrgetter("total"),
        duration,
        "a duration such as 250ms or 1.5s",
        plain=plain_seconds,
    ),
    Number(
        "ttfb",
        "ttfb>100ms",
        "time until the first byte of the response",
        attrgetter("ttfb"),
        duration,
        "a duration such as 250ms or 1.5s",
        plain=plain_seconds,
    ),
    Number(
        "size",
        "size>1MB",
        "bytes of the response body: B, kB (1000), KiB (1024), MB, MiB, GB, GiB",
        attrgetter("response_size"),
        size,
        "a size such as 512, 10kB or 1.5MiB",
    ),
    Number(
        "reqsize",
        "reqsize>64KiB",
        "bytes of the request body",
        attrgetter("request_size"),
        size,
        "a size such as 512, 10kB or 1.5MiB",
    ),
    Texts("body", 'body~"out of stock"', "text of any captured or ingested body", _bodies, fold=False),
    Texts(
        "reqbody",
        'reqbody~"card"',
        "text of the captured request body",
        lambda event: _text(event.open().request_body),
        fold=False,
    ),
    Texts(
        "resbody",
        'resbody~"detail"',
        "text of the captured response body",
        lambda event: _text(event.open().response_body),
        fold=False,
    ),
    Texts("log", "log~timeout", "a line that the application logged meanwhile", _logs),
    Text("trace", "trace:4bf92f35*", "trace id", lambda event: event.open().trace_id, Cost.OPENS),
    Text("request_id", "request_id:7f3a*", "request id; also `id`", lambda event: event.open().request_id, Cost.OPENS),
    Text("ua", "ua~curl", "user agent", _user_agent, Cost.OPENS),
    Number(
        "time",
        "time:2026-11-21T10:00:00Z..2026-11-21T10:05:00Z",
        "when it began, in UTC unless it says otherwise; a date alone is the whole day",
        attrgetter("time"),
        moment,
        "a time such as 2026-11-21T10:00:00Z",
        dash=False,
    ),
    Text(
        "replay",
        "replay:*",
        "event that it is a replay of; * for any replay",
        attrgetter("replay_of"),
        fold=False,
    ),
    Text("worker", "worker:web-1*", "process that captured it", attrgetter("worker"), fold=False),
    Number("seq", "seq:100..200", "number in the ring", attrgetter("seq"), count, "a number such as 1200"),
)
"""All there are, but for those of headers, in the order in which helps show them."""

HEADER: Final = Texts(
    "header.NAME",
    "header.x-tenant:acme",
    "header of the request or the response; * for any value",
    lambda event: (),
    Cost.OPENS,
    operators=(":", "~"),
)
"""What stands for the fields of headers in helps."""

ALIASES: Final = {"id": "request_id"}
PREFIX: Final = "header."

_BY_NAME: Final = {field.name: field for field in FIELDS}


def find(name: str, position: int = 0) -> Field:
    """Return the field that is called `name`.

    :param position: where the name stands, for the error
    :raises FilterError: there is none
    """
    if name.startswith(PREFIX) and FIELD.fullmatch(f"{name}:") and name != PREFIX:
        return _header(name)
    field = _BY_NAME.get(ALIASES.get(name, name))
    if field is None:
        raise FilterError(_instead(name), position)
    return field


def bare(term: Term) -> Predicate:
    """Return whether a word is anywhere in what is known of an event as text, in any case."""
    needle = term.values[0].text.casefold()

    def passes(event: Event) -> bool:
        # One text of all the short ones: most words are not in them, and this finds out at once.
        return needle in _BETWEEN.join(_brief(event.open())).casefold() or any(
            needle in text.casefold() for text in _lengthy(event)
        )

    return passes


def _brief(event: Event) -> tuple[str, ...]:
    query = event.query.decode("latin-1")
    return event.method, event.path, query, event.route or "", event.error or "", event.client


def _lengthy(event: Event) -> Iterator[str]:
    if event.failure is not None:
        yield event.failure.message
    for body in (event.request_body, event.response_body, event.body):
        yield from _text(body)
    for line in event.logs:
        yield line.message


def _header(name: str) -> Texts:
    key = name.removeprefix(PREFIX).encode()
    length = len(key)

    def values(event: Event) -> list[str]:
        event.open()
        pairs = (*event.request_headers, *event.response_headers)
        return [value.decode("latin-1") for found, value in pairs if len(found) == length and found.lower() == key]

    return replace(HEADER, name=name, get=values)


def _instead(name: str) -> str:
    names = [*_BY_NAME, *ALIASES, HEADER.name]
    near = get_close_matches(name[:40], names, n=3)
    instead = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}."
    return f"there is no field {shortened(name)}; {instead} To look for it as text, put it in quotes"
