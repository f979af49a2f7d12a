"""Something goes wrong at every line that capture runs, one after the other: the application and the server never know.

A trace function raises at the n-th line that runs in our modules, for every n until a run ends before it gets there.
"""

import asyncio
import errno
import inspect
import linecache
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import FrameType, ModuleType
from typing import Any, Final

import pytest
import structlog
from hypothesis import settings
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reqscope.bus import Event, EventBus, event, eventbus, inflight, ring, schema
from reqscope.bus import failures as grouping
from reqscope.service import (
    CaptureMiddleware,
    Redaction,
    beginning,
    bodies,
    capture,
    correlation,
    exchange,
    failures,
    faults,
    heads,
    loglines,
    ongoing,
    plan,
    routes,
    sampling,
    sealed,
    websocket,
)
from reqscope.service.faults import Faults
from reqscope.service.loglines import watching_logs
from reqscope.service.sampling import Sampling

pytestmark = pytest.mark.interpreted

PROVE: Final = settings.get_current_profile_name() == "prove"

ON_THE_WAY: Final = [
    *(capture, plan, beginning, ongoing, exchange, websocket, heads, bodies, correlation),
    *(routes, sampling, sealed, failures, loglines),
    *(eventbus, ring, event, inflight, grouping),
]
"""What runs while a request is served."""

EXCLUDED: Final[dict[str, tuple[str, ...]]] = {
    "": (
        r"(async )?def .*",
        r"class .*",
        r"@.*",
        r"(try|else|finally):",
        r"except\b.*:(  #.*)?",
        r"raise( .*)?",
        r"return( None)?",  # as Python compiles it, it stands outside the `try` around it
    ),
    # What only hands over to the application or the server, or to one of ours that guards itself: nothing can fail
    # there but a call, and where that fails, there is no frame left for the application either.
    "CaptureMiddleware.__call__": (
        r"exchange = begin\(self\._plan, scope, receive, send\)",
        r"if exchange is None:",
        r"(return |result = )?await self\.app\(.*\).*",
        r"exchange\.end\((error|None)\)",
        r"return( result)?( .*)?",
    ),
    "Exchange.receive": (r"message = await self\.server_receive\(\)", r"return message"),
    "WebSocketExchange.receive": (r"message = await self\.server_receive\(\)", r"return message"),
    "Exchange.send": (r"return self\.server_send\(message\)",),
    "WebSocketExchange.send": (r"return self\.server_send\(message\)",),
    # Around the watched block, when an application starts and stops.
    "watching_logs": (r".*",),
    "_watch_logging": (r".*",),
    "_watch_structlog": (r".*",),
    "_leave_structlog": (r".*",),
    # The application's own record is made there, and handed on.
    "_watch_logging.<locals>.factory": (
        r"(return|record =) inner\(.*\)",
        r"return record",
        r"_note_record\(record\)",
    ),
    "note_line": (r"return event_dict",),
    # The application's `__str__` and its log messages are made there, and may raise what they like: no fault of ours.
    "_text": (r"return str\(value\)\[:_MAX_MESSAGE\]",),
    "_message": (r"return .*(str\(error\)|record\.getMessage\(\)).*",),
    # That it never raises is the one thing it sees to, with the first of its lines.
    "Faults.record": (r"with suppress\(Exception\):",),
    # It asks the seal, which guards itself, and looks at its own field.
    "Event.open": (
        r"if \(?(sealed := )?self\.sealed.*:",
        r"sealed\.open\(self\)",
        r"self\.sealed = None",
        r"return self",
    ),
}
"""Lines that are no steps, by the function they stand in; those without one, anywhere."""

KINDS: Final[list[Callable[[], Exception]]] = [
    partial(ValueError, "injected"),
    partial(OSError, errno.ENOSPC, "injected"),
    partial(RuntimeError, "injected"),
    partial(RecursionError, "injected"),
    partial(MemoryError, "injected"),
    partial(KeyError, "injected"),
]
EXPECTED: Final = {
    # Python's word for a context that is not ours to put back.
    KINDS[0]: re.compile(r"for token in .*|leave\(.*|token\.var\.reset\(.*"),
    # And for what a scope leaves out, for which something else stands then.
    KINDS[5]: re.compile(r"described = _described\(scope\)"),
}
"""Lines at which an exception of that kind is no fault."""

PASSED_ON: Final[list[Callable[[], BaseException]]] = [
    partial(asyncio.CancelledError, "injected"),
    partial(KeyboardInterrupt, "injected"),
    partial(SystemExit, "injected"),
    partial(GeneratorExit, "injected"),
]

SECRET: Final = "s3cret-9f8e7d6c5b"

FIGURES: Final[Counter[str]] = Counter()


@pytest.fixture(scope="module", autouse=True)
def figure(request: pytest.FixtureRequest, record_testsuite_property: Callable[[str, object], None]) -> Iterator[None]:
    """Tell at the end how many failpoints there were."""
    yield
    for name, times in FIGURES.items():
        record_testsuite_property(f"failpoints_{name}", times)
    reporter: Any = request.config.pluginmanager.get_plugin("terminalreporter")
    terminal: Any = request.config.pluginmanager.get_plugin("capturemanager")
    with terminal.global_and_fixture_disabled():
        reporter.write_line("\nfailpoints: " + ", ".join(f"{times} {name}" for name, times in FIGURES.items()))


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Thousands of faults are not to be read in a log."""
    if "caplog" not in request.fixturenames:
        monkeypatch.setattr(faults.logger, "disabled", True)


# Raising at a line.


def _is_step(frame: FrameType) -> bool:
    code = frame.f_code
    line = linecache.getline(code.co_filename, frame.f_lineno).strip()
    rules = EXCLUDED[""] + EXCLUDED.get(code.co_qualname, ())
    return not any(re.fullmatch(rule, line) for rule in rules)


@dataclass
class Failpoint:
    """Raises at the n-th line that runs in some modules, once."""

    modules: list[ModuleType]
    number: int
    make: Callable[[], BaseException]
    passed: int = 0
    place: str = ""
    """Where it was raised; empty as long as it was not."""
    line: str = ""
    error: BaseException | None = None
    _files: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._files = frozenset(inspect.getfile(module) for module in self.modules)

    def __enter__(self) -> "Failpoint":
        self._before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _call(self, frame: FrameType, what: str, value: object) -> Any:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, what: str, value: object) -> Any:
        if what == "line" and not self.place and _is_step(frame):
            self.passed += 1
            if self.passed == self.number:
                code = frame.f_code
                self.place = f"{os.path.basename(code.co_filename)}:{frame.f_lineno} in {code.co_qualname}"
                self.line = linecache.getline(code.co_filename, frame.f_lineno).strip()
                self.error = self.make()
                raise self.error
        return self._line


# Requests.


@dataclass
class Seen:
    """What a server saw of an application, and an application of a server."""

    messages: list[Any] = field(default_factory=list[Any])
    outcome: Any = None
    error: BaseException | None = None
    left: list[str] = field(default_factory=list[str])
    """Context variables that were not there before."""


def serve(app: ASGIApp, kind: str, incoming: list[Message], *, inside: Callable[[], Any] | None = None) -> Seen:
    """Have `app` serve one request without an event loop; nothing in it waits."""
    seen = Seen()
    waiting = iter(incoming)

    async def receive() -> Message:
        return next(waiting, {"type": f"{kind}.disconnect"})

    async def send(message: Message) -> None:
        seen.messages.append(message)

    scope: Scope = {
        "type": kind,
        "method": "POST",
        "path": f"/mounted/items/5;token={SECRET}",
        "root_path": "/mounted",
        "path_params": {"tenant": "mounted"},
        "query_string": f"token={SECRET}".encode(),
        "client": ("127.0.0.1", 5),
        "headers": [
            (b"host", b"x"),
            (b"content-type", b"application/json"),
            (b"authorization", f"Bearer {SECRET}".encode()),
            (b"traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"),
            (b"x-request-id", b"abc"),
        ],
    }

    def run() -> None:
        before = set(copy_context())
        coroutine: Any = app(scope, receive, send)
        try:
            coroutine.send(None)
            raise AssertionError("nothing in here waits")
        except StopIteration as stop:
            seen.outcome = "returned", stop.value
        except BaseException as error:
            seen.error = error
            seen.outcome = "raised", type(error), str(error), repr(error.__cause__), repr(error.__context__)
        seen.left = [variable.name for variable in copy_context() if variable not in before]

    Context().run(run)
    return seen


START: Final[Message] = {"type": "http.response.start", "status": 200, "headers": [(b"x-one", b"1\nfolded")]}


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    scope["root_path"], scope["route"] = "/mounted/7", Route()
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send({"type": "http.response.body", "body": b'{"token": "s3cret"}'})


class Route:
    path = "/items/{item}"
    param_convertors: Final = {"item": str}


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        raise LookupError("inner")
    except LookupError:
        raise ZeroDivisionError("outer") from None


async def streams(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.early_hint", "links": []})
    await send({**START, "trailers": True})
    for chunk in (b"1", b"2", memoryview(b"3")):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body"})
    await send({"type": "http.response.trailers", "headers": []})
    await receive()


async def talks(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-one", b"1")]})
    for _ in range(2):
        await receive()
        await send({"type": "websocket.send", "text": "caf\u00e9"})
    await send({"type": "websocket.close", "code": 4321})


async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close"})
    raise OSError("broken")


async def writes(scope: Scope, receive: Receive, send: Send) -> None:
    logging.getLogger("application").warning("a %s", "line")
    logging.getLogger("application").warning({"event": "a dict", "key": 5})
    structlog.get_logger().info("structured", key="value")
    await answers(scope, receive, send)


UPLOAD: Final[list[Message]] = [
    {"type": "http.request", "body": b'{"password": ', "more_body": True},
    {"type": "http.request", "body": b'"s3cret"}'},
]
TALK: Final[list[Message]] = [
    {"type": "websocket.connect"},
    {"type": "websocket.receive", "text": "ab"},
    {"type": "websocket.receive", "bytes": b"ab"},
]


@dataclass(frozen=True)
class Request:
    """One request of some kind."""

    app: ASGIApp
    kind: str
    incoming: list[Message]
    options: dict[str, Any] = field(default_factory=dict[str, Any])


REQUESTS: Final[dict[str, Request]] = {
    "with a body": Request(answers, "http", UPLOAD, {"bodies": "all"}),
    "whose client goes": Request(answers, "http", [UPLOAD[0], {"type": "http.disconnect"}], {"bodies": "all"}),
    "that raises": Request(raises, "http", [], {"bodies": "all"}),
    "that streams": Request(streams, "http", [], {"bodies": "all"}),
    "that is sampled": Request(answers, "http", [], {"sampling": Sampling(0.5, draw=lambda: 0.9)}),
    "that is ignored": Request(answers, "http", [], {"ignore": ["/items"]}),
    "that is echoed": Request(answers, "http", [], {"echo": True}),
    "within another": Request(answers, "http", UPLOAD, {"bodies": "all"}),
    "that logs": Request(writes, "http", UPLOAD, {"bodies": "all"}),
    "of a websocket": Request(talks, "websocket", TALK, {"bodies": "all"}),
    "of a websocket that is refused": Request(refuses, "websocket", TALK, {"bodies": "all"}),
}


@pytest.fixture
def watched_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    factory, config = logging.getLogRecordFactory(), structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    monkeypatch.setattr(logging.getLogger("application"), "propagate", False)
    monkeypatch.setattr(logging.getLogger("application"), "handlers", [logging.NullHandler()])
    with watching_logs():
        yield
    logging.setLogRecordFactory(factory)
    structlog.configure(**config)


def captured(name: str, bus: EventBus) -> CaptureMiddleware:
    request = REQUESTS[name]
    inner = CaptureMiddleware(request.app, bus) if name == "within another" else request.app
    return CaptureMiddleware(inner, bus, **request.options)


def failing(name: str, number: int, make: Callable[[], BaseException]) -> tuple[Failpoint, Seen, CaptureMiddleware]:
    """Serve a request while the n-th line of ours fails."""
    request = REQUESTS[name]
    bus = EventBus(capacity=2)
    for _ in range(3):  # full, so that an event takes another's place
        bus.publish(Event(time=0))
    middleware = captured(name, bus)
    with Failpoint(ON_THE_WAY, number, make) as failpoint:
        seen = serve(middleware, request.kind, request.incoming)
    return failpoint, seen, middleware


def expected(name: str) -> Seen:
    request = REQUESTS[name]
    return serve(request.app, request.kind, request.incoming)


def sent(seen: Seen, name: str) -> list[Any]:
    """Return the messages that were sent, without the header that `echo` is there to add."""
    if name != "that is echoed":
        return seen.messages
    return [
        {**message, "headers": [pair for pair in message["headers"] if pair[0] != b"x-request-id"]}
        if "headers" in message
        else message
        for message in seen.messages
    ]


def still_works(middleware: CaptureMiddleware) -> bool:
    """Whether the next request is captured as if nothing had happened, and nothing is left of this one."""
    bus = middleware.bus
    before = bus.ring.last
    seen = serve(CaptureMiddleware(answers, bus, faults=middleware.faults), "http", UPLOAD)
    (event,) = bus.ring.since(before).events
    kept = bus.ring.since(bus.ring.first - 1, sealed=True).events
    whole = event.status == 200 and event.sealed is None and seen.outcome == ("returned", None)
    sums = bus.ring.statistics()
    return whole and sums.kept == len(kept) == 2 and sums.held_bytes == sum(each.size for each in kept)


def lines(at: Callable[[int], bool], first: int = 0) -> int:
    """Call `at` with 1, 2, 3 and so on until there is no such line, and return how many there were.

    The fast run takes every third, so that requests that begin elsewhere share the lines they have in common.
    """
    steps = count() if PROVE else count(first % 3, 3)
    return next(number for number in steps if not at(number + 1))


def kinds_at(number: int) -> list[Callable[[], Exception]]:
    """All kinds of exceptions, or in turn one of them."""
    return KINDS if PROVE else [KINDS[number % len(KINDS)]]


@pytest.mark.guarantees("F21")
@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.usefixtures("watched_logs")
def test_a_fault_at_any_line_is_counted_and_changes_nothing_for_the_host(name: str) -> None:
    bare, harm = expected(name), list[str]()

    def at(number: int) -> bool:
        reached = False
        for make in kinds_at(number):
            failpoint, seen, middleware = failing(name, number, make)
            if failpoint.place and not (make in EXPECTED and EXPECTED[make].match(failpoint.line)):
                FIGURES["lines x exceptions on the request path"] += 1
                harm.extend(f"{failpoint.place}: {what}" for what in harms(name, bare, seen, middleware))
            reached = reached or bool(failpoint.place)
        FIGURES["lines on the request path"] += reached
        return reached

    assert lines(at, [*REQUESTS].index(name)) > 5
    assert not harm, "\n".join(sorted(set(harm)))


def harms(name: str, bare: Seen, seen: Seen, middleware: CaptureMiddleware) -> Iterator[str]:
    """Say what is not as it ought to be after a fault."""
    if sent(seen, name) != sent(bare, name):
        yield f"the server got {seen.messages}"
    if seen.outcome != bare.outcome:
        yield f"the application {seen.outcome}"
    if seen.left:
        yield f"left behind in the context: {seen.left}"
    total = middleware.statistics().faults
    if name == "within another":
        inner = middleware.app
        assert isinstance(inner, CaptureMiddleware)
        total += inner.statistics().faults
    if total != 1:
        yield f"{total} faults were counted"
    if middleware.bus.in_flight:
        yield "still in flight"
    if not still_works(middleware):
        yield "the next request is not captured"


@pytest.mark.guarantees("F31")
@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.usefixtures("watched_logs")
def test_what_is_no_error_passes_from_any_line_as_it_is(name: str) -> None:
    harm = list[str]()

    def at(number: int) -> bool:
        reached = False
        for make in PASSED_ON if PROVE else [PASSED_ON[number % len(PASSED_ON)]]:
            failpoint, seen, _ = failing(name, number, make)
            if failpoint.place:
                FIGURES["lines x what is no error"] += 1
                if seen.error is not failpoint.error:
                    harm.append(f"{failpoint.place}: {seen.outcome}")
            reached = reached or bool(failpoint.place)
        return reached

    assert lines(at, [*REQUESTS].index(name)) > 5
    assert not harm, "\n".join(sorted(set(harm)))


@pytest.mark.guarantees("F31")
@pytest.mark.parametrize("make", [*KINDS, *PASSED_ON], ids=repr)
def test_what_an_application_raises_passes_as_it_is_whatever_it_is(make: Callable[[], BaseException]) -> None:
    error = make()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    middleware = CaptureMiddleware(app, EventBus())
    seen = serve(middleware, "http", [])

    assert seen.error is error
    assert (error.__cause__, error.__context__, getattr(error, "__notes__", None)) == (None, None, None)
    assert middleware.statistics().faults == 0
    assert len(middleware.bus.in_flight) == 0


# Opening.

AT_OPENING: Final = [sealed, failures, heads, bodies, correlation, event, schema]


def captured_event() -> tuple[Event, Faults]:
    """Return an event with everything in it that an event can have, and a secret in all of that."""
    secret = {"authorization": f"Bearer {SECRET}", "content-type": "application/json"}
    pairs = [(name.encode(), value.encode()) for name, value in secret.items()]
    body = f'{{"password": "{SECRET}"}}'.encode()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        running = ongoing.current()
        assert running is not None
        running.log((1, "info", "application", f"password={SECRET}"))
        await send({"type": "http.response.start", "status": 500, "headers": pairs})
        await send({"type": "http.response.body", "body": body})
        try:
            raise LookupError(f"password={SECRET}")
        except LookupError as error:
            raise ValueError(f"token={SECRET}") from error

    bus = EventBus()
    middleware = CaptureMiddleware(app, bus, bodies="all")
    serve(middleware, "http", [{"type": "http.request", "body": body}])
    (event,) = bus.ring.since(0, sealed=True).events
    return event, middleware.faults


def recorded_event() -> tuple[Event, Faults]:
    """Return an event of a batch, whose text stands in the event itself."""
    counted = Faults()
    gate = sealed.Gate(Redaction(), counted)
    text = f"/a;token={SECRET}"
    body = f'{{"password": "{SECRET}"}}'.encode()
    return (
        Event(time=1, path=text, body=body, route=text, error=f"password={SECRET}", sealed=sealed.SealedRecord(gate)),
        counted,
    )


@pytest.mark.guarantees("F21")
@pytest.mark.parametrize("make_event", [captured_event, recorded_event])
def test_a_fault_at_any_line_of_opening_is_counted_and_drops_what_could_not_be_made_safe(
    make_event: Callable[[], tuple[Event, Faults]],
) -> None:
    harm = list[str]()

    def at(number: int) -> bool:
        reached = False
        for make in kinds_at(number):
            event, counted = make_event()
            with Failpoint(AT_OPENING, number, make) as failpoint:
                outcome = opened(event)
            if failpoint.place:
                FIGURES["lines x exceptions at opening"] += 1
                harm.extend(f"{failpoint.place}: {what}" for what in harms_at_opening(event, outcome, counted))
            reached = reached or bool(failpoint.place)
        return reached

    assert lines(at) > 5
    assert not harm, "\n".join(sorted(set(harm)))


def opened(event: Event) -> BaseException | None:
    try:
        assert event.open() is event
    except Exception as error:
        return error
    return None


def harms_at_opening(event: Event, outcome: BaseException | None, counted: Faults) -> Iterator[str]:
    """Say what is not as it ought to be after a fault."""
    if outcome is not None:
        yield f"{outcome!r} reached the reader"
    if event.sealed is not None:
        yield "it is sealed still"
    if outcome is None and SECRET in repr(event):
        yield "a secret is to be seen"
    if counted.statistics().total != 1:
        yield f"{counted.statistics().total} faults were counted"


# The breaker.


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Broken(EventBus):
    """A bus that fails for as long as it is told to."""

    broken = True

    def publish(self, event: Event) -> int:
        if self.broken:
            raise OSError(errno.ENOSPC, "no space left")
        return super().publish(event)


def breaking() -> tuple[CaptureMiddleware, Broken, Time]:
    bus, clock = Broken(), Time()
    return CaptureMiddleware(answers, bus, faults=Faults(clock)), bus, clock


def request_through(middleware: CaptureMiddleware, times: int = 1) -> None:
    bare = expected("with a body")
    for _ in range(times):
        seen = serve(middleware, "http", UPLOAD)
        assert (seen.messages, seen.outcome, seen.left) == (bare.messages, bare.outcome, [])


def test_ten_faults_in_ten_seconds_switch_capture_off_for_thirty_and_each_request_meanwhile_is_counted() -> None:
    middleware, bus, clock = breaking()
    request_through(middleware, 9)
    assert middleware.statistics().capturing
    clock.now += 9.9
    request_through(middleware)
    assert not middleware.statistics().capturing
    assert (middleware.statistics().faults, middleware.statistics().skipped) == (10, 0)

    bus.broken = False
    clock.now += 29.9
    request_through(middleware, 7)
    assert (bus.ring.last, middleware.statistics().faults, middleware.statistics().skipped) == (0, 10, 7)

    clock.now += 0.2
    request_through(middleware, 3)
    assert middleware.statistics().capturing
    assert (bus.ring.last, middleware.statistics().skipped) == (3, 7)


def test_faults_that_come_slowly_switch_nothing_off() -> None:
    middleware, _, clock = breaking()
    for _ in range(50):
        request_through(middleware)
        clock.now += 1.2

    assert middleware.statistics().capturing
    assert middleware.statistics().faults == 50


def test_one_fault_on_trial_switches_capture_off_again() -> None:
    middleware, bus, clock = breaking()
    request_through(middleware, 10)
    clock.now += 30.1
    request_through(middleware)
    assert not middleware.statistics().capturing

    clock.now += 30.1
    bus.broken = False
    request_through(middleware)
    clock.now += 10.1
    bus.broken = True
    request_through(middleware)
    assert middleware.statistics().capturing
    assert bus.ring.last == 1


def test_each_kind_of_fault_is_logged_once_a_minute_and_the_breaker_each_time(caplog: pytest.LogCaptureFixture) -> None:
    clock = Time()
    counted = Faults(clock)
    for minute in range(3):
        for second in range(60):
            clock.now = 60.0 * minute + second
            counted.record("send", ValueError("one"))
            counted.record("send", KeyError("another"))

    lines = [record.getMessage() for record in caplog.records]
    assert sum("ValueError" in line for line in lines) == 3
    assert sum("KeyError" in line for line in lines) == 3
    assert counted.statistics().total == 360
    assert any("capture is off for 30 seconds" in line for line in lines)


@pytest.mark.guarantees("F39")
@pytest.mark.parametrize("make", KINDS, ids=repr)
def test_a_fault_of_the_log_itself_is_not_passed_on(make: Callable[[], Exception]) -> None:
    counted = Faults()

    def at(number: int) -> bool:
        with Failpoint([faults], number, make) as failpoint:
            counted.record("send", ValueError("one"))
        FIGURES["lines x exceptions while a fault is counted"] += bool(failpoint.place)
        return bool(failpoint.place)

    assert lines(at) > 5
