"""The stubs that there are, what they have answered, and what they answer next."""

import math
import random
import secrets
import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET

from reqscope.bus.encoding import encode
from reqscope.service.redaction import SENSITIVE, Redaction

from .answer import Answer, AnswerTooLarge, ReadyResponse, delay_of
from .files import StubError, files_of, load_file
from .journal import Journal, Unmatched, as_text
from .matching import Miss, ReadyStub, Source, StubIndex, nearest
from .request import MockRequest
from .stub import Fault, Limit, Scalar, Stub, seconds

STARTED: Final = "started"
"""The state that everything begins in."""
_MOST_STUBS: Final = 20_000
_SHOWN_BODY: Final = 4_000
_MAX_CHAOS: Final = 3_600.0
_PROBLEM: Final = ((b"content-type", b"application/problem+json"),)


Loaded: TypeAlias = dict[Path, list[ReadyStub]]


class Chaos(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A share of all answers goes wrong, for a time that is bounded."""

    share: float = 0.5
    status: int = 503
    fault: Fault | None = None
    delay: Scalar = 0
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError("a share is more than 0, and up to 1")
        if not 400 <= self.status <= 599:
            raise ValueError("the status of an error is from 400 to 599")
        if not 0 < self.seconds <= _MAX_CHAOS:
            raise ValueError(f"it lasts from 0 to {_MAX_CHAOS:g} seconds")
        seconds(self.delay)


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


class StubStore:
    """Stubs of files and of the API, and what they do. To be used in one event loop, or one thread.

    :param paths: files, and folders of files
    :param redact: names whose values are masked in what is told of requests
    :raises StubError: a file is wrong; later ones keep what was loaded before
    """

    def __init__(self, paths: Sequence[Path] = (), redact: Iterable[str] = SENSITIVE) -> None:
        self.paths = tuple(paths)
        self.redaction = Redaction(redact)
        self.journal = Journal()
        self.errors: list[StubError] = []
        """What is wrong in files at present; their last good stubs are in use."""
        self.states: dict[str, str] = {}
        self.index = StubIndex(())
        self._files: Loaded = {}
        self._ready: dict[str, ReadyStub] = {}
        """Those of files as they stand there, by key."""
        self._changed: dict[str, ReadyStub | None] = {}
        """Those of files that were edited or deleted through the API, until their file changes."""
        self._added: dict[str, ReadyStub] = {}
        self._numbers = count(1)
        self._runs: dict[str, _Run] = {}
        self._chaos: tuple[Chaos, float] | None = None
        self.reload()
        if self.errors:
            raise self.errors[0]

    # Files

    def reload(self) -> list[StubError]:
        """Read the files again. Of one that is wrong, the stubs from before stay; return what is wrong."""
        self.apply(self.read())
        return self.errors

    def read(self) -> tuple[Loaded, list[StubError]]:
        """Return what is in the files, and what is wrong in them. Safe in any thread."""
        found: Loaded = {}
        errors: list[StubError] = []
        for path in self.paths:
            for file in files_of(path):
                try:
                    found[file] = load_file(file, path if path.is_dir() else None)
                except StubError as error:
                    errors.append(error)
                    if file in self._files:
                        found[file] = self._files[file]
        return found, errors

    def apply(self, read: tuple[Loaded, list[StubError]]) -> None:
        """Use what `read` returned."""
        found, self.errors = read
        before, self._files = self._files, found
        changed = {file for file in {*found, *before} if _models(found.get(file)) != _models(before.get(file))}
        for key in [key for key, stub in self._ready.items() if stub.source.file in changed]:
            self._changed.pop(key, None)
        ready, order = dict[str, ReadyStub](), count()
        for file, stubs in found.items():
            for stub in stubs:
                stub.place(next(order), _key(file, stub.name, ready))
                old = self._ready.get(stub.key)
                if old is not None and old.stub == stub.stub:
                    stub.enabled = old.enabled
                ready[stub.key] = stub
        self._ready = ready
        self._rebuild()

    # Stubs

    def add(self, stub: Stub) -> str:
        """Add a stub in front of those of the same priority, and return its key.

        :raises StubError: it cannot be made ready
        """
        return self.add_all([stub])[0]

    def add_all(self, stubs: Iterable[Stub]) -> list[str]:
        """Add all or, if one is wrong, none; the first goes before the second, and all before those there are.

        :raises StubError: one cannot be made ready
        """
        ready = [
            self._make(stub, Source(), -next(self._numbers), secrets.token_hex(6)) for stub in reversed(list(stubs))
        ][::-1]
        if len(self._added) + len(ready) > _MOST_STUBS:
            raise StubError(f"there are more than {_MOST_STUBS} stubs")
        self._added |= {each.key: each for each in ready}
        self._rebuild()
        return [each.key for each in ready]

    def replace(self, key: str, stub: Stub) -> None:
        """Put `stub` in the place of another. That of a file is as the file has it again when the file changes.

        :raises KeyError: there is no such stub
        :raises StubError: it cannot be made ready
        """
        old = self.find_stub(key)
        new = self._make(stub, old.source, old.rank[2], key)
        self._put(key, new)

    def delete(self, key: str) -> None:
        """Remove a stub. That of a file is back when the file changes.

        :raises KeyError: there is no such stub
        """
        self.find_stub(key)
        self._put(key, None)
        self._runs.pop(key, None)

    def enable(self, key: str, enabled: bool) -> None:
        """Have a stub answer, or not.

        :raises KeyError: there is no such stub
        """
        self.find_stub(key).enabled = enabled

    def clear(self) -> None:
        """Remove what came through the API, and have stubs of files as their files say."""
        self._added.clear()
        self._changed.clear()
        for stub in self._ready.values():
            stub.enabled = stub.stub.enabled
        self.reset()
        self._rebuild()

    def reset(self) -> None:
        """Forget requests, hits, states and places in sequences. Stubs stay."""
        self.journal.clear()
        self._runs.clear()
        self.states.clear()

    def find_stub(self, key: str) -> ReadyStub:
        """Return the stub of that key.

        :raises KeyError: there is none
        """
        return self._current()[key]

    def is_edited(self, key: str) -> bool:
        """Whether a stub is other than its file has it."""
        return key in self._changed

    def hits(self, key: str) -> tuple[int, int]:
        """Return how many requests a stub has answered, and when the last came, in nanoseconds since the epoch."""
        run = self._runs.get(key)
        return (run.hits, run.last) if run else (0, 0)

    def _make(self, stub: Stub, source: Source, order: int, key: str) -> ReadyStub:
        try:
            return ReadyStub(stub, source, order, key)
        except ValueError as error:
            raise StubError(str(error), key=stub.name) from None

    def _put(self, key: str, stub: ReadyStub | None) -> None:
        if key in self._added:
            if stub is None:
                del self._added[key]
            else:
                self._added[key] = stub
        else:
            self._changed[key] = stub
        self._rebuild()

    def _current(self) -> dict[str, ReadyStub]:
        merged = {**self._ready, **self._changed, **self._added}
        return {key: stub for key, stub in merged.items() if stub is not None}

    def _rebuild(self) -> None:
        self.index = StubIndex(self._current().values())

    # Chaos

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

    # Requests

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


def _models(stubs: list[ReadyStub] | None) -> list[Stub] | None:
    return None if stubs is None else [each.stub for each in stubs]


def _key(file: Path, name: str, taken: dict[str, Any]) -> str:
    """Return a key that stays the same for as long as the stub has its name in its file."""
    for number in count():
        key = blake2b(f"{file}\0{name}\0{number}".encode("utf-8", "replace"), digest_size=6).hexdigest()
        if key not in taken:
            return key
    raise AssertionError("count() does not end")
