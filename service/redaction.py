"""What must never be seen again: the one gate that captured exchanges go through before anyone reads them."""

from collections.abc import Callable, Iterable
from typing import Final

from reqscope.bus.event import Headers

from .redaction_bodies import Bodies, readable
from .redaction_headers import cookies, credentials, set_cookie
from .redaction_masks import MASK as MASK
from .redaction_masks import Edit, edited, mask
from .redaction_names import SENSITIVE as SENSITIVE
from .redaction_names import Names
from .redaction_shapes import Shapes

_SHORTEST_SECRET: Final = 5


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
        self._harmless = _Harmless()

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
        return query if self._off or not query else edited(query, self._shapes.form(query))

    def path(self, path: str) -> str:
        """Return the same path, without what looks like a secret or is a sensitive matrix parameter: `;token=x`."""
        if self._off or len(path) < _SHORTEST_SECRET:
            return path
        return _redacted(path, self._shapes.path)

    def text(self, text: str) -> str:
        """Return the same text, such as a log line or a traceback, what is secret in it masked.

        Names are found as they are usually written: `name=value`, `name: value`, `"name": value`.
        """
        return text if self._off else _redacted(text, self._shapes.text)

    def body(self, body: bytes, content_type: bytes, *, complete: bool = True) -> bytes:
        """Return the same body, what is secret in it masked; JSON is still JSON.

        What the body is shows when one looks at it; the content type helps. Of what is not readable nothing changes
        but what looks like a secret. The body must not be compressed.

        :param complete: whether nothing is missing at its end; where something is, the start of a secret counts
        """
        return body if self._off or not body else self._bodies.redact(body, content_type, cut=not complete)

    def mask(self, secret: bytes) -> bytes:
        """Return what takes the place of a secret: `[redacted]#1f3a9c`.

        Equal secrets have equal masks in this process. Nobody can find out what was masked by trying likely secrets.
        """
        return mask(secret)

    def readable(self, body: bytes, content_type: bytes) -> bool:
        """Return whether `body` can look inside: it is text of any kind."""
        return readable(body, content_type)

    def _header(self, name: bytes, value: bytes) -> bytes:
        redacted = self._named(name, value) if self._names[name] else self._unnamed(name, value)
        if redacted == value:
            self._harmless.remember(name, value)
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
        return edited(value, self._shapes.text(value))


class _Harmless(set[tuple[bytes, bytes]]):
    """Headers that need no masking. Most come again and again, and are then known at a glance."""

    _BOUND = 4096  # they come from clients
    _LONGEST = 256

    def remember(self, name: bytes, value: bytes) -> None:
        if len(name) + len(value) <= self._LONGEST:
            if len(self) >= self._BOUND:
                self.clear()  # a client that fills it does not keep it from working again
            self.add((name, value))


def _every(_: bytes) -> bool:
    return True


def _redacted(text: str, find: Callable[[bytes], list[Edit]]) -> str:
    data = text.encode("utf-8", "surrogatepass")
    edits = find(data)
    return edited(data, edits).decode("utf-8", "surrogatepass") if edits else text
