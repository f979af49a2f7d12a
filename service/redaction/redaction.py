"""What must never be seen again: the one gate that captured exchanges go through before anyone reads them."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

from reqscope.bus.event import Headers

from .bodies import Bodies, readable
from .headers import cookies, credentials, set_cookie
from .masks import edited, mask
from .names import SENSITIVE, Names
from .plain import plain
from .shapes import Shapes

T = TypeVar("T")

_SHORTEST_SECRET: Final = 5
_MOST_ROUNDS: Final = 8


class Redaction:
    """Masks secrets by the name they stand under and by their looks.

    A mask says whether two secrets are the same, and nothing else about them. What is masked already stays as it is,
    and so does all that is no secret, byte for byte. Every method may be called from any thread, takes time in
    proportion to what it is given, and raises nothing whatever the client or the application sent. It is not meant
    for the request path.

    :param names: names of headers, cookies, parameters, fields and keys; `Names` says what they cover. None masks
        nothing at all
    :param patterns: whether to mask tokens, keys and card numbers wherever they stand
    """

    def __init__(self, names: Iterable[str] = SENSITIVE, *, patterns: bool = True) -> None:
        self._names = Names(names)
        self._off = self._names.none
        shapes = Shapes(self._names, patterns=patterns)
        self._shapes = shapes
        self._bodies = Bodies(self._names, shapes, patterns=patterns)
        self._harmless: _Harmless[tuple[bytes, bytes]] = _Harmless()
        self._harmless_queries: _Harmless[bytes] = _Harmless()
        self._harmless_paths: _Harmless[str] = _Harmless()

    def headers(self, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Return the same headers in the same order, what is secret in their values masked.

        Of a cookie the name stays, of credentials the scheme.
        """
        if self._off:
            return tuple([(name, value) for name, value in headers])
        harmless = self._harmless
        return tuple(
            [
                pair if (pair := (name, value)) in harmless else (name, self._header(name, value))
                for name, value in headers
            ]
        )

    def query(self, query: bytes) -> bytes:
        """Return the same query string, the values of sensitive parameters masked, and secrets inside other values."""
        if self._off or not query or query in self._harmless_queries:
            return query
        redacted = _settled(query, self._query)
        if redacted == query:
            self._harmless_queries.remember(query, len(query))
        return redacted

    def path(self, path: str) -> str:
        """Return the same path, without what looks like a secret or is a sensitive matrix parameter: `;token=x`."""
        if self._off or len(path) < _SHORTEST_SECRET or path in self._harmless_paths:
            return path
        redacted = _redacted(path, self._path)
        if redacted == path:
            self._harmless_paths.remember(path, len(path))
        return redacted

    def text(self, text: str) -> str:
        """Return the same text, such as a log line or a traceback, what is secret in it masked.

        Names are found as they are usually written: `name=value`, `name: value`, `"name": value`.
        """
        return text if self._off else _redacted(text, self._text)

    def body(self, body: bytes, content_type: bytes, *, complete: bool = True) -> bytes:
        """Return the same body, what is secret in it masked; JSON is still JSON.

        What the body is shows when one looks at it; the content type helps. Of what is not readable nothing changes
        but what looks like a secret. The body must not be compressed.

        :param complete: whether nothing is missing at its end; where something is, the start of a secret counts
        """
        if self._off or not body:
            return body
        return _settled(body, partial(self._bodies.redact, content_type=content_type, cut=not complete))

    def mask(self, secret: bytes) -> bytes:
        """Return what takes the place of a secret: `[redacted]#1f3a9c`.

        Equal secrets have equal masks in this process. Nobody can find out what was masked by trying likely secrets.
        """
        return mask(secret)

    def readable(self, body: bytes, content_type: bytes) -> bool:
        """Return whether `body` can look inside: it is text of any kind."""
        return readable(body, content_type)

    def _header(self, name: bytes, value: bytes) -> bytes:
        if self._names[name]:
            redacted = self._named(name, value)
        else:
            redacted = value if plain(value) else self._unnamed(name, value)
        if redacted == value and not value.isdigit():  # lengths are many, and plain to see
            self._harmless.remember((name, value), len(name) + len(value))
        return redacted

    def _named(self, name: bytes, value: bytes) -> bytes:
        match name.strip().lower():
            case b"cookie":
                return cookies(value, _every)
            case b"set-cookie":
                return set_cookie(value, _every)
            case lower:
                return credentials(lower, value)

    def _unnamed(self, name: bytes, value: bytes) -> bytes:
        """Return the value of a header that is not sensitive itself; a cookie in it may be."""
        if len(value) < _SHORTEST_SECRET:
            return value
        match name.lower():
            case b"cookie":
                value = cookies(value, self._names.__getitem__)
            case b"set-cookie":
                value = set_cookie(value, self._names.__getitem__)
            case _:
                pass
        return _settled(value, self._text)

    def _query(self, query: bytes) -> bytes:
        return edited(query, self._shapes.form(query))

    def _path(self, path: bytes) -> bytes:
        return edited(path, self._shapes.path(path))

    def _text(self, text: bytes) -> bytes:
        return edited(text, self._shapes.text(text))


class _Harmless(set[T]):
    """What needs no masking. Most headers, paths and queries come again and again, and are then known at a glance."""

    _BOUND = 4096  # they come from clients
    _LONGEST = 256

    def remember(self, what: T, size: int) -> None:
        if size <= self._LONGEST:
            if len(self) >= self._BOUND:
                self.clear()  # a client that fills it does not keep it from working again
            self.add(what)


def _every(_: bytes) -> bool:
    return True


def _redacted(text: str, redact: Callable[[bytes], bytes]) -> str:
    data = text.encode("utf-8", "surrogatepass")
    if plain(data):
        return text
    redacted = _settled(data, redact)
    return text if redacted is data else redacted.decode("utf-8", "surrogatepass")


def _settled(data: bytes, redact: Callable[[bytes], bytes]) -> bytes:
    """Redact until nothing changes any more, which is at once where there is nothing to mask.

    What a mask has taken the place of may have kept something else from being seen: a quote, the start of a tag.
    """
    for _ in range(_MOST_ROUNDS):
        before, data = data, redact(data)
        if data == before:
            return before
    return data
