"""What is kept of an exception: `service/failures.py`."""

import asyncio
import gc
import re
import traceback
import weakref
from collections.abc import Callable
from contextlib import suppress

import anyio
import pytest
from fastapi import BackgroundTasks, FastAPI
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from reqscope.bus import Event, EventBus
from reqscope.service import CaptureMiddleware
from reqscope.service.failures import Raised, fingerprint, keep, render

from .conftest import MASK, Site, nothing, published, scope_of, swallow, until


class Custom(Exception):
    """An exception of a module that has a name."""


class Unreadable(Exception):
    def __str__(self) -> str:
        raise LookupError


def divides() -> None:
    raise ZeroDivisionError("on purpose")


def empty() -> None:
    raise Custom


def lines() -> None:
    raise Custom("one\ntwo")


def unnamed() -> None:
    (lambda: divides())()


def chained() -> None:
    try:
        divides()
    except ZeroDivisionError as error:
        raise Custom("named") from error


def while_handling() -> None:
    try:
        chained()
    except Custom:
        divides()


def suppressed() -> None:
    try:
        divides()
    except ZeroDivisionError:
        raise Custom("alone") from None


def noted() -> None:
    error = Custom("with notes")
    error.add_note("one")
    error.add_note("two\nlines")
    raise error


def grouped() -> None:
    members: list[Exception] = []
    for raises in (divides, chained, noted):
        try:
            raises()
        except Exception as error:
            members.append(error)
    raise ExceptionGroup("many", [members[0], ExceptionGroup("inner", members[1:])])


def group_that_was_caused() -> None:
    try:
        grouped()
    except ExceptionGroup as error:
        raise Custom("after a group") from error


def deep(depth: int = 40) -> None:
    if depth:
        deep(depth - 1)
    else:
        divides()


def from_text() -> None:
    exec(compile("def f():\n    raise KeyError('no source')\nf()", "<generated>", "exec"), {})


RAISING = [
    *(divides, empty, lines, unnamed, chained, while_handling, suppressed, noted, grouped),
    *(group_that_was_caused, deep, from_text),
]


def caught(raises: Callable[[], None]) -> Exception:
    try:
        raises()
    except Exception as error:
        return error
    pytest.fail("nothing was raised")


def kept(raises: Callable[[], None]) -> Raised:
    return keep(caught(raises))


LINES_MORE = re.compile(r"^ {4}(?:\.\.\.<\d+ lines>\.\.\.|[)\]}]+)\n", re.MULTILINE)


def without_marks(printed: str) -> str:
    """Return what Python prints without the marks below its lines, such as `~~^~~`, and with one line of a statement
    only, as before 3.13.
    """
    marked = "\n".join(line for line in printed.splitlines() if not line.strip(" |") or line.strip(" |~^"))
    return LINES_MORE.sub("", marked)


class TestTraceback:
    @pytest.mark.parametrize("raises", RAISING, ids=lambda raises: raises.__name__)
    def test_it_is_what_python_prints(self, raises: Callable[[], None]) -> None:
        error = caught(raises)

        assert render(keep(error)) == without_marks("".join(traceback.format_exception(error)))

    def test_of_a_very_deep_one_the_innermost_lines_are_told(self) -> None:
        def recursive(left: int) -> None:
            if left == 0:
                divides()
            recursive(left - 1) if left % 2 else other(left - 1)

        def other(left: int) -> None:
            recursive(left)

        raised = kept(lambda: recursive(300))
        printed = render(raised)

        assert len(raised.frames) == 60
        assert raised.frames[-1].function == "divides"
        assert 'raise ZeroDivisionError("on purpose")' in printed
        assert len(printed) < 20_000

    def test_a_chain_without_an_end_has_one_here(self) -> None:
        first, second = Custom("first"), Custom("second")
        first.__context__, second.__context__ = second, first

        assert render(keep(first)).count("During handling") == 4

    @pytest.mark.guarantees("F31")
    def test_a_group_of_many_tells_the_first(self) -> None:
        printed = render(keep(ExceptionGroup("many", [Custom(f"number {n}") for n in range(1_000)])))

        assert "number 4" in printed
        assert "number 5" not in printed
        assert "many (1000 sub-exceptions)" in printed

    def test_a_message_that_cannot_be_read_is_none(self) -> None:
        assert render(keep(Unreadable())).endswith("Unreadable: (its message cannot be read)")

    def test_a_long_message_is_cut(self) -> None:
        assert len(keep(Custom("x" * 1_000_000)).message) == 4_000

    def test_values_of_variables_are_not_in_it(self) -> None:
        def sign_in(password: str) -> None:
            divides()

        printed = render(kept(lambda: sign_in("".join(["hun", "ter2"]))))
        assert "in sign_in" in printed
        assert "hunter2" not in printed


class TestFingerprint:
    @staticmethod
    def of(raises: Callable[[], None], route: str | None = "/x") -> str:
        return fingerprint(kept(raises), route)

    def test_it_is_the_same_for_the_same_place_whatever_the_message(self) -> None:
        def fails(message: str) -> Callable[[], None]:
            def fail() -> None:
                raise Custom(message)

            return fail

        assert self.of(fails("one")) == self.of(fails("two"))

    def test_it_is_another_for_another_type_line_or_route(self) -> None:
        def two_lines(first: bool) -> Callable[[], None]:
            def fail() -> None:
                if first:
                    raise Custom
                raise Custom

            return fail

        def one_line(kind: type[Exception]) -> Callable[[], None]:
            def fail() -> None:
                raise kind

            return fail

        different = {
            self.of(two_lines(first=True)),
            self.of(two_lines(first=False)),
            self.of(one_line(ValueError)),
            self.of(one_line(KeyError)),
            self.of(one_line(KeyError), "/y"),
            self.of(one_line(KeyError), None),
        }
        assert len(different) == 6

    def test_a_line_in_a_library_counts_by_the_line_that_called_it(self) -> None:
        def parse(text: str) -> Callable[[], None]:
            def fail() -> None:
                import json

                json.loads(text)

            return fail

        def other() -> None:
            import json

            json.loads("{")

        assert self.of(parse("{")) == self.of(parse("[1, 2"))
        assert self.of(parse("{")) != self.of(other)

    @pytest.mark.guarantees("F31")
    def test_what_went_wrong_in_a_group_makes_the_difference(self) -> None:
        def group(*kinds: type[Exception]) -> Callable[[], None]:
            def fail() -> None:
                raise ExceptionGroup("tasks", [kind() for kind in kinds])

            return fail

        assert self.of(group(KeyError)) == self.of(group(KeyError, KeyError))
        assert self.of(group(KeyError)) != self.of(group(ValueError))

    def test_an_exception_that_was_never_raised_has_one_too(self) -> None:
        assert fingerprint(keep(Custom()), None) != fingerprint(keep(KeyError()), None)
        assert fingerprint(keep(Custom("\ud800")), "/\ud800")


@pytest.mark.anyio
class TestCaptured:
    async def test_the_traceback_of_an_event_is_pythons_without_our_own_lines(self, site: Site, bus: EventBus) -> None:
        app, seen = FastAPI(), list[str]()

        @app.get("/items/{item}")
        async def fails(item: int) -> None:
            divides()

        async def witness(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except Exception as error:
                seen.extend(traceback.format_exception(error))
                raise

        async with site.client(CaptureMiddleware(witness, bus)) as http:
            assert (await http.get("/items/5")).status_code == 500
        (event,) = await published(bus)
        await until(lambda: event.app is not None, "the application to return")
        failure = event.open().failure

        assert failure is not None
        # The witness stands within: what it caught has no line of the capture's.
        expected = without_marks("".join(seen))
        assert failure.traceback == expected
        assert failure.message == "on purpose"
        assert (event.status, event.error, event.route) == (500, "ZeroDivisionError", "/items/{item}")

    @pytest.mark.parametrize("kind", ["http", "websocket"])
    async def test_lines_of_the_capture_are_not_told_where_the_server_raises_into_the_application_either(
        self, bus: EventBus, kind: str
    ) -> None:
        async def receive() -> object:
            raise ConnectionError("gone")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()

        with pytest.raises(ConnectionError):
            await CaptureMiddleware(app, bus)(scope_of(type=kind), receive, swallow)  # type: ignore[arg-type]  # less than ASGI asks for
        (event,) = await published(bus)

        assert event.failure is not None
        assert event.failure.traceback.count("  File ") == 2
        assert f'File "{__file__}"' in event.failure.traceback
        assert "exchange.py" not in event.failure.traceback
        assert "websocket.py" not in event.failure.traceback

    @pytest.mark.guarantees("43")
    async def test_secrets_in_messages_and_chained_messages_are_masked(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                raise Custom("api_key=s3cret-1")
            except Custom as error:
                raise Custom("password=s3cret-2") from error

        with pytest.raises(Custom):
            await CaptureMiddleware(app, bus)(scope_of(), nothing, swallow)
        (event,) = await published(bus)

        assert event.failure is not None
        assert event.failure.message == "password=" + MASK(b"s3cret-2").decode()
        assert MASK(b"s3cret-1").decode() in event.failure.traceback
        # The lines of the program that raise these are its source, and hold what its author wrote there.
        printed = "\n".join(line for line in event.failure.traceback.splitlines() if not line.startswith("    "))
        assert "s3cret" not in printed

    @pytest.mark.parametrize("opened", [False, True])
    async def test_nothing_that_the_application_held_stays_alive(self, bus: EventBus, opened: bool) -> None:
        class Held:
            """Something large."""

        held: list[weakref.ref[Held]] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            large = Held()
            held.append(weakref.ref(large))
            try:
                raise Custom("inner", large)
            except Custom as error:
                raise LookupError from error

        with pytest.raises(LookupError):
            await CaptureMiddleware(app, bus, bodies="all")(scope_of(), nothing, swallow)
        gc.collect()
        assert held[0]() is None

        if opened:
            assert len(bus.failures.latest()) == 1
            (event,) = bus.ring.since(0).events
            assert event.failure is not None
        gc.collect()
        assert not [each for each in gc.get_objects() if type(each) is Held]

    async def test_without_the_garbage_collector_nothing_stays_alive_either(self, bus: EventBus) -> None:
        class Held:
            """Something large."""

        held: list[weakref.ref[Held]] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            large = Held()
            held.append(weakref.ref(large))
            raise LookupError

        async def caller() -> None:
            with suppress(LookupError):
                await CaptureMiddleware(app, bus)(scope_of(), nothing, swallow)

        gc.collect()
        gc.disable()
        try:
            await caller()
            assert held[0]() is None
        finally:
            gc.enable()

    async def test_failures_of_one_place_are_a_group_over_many_requests(self, site: Site, bus: EventBus) -> None:
        app = FastAPI()

        @app.get("/items/{item}")
        async def fails(item: int) -> None:
            raise Custom(f"no item {item}")

        @app.get("/other")
        def other() -> None:
            raise Custom("other")

        async with site.client(CaptureMiddleware(app, bus)) as http:
            for path in ("/items/1", "/items/2", "/other", "/items/3"):
                await http.get(path)
        await until(lambda: bus.failures.statistics().noted == 4, "all to be noted")
        first, second = bus.failures.latest()

        assert (first.route, first.count, first.message) == ("/items/{item}", 3, "no item 3")
        assert (second.route, second.count, second.message) == ("/other", 1, "other")
        assert (first.type, first.event) == ("Custom", 4)
        assert first.first < second.first < first.last
        assert first.traceback.endswith("Custom: no item 3")

    @pytest.mark.guarantees("F32")
    async def test_a_background_task_that_fails_after_the_answer_is_grouped_too(
        self, site: Site, bus: EventBus
    ) -> None:
        app = FastAPI()

        async def task() -> None:
            raise Custom("in the background")

        @app.get("/orders")
        async def orders(tasks: BackgroundTasks) -> str:
            tasks.add_task(task)
            return "ordered"

        async with site.client(CaptureMiddleware(app, bus)) as http:
            assert (await http.get("/orders")).status_code == 200
        await until(lambda: bus.failures.statistics().noted == 1, "the failure to be noted")
        (group,) = bus.failures.latest()
        (event,) = await published(bus)

        assert (group.route, group.type, group.message, group.count) == ("/orders", "Custom", "in the background", 1)
        assert (event.status, event.error) == (200, "Custom")
        assert event.failure is not None
        assert event.failure.fingerprint == group.fingerprint

    @pytest.mark.guarantees("F30")
    async def test_a_request_that_is_cancelled_tells_where(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await anyio.sleep_forever()

        capture = CaptureMiddleware(app, bus)
        task = asyncio.ensure_future(capture(scope_of(), nothing, swallow))
        await until(lambda: capture.statistics().in_flight == 1, "the request to begin")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (event,) = await published(bus)

        assert event.failure is not None
        assert "await anyio.sleep_forever()" in event.failure.traceback

    async def test_an_answer_that_is_an_error_and_no_exception_is_no_failure(self, site: Site, bus: EventBus) -> None:
        async with site.client(CaptureMiddleware(PlainTextResponse("no", 503), bus)) as http:
            await http.get("/")
        (event,) = await published(bus)

        assert (event.failure, bus.failures.latest()) == (None, [])


def test_an_event_that_was_not_captured_has_no_failure() -> None:
    assert Event(time=0).open().failure is None
