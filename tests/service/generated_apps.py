"""Applications made up of steps, a server that is none, and a record of all that is to be seen between the two."""

import re
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, TypeAlias, cast

import anyio
from anyio.abc import TaskGroup
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reqscope.bus import EventBus
from reqscope.service import CaptureMiddleware, Redaction
from reqscope.service.sampling import Sampling

OURS: Final = ("reqscope_exchange", "structlog_request_id", "structlog_trace_id", "structlog_span_id")
"""Context variables that are there while a request runs, and are to be gone afterwards."""

variable: ContextVar[int] = ContextVar("application's own", default=0)


# What an application does.


@dataclass(frozen=True)
class HeaderList:
    """Headers of a message, in a form that servers take, or do not."""

    pairs: tuple[tuple[bytes, bytes], ...] = ()
    form: str = "list"


@dataclass(frozen=True)
class Send_:
    """Send a message."""

    message: object
    when: Literal["now", "later", "in vain", "in a task"] = "now"
    caught: str = "not"


@dataclass(frozen=True)
class Receive_:
    """Receive a message."""

    cancelled: bool = False
    caught: str = "not"


@dataclass(frozen=True)
class Sleep:
    """Let others run."""


@dataclass(frozen=True)
class SetVariable:
    """Set a context variable."""

    value: int


@dataclass(frozen=True)
class Touch:
    """Put something into the scope."""

    key: str


@dataclass(frozen=True)
class Raise:
    """Raise an exception."""

    kind: type[BaseException]
    how: str = "plainly"


@dataclass(frozen=True)
class Return:
    """Return early, as the protocol demands or with a value."""

    value: object = None


@dataclass(frozen=True)
class Spawn:
    """Go on in a child task as well."""

    steps: "tuple[Step, ...]"


Step: TypeAlias = Send_ | Receive_ | Sleep | SetVariable | Touch | Raise | Return | Spawn


class Unusual(BaseException):
    """Neither an error nor one of those that Python makes."""


class OutOfMemory(MemoryError):
    """Python makes errors of the very type anew from old ones, and forgets to clear all of what was in them."""


class Message_(dict[str, Any]):
    """A message that is more than a dict."""


HEADER_FORMS: Final[dict[str, Callable[[list[tuple[bytes, bytes]]], object]]] = {
    "list": lambda pairs: pairs,
    "tuple": tuple,
    "lists": lambda pairs: [list(pair) for pair in pairs],
    "iterator": iter,
    "generator": lambda pairs: (pair for pair in pairs),
    "one-shot pairs": lambda pairs: [iter(pair) for pair in pairs],
    "mapped": lambda pairs: map(tuple, pairs),
    "texts": lambda pairs: [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs],
    "dict": dict,
    "triples": lambda pairs: [(*pair, b"") for pair in pairs],
    "bytearrays": lambda pairs: [(bytearray(name), memoryview(value)) for name, value in pairs],
    "numbers": lambda _: [(1, 2)],
    "nothing": lambda _: None,
    "number": lambda _: 5,
}


def made(value: object) -> Any:
    """Return `value` as a new object, headers in the form that they are to have."""
    match value:
        case HeaderList():
            return HEADER_FORMS[value.form](list(value.pairs))
        case Message_():
            return Message_({key: made(each) for key, each in value.items()})
        case dict():
            return {key: made(each) for key, each in value.items()}
        case bytearray():
            return bytearray(value)
        case _:
            return value


# What is generated.

_names = st.sampled_from([b"content-type", b"X-One", b"x-one", b"set-cookie", b"content-length", b"x-request-id", b""])
_values = st.sampled_from([b"text/plain", b"1", b"a=b; Path=/", b"", b"caf\xe9", b"line\nfeed", b"x" * 300])
_pairs = st.lists(st.tuples(_names, _values), max_size=4).map(tuple)
_sound_headers = st.builds(HeaderList, _pairs, st.sampled_from(["list", "list", "tuple", "lists"]))
_any_headers = st.builds(HeaderList, _pairs, st.sampled_from(sorted(HEADER_FORMS)))
_bytes = st.sampled_from([b"", b"x", b'{"token": "abc"}', bytes(70), b"\x1f\x8b\x08", b"y" * 5_000])
_bodies = st.one_of(_bytes, _bytes.map(bytearray), _bytes.map(lambda body: memoryview(body)))
_statuses = st.sampled_from([200, 201, 204, 304, 404, 500, 503])
_garbage: st.SearchStrategy[object] = st.sampled_from(
    [None, 5, "text", b"bytes", (), [], 1.5, {}, {1: 2}, float("nan")]
)
_CAUGHT: Final = st.sampled_from(["not"] * 5 + ["dropped", "raised again", "cause of another", "context of another"])


def _start(headers: st.SearchStrategy[HeaderList], statuses: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    message = st.fixed_dictionaries(
        {"type": st.just("http.response.start"), "status": statuses},
        optional={"headers": headers, "trailers": st.booleans(), "x-own": st.just(object)},
    )
    return st.one_of(message, message.map(Message_))


def _body(bodies: st.SearchStrategy[Any], more: bool | None = None) -> st.SearchStrategy[Any]:
    fields: dict[str, st.SearchStrategy[Any]] = {"type": st.just("http.response.body")}
    if more is not None:
        fields["more_body"] = st.just(more)
    return st.fixed_dictionaries(fields, optional={"body": bodies})


_rare_http = st.sampled_from(
    [
        {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
        {"type": "http.response.push", "path": "/a", "headers": []},
        {"type": "http.response.pathsend", "path": "/a"},
        {"type": "http.response.zerocopysend", "file": 3, "more_body": True},
        {"type": "http.response.zerocopysend", "file": 3},
        {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True},
        {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]},
        {"type": "http.response.debug", "info": {}},
        {"type": "something new"},
    ]
)
_wrong = st.one_of(
    _garbage,
    st.sampled_from([{"type": None}, {"type": []}, {"type": "http.response.start"}, {"body": b"x"}]),
    _start(_any_headers, st.one_of(_statuses, _garbage)),
    st.fixed_dictionaries(
        {"type": st.just("http.response.body")},
        optional={"body": _garbage, "more_body": st.one_of(_garbage, st.booleans())},
    ),
)
_http_message = st.one_of(
    _start(_sound_headers, _statuses), _body(_bodies), _body(_bodies, more=True), _rare_http, _wrong
)
_socket_message = st.one_of(
    st.sampled_from(
        [
            {"type": "websocket.accept"},
            {"type": "websocket.accept", "subprotocol": "a", "headers": [(b"x-one", b"1")]},
            {"type": "websocket.close"},
            {"type": "websocket.close", "code": 4321, "reason": "done"},
            {"type": "websocket.close", "code": "garbage"},
            {"type": "websocket.send", "text": "caf\u00e9"},
            {"type": "websocket.send", "bytes": b"\xff", "text": None},
            {"type": "websocket.send", "text": "\ud800"},
            {"type": "websocket.send", "text": 5},
            {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-one", b"1")]},
            {"type": "websocket.http.response.body", "body": b"no", "more_body": True},
            {"type": "websocket.http.response.body"},
        ]
    ),
    st.builds(lambda headers: {"type": "websocket.accept", "headers": headers}, _any_headers),
    _wrong,
)
_lifespan_message = st.sampled_from(
    [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.startup.failed", "message": "no"},
        {"type": "lifespan.shutdown.complete"},
        {"type": "lifespan.shutdown.failed"},
        {},
        None,
    ]
)
_raise = st.builds(
    Raise,
    st.sampled_from([ValueError, KeyError, OSError, RecursionError, OutOfMemory, StopAsyncIteration, Unusual]),
    st.sampled_from(["plainly", "from another", "from None", "during another", "with a note", "in a group"]),
)


def _steps(message: st.SearchStrategy[Any], *, children: bool = True) -> st.SearchStrategy[Step]:
    steps: list[st.SearchStrategy[Step]] = [
        st.builds(Send_, message, st.sampled_from(["now", "now", "now", "later", "in vain", "in a task"]), _CAUGHT),
        st.builds(Receive_, st.sampled_from([False, False, False, True]), _CAUGHT),
        st.one_of(
            st.just(Sleep()),
            st.builds(SetVariable, st.integers(1, 9)),
            st.builds(Touch, st.sampled_from(["state", "path_params", "own", "endpoint"])),
            _raise,
            st.builds(Return, st.sampled_from([None, None, 5, "text"])),
        ),
    ]
    if children:
        inner = st.lists(_steps(message, children=False), max_size=3).map(tuple)
        steps.append(st.builds(Spawn, inner))
    return st.one_of(steps)


def _tasks_out(step: Step) -> Step:
    return Send_(step.message, "later", step.caught) if isinstance(step, Send_) and step.when == "in a task" else step


@st.composite
def _sound_responses(draw: st.DrawFn) -> tuple[Step, ...]:
    """Steps that answer as the protocol says, with others in between."""
    messages = [
        draw(_start(_sound_headers, _statuses)),
        *draw(st.lists(_body(_bodies, more=True), max_size=3)),
        draw(_body(_bodies)),
    ]
    steps: list[Step] = []
    between = _steps(_http_message).filter(lambda step: not isinstance(step, Send_ | Return | Raise))
    for message in messages:
        steps += draw(st.lists(between, max_size=2))
        steps.append(Send_(message))
    steps += draw(st.lists(_steps(_http_message), max_size=2))
    return tuple(steps)


_scripts: Final[dict[str, st.SearchStrategy[tuple[Step, ...]]]] = {
    "http": st.one_of(_sound_responses(), st.lists(_steps(_http_message), max_size=8).map(tuple)),
    "websocket": st.lists(_steps(_socket_message), max_size=8).map(tuple),
    "lifespan": st.lists(_steps(_lifespan_message), max_size=5).map(tuple),
}
_incoming: Final[dict[str, st.SearchStrategy[Any]]] = {
    "http": st.one_of(
        st.fixed_dictionaries({"type": st.just("http.request")}, optional={"body": _bytes, "more_body": st.booleans()}),
        st.sampled_from([{"type": "http.disconnect"}, {}, {"type": "http.request", "body": None}, None]),
    ),
    "websocket": st.sampled_from(
        [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": "ab"},
            {"type": "websocket.receive", "bytes": b"ab", "text": None},
            {"type": "websocket.disconnect", "code": 1001},
            {"type": "websocket.disconnect"},
            {},
            None,
        ]
    ),
    "lifespan": st.sampled_from([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]),
}


@dataclass(frozen=True)
class Plan:
    """What the server does."""

    incoming: tuple[object, ...] = ()
    exhausted: Literal["disconnects", "raises", "waits", "lingers"] = "disconnects"
    """What comes of receiving when there is nothing more; who waits does so until the response is complete."""
    send_fails_at: int = -1
    strict: bool = True
    plain: bool = False
    """Whether `send` is a function that returns an awaitable, rather than a coroutine function."""
    knows_disconnected: bool | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    scope: tuple[tuple[str, Any], ...] = ()


def plans(kind: str) -> st.SearchStrategy[Plan]:
    known = [
        (b"host", b"x"),
        (b"x-request-id", b"abc"),
        (b"x-request-id", b"not sound\xff"),
        (b"traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"),
        (b"authorization", b"Bearer s3cret"),
        (b"authorization", b"Basic eA=="),
        (b"x", b"with\na line feed"),
    ]
    odd: list[tuple[str, object]] = [
        ("client", None),
        ("client", ("127.0.0.1", 5)),
        ("client", 5),
        ("root_path", "/a"),
        ("method", "POST"),
        ("path", "/a/b"),
        ("path", None),
        ("query_string", b"token=1"),
        ("headers", None),
        ("http_version", "2"),
        ("extensions", {"http.response.pathsend": {}}),
    ]
    return st.builds(
        Plan,
        incoming=st.lists(_incoming[kind], max_size=4).map(tuple),
        exhausted=st.sampled_from(["disconnects", "raises", "lingers"]),
        send_fails_at=st.sampled_from([-1, -1, -1, 0, 1, 2]),
        strict=st.booleans(),
        plain=st.booleans(),
        knows_disconnected=st.sampled_from([None, False, True]),
        headers=st.lists(st.sampled_from(known), max_size=4).map(tuple),
        scope=st.lists(st.sampled_from(odd), max_size=2).map(tuple),
    )


def scripts(kind: str, *, loop: bool = True) -> st.SearchStrategy[tuple[Step, ...]]:
    """Return scripts of an application; without a loop there are no child tasks, and nothing to be cancelled."""
    if loop:
        return _scripts[kind]

    def alone(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return tuple(
            Receive_(caught=step.caught) if isinstance(step, Receive_) else _tasks_out(step)
            for step in steps
            if not isinstance(step, Spawn)
        )

    return _scripts[kind].map(alone)


@dataclass(frozen=True)
class Options:
    """How capture is set up."""

    bodies: Literal["off", "errors", "all"] = "all"
    body_cap: int = 1 << 14
    correlate: bool = True
    share: float | None = None
    masks: bool = True
    ignored: bool = False
    closed: bool = False
    layers: Literal["one", "two of one bus", "two of two buses"] = "one"


options: Final = st.builds(
    Options,
    bodies=st.sampled_from(["off", "errors", "all"]),
    body_cap=st.sampled_from([0, 1, 50, 1 << 14]),
    correlate=st.booleans(),
    share=st.sampled_from([None, None, 0.0, 0.5, 1.0]),
    masks=st.booleans(),
    ignored=st.sampled_from([False] * 7 + [True]),
    closed=st.sampled_from([False] * 7 + [True]),
    layers=st.sampled_from(["one", "one", "two of one bus", "two of two buses"]),
)


@dataclass
class Watch:
    """Capture, set up in one way."""

    options: Options
    buses: list[EventBus] = field(default_factory=list[EventBus])
    captures: list[CaptureMiddleware] = field(default_factory=list[CaptureMiddleware])

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return `app` with capture around it, once or twice."""
        self.buses = [EventBus(), EventBus()] if self.options.layers == "two of two buses" else [EventBus()]
        layers = [*self.buses, *self.buses] if self.options.layers == "two of one bus" else self.buses
        for bus in layers:
            app = self._layer(app, bus)
        if self.options.closed:
            for bus in self.buses:
                bus.close()
        return app

    def _layer(self, app: ASGIApp, bus: EventBus) -> CaptureMiddleware:
        chosen = self.options
        capture = CaptureMiddleware(
            app,
            bus,
            redaction=None if chosen.masks else Redaction([]),
            ignore=["/"] if chosen.ignored else [],
            bodies=chosen.bodies,
            body_cap=chosen.body_cap,
            sampling=None if chosen.share is None else Sampling(chosen.share, draw=lambda: 0.4),
            correlate=chosen.correlate,
        )
        self.captures.append(capture)
        return capture

    @property
    def faults(self) -> int:
        return sum(capture.statistics().faults for capture in self.captures)

    @property
    def in_flight(self) -> int:
        return sum(len(bus.in_flight) for bus in self.buses)

    def counted(self) -> list[int]:
        """Return how many requests each bus has had, in whatever way it took them; opens what it kept."""
        numbers = [bus.statistics() for bus in self.buses]
        for bus in self.buses:
            bus.ring.since(0)
        return [number.ring.published + number.thinned + number.refused for number in numbers]


# What is seen.


def described(value: object) -> Any:
    """Return `value` in a form that two runs can be compared by."""
    match value:
        case None | bool() | int() | str():
            return value
        case bytes() | bytearray() | memoryview():
            return type(value).__name__, bytes(value)
        case Mapping():
            return type(value).__name__, [(key, described(each)) for key, each in value.items()]
        case list() | tuple():
            return type(value).__name__, [described(each) for each in value]
        case CaptureMiddleware():  # where it is mounted, it is the endpoint
            return described(value.app)
        case _:
            return type(value).__name__


class Pauses:
    """Every point at which the application or the server lets others run, and what is to happen at one of them."""

    def __init__(self, cancel_at: int = 0) -> None:
        self.count = 0
        self._cancel_at = cancel_at
        self.scope = anyio.CancelScope()

    async def __call__(self) -> None:
        self.count += 1
        if self.count == self._cancel_at:
            self.scope.cancel("on purpose")
        await anyio.lowlevel.checkpoint()


class Run:
    """An application that follows a script in front of a server that follows a plan, and all that was to be seen."""

    def __init__(self, kind: str, steps: tuple[Step, ...], plan: Plan, pause: Callable[[], Awaitable[None]]) -> None:
        self.log: list[Any] = []
        self._steps = steps
        self._plan = plan
        self.pause = pause
        self._raised: list[BaseException] = []
        self._objects: list[object] = []
        self._given = 0
        self._taken = 0
        self._started = self._complete = False
        self.answered = anyio.Event()
        self.scope: Scope = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "path": "/",
            "query_string": b"",
            "headers": list(plan.headers),
            "state": {},
            **dict(plan.scope),
        }
        self._before: dict[ContextVar[Any], Any] = {}
        if plan.knows_disconnected is not None:
            self.disconnected = plan.knows_disconnected

    def note(self, what: str, value: object = None) -> None:
        self.log.append((what, described(value)))

    def note_error(self, what: str, error: BaseException) -> None:
        self.log.append((what, self._error(error)))

    def new(self, error: BaseException) -> BaseException:
        """Remember an exception, by which it is known again."""
        self._raised.append(error)
        return error

    def _error(self, error: BaseException | None, depth: int = 4) -> Any:
        if error is None or not depth:
            return None
        place = next((at for at, known in enumerate(self._raised) if known is error), None)
        inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        return (
            type(error).__name__,
            [re.sub(r"<Task .*>|\b(?:0x)?[0-9a-f]{8,}\b", "…", str(each)) for each in error.args if not inner],
            place,
            getattr(error, "__notes__", None),
            self._error(error.__cause__, depth - 1),
            self._error(error.__context__, depth - 1),
            error.__suppress_context__,
            [self._error(each, depth - 1) for each in inner],
        )

    def _same(self, value: object) -> bool:
        """Whether that very object was handed over by the other side."""
        return any(each is value for each in self._objects)

    # The server.

    async def receive(self) -> Message:
        await self.pause()
        number, self._given = self._given, self._given + 1
        self.note("server is asked for", number)
        if number < len(self._plan.incoming):
            message = made(self._plan.incoming[number])
            self._objects.append(message)
            return message  # type: ignore[no-any-return]  # whatever the plan says
        if self._plan.exhausted == "raises":
            raise self.new(OSError("nothing to receive"))
        if self._plan.exhausted == "waits" and not self._complete:
            await self.answered.wait()
        if self._plan.exhausted == "lingers":
            for _ in range(5):
                await self.pause()
        kind: str = self.scope["type"]
        message = {"type": f"{kind}.disconnect"}
        self._objects.append(message)
        return message

    async def _send(self, message: Any) -> None:
        await self.pause()
        self._take(message)
        await self.pause()

    async def send(self, message: Any) -> None:
        await self._send(message)

    def send_plainly(self, message: Any) -> Awaitable[None]:
        if self._taken == self._plan.send_fails_at:
            self._taken += 1
            raise self.new(OSError("raised at once"))
        return self._send(message)

    def _take(self, message: Any) -> None:
        number, self._taken = self._taken, self._taken + 1
        self.log.append(("server takes", number, self._same(message), described(message), self._headers(message)))
        if number == self._plan.send_fails_at:
            raise self.new(OSError("nobody is there"))
        if self._plan.strict and self.scope["type"] == "http":
            self._judge(message)

    def _headers(self, message: Any) -> Any:
        """Read headers as a server does: once, whatever they are."""
        if not isinstance(message, dict) or "headers" not in message:
            return None
        headers: Any = message["headers"]
        try:
            return self._same(headers), [(described(name), described(value)) for name, value in headers]
        except Exception as error:
            return self._same(headers), type(error).__name__, str(error)

    def _judge(self, message: Any) -> None:
        kind = message["type"]
        if not self._started:
            if kind == "http.response.start":
                self._started = True
            elif kind not in ("http.response.early_hint", "http.response.push", "http.response.debug"):
                raise self.new(RuntimeError(f"expected a start, got {kind}"))
        elif kind == "http.response.start" or self._complete:
            raise self.new(RuntimeError(f"unexpected {kind}"))
        elif kind == "http.response.body" and not message.get("more_body", False):
            self._complete = True
            self.answered.set()

    # The application.

    async def app(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Follow the script."""
        self.note("scope is the server's", scope is self.scope)
        self.note("scope", scope)
        self.log.append(("context of the application", self._context(without=OURS)))
        if any(isinstance(step, Spawn) or getattr(step, "when", "") == "in a task" for step in self._steps):
            async with anyio.create_task_group() as tasks:
                return await self._follow(self._steps, scope, receive, send, tasks)
        return await self._follow(self._steps, scope, receive, send, None)

    async def _follow(
        self, steps: tuple[Step, ...], scope: Scope, receive: Receive, send: Send, tasks: TaskGroup | None
    ) -> Any:
        later: list[Awaitable[None]] = []
        try:
            for number, step in enumerate(steps):
                match step:
                    case Send_():
                        await self._catching(step.caught, partial(self._do_send, step, send, later, tasks))
                    case Receive_():
                        await self._catching(step.caught, partial(self._do_receive, step, receive))
                    case Sleep():
                        await self.pause()
                    case SetVariable():
                        variable.set(step.value)
                    case Touch():
                        scope[step.key] = number
                    case Raise():
                        self._do_raise(step)
                    case Return():
                        return step.value
                    case Spawn():
                        assert tasks is not None
                        tasks.start_soon(self._child, step.steps, scope, receive, send, tasks)
            for awaitable in later:
                await awaitable
        finally:
            for awaitable in later:
                getattr(awaitable, "close", int)()

    async def _child(
        self, steps: tuple[Step, ...], scope: Scope, receive: Receive, send: Send, tasks: TaskGroup
    ) -> None:
        self.log.append(("context of a child", self._context(without=OURS)))
        await self._follow(steps, scope, receive, send, tasks)
        variable.set(-1)
        self.log.append(("context of a child at its end", self._context(without=OURS)))

    async def _do_send(self, step: Send_, send: Send, later: list[Awaitable[None]], tasks: TaskGroup | None) -> None:
        message = made(step.message)
        self._objects.append(message)
        if isinstance(message, dict):
            self._objects.append(message.get("headers"))
        match step.when:
            case "now":
                self.note("send returns", await send(message))  # type: ignore[func-returns-value]  # if it does
            case "later":
                later.append(send(message))
            case "in vain":
                getattr(send(message), "close", int)()
            case "in a task":
                assert tasks is not None
                tasks.start_soon(cast("Callable[[Message], Coroutine[Any, Any, None]]", send), message)

    async def _do_receive(self, step: Receive_, receive: Receive) -> None:
        with anyio.CancelScope() if step.cancelled else _Nothing() as scope:
            if scope is not None:
                scope.cancel("on purpose")
            message = await receive()
            self.log.append(("application receives", self._same(message), described(message)))

    async def _catching(self, how: str, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except Exception as error:
            self.note_error("application catches", error)
            match how:
                case "dropped":
                    return
                case "raised again":
                    error.add_note("raised again")
                    raise
                case "cause of another":
                    raise self.new(KeyError("another")) from error
                case "context of another":
                    raise self.new(KeyError("another"))  # noqa: B904 - that is the point
                case _:
                    raise

    def _do_raise(self, step: Raise) -> None:
        error = self.new(step.kind("on purpose", 5))
        match step.how:
            case "from another":
                raise error from self.new(LookupError("the cause"))
            case "from None":
                raise error from None
            case "during another":
                try:
                    raise self.new(LookupError("the context"))
                except LookupError:
                    raise error  # noqa: B904 - that is the point
            case "with a note":
                error.add_note("a note")
                raise error
            case "in a group":
                raise self.new(BaseExceptionGroup("a group", [error]))
            case _:
                raise error

    # Around both.

    @property
    def server_send(self) -> Send:
        return self.send_plainly if self._plan.plain else self.send

    async def drive(self, app: ASGIApp) -> None:
        """Have the server call `app`, and note how that ends. Raises what the application did."""
        self._before = dict(copy_context().items())
        scope = self.scope
        try:
            returned: Any = await app(scope, self.receive, self.server_send)  # type: ignore[func-returns-value]  # if it does
            self.note("application returns", returned)
        except BaseException as error:
            self.note_error("application raises", error)
            raise
        finally:
            self.note("scope afterwards", scope)
            self.log.append(("context afterwards", self._context()))

    def _context(self, without: tuple[str, ...] = ()) -> list[tuple[str, object]]:
        """Return what was set since the run began."""
        now = copy_context().items()
        news = [(var.name, described(value)) for var, value in now if self._before.get(var, self) is not value]
        gone = [(var.name, "gone") for var in self._before if var not in dict(now)]
        return sorted(pair for pair in [*news, *gone] if pair[0] not in without)


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class Suspension:
    """An awaitable that suspends once, for coroutines that are driven by hand."""

    def __await__(self) -> Generator["Suspension", None, None]:
        yield self
