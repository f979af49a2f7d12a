"""What the stubs have answered, and what they answer next."""

import math
import random
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import UNSET

from reqscope.bus.encoding import encode
from reqscope.service.redaction import SENSITIVE, Redaction

from .answer import Answer, AnswerTooLarge, ReadyResponse, delay_of
from .chaos import Chaos
from .journal import Journal, Unmatched, as_text
from .matching import Miss, ReadyStub, nearest
from .request import MockRequest
from .shelf import Shelf
from .stub import Limit, seconds

STARTED: Final = "started"
"""The state that everything begins in."""
_SHOWN_BODY: Final = 4_000
_PROBLEM: Final = ((b"content-type", b"application/problem+json"),)


class _Run:
    """What one stub has done since the last reset."""

    __slots__ = ("given", "hits", "last", "left", "until")

    def __init__(self) -> None:
        self.hits = 0
        self.given = 0
        """Responses given, errors and refusals not counted."""
        self.last = 0
        self.left = 0
        self.until = 0.0


class StubStore(Shelf):
    """Stubs of files and of the API that answer, and remember it. To be used in one event loop, or one thread.

    :param paths: files, and folders of files
    :param redact: names whose values are masked in what is told of requests
    :raises StubError: a file is wrong; later ones keep what was loaded before
    """

    def __init__(self, paths: Sequence[Path] = (), redact: Iterable[str] = SENSITIVE) -> None:
        super().__init__(paths)
        self.redaction = Redaction(redact)
        self.journal = Journal()
        self.states: dict[str, str] = {}
        self._runs: dict[str, _Run] = {}
        self._chaos: tuple[Chaos, float] | None = None

    def delete(self, key: str) -> None:
        super().delete(key)
        self._runs.pop(key, None)

    def clear(self) -> None:
        """Remove what came through the API, have stubs of files as their files say, and forget as `reset` does."""
        super().clear()
        self.reset()

    def reset(self) -> None:
        """Forget requests, hits, states and places in sequences. Stubs stay."""
        self.journal.clear()
        self._runs.clear()
        self.states.clear()

    def hits(self, key: str) -> tuple[int, int]:
        """Return how many requests a stub has answered, and when the last came, in nanoseconds since the epoch."""
        run = self._runs.get(key)
        return (run.hits, run.last) if run else (0, 0)

    @property
    def chaos(self) -> Chaos | None:
        """What goes wrong at present, with the seconds that are left of it."""
        if self._chaos is None:
            return None
        chaos, until = self._chaos
        left = until - time.monotonic()
        if left <= 0:
            self._chaos = None
            return None
        return msgspec.structs.replace(chaos, seconds=left)

    @chaos.setter
    def chaos(self, chaos: Chaos | None) -> None:
        self._chaos = None if chaos is None else (chaos, time.monotonic() + chaos.seconds)

    def answer(self, request: MockRequest) -> tuple[ReadyStub, Answer] | None:
        """Return the stub that answers, and its answer, and note the request; None if there is no such stub."""
        self.journal.add(request)
        stub = self._choose(request)
        if stub is None:
            return None
        request.stub = stub.name
        return stub, self._answer(stub, request)

    def preview(self, request: MockRequest) -> tuple[ReadyStub, Answer] | None:
        """Return what `answer` would, without noting anything: no chance is taken, and no state changes.

        :raises AnswerTooLarge: it would be
        """
        stub = self._choose(request)
        if stub is None:
            return None
        run = self._runs.get(stub.key) or _Run()
        return stub, self._response(stub, run).answer(request, run.hits + 1)

    def explain(self, request: MockRequest) -> list[Miss]:
        """Return the nearest stubs and why they did not answer, secrets masked, and keep that for the panel."""
        shown = self.masked(request)
        misses = self.nearest(request, shown)
        self.journal.unmatched.append(
            Unmatched(
                next(self.journal.numbers),
                request.time // 1_000_000,
                shown.method,
                shown.path,
                shown.raw_query.decode("latin-1"),
                as_text(shown.raw_headers),
                shown.text[:_SHOWN_BODY],
                misses,
            )
        )
        return misses

    def nearest(self, request: MockRequest, shown: MockRequest) -> list[Miss]:
        """Return the nearest stubs and why they do not answer.

        :param shown: the request with its secrets masked
        """
        return nearest(
            self.index.stubs, request, shown, lambda stub: self._holds_back(stub) if stub.enabled else "switched off"
        )

    def masked(self, request: MockRequest) -> MockRequest:
        """Return the request with its secrets masked."""
        kind = request.headers.get("content-type", [""])[0].encode("latin-1")
        redaction = self.redaction
        return MockRequest(
            request.method,
            redaction.path(request.path),
            redaction.query(request.raw_query),
            redaction.headers(request.raw_headers),
            redaction.body(request.body, kind),
        )

    def _choose(self, request: MockRequest) -> ReadyStub | None:
        for stub in self.index.candidates(request):
            if stub.enabled and stub.takes(request) and not self._holds_back(stub):
                return stub
        if request.method == "HEAD":  # answered as GET is; the server leaves the body out
            request.method = "GET"
            try:
                return self._choose(request)
            finally:
                request.method = "HEAD"
        return None

    def _response(self, stub: ReadyStub, run: _Run) -> ReadyResponse:
        number, last = run.given, len(stub.responses) - 1
        if number > last:
            number = number % (last + 1) if stub.stub.at_end == "repeat" else last
        return stub.responses[number]

    def _holds_back(self, stub: ReadyStub) -> str:
        """Return why a stub that fits does not answer now, or an empty text."""
        state = stub.stub.state
        if state is not UNSET and state.is_ is not None:
            now = self.states.get(state.of, STARTED)
            if now != state.is_:
                return f"{state.of} is {now}, not {state.is_}"
        if stub.stub.at_end == "unmatched":
            run = self._runs.get(stub.key)
            if run is not None and run.given >= len(stub.responses):
                return "all of its responses were given"
        return ""

    def _answer(self, stub: ReadyStub, request: MockRequest) -> Answer:
        run = self._runs.get(stub.key)
        if run is None:
            run = self._runs[stub.key] = _Run()
        run.hits += 1
        run.last = request.time
        model = stub.stub
        if model.limit is not UNSET and (wait := _wait(run, model.limit)):
            return _problem(429, "more requests than the stub's limit", ((b"retry-after", b"%d" % wait),))
        if self._chaos is not None and (chaos := self.chaos) is not None and random.random() < chaos.share:
            delay = delay_of(chaos.delay)()
            return _problem(chaos.status, "chaos is switched on")._replace(delay=delay, fault=chaos.fault)
        if model.errors is not UNSET and random.random() < model.errors.share:
            answer = _problem(model.errors.status, "an error of the stub's error share")
            return answer._replace(fault=model.errors.fault)
        response = self._response(stub, run)
        run.given += 1
        try:
            answer = response.answer(request, run.hits)
        except AnswerTooLarge:
            return _problem(413, "what the template makes of this request is larger than an answer may be")
        if model.state is not UNSET and model.state.becomes is not None:
            self.states[model.state.of] = model.state.becomes
        return answer


def _wait(run: _Run, limit: Limit) -> int:
    """Count a request against a limit; return whole seconds to wait if it is too many."""
    now = time.monotonic()
    if now >= run.until:
        run.left, run.until = limit.requests, now + seconds(limit.per, most=3_600)
    run.left -= 1
    return 0 if run.left >= 0 else max(1, math.ceil(run.until - now))


def _problem(status: int, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    return Answer(status, _PROBLEM + headers, encode({"status": status, "detail": detail}))
