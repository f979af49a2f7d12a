import copy
import gzip
import json
import pickle
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.bus import Event, EventBus, Filter
from reqscope.bus.encoding import encode
from reqscope.bus.event import Body
from reqscope.bus.schema import Detail, view
from reqscope.service import CaptureMiddleware, Redaction
from reqscope.service.bodies import Chunks
from reqscope.service.faults import Faults
from reqscope.service.heads import pack
from reqscope.service.sealed import Gate, SealedExchange

from .conftest import MASK, Site, nothing, published, scope_of, swallow

SECRET = "s3cret-0123456789"
CAP = 1_000


class BrokenRedaction(Redaction):
    """Cannot look at what a test says."""

    broken = ""

    def _check(self, step: str) -> None:
        if self.broken == step:
            raise ValueError(f"the {step} broke: {SECRET}")

    def headers(self, headers: Any) -> Any:
        self._check("headers")
        return super().headers(headers)

    def query(self, query: bytes) -> bytes:
        self._check("query")
        return super().query(query)

    def path(self, path: str) -> str:
        self._check("path")
        return super().path(path)

    def text(self, text: str) -> str:
        self._check("text")
        return super().text(text)

    def body(self, body: bytes, content_type: bytes, *, complete: bool = True) -> bytes:
        self._check("body")
        return super().body(body, content_type, complete=complete)


def answering(body: bytes, content_type: str = "application/json", status: int = 200, **headers: str) -> ASGIApp:
    """Return an application that reads what it gets and answers with this."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        headers_ = {name.replace("_", "-"): value for name, value in headers.items()}
        await Response(body, status, headers_, content_type)(scope, receive, send)

    return app


def exchange(body: bytes = b"", headers: dict[bytes, bytes] | None = None, path: str = "/x") -> Event:
    """Return a sealed event with such a request body."""
    chunks = Chunks(CAP)
    chunks.add(body)
    head = pack([*(headers or {b"content-type": b"application/json"}).items()])
    gate = Gate(Redaction(), Faults(), CAP)
    sealed = SealedExchange(gate, path, b"", head, b"", request_body=chunks)
    return Event(time=0, request_size=len(body), sealed=sealed)


def body_of(event: Event) -> Body:
    body = event.open().request_body
    assert body is not None
    return body


async def sealed_event(bus: EventBus, app: ASGIApp, **options: Any) -> Event:
    """Return the unopened event of a request with a secret everywhere."""
    headers = [
        (b"authorization", f"Bearer {SECRET}".encode()),
        (b"cookie", f"session={SECRET}".encode()),
        (b"content-type", b"application/json"),
    ]
    scope = scope_of(
        path=f"/reset;token={SECRET}", query_string=f"api_key={SECRET}".encode(), headers=headers, client=("::1", 1)
    )
    messages = iter([{"type": "http.request", "body": json.dumps({"password": SECRET}).encode()}])

    async def receive() -> Any:
        return next(messages)

    capture = CaptureMiddleware(app, bus, bodies="all", **options)
    with suppress(ZeroDivisionError):
        await capture(scope, receive, swallow)
    (event,) = bus.ring.since(0, sealed=True).events
    assert event.sealed is not None
    return event


class TestHeadersThatComeAgain:
    def opened(self, gate: Gate, head: bytes) -> Event:
        return Event(time=0, sealed=SealedExchange(gate, "/x", b"", bytes(bytearray(head)), b"")).open()

    def test_those_with_no_secret_are_one_object_for_all_events(self) -> None:
        gate, head = Gate(Redaction(), Faults(), CAP), pack([(b"host", b"shop.example"), (b"accept", b"*/*")])

        one, other = self.opened(gate, head), self.opened(gate, head)

        assert one.request_headers == ((b"host", b"shop.example"), (b"accept", b"*/*"))
        assert one.request_headers is other.request_headers

    def test_those_with_a_secret_are_masked_each_time_and_not_kept(self) -> None:
        gate, head = Gate(Redaction(), Faults(), CAP), pack([(b"host", b"x"), (b"authorization", SECRET.encode())])

        events = [self.opened(gate, head) for _ in range(3)]

        assert all(SECRET.encode() not in event.request_headers[1][1] for event in events)
        assert SECRET not in repr(vars(gate))

    def test_those_that_cannot_be_read_are_a_fault_each_time(self) -> None:
        faults = Faults()
        gate = Gate(Redaction(), faults, CAP)

        assert [self.opened(gate, b"torn").request_headers for _ in range(3)] == [(), (), ()]
        assert faults.statistics().total == 3

    def test_those_of_a_client_that_never_sends_the_same_take_bounded_memory(self) -> None:
        gate = Gate(Redaction(), Faults(), CAP)

        for number in range(2_000):
            head = pack([(b"x-number", b"n%d" % number)])
            assert self.opened(gate, head).request_headers == ((b"x-number", b"n%d" % number),)
        self.opened(gate, long := pack([(b"x-long", b"word " * 400)]))

        # Nothing public shows what is remembered, and that is what must be bounded.
        remembered = gate._harmless  # pyright: ignore[reportPrivateUsage]
        assert len(remembered) <= 512
        assert long not in remembered


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    await answering(json.dumps({"token": SECRET}).encode())(scope, receive, send)
    raise ZeroDivisionError(f"password={SECRET}")


@pytest.mark.anyio
class TestBeforeItIsOpened:
    """What a reader that does not open it can get out of it."""

    @pytest.mark.parametrize("app", [answering(b"{}"), failing], ids=["answered", "failed"])
    async def test_nothing_of_it_shows(self, bus: EventBus, app: ASGIApp) -> None:
        event = await sealed_event(bus, app)

        for shown in (repr(event), str(event), repr(event.sealed), f"{event!s} {event.sealed}"):
            assert SECRET not in shown
        assert (event.path, event.query, event.request_headers, event.response_headers) == ("", b"", (), ())
        assert (event.request_body, event.response_body, event.failure, event.logs) == (None, None, None, ())

    @pytest.mark.parametrize("app", [answering(b"{}"), failing], ids=["answered", "failed"])
    @pytest.mark.parametrize(
        "copying",
        [
            pickle.dumps,
            copy.deepcopy,
            msgspec.json.encode,
            msgspec.msgpack.encode,
            msgspec.to_builtins,
            encode,
            json.dumps,
        ],
        ids=lambda function: f"{function.__module__}.{function.__name__}",
    )
    async def test_it_cannot_be_copied_anywhere(
        self, bus: EventBus, app: ASGIApp, copying: Callable[[object], object]
    ) -> None:
        event = await sealed_event(bus, app)

        for what in (event, event.sealed):
            with pytest.raises(TypeError) as refused:
                copying(what)
            assert SECRET not in str(refused.value)

    async def test_once_it_is_open_it_can_be_copied_and_holds_no_secret(self, bus: EventBus) -> None:
        event = (await sealed_event(bus, failing)).open()

        assert event.sealed is None
        for copied in (pickle.dumps(event), msgspec.json.encode(event), repr(event).encode()):
            assert SECRET.encode() not in copied
        assert pickle.loads(pickle.dumps(event)) == event
        assert SECRET.encode() not in encode(view(event, "boot", Detail))

    async def test_its_numbers_can_be_read_and_a_filter_on_them_does_not_open_it(self, bus: EventBus) -> None:
        event = await sealed_event(bus, failing)

        assert (event.status, event.method, event.request_size) == (200, "GET", 33)
        assert Filter.parse("status:200 method:GET")(event)
        assert event.sealed is not None


@pytest.mark.anyio
class TestOpening:
    async def test_everything_is_there_and_masked(self, bus: EventBus) -> None:
        event = (await sealed_event(bus, failing)).open()

        mask = MASK(SECRET.encode())
        assert event.path == "/reset;token=" + mask.decode()
        assert event.query == b"api_key=" + mask
        assert dict(event.request_headers)[b"authorization"] == b"Bearer " + mask
        assert dict(event.request_headers)[b"cookie"] == b"session=" + mask
        assert event.request_body == Body(data=b'{"password": "' + mask + b'"}', captured=33)
        assert event.response_body == Body(data=b'{"token": "' + mask + b'"}', captured=30)
        assert event.failure is not None
        assert event.failure.message == "password=" + mask.decode()
        assert mask.decode() in event.failure.traceback

    @pytest.mark.parametrize("app", [answering(b"{}"), failing], ids=["answered", "failed"])
    async def test_a_glance_is_what_an_open_event_shows_and_leaves_the_rest_sealed(
        self, bus: EventBus, app: ASGIApp
    ) -> None:
        event = await sealed_event(bus, app)
        shown = event.glance()

        assert event.sealed is not None
        assert (event.path, event.request_headers, event.request_body) == ("", (), None)
        assert SECRET not in repr(shown)
        assert shown == event.open().glance()
        assert shown.path == "/reset;token=" + MASK(SECRET.encode()).decode()

    async def test_a_second_time_it_is_the_same(self, bus: EventBus) -> None:
        event = await sealed_event(bus, failing)
        seal = event.sealed
        first = pickle.dumps(event.open())
        event.sealed = seal

        assert pickle.dumps(event.open()) == first

    async def test_what_became_known_after_it_was_opened_is_seen_by_who_opens_it_again(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await answering(b"{}")(scope, receive, send)
            (early,) = bus.ring.since(0).events
            assert (early.path, early.error, early.failure) == ("/x", None, None)
            raise ZeroDivisionError("on purpose")

        with pytest.raises(ZeroDivisionError):
            await CaptureMiddleware(app, bus)(scope_of(path="/x"), nothing, swallow)
        event = bus.ring.get(1)

        assert event is not None
        assert (event.path, event.error) == ("/x", "ZeroDivisionError")
        assert event.failure is not None
        assert event.failure.message == "on purpose"

    @pytest.mark.parametrize(
        ("step", "expected"),
        [
            ("path", {"path": "[withheld]"}),
            ("query", {"query": b""}),
            ("headers", {"request_headers": (), "response_headers": ()}),
            ("text", {"request_id": "[withheld]"}),
        ],
    )
    async def test_what_the_redaction_cannot_look_at_is_left_out_and_counted(
        self, bus: EventBus, caplog: pytest.LogCaptureFixture, step: str, expected: dict[str, object]
    ) -> None:
        redaction, faults = BrokenRedaction(), Faults()
        event = await sealed_event(bus, failing, redaction=redaction, faults=faults)
        redaction.broken = step
        event.open()

        assert {name: getattr(event, name) for name in expected} == expected
        assert SECRET not in repr(event)
        assert faults.statistics().kinds.keys() == {"redaction: ValueError"}

    @pytest.mark.parametrize(("step", "expected"), [("path", "[withheld]"), ("query", b"")])
    async def test_so_it_is_in_a_glance(
        self, bus: EventBus, caplog: pytest.LogCaptureFixture, step: str, expected: object
    ) -> None:
        redaction, faults = BrokenRedaction(), Faults()
        event = await sealed_event(bus, failing, redaction=redaction, faults=faults)
        redaction.broken = step
        shown = event.glance()

        assert getattr(shown, step) == expected
        assert SECRET not in repr(shown)
        assert faults.statistics().kinds.keys() == {"redaction: ValueError"}

    async def test_a_body_that_the_redaction_cannot_look_at_says_so(self, bus: EventBus) -> None:
        redaction, faults = BrokenRedaction(), Faults()
        event = await sealed_event(bus, failing, redaction=redaction, faults=faults)
        redaction.broken = "body"
        event.open()

        assert event.request_body == Body(data=b"", captured=33, withheld="it could not be made safe to show")
        assert event.response_body is not None
        assert event.response_body.withheld == "it could not be made safe to show"
        assert event.path.startswith("/reset")
        assert faults.statistics().total == 2


@pytest.mark.anyio
class TestWhoseBodiesAreKept:
    @pytest.mark.parametrize("status", [200, 302, 400, 404, 500])
    @pytest.mark.parametrize("bodies", ["off", "errors", "all"])
    async def test_nobodys_those_of_requests_that_failed_or_all(
        self, site: Site, bus: EventBus, bodies: Any, status: int
    ) -> None:
        app = answering(b'{"a": 1}', status=status)
        async with site.client(CaptureMiddleware(app, bus, bodies=bodies)) as http:
            await http.post("/", content=b'{"b": 22}', headers={"content-type": "application/json"})
        (event,) = await published(bus)

        if bodies == "all" or (bodies == "errors" and status >= 400):
            assert event.request_body == Body(data=b'{"b": 22}', captured=9)
            assert event.response_body == Body(data=b'{"a": 1}', captured=8)
        else:
            assert (event.request_body, event.response_body) == (None, None)

    async def test_those_of_an_exception_after_a_response_that_began_well(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ZeroDivisionError

        async def receive() -> Any:
            return {"type": "http.request", "body": b"asked"}

        with pytest.raises(ZeroDivisionError):
            await CaptureMiddleware(app, bus, bodies="errors")(scope_of(), receive, swallow)
        (event,) = await published(bus)

        assert (event.request_body, event.response_body) == (
            Body(data=b"asked", captured=5),
            Body(data=b"half", captured=4),
        )

    async def test_a_body_that_nobody_read_or_sent_is_none(self, site: Site, bus: EventBus) -> None:
        async with site.client(CaptureMiddleware(Response(status_code=204), bus, bodies="all")) as http:
            await http.post("/", content=b"unread")
        (event,) = await published(bus)

        assert (event.request_body, event.response_body) == (None, None)

    async def test_of_a_long_body_the_beginning_is_kept_and_how_much_of_how_much_that_is(
        self, site: Site, bus: EventBus
    ) -> None:
        async with site.client(
            CaptureMiddleware(answering(b"b" * 5_000, "text/plain"), bus, bodies="all", body_cap=CAP)
        ) as http:
            answer = await http.post("/", content=b"a" * 100_000, headers={"content-type": "text/plain"})
        (event,) = await published(bus)

        assert len(answer.content) == 5_000
        assert event.request_body == Body(data=b"a" * CAP, captured=CAP, complete=False)
        assert event.response_body == Body(data=b"b" * CAP, captured=CAP, complete=False)
        assert (event.request_size, event.response_size) == (100_000, 5_000)
        shown = view(event, "boot", Detail)
        assert shown.request_body is not None
        assert (shown.request_body.captured, shown.request_size) == (CAP, 100_000)

    async def test_the_size_that_counts_against_the_rings_bound_has_the_bodies_in_it(self, bus: EventBus) -> None:
        sizes: list[int] = []
        for bodies in ("off", "all"):
            capture = CaptureMiddleware(answering(b"b" * 700, "text/plain"), bus, bodies=bodies)
            await capture(scope_of(), nothing, swallow)
            sizes.append(bus.ring.since(0, sealed=True).events[-1].size)

        assert sizes[1] - sizes[0] == 700


class TestBodies:
    @pytest.mark.guarantees("45")
    @pytest.mark.parametrize(
        ("encoding", "pack_"),
        [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"GZIP", gzip.compress)],
    )
    def test_a_packed_body_is_shown_unpacked_and_masked(self, encoding: bytes, pack_: Callable[[bytes], bytes]) -> None:
        packed = pack_(json.dumps({"password": SECRET, "a": 1}).encode())
        body = body_of(exchange(packed, {b"content-type": b"application/json", b"content-encoding": encoding}))

        assert body.data == b'{"password": "' + MASK(SECRET.encode()) + b'", "a": 1}'
        assert (body.captured, body.withheld) == (len(packed), None)

    def test_of_a_packed_body_no_more_is_shown_than_of_any_other(self) -> None:
        packed = gzip.compress(b"a" * 50_000)
        body = body_of(exchange(packed, {b"content-type": b"text/plain", b"content-encoding": b"gzip"}))

        assert (body.data, body.captured) == (b"a" * CAP, len(packed))

    @pytest.mark.guarantees("44")
    @given(st.integers(CAP - len(SECRET) - 30, CAP + 10), st.booleans())
    def test_a_secret_that_the_cap_cuts_in_two_is_masked_all_the_same(self, at: int, packed: bool) -> None:
        text = json.dumps({"pad": "x" * at, "password": SECRET, "more": "y" * 2_000}).encode()
        headers = {b"content-type": b"application/json"}
        if packed:
            text, headers[b"content-encoding"] = gzip.compress(text), b"gzip"
        body = body_of(exchange(text, headers))

        assert body.withheld is None
        assert len(body.data) <= CAP
        assert SECRET[:6].encode() not in body.data

    @pytest.mark.guarantees("45")
    @pytest.mark.parametrize("path", ["/login", "/v1/sign-in", "/oauth/token", "/session", "/reset-password"])
    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            (b"\x1b\x81\x00\xf8\x25\x14\x94\x52", {b"content-encoding": b"br"}),
            (b"\x89\x00\xff\xfe1234", {b"content-type": b"application/octet-stream"}),
        ],
        ids=["brotli", "binary"],
    )
    def test_what_cannot_be_decoded_on_a_route_where_people_sign_in_is_withheld(
        self, path: str, body: bytes, headers: dict[bytes, bytes]
    ) -> None:
        shown = body_of(exchange(body, headers, path))

        assert (shown.data, shown.captured) == (b"", len(body))
        assert shown.withheld is not None

    @pytest.mark.guarantees("45")
    def test_what_says_that_it_is_packed_and_is_not_is_shown_masked(self) -> None:
        body = body_of(exchange(b'{"pin": 1234, "a": 1}', {b"content-encoding": b"gzip"}, "/login"))

        assert body.withheld is None
        assert body.data == b'{"pin": "' + MASK(b"1234") + b'", "a": 1}'

    @pytest.mark.guarantees("45")
    def test_what_is_packed_in_a_way_that_is_not_known_is_withheld_everywhere(self) -> None:
        body = body_of(exchange(b"\x1b\x81\x00\xf8%\x14\x94R", {b"content-encoding": b"br"}, "/articles"))

        assert (body.data, body.withheld) == (b"", "it is packed (br) and cannot be looked into")

    def test_the_route_says_so_too_where_the_path_does_not(self) -> None:
        event = exchange(b"\x89\x00\xff\xfe1234", {b"content-type": b"application/octet-stream"}, "/x/1")
        event.route = "/{login}/{id}"

        assert body_of(event).withheld is not None

    def test_elsewhere_it_is_shown_as_it_is(self) -> None:
        picture = b"\x89PNG\x00\xff\xfe" * 10

        assert body_of(exchange(picture, {b"content-type": b"image/png"}, "/pictures")) == Body(
            data=picture, captured=len(picture)
        )

    def test_what_can_be_decoded_is_shown_where_people_sign_in_without_what_they_sign_in_with(self) -> None:
        body = body_of(exchange(json.dumps({"user": "ada", "password": SECRET}).encode(), path="/login"))

        assert body.data == b'{"user": "ada", "password": "' + MASK(SECRET.encode()) + b'"}'

    @pytest.mark.parametrize("data", [b"", b"x", b"\xff", b"{", b"[" * 900])
    def test_no_body_is_a_fault(self, data: bytes) -> None:
        faults, chunks = Faults(), Chunks(CAP)
        chunks.add(data)
        for encoding in (b"", b"gzip", b"deflate", b"br"):
            head = pack([(b"content-encoding", encoding), (b"content-type", b"application/json")])
            sealed = SealedExchange(Gate(Redaction(), faults, CAP), "/login", b"", head, b"", request_body=chunks)
            Event(time=0, request_size=len(data), sealed=sealed).open()

        assert faults.statistics().total == 0
