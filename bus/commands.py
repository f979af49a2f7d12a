"""A captured request as a command: for curl or HTTPie in bash or zsh, or for httpx in Python.

The command sends what was captured, byte for byte: method, path, query, headers and body. Captured text is quoted so
that no shell, no client and no Python takes it for anything but data. Each masked secret is a variable, to be set
before. What cannot be sent as it was is said in comments above the command.

Of the path only the decoded form is captured; it is encoded anew. Headers that are between a client and the next
server, such as `Content-Length`, and `Host` where the address says it, are left to the client.
"""

import re
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from .event import Event
from .quoting import Text, literal, printf, python, shell
from .resend import CannotCopyError as CannotCopyError
from .resend import Resend, percent_encoded
from .schema import header

Client: TypeAlias = Literal["curl", "httpie", "httpx"]

_LONGEST_ARGUMENT: Final = 30_000
"""Linux takes 131071 bytes, and a quoted byte may take four."""
_WAITS: Final = 1024
"""Bytes of body from which on some curls ask for a `100 Continue` and wait for it."""
_URL: Final = re.compile(rb'[!"$-~]*')
_RAW: Final = re.compile(rb"[^!-~]")
_NO_QUERY: Final = re.compile(rb"[^!-~]|#|%(?![0-9A-Fa-f]{2})")
"""What HTTPie would take for the end of the query, or for a reason to encode every `%` once more."""
_UNTOUCHED: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_DOTS: Final = re.compile(rb"//|/\.\.?(?:[/?]|\Z)")
_LAST_SEMICOLON: Final = re.compile(rb";\Z")
"""HTTPie loses it."""
_RESPELT: Final = re.compile(rb"%(?:[0-9][a-f]|[a-f]|2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)")
"""Escapes in small letters, and of letters, digits and `-._~`, which need none."""
_LETTERS: Final = re.compile(r"[A-Z]+")
_LOST: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\[:;=@]")
"""A backslash that HTTPie takes for an escape, however it is written."""


def curl(event: Event, base_url: str) -> str:
    """Return a command for bash and zsh that sends the request of an opened event with curl 7.55 or later.

    :raises CannotCopyError: the event is no request, or `base_url` no address
    """
    request = Resend(event, base_url)
    pipe, body = _curl_body(request.body)
    words = [*_curl_method(request), *_curl_target(request)]
    words += [f"-H {shell(_field(name, value))}" for name, value in request.headers]
    words += [f"-H {name}:" for name in _unset(request, "user-agent", "accept")]
    if request.empty:
        words.append("-H 'content-length: 0'")
    if request.has("accept-encoding"):
        words.append("--compressed")
    return _command(request, pipe + "curl -q --globoff --path-as-is", [*words, *body])


def httpie(event: Event, base_url: str) -> str:
    """Return a command for bash and zsh that sends the request of an opened event with HTTPie 3.

    HTTPie spells some queries in its own way, which a comment then says.

    :raises CannotCopyError: the event is no request, or one that HTTPie cannot send, or `base_url` no address
    """
    request = Resend(event, base_url)
    if not _LETTERS.fullmatch(request.method) or not event.path.startswith("/"):
        raise CannotCopyError("HTTPie sends methods of capital letters, and paths that begin with a slash")
    if not all(isinstance(piece, str) or _httpie_keeps(piece) for piece in request.query):
        request.notes.append("HTTPie spells this query in its own way. curl sends it as it was.")
        request.query = percent_encoded(request.query, _NO_QUERY)
    request.path = percent_encoded(request.path, _LAST_SEMICOLON)
    sound = [(name, value) for name, value in request.headers if _httpie_sends(value)]
    if len(sound) < len(request.headers):
        request.left_out(len(request.headers) - len(sound), "HTTPie cannot send")
        request.headers = sound
    words = [f"{request.method} {shell([request.origin.encode(), *request.target])}"]
    words += [shell(_field(name, value)) for name, value in request.headers]
    words += [f"{name}:" for name in _unset(request, "user-agent", "accept", "accept-encoding")]
    program = "http --ignore-netrc --path-as-is"
    if request.body is None:
        return _command(request, f"{program} --ignore-stdin", words)
    return _command(request, f"{printf(request.body)} | {program}", words)


def httpx(event: Event, base_url: str) -> str:
    """Return a program for Python that sends the request of an opened event with httpx 0.28.

    :raises CannotCopyError: the event is no request, or `base_url` no address
    """
    request = Resend(event, base_url)
    encoded = percent_encoded(request.query, _RAW)
    if encoded != request.query:
        request.notes.append("httpx sends parts of this query percent-encoded. curl sends it as it was.")
        request.query = encoded
    names = request.secrets.names
    lines = [*request.comments(), *(["import os", ""] if names else []), "import httpx", ""]
    lines += [f'{name} = os.environ["{name}"].encode(errors="surrogateescape")' for name in names]
    lines += ["request = httpx.Request(", *(f"    {argument}," for argument in _httpx_arguments(request)), ")"]
    if request.method != request.method.upper():
        lines.append(f"request.method = {request.method!r}")
    lines += ["with httpx.Client() as client:", "    print(client.send(request).text)"]
    return "\n".join(lines) + "\n"


CLIENTS: Final[dict[str, Callable[[Event, str], str]]] = {"curl": curl, "httpie": httpie, "httpx": httpx}


def command(event: Event, client: str, base_url: str = "") -> str:
    """Return a command that sends the request of an opened event with `client`, one of `CLIENTS`.

    :param base_url: where to; without it, where the request came to
    :raises CannotCopyError: no command would send it
    :raises KeyError: there is no such client
    """
    came_to = f"{event.scheme or 'http'}://{header(event.request_headers, b'host')}"
    return CLIENTS[client](event, base_url or came_to)


def _command(request: Resend, start: str, words: list[str]) -> str:
    return "\n".join([*request.comments(), " \\\n  ".join([start, *words])]) + "\n"


def _field(name: bytes, value: Text) -> Text:
    """Return a header as both curl and HTTPie read it. The space keeps `:@` and `:=` from meaning something."""
    return [name + b": ", *value] if value else [name + b";"]


def _unset(request: Resend, *names: str) -> list[str]:
    """Return the headers that the client would send by itself and the captured request did not have."""
    own = [*names, "content-type"] if request.body is not None else names
    return [name for name in own if not request.has(name)]


def _curl_method(request: Resend) -> list[str]:
    if request.body is None and request.method in ("GET", "HEAD"):
        return ["--head"] if request.method == "HEAD" else []
    method = [f"-X {shell([request.method.encode()])}"]
    # curl would wait for the body that an answer to HEAD does not have.
    return [*method, "--max-time 5"] if request.method == "HEAD" else method


def _curl_target(request: Resend) -> list[str]:
    target, origin = request.target, request.origin.encode()
    in_url = all(isinstance(piece, str) or _URL.fullmatch(piece) for piece in target)
    if in_url and isinstance(target[0], bytes) and target[0].startswith(b"/"):
        return [shell([origin, *target])]
    return [f"--request-target {shell(target)}", shell([origin, b"/"])]


def _curl_body(body: Text | None) -> tuple[str, list[str]]:
    """Return what comes before curl, and the options for the body."""
    if body is None:
        return "", []
    known = literal(body)
    plain = not body or (isinstance(body[0], bytes) and not body[0].startswith(b"@"))
    expect = ["-H expect:"] if len(known) > _WAITS else []
    if plain and b"\0" not in known and len(known) <= _LONGEST_ARGUMENT:
        return "", [*expect, f"--data-binary {shell(body)}"]
    return f"{printf(body)} | ", [*expect, "--data-binary @-"]


def _httpie_keeps(query: bytes) -> bool:
    return _UNTOUCHED.fullmatch(query) is not None and not _RESPELT.search(query)


def _httpie_sends(value: Text) -> bool:
    """Return whether HTTPie leaves a header as it is: it is UTF-8, and nothing in it looks like blanks or escapes."""
    data = b"".join(piece if isinstance(piece, bytes) else b"x" for piece in value)
    try:
        blank = data.decode().strip().encode() != data
    except UnicodeDecodeError:
        return False
    return not blank and not _LOST.search(data)


def _httpx_arguments(request: Resend) -> list[str]:
    origin, target = request.origin, request.target
    extensions: list[str] = []
    plain = literal(target)
    usual = plain.startswith(b"/") and _UNTOUCHED.fullmatch(plain) and not _DOTS.search(plain)
    if usual and all(isinstance(piece, bytes) for piece in target):
        origin += plain.decode()
    else:
        extensions = [f'extensions={{"target": {python(target)}}}']
    headers = "".join(f"        ({name!r}, {python(value)}),\n" for name, value in request.headers)
    body = [] if request.body is None else [f"content={python(request.body)}"]
    return [
        repr(request.method),
        repr(origin),
        *([f"headers=[\n{headers}    ]"] if headers else []),
        *body,
        *extensions,
    ]
