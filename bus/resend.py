"""What of a captured request can be sent again, and what a client needs not be told."""

import re
from typing import Final
from urllib.parse import quote

from .event import Event, Headers
from .quoting import Secrets, Text
from .schema import header

LONGEST_BODY: Final = 256 << 10
"""Bytes of body in a command or a form. Nobody pastes more, and quoting it would take the event loop's time."""

_BASE: Final = re.compile(
    r"(?P<origin>(?P<scheme>https?)://(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?)"
    r"(?P<prefix>(?:/[A-Za-z0-9._~%/-]*)?)"
)
_PORTS: Final = {"http": ":80", "https": ":443"}
_METHOD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NAME: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_VALUE: Final = re.compile(rb"[\t -~\x80-\xff]*")
_WORD: Final = re.compile(rb"[a-z0-9-]{1,40}")
_MASK: Final = re.compile(r"(\[redacted\]#[0-9a-f]{6})")
_NEVER_SENT: Final = re.compile(rb"[\0- \x7f]")
_WIDE_MASK: Final = re.compile(rb"\[\0{1,3}r\0{1,3}e\0{1,3}d\0{1,3}a\0{1,3}c\0{1,3}t\0{1,3}e\0{1,3}d\0{1,3}\]")
_PATH_SAFE: Final = "/!$&'()*+,;=:@~"
_INFLATED: Final = frozenset([b"gzip", b"x-gzip", b"deflate"])
_BETWEEN_HOPS: Final = frozenset(
    [b"connection", b"content-length", b"expect", b"keep-alive", b"proxy-connection", b"transfer-encoding"]
)
"""Headers that are between a client and the next server. Each client makes its own."""


class CannotCopyError(ValueError):
    """No command would send what was captured. The message says why, in one sentence."""


class Resend:
    """A request to be sent again.

    :param base_url: where to: `http` or `https`, a host, maybe a port, maybe a path to come before the request's
    :raises CannotCopyError: the event is no request, or `base_url` is no such address
    """

    def __init__(self, event: Event, base_url: str) -> None:
        base = _BASE.fullmatch(base_url)
        if base is None:
            raise CannotCopyError("base_url is not the address of a server, such as http://127.0.0.1:8000")
        if event.kind not in ("request", "log"):
            raise CannotCopyError(f"a {event.kind} is nothing that a command could send again")
        if not _METHOD.fullmatch(event.method):
            raise CannotCopyError("the method is not one that a client can send")
        self.secrets = Secrets()
        self.notes: list[str] = []
        """What is not sent as it was, in sentences of letters, digits and harmless marks."""
        self.missing = ""
        """Why the body is None although the request had one."""
        self.method = event.method
        self.origin = base["origin"]
        self.body = self._body(event)
        """None where there is none, or none that could be sent."""
        self.headers = self._headers(event.request_headers, base)
        """Without those that each client makes for itself."""
        self.empty = self.body is None and header(event.request_headers, b"content-length").strip() == "0"
        """Whether the request said that its body has no bytes."""
        self.path = self._path(event.path, base["prefix"].rstrip("/"))
        self.query = self.secrets.split(_NEVER_SENT.sub(_percent, event.query), "the query")

    @property
    def target(self) -> Text:
        """The path and the query, as they stand in the first line of a request."""
        return [*self.path, b"?", *self.query] if self.query else self.path

    def has(self, name: str) -> bool:
        """Return whether such a header is to be sent."""
        return any(name.encode() == sent for sent, _ in self.headers)

    def comments(self) -> list[str]:
        """Return what to know before this is run, as comments of bash, zsh and Python.

        Nothing in them comes from the request but names of headers that are plain words: an interactive zsh takes
        comments for commands, unless it is told otherwise.
        """
        return [f"# {sentence}" for sentence in [*self.secrets.told(), *self.notes]]

    def _path(self, path: str, prefix: str) -> Text:
        if path == "[withheld]":
            self.notes.append("The path could not be made safe to show, so this one is not right.")
        # Masks keep their brackets until they are variables.
        pieces = [piece if index % 2 else quoted(piece) for index, piece in enumerate(_MASK.split(path or "/"))]
        before = prefix if pieces[0].startswith("/") else ""
        return self.secrets.split((before + "".join(pieces)).encode(), "the path")

    def _headers(self, captured: Headers, base: re.Match[str]) -> list[tuple[bytes, Text]]:
        kept = [(name.lower(), value.strip(b" \t")) for name, value in captured if name.lower() not in _BETWEEN_HOPS]
        known = _host(base["origin"].partition("//")[2].encode(), base["scheme"])
        hosts = [value for name, value in kept if name == b"host"]
        if hosts and _host(hosts[0], base["scheme"]) == known:
            kept = [(name, value) for name, value in kept if name != b"host"]
        if self._inflated:
            kept = [(name, value) for name, value in kept if name != b"content-encoding"]
        sound = [(name, value) for name, value in kept if _NAME.fullmatch(name) and _VALUE.fullmatch(value)]
        if len(sound) < len(kept):
            self.left_out(len(kept) - len(sound), "no client can send")
        return [(name, self.secrets.split(value, _place(name))) for name, value in sound]

    def left_out(self, headers: int, reason: str) -> None:
        """Note that so many headers are missing."""
        self.notes.append(f"Left out: {headers} {'header' if headers == 1 else 'headers'} that {reason}.")

    def _body(self, event: Event) -> Text | None:
        """Return the body if it was captured whole, and note why not otherwise."""
        self._inflated = False
        declared = header(event.request_headers, b"content-length")
        size = max(event.request_size, int(declared) if _LENGTH.fullmatch(declared) else 0)
        if event.body:
            return self._masked(event.body)
        body = event.request_body
        if body is None or not size:
            return self._missing(f"The body of {size} bytes was not captured") if size else None
        if body.withheld is not None:
            return self._missing("The body was withheld, as it could not be made safe to show")
        if body.captured < size:
            return self._missing(f"Only {body.captured} of {size} bytes of the body were captured")
        if not body.complete:
            return self._missing("The end of the body did not fit into what is kept of one")
        encoding = header(event.request_headers, b"content-encoding").strip().lower().encode()
        # What cannot be inflated is kept as it is.
        if encoding in _INFLATED and len(body.data) != body.captured and not body.data.startswith(b"\x1f\x8b"):
            self._inflated = True
            self.notes.append("The body was sent compressed. Here it is as it was captured, unpacked.")
        return self._masked(body.data)

    def _masked(self, data: bytes) -> Text | None:
        if len(data) > LONGEST_BODY:
            return self._missing(f"The body of {len(data)} bytes is too long to be sent from here")
        if _WIDE_MASK.search(data):
            return self._missing("The body holds masked secrets in UTF-16 or UTF-32")
        return self.secrets.split(data, "the body")

    def _missing(self, reason: str) -> Text | None:
        self.missing = reason
        self.notes.append(f"{reason}: it is left out.")
        return None


def percent_encoded(text: Text, characters: re.Pattern[bytes]) -> Text:
    """Return the text with these bytes of it percent-encoded."""
    return [piece if isinstance(piece, str) else characters.sub(_percent, piece) for piece in text]


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def quoted(path: str) -> str:
    """Return a decoded path percent-encoded, which in UTF-8 it is unless a server could not decode it."""
    try:
        return quote(path.encode("utf-8", "surrogateescape"), _PATH_SAFE)
    except UnicodeEncodeError:
        return quote(path.encode("utf-8", "surrogatepass"), _PATH_SAFE)


def _host(host: bytes, scheme: str) -> bytes:
    return host.lower().removesuffix(_PORTS[scheme].encode())


def _place(name: bytes) -> str:
    return f"header {name.decode()}" if _WORD.fullmatch(name) else "a header"
