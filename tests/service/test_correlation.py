import logging
import re
from collections.abc import Sequence
from itertools import count

import anyio
import pytest
import structlog
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from structlog.contextvars import get_contextvars

from reqscope.bus import EventBus
from reqscope.service import CaptureMiddleware, Settings
from reqscope.service.correlation import begin, trace, unbind
from reqscope.service.heads import pack
from reqscope.service.pipeline import Pipeline

from .conftest import Site, nothing, published, scope_of, swallow

pytestmark = pytest.mark.anyio

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
NUMBERS = count(1)
Pairs = Sequence[tuple[bytes, bytes]]


def identified(*headers: tuple[bytes, bytes]) -> str:
    """Return the id that a request with these headers gets."""
    request_id, tokens = begin(headers, pack(headers), next(NUMBERS))
    unbind(tokens)
    return request_id


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-request-id", b"abc-1")],
        [(b"host", b"x"), (b"x-request-id", b"abc-1"), (b"accept", b"*/*")],
        [(b"host", b"x"), (b"x-request-id", b"abc-1")],
        [(b"x-request-id", b"not sound"), (b"x-request-id", b"abc-1")],
        [(b"vary", b"x-request-id"), (b"x-request-id", b"abc-1")],
    ],
    ids=repr,
)
def test_a_sound_id_of_the_requests_own_is_taken(headers: Pairs) -> None:
    assert identified(*headers) == "abc-1"


@pytest.mark.parametrize("value", [b"A-Z_a.z:0+9/=@", b"x" * 128], ids=len)
def test_what_ids_are_made_of_is_sound(value: bytes) -> None:
    assert identified((b"x-request-id", value)) == value.decode()


@pytest.mark.parametrize(
    "headers",
    [
        [],
        *(
            [(b"x-request-id", value)]
            for value in (b"", b"a b", b"a\tb", b"a\nb", b"caf\xe9", b"x" * 129, b"<b>", b"\0")
        ),
        [(b"x-request-id-2", b"abc"), (b"my-x-request-id", b"abc")],
        # A preflight of a browser asks whether it may send the header. What follows is a name, and no id.
        [(b"access-control-request-headers", b"x-request-id"), (b"origin", b"example")],
        [(b"access-control-request-headers", b"x-request-id")],
    ],
    ids=repr,
)
def test_without_a_sound_one_it_gets_one_of_ours(headers: Pairs) -> None:
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9]+", identified(*headers))


def test_no_two_requests_get_the_same() -> None:
    assert len({identified() for _ in range(1_000)}) == 1_000


@given(st.lists(st.tuples(st.sampled_from([b"host", b"vary", b"x-request-id"]), st.binary(max_size=12)), max_size=6))
def test_an_id_is_always_sound_and_that_of_the_first_header_that_has_one(headers: list[tuple[bytes, bytes]]) -> None:
    sound = [value for name, value in headers if name == b"x-request-id" and re.fullmatch(rb"[\w.:+/=@-]+", value)]

    request_id = identified(*headers)
    assert request_id == sound[0].decode() if sound else re.fullmatch(r"[0-9a-f]{8}-[0-9]+", request_id)


@pytest.mark.parametrize("value", [TRACEPARENT, f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01-what-comes-later"])
def test_a_sound_traceparent_names_the_trace_and_the_callers_span(value: str) -> None:
    assert trace([(b"host", b"x"), (b"traceparent", value.encode()), (b"accept", b"a")]) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "value",
    [
        "",
        TRACEPARENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f" {TRACEPARENT}",
    ],
)
def test_any_other_traceparent_names_none(value: str) -> None:
    assert trace([(b"traceparent", value.encode())]) is None


def test_a_header_that_only_speaks_of_traceparent_names_none() -> None:
    assert trace([(b"vary", b"traceparent"), (TRACEPARENT.encode(), b"x")]) is None


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers with structlog's context variables."""
    variables = " ".join(f"{name}={value}" for name, value in sorted(get_contextvars().items()))
    await PlainTextResponse(variables, headers={"X-Request-ID": "mine"})(scope, receive, send)


async def test_the_id_and_the_trace_are_bound_to_structlogs_context_variables_and_in_the_event(
    site: Site, bus: EventBus
) -> None:
    async with site.client(CaptureMiddleware(told, bus)) as http:
        answer = await http.get("/", headers={"x-request-id": "abc-1", "traceparent": TRACEPARENT})
    (event,) = await published(bus)

    assert answer.text == f"request_id=abc-1 span_id={SPAN} trace_id={TRACE}"
    assert (event.request_id, event.trace_id, event.span_id) == ("abc-1", TRACE, SPAN)


async def test_without_a_trace_only_the_id_is_bound(site: Site, bus: EventBus) -> None:
    async with site.client(CaptureMiddleware(told, bus)) as http:
        answer = await http.get("/")
    (event,) = await published(bus)

    assert answer.text == f"request_id={event.request_id}"
    assert (event.trace_id, event.span_id) == ("", "")


async def test_the_answer_says_the_id_only_if_that_is_asked_for(site: Site, bus: EventBus) -> None:
    for echo, expected in ((False, ["mine"]), (True, ["abc-1"])):
        async with site.client(CaptureMiddleware(told, bus, echo=echo)) as http:
            answer = await http.get("/", headers={"x-request-id": "abc-1"})
        assert answer.headers.get_list("x-request-id") == expected
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_an_id_that_was_made_up_is_told_in_the_answer_and_the_event_alike(site: Site, bus: EventBus) -> None:
    async with site.client(CaptureMiddleware(told, bus, echo=True, correlate=False)) as http:
        answer = await http.get("/", headers={"x-request-id": "not sound"})
    (event,) = await published(bus)

    assert answer.headers["x-request-id"] == event.request_id
    assert answer.text == f"request_id={event.request_id}"


async def test_a_websocket_has_an_id_too(bus: EventBus) -> None:
    seen: list[dict[str, object]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(get_contextvars())
        await send({"type": "websocket.close"})

    scope = scope_of(type="websocket", headers=[(b"x-request-id", b"abc-1")])
    await CaptureMiddleware(app, bus)(scope, nothing, swallow)
    (event,) = await published(bus)

    assert (event.kind, event.request_id, seen) == ("websocket", "abc-1", [{"request_id": "abc-1"}])


async def test_if_that_is_switched_off_nothing_is_bound() -> None:
    pipeline = Pipeline(Settings(log="none", correlate=False))
    seen: list[dict[str, object]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(get_contextvars())

    await pipeline.capture(app)(scope_of(headers=[(b"traceparent", TRACEPARENT.encode())]), nothing, swallow)

    assert seen == [{}]


@pytest.mark.parametrize("fails", [False, True])
async def test_afterwards_everything_is_bound_as_it_was_before(bus: EventBus, fails: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert get_contextvars() == {"request_id": "abc-1", "trace_id": TRACE, "span_id": SPAN, "user": "ada"}
        if fails:
            raise ZeroDivisionError

    headers = [(b"x-request-id", b"abc-1"), (b"traceparent", TRACEPARENT.encode())]
    with structlog.contextvars.bound_contextvars(request_id="outer", user="ada"):
        try:
            await CaptureMiddleware(app, bus)(scope_of(headers=headers), nothing, swallow)
        except ZeroDivisionError:
            assert fails
        assert get_contextvars() == {"request_id": "outer", "user": "ada"}
    assert get_contextvars() == {}


async def test_what_the_application_binds_itself_does_not_outlive_its_request(bus: EventBus) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id="its own")

    await CaptureMiddleware(app, bus)(scope_of(), nothing, swallow)

    assert get_contextvars() == {}


async def test_each_of_many_requests_at_once_has_its_own_also_in_threads(site: Site, bus: EventBus) -> None:
    app, arrived, gate = FastAPI(), [0], anyio.Event()

    @app.get("/waits")
    async def waits() -> str:
        arrived[0] += 1
        if arrived[0] == 20:
            gate.set()
        await gate.wait()
        return str(get_contextvars()["request_id"])

    @app.get("/threaded")
    def threaded() -> str:
        return str(get_contextvars()["request_id"])

    answers: dict[str, str] = {}
    async with site.client(CaptureMiddleware(app, bus)) as http, anyio.create_task_group() as tasks:

        async def ask(path: str, number: int) -> None:
            name = f"{path}:{number}"
            answers[name] = (await http.get(path, headers={"x-request-id": name})).json()

        for number in range(20):
            tasks.start_soon(ask, "/waits", number)
            tasks.start_soon(ask, "/threaded", number)

    assert len(answers) == 40
    assert all(name == answer for name, answer in answers.items())


async def test_structlogs_own_way_puts_the_id_into_the_applications_lines(bus: EventBus) -> None:
    lines: list[structlog.types.EventDict] = []

    def keep(logger: object, method: str, event_dict: structlog.types.EventDict) -> structlog.types.EventDict:
        lines.append(event_dict)
        raise structlog.DropEvent

    log = structlog.wrap_logger(
        logging.getLogger("shop"), processors=[structlog.contextvars.merge_contextvars, keep]
    )  # fmt: skip

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        log.info("hello")

    await CaptureMiddleware(app, bus)(scope_of(headers=[(b"x-request-id", b"abc-1")]), nothing, swallow)

    assert lines == [{"request_id": "abc-1", "event": "hello"}]
