"""What a stub says: which requests it answers, and how. One description for files, the API and the JSON Schema."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from reqscope.bus.filter_numbers import duration

from .paths import is_reserved, normalised
from .template import Template

MAX_ANSWER: Final = 1 << 20
"""Bytes of an answer's body."""
MAX_DELAY: Final = 30.0
"""Seconds that an answer may be held back."""
_MAX_HEADERS: Final = 16 << 10
_MAX_PATTERN: Final = 1_000

Scalar: TypeAlias = str | int | float | bool
Fault: TypeAlias = Literal["truncated", "reset", "empty"]
"""`truncated` announces more than it sends, `reset` ends the connection by a reset, `empty` closes it unanswered."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS: Final = frozenset(("content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer"))
"""Headers that say how the answer is sent, which is for the server to say."""


class _Part(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class TextRule(_Part):
    """What a text must be like. All that is given must hold."""

    equals: Scalar | None = None
    contains: str | None = None
    regex: str | None = None
    """The whole text, in RE2's syntax, which takes time in proportion to the text whatever the pattern."""
    ignore_case: bool = False
    absent: bool = False

    def __post_init__(self) -> None:
        if self.absent and any(each is not None for each in (self.equals, self.contains, self.regex)):
            raise ValueError("absent stands alone")


class JsonRule(_Part):
    """What one value at a JSONPath must be like. All that is given must hold; without any, it must be there."""

    equals: Any = UNSET
    regex: str | None = None
    above: float | None = None
    below: float | None = None
    absent: bool = False


class StubRequest(_Part, rename={"json_body": "json"}):
    """Which requests a stub answers. What is left out may be anything."""

    method: str | list[str] = []
    path: str | None = None
    """Exact, or a template such as /pay/{id}; {rest:path} takes what is left, slashes too."""
    path_regex: str | None = None
    query: dict[str, Scalar | TextRule] = {}
    headers: dict[str, Scalar | TextRule] = {}
    form: dict[str, Scalar | TextRule] = {}
    json_body: Any = UNSET
    """What the JSON body must hold; it may hold more keys."""
    json_equals: Any = UNSET
    """What the JSON body must be, no more and no less."""
    json_path: dict[str, Scalar | JsonRule] = {}
    """RFC 9535 paths, and what a value there must be like."""
    body: Scalar | TextRule | None = None

    def __post_init__(self) -> None:
        methods = [self.method] if isinstance(self.method, str) else self.method
        self.method = [each.upper() for each in methods if each not in ("", "*", "ANY")]
        for method in self.method:
            if not _TOKEN.fullmatch(method):
                raise ValueError(f"{method!r} is not an HTTP method")
        if self.path is not None and self.path_regex is not None:
            raise ValueError("path and path_regex exclude each other")
        if self.path is not None:
            if not self.path.startswith("/"):
                raise ValueError(f"a path begins with a slash, unlike {self.path!r}")
            if "?" in self.path:
                raise ValueError("a path has no query: put that under query")
            self.path = normalised(self.path)
            if is_reserved(self.path):
                raise ValueError(f"{self.path} is Reqscope's own and never reaches a stub")


class Uniform(_Part):
    """A delay between two."""

    low: Scalar
    high: Scalar

    def __post_init__(self) -> None:
        if seconds(self.low) > seconds(self.high):
            raise ValueError("low is more than high")


class Lognormal(_Part):
    """A delay with a long tail, as networks have it. Cut at 30 s."""

    median: Scalar
    sigma: float = 0.5

    def __post_init__(self) -> None:
        seconds(self.median)
        if not 0 <= self.sigma <= 3:
            raise ValueError("sigma is from 0 to 3")


class Delay(_Part):
    """How long to wait before the answer: one of these."""

    fixed: Scalar | None = None
    uniform: Uniform | None = None
    lognormal: Lognormal | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.fixed, self.uniform, self.lognormal)) != 1:
            raise ValueError("a delay is one of fixed, uniform and lognormal")
        if self.fixed is not None:
            seconds(self.fixed)


class Dribble(_Part):
    """The body in pieces, spread over a time."""

    chunks: int
    over: Scalar

    def __post_init__(self) -> None:
        seconds(self.over)
        if not 1 <= self.chunks <= 1_000:
            raise ValueError("chunks are from 1 to 1000")


class StubResponse(_Part, rename={"json_body": "json"}):
    """An answer. Its body is one of json, body, base64 and file."""

    status: int = 200
    headers: dict[str, Scalar | list[str]] = {}
    body: str | None = None
    json_body: Any = UNSET
    base64: str | None = None
    file: str | None = None
    """Relative to the file that the stub stands in, and within the folder of the stubs."""
    template: bool = True
    """Whether {{request.path.id}} and the like are replaced."""
    delay: Scalar | Delay | None = None
    dribble: Dribble | None = None
    fault: Fault | None = None

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError(f"a status is from 200 to 599, not {self.status}")
        bodies = (self.body is not None, self.json_body is not UNSET, self.base64 is not None, self.file is not None)
        if sum(bodies) > 1:
            raise ValueError("the body is one of json, body, base64 and file")
        if any(bodies) and self.status in (204, 304):
            raise ValueError(f"an answer of {self.status} has no body")
        if self.delay is not None and not isinstance(self.delay, Delay):
            seconds(self.delay)
        self._check_headers()
        self._check_size()

    def _check_headers(self) -> None:
        size = 0
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header")
            if name.lower() in _OURS:
                raise ValueError(f"{name} is set by the server, so leave it out")
            for each in value if isinstance(value, list) else [text_of(value)]:
                if _CONTROLS.search(each):
                    raise ValueError(f"the value of {name} holds a line break or another control character")
                if not each.isascii() and not _is_latin(each):
                    raise ValueError(f"the value of {name} is not Latin-1")
                if name.lower() == "set-cookie" and _touches_the_panel(each):
                    raise ValueError(
                        "cookies know no ports: this one could be taken for the panel's, so call it otherwise"
                    )
                if self.template:
                    Template(each)
                size += len(name) + len(each)
        if size > _MAX_HEADERS:
            raise ValueError(f"the headers are larger than {_MAX_HEADERS} bytes")

    def _check_size(self) -> None:
        if self.base64 is not None:
            try:
                size = len(b64decode(self.base64, validate=True))
            except Base64Error:
                raise ValueError("base64 is not Base64") from None
        elif self.body is not None:
            size = len(self.body.encode("utf-8", "surrogatepass"))
        else:
            size = 0 if self.json_body is UNSET else len(msgspec.json.encode(self.json_body))
        if size > MAX_ANSWER:
            raise ValueError(f"the body is larger than {MAX_ANSWER} bytes")


class State(_Part, rename={"is_": "is"}):
    """A stub that answers only in one state of something, and what state that is in then. All begin as `started`."""

    of: str
    is_: str | None = None
    becomes: str | None = None


class Limit(_Part):
    """How many requests a stub takes in a time. More get 429 with Retry-After."""

    requests: int
    per: Scalar

    def __post_init__(self) -> None:
        if self.requests < 1 or seconds(self.per, most=3_600) <= 0:
            raise ValueError("a limit is of at least one request, in a time of up to an hour")


class Errors(_Part):
    """A share of the answers that is an error instead."""

    share: float
    status: int = 500
    fault: Fault | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError("a share is from 0 to 1")
        if not 400 <= self.status <= 599:
            raise ValueError("the status of an error is from 400 to 599")


class Stub(_Part):
    """Requests, and what they are answered with."""

    name: str = ""
    """What events and the panel call it; made from method and path where it is left out."""
    priority: int = 5
    """Where several would answer, the one with the lowest number does; among equals, the first of the file."""
    enabled: bool = True
    request: StubRequest = msgspec.field(default_factory=StubRequest)
    response: StubResponse | UnsetType = UNSET
    responses: list[StubResponse] | UnsetType = UNSET
    """Given in turn."""
    at_end: Literal["last", "repeat", "unmatched"] = "last"
    """When all responses were given: the last again, all of them again, or the stub answers no more."""
    state: State | UnsetType = UNSET
    limit: Limit | UnsetType = UNSET
    errors: Errors | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.response is not UNSET and self.responses is not UNSET:
            raise ValueError("response and responses exclude each other")
        if self.responses is not UNSET and not self.responses:
            raise ValueError("responses holds none")
        if len(self.name) > 200 or _CONTROLS.search(self.name):
            raise ValueError("a name is one line of up to 200 characters")
        if not self.name:
            methods = ",".join(self.request.method) or "ANY"
            self.name = f"{methods} {self.request.path or self.request.path_regex or '/*'}"[:200]

    @property
    def answers(self) -> list[StubResponse]:
        """The responses, one at least."""
        if self.responses is not UNSET:
            return self.responses
        return [StubResponse() if self.response is UNSET else self.response]


class StubFile(_Part, rename={"schema": "$schema"}):
    """A file of stubs."""

    stubs: list[Stub]
    schema: str | UnsetType = UNSET


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file of stubs, for editors to complete and check by."""
    schema = msgspec.json.schema(StubFile)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Reqscope stubs", **schema}


def seconds(value: Scalar, most: float = MAX_DELAY) -> float:
    """Return seconds, from a number of them or a text such as `250ms`.

    :raises ValueError: it is neither, or out of range
    """
    interval = duration(value) if isinstance(value, str) else None
    if isinstance(value, bool) or (isinstance(value, str) and interval is None):
        raise ValueError(f"{value!r} is not a time such as 250ms, 1.5s or 2")
    amount = (interval[0] + interval[1]) / 2 if interval is not None else float(value)
    if not 0 <= amount <= most:
        raise ValueError(f"a time here is from 0 to {most:g} s, not {amount:g}")
    return amount


def text_of(value: Scalar) -> str:
    """Return how a request would write this value: YAML reads `2` and `true` as a number and a truth value."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def checked_pattern(pattern: str) -> str:
    """Return the pattern, if it is short enough.

    :raises ValueError: it is too long
    """
    if len(pattern) > _MAX_PATTERN:
        raise ValueError(f"a pattern has up to {_MAX_PATTERN} characters")
    return pattern


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _touches_the_panel(cookie: str) -> bool:
    name = cookie.partition("=")[0].strip().lower()
    return "{{" in name or name.startswith(("reqscope", "__host-reqscope", "__secure-reqscope"))
