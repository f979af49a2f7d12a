"""Responses of stubs, made ready when they are loaded, so that most cost nothing when they are asked for."""

import math
import random
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from reqscope.bus.event import Headers

from .request import MockRequest
from .stub import MAX_ANSWER, MAX_DELAY, Delay, Fault, Scalar, StubResponse, seconds, text_of
from .template import Template, compiled, fill, quote_for

_JSON: Final = "application/json"
_BREAKS: Final = dict.fromkeys((*range(32), 127), " ")


class Answer(NamedTuple):
    """What goes over the wire, and how."""

    status: int
    headers: Headers
    """Without the length of the body."""
    body: bytes
    delay: float = 0.0
    chunks: int = 1
    over: float = 0.0
    """Seconds that the chunks are spread over."""
    fault: Fault | None = None


class AnswerTooLarge(Exception):
    """A template made more of a request than an answer may be."""


class ReadyResponse:
    """A response of a stub.

    :param root: the folder that its file may be in; without one, it may have none
    :param base: the folder that its file is relative to
    :raises ValueError: it cannot be made ready, saying why
    """

    def __init__(self, response: StubResponse, root: Path | None = None, base: Path | None = None) -> None:
        self.status = response.status
        self.fault: Fault | None = response.fault
        self._delay = delay_of(response.delay)
        self._chunks = response.dribble.chunks if response.dribble else 1
        self._over = seconds(response.dribble.over) if response.dribble else 0.0
        pairs = [(name, text) for name, value in response.headers.items() for text in _texts(value)]
        kind = next((text for name, text in pairs if name.lower() == "content-type"), "")
        self._render, default = _body(response, kind, root, base)
        if default and not kind:
            pairs.append(("content-type", default))
        templates = [(name.lower().encode(), Template(text)) for name, text in pairs if response.template]
        self._templates = [] if all(template.fixed for _, template in templates) else templates
        self._headers: Headers = tuple((name.lower().encode(), text.encode("latin-1")) for name, text in pairs)
        self._fixed: Answer | None = None
        if isinstance(self._render, bytes) and not self._templates and response.delay is None:
            self._fixed = Answer(self.status, self._headers, self._render, 0.0, self._chunks, self._over, self.fault)

    def answer(self, request: MockRequest, count: int) -> Answer:
        """Return the answer to a request, the stub's `count`-th.

        :raises AnswerTooLarge: it would be
        """
        if self._fixed is not None:
            return self._fixed
        headers, render = self._headers, self._render
        if self._templates:
            headers = tuple((name, _header(template, request, count)) for name, template in self._templates)
        body = render if isinstance(render, bytes) else render(request, count)
        if len(body) > MAX_ANSWER:
            raise AnswerTooLarge
        return Answer(self.status, headers, body, self._delay(), self._chunks, self._over, self.fault)


Render = bytes | Callable[[MockRequest, int], bytes]


def _body(response: StubResponse, kind: str, root: Path | None, base: Path | None) -> tuple[Render, str]:
    """Return the body, or what makes it, and the content type it has if the stub names none."""
    if response.file is not None:
        data = _read(response.file, root, base)
        return data, _JSON if response.file.endswith(".json") else "application/octet-stream"
    if response.base64 is not None:
        return b64decode(response.base64), "application/octet-stream"
    if response.json_body is not UNSET:
        content, fixed = compiled(response.json_body) if response.template else (None, True)
        if fixed:
            return msgspec.json.encode(response.json_body), _JSON
        return lambda request, count: msgspec.json.encode(fill(content, _bounded(request), count)), _JSON
    text = response.body or ""
    template = Template(text) if response.template else None
    default = "text/plain; charset=utf-8" if text else ""
    if template is None or template.fixed:
        return text.encode("utf-8", "replace"), default
    quote = quote_for(kind)
    places = len(template.parts) // 2

    def render(request: MockRequest, count: int) -> bytes:
        return template.render(_bounded(request, places), count, quote).encode("utf-8", "replace")

    return render, default


def _bounded(request: MockRequest, places: int = 1) -> MockRequest:
    """Refuse a request that would be repeated into gigabytes, before that is done."""
    if places * (len(request.body) + len(request.path) + len(request.raw_query)) > 64 * MAX_ANSWER:
        raise AnswerTooLarge
    return request


def _header(template: Template, request: MockRequest, count: int) -> bytes:
    # A line break from a request would begin a header of the client's own making.
    return template.render(request, count).translate(_BREAKS).encode("latin-1", "replace")


def _read(name: str, root: Path | None, base: Path | None) -> bytes:
    if root is None:
        raise ValueError("a file can be named only by a stub that is in a file itself")
    folder = root.resolve()
    # WireMock's files are relative to the folder of all stubs.
    path = next((each for each in ((base or root) / name, root / name) if each.is_file()), root / name).resolve()
    if not path.is_relative_to(folder):
        raise ValueError(f"the file {name} is outside of {root}")
    try:
        if path.stat().st_size > MAX_ANSWER:
            raise ValueError(f"the file {name} is larger than {MAX_ANSWER} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"the file {name} cannot be read: {error.strerror}") from None


def delay_of(delay: Scalar | Delay | None) -> Callable[[], float]:
    """Return what draws how many seconds to wait."""
    if delay is None:
        return float
    if not isinstance(delay, Delay):
        delay = Delay(fixed=delay)
    if (uniform := delay.uniform) is not None:
        low, high = seconds(uniform.low), seconds(uniform.high)
        return lambda: random.uniform(low, high)
    if (lognormal := delay.lognormal) is not None:
        median, sigma = seconds(lognormal.median), lognormal.sigma
        if not median:
            return float
        return lambda: min(random.lognormvariate(math.log(median), sigma), MAX_DELAY)
    fixed = seconds(delay.fixed or 0)
    return lambda: fixed


def _texts(value: Scalar | list[str]) -> list[str]:
    return value if isinstance(value, list) else [text_of(value)]
