import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import structlog
from fastapi import FastAPI
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.bus import Event, EventBus, LogLine
from reqscope.service import CaptureMiddleware, Monitor, Settings
from reqscope.service.exchange import MAX_LINES
from reqscope.service.loglines import note_line, watching_logs
from reqscope.service.pipeline import Pipeline

from .conftest import DEADLINE, MASK, Site, client, nothing, published, scope_of, serving, swallow, until

pytestmark = pytest.mark.anyio

shop = logging.getLogger("shop.orders")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The shop logs from INFO on, and the set-up of whoever runs the tests comes back."""
    factory, level = logging.getLogRecordFactory(), shop.level
    shop.setLevel(logging.INFO)
    yield
    shop.setLevel(level)
    logging.setLogRecordFactory(factory)
    structlog.reset_defaults()


def told(event: Event) -> list[tuple[str, str, str]]:
    return [(line.level, line.logger, line.message) for line in event.open().logs]


def logging_app(*messages: str) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            shop.info(message)
        await PlainTextResponse("hello")(scope, receive, send)

    return app


async def event_of(app: ASGIApp, bus: EventBus) -> Event:
    """Return the event of a request to `app`, once that has returned."""
    await CaptureMiddleware(app, bus)(scope_of(), nothing, swallow)
    return bus.ring.since(bus.ring.last - 1).events[0]


class TestStandardLibrary:
    async def test_lines_of_a_request_are_shown_with_it_in_order(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            shop.info("order %d of %s", 5, "ada")
            shop.warning("no more tea")
            logging.getLogger("other").error("with percent 100%")
            await PlainTextResponse("hello")(scope, receive, send)

        before = time.time_ns()
        with watching_logs():
            event = await event_of(app, bus)

        assert told(event) == [
            ("info", "shop.orders", "order 5 of ada"),
            ("warning", "shop.orders", "no more tea"),
            ("error", "other", "with percent 100%"),
        ]
        times = [line.time for line in event.logs]
        assert times == sorted(times)
        assert before <= event.time <= times[0] <= time.time_ns()

    async def test_lines_that_the_application_does_not_let_through_are_not_shown(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            shop.debug("too fine")
            shop.info("fine")

        with watching_logs():
            assert told(await event_of(app, bus)) == [("info", "shop.orders", "fine")]

    @pytest.mark.guarantees("F39")
    async def test_the_servers_access_log_and_our_own_lines_are_not_among_them(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for name in ("uvicorn.access", "reqscope.service.faults", "uvicorn.error", "uvicorn"):
                logging.getLogger(name).warning("line")

        with watching_logs():
            assert [logger for _, logger, _ in told(await event_of(app, bus))] == ["uvicorn.error", "uvicorn"]

    async def test_with_a_real_server_its_access_lines_do_not_show(self, site: Site, bus: EventBus) -> None:
        access = logging.getLogger("uvicorn.access")
        level, access.level = access.level, logging.INFO
        try:
            with watching_logs():
                async with site.client(CaptureMiddleware(logging_app("hello"), bus)) as http:
                    await http.get("/")
                    await http.get("/")
        finally:
            access.setLevel(level)

        for event in await published(bus, 2):
            assert told(event) == [("info", "shop.orders", "hello")]

    async def test_a_line_outside_of_a_request_is_nobodys(self, bus: EventBus) -> None:
        with watching_logs():
            shop.info("before")
            first = await event_of(logging_app("one"), bus)
            shop.info("between")
            second = await event_of(logging_app("two"), bus)
            shop.info("after")

        assert [message for event in (first, second) for _, _, message in told(event)] == ["one", "two"]

    async def test_outside_of_the_block_no_line_is_kept(self, bus: EventBus) -> None:
        with watching_logs(), watching_logs():
            pass

        assert told(await event_of(logging_app("hello"), bus)) == []

    async def test_blocks_may_overlap_and_a_line_is_shown_once(self, bus: EventBus) -> None:
        outer, inner = watching_logs(), watching_logs()
        outer.__enter__()
        inner.__enter__()
        assert told(await event_of(logging_app("one"), bus)) == [("info", "shop.orders", "one")]
        outer.__exit__(None, None, None)
        assert told(await event_of(logging_app("two"), bus)) == [("info", "shop.orders", "two")]
        inner.__exit__(None, None, None)

    async def test_secrets_in_lines_are_masked(self, bus: EventBus) -> None:
        with watching_logs():
            event = await event_of(logging_app("password=s3cret"), bus)

        assert "s3cret" not in repr(event)
        assert told(event) == [("info", "shop.orders", "password=" + MASK(b"s3cret").decode())]
        assert "s3cret" not in repr(event)

    async def test_a_line_whose_arguments_do_not_fit_is_shown_as_it_was_written_and_is_no_fault(
        self, bus: EventBus
    ) -> None:
        class Unreadable:
            def __str__(self) -> str:
                raise LookupError

        handler = logging.NullHandler()
        shop.addHandler(handler)
        shop.propagate = False

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for _ in range(20):
                shop.info("order %d", "five")
            shop.info("%s", Unreadable())

        capture = CaptureMiddleware(app, bus)
        try:
            with watching_logs():
                await capture(scope_of(), nothing, swallow)
        finally:
            shop.removeHandler(handler)
            shop.propagate = True

        (event,) = bus.ring.since(0).events
        assert [line.message for line in event.logs] == ["order %d"] * 20 + ["%s"]
        assert capture.statistics().faults == 0

    async def test_of_a_talkative_request_the_first_lines_are_kept_and_of_a_long_line_its_beginning(
        self, bus: EventBus
    ) -> None:
        with watching_logs():
            event = await event_of(logging_app("x" * 100_000, *map(str, range(1_000))), bus)

        assert len(event.logs) == MAX_LINES
        assert event.logs[0].message == "x" * 8_000
        assert event.logs[-1].message == str(MAX_LINES - 2)

    async def test_lines_before_an_exception_and_of_a_background_task_are_shown(self, bus: EventBus) -> None:
        async def task() -> None:
            shop.info("in the background")

        async def fails(scope: Scope, receive: Receive, send: Send) -> None:
            shop.info("about to fail")
            raise ZeroDivisionError

        with watching_logs():
            event = await event_of(PlainTextResponse("hello", background=BackgroundTask(task)), bus)
            with pytest.raises(ZeroDivisionError):
                await event_of(fails, bus)
        failed = bus.ring.since(1).events[0]

        assert told(event) == [("info", "shop.orders", "in the background")]
        assert told(failed) == [("info", "shop.orders", "about to fail")]
        assert failed.failure is not None

    async def test_a_record_that_comes_from_elsewhere_is_no_line_of_the_request(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for _ in range(20):
                logging.makeLogRecord({"name": "elsewhere", "msg": "line"})

        capture = CaptureMiddleware(app, bus)
        with watching_logs():
            await capture(scope_of(), nothing, swallow)

        assert (told(bus.ring.since(0).events[0]), capture.statistics().faults) == ([], 0)


class TestTheRightRequest:
    async def test_each_of_many_requests_at_once_shows_its_own_lines_also_from_threads(
        self, site: Site, bus: EventBus
    ) -> None:
        app, arrived, gate = FastAPI(), [0], anyio.Event()
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[note_line, lambda _, __, line: str(line)])

        @app.get("/waits/{number}")
        async def waits(number: int) -> None:
            shop.info("begin %d", number)
            arrived[0] += 1
            if arrived[0] == 20:
                gate.set()
            await gate.wait()
            log.info(f"end {number}")

        @app.get("/threaded/{number}")
        def threaded(number: int) -> None:
            shop.info("begin %d", number)
            time.sleep(0.001)  # its own work
            log.info(f"end {number}")

        @app.get("/to_thread/{number}")
        async def to_thread(number: int) -> None:
            await asyncio.to_thread(shop.info, "begin %d", number)
            await anyio.to_thread.run_sync(lambda: log.info(f"end {number}"))

        with watching_logs():
            async with site.client(CaptureMiddleware(app, bus)) as http, anyio.create_task_group() as tasks:
                for number in range(20):
                    for kind in ("waits", "threaded", "to_thread"):
                        tasks.start_soon(http.get, f"/{kind}/{number}")
            events = await published(bus, 60)

        assert len(events) == 60
        for event in events:
            name = event.path.rpartition("/")[2]
            assert [line.message for line in event.logs] == [f"begin {name}", f"end {name}"]

    async def test_lines_from_many_threads_of_one_request_are_all_there(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            start = threading.Barrier(4)

            def work(number: int) -> None:
                start.wait(DEADLINE)
                for line in range(10):
                    shop.info("%d-%d", number, line)

            async with asyncio.TaskGroup() as tasks:
                for number in range(4):
                    tasks.create_task(asyncio.to_thread(work, number))

        with watching_logs():
            event = await event_of(app, bus)

        assert sorted(line.message for line in event.logs) == sorted(f"{n}-{m}" for n in range(4) for m in range(10))

    async def test_a_task_that_outlives_its_request_adds_nothing_to_another(self, bus: EventBus) -> None:
        gate, tasks = anyio.Event(), list[asyncio.Task[None]]()

        async def late() -> None:
            await gate.wait()
            shop.info("late")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            tasks.append(asyncio.create_task(late()))
            await PlainTextResponse("hello")(scope, receive, send)

        with watching_logs():
            first = await event_of(app, bus)
            gate.set()
            await asyncio.gather(*tasks)
            second = await event_of(logging_app("two"), bus)

        assert told(second) == [("info", "shop.orders", "two")]
        assert [line.message for line in first.logs] == []


class TestStructlog:
    @pytest.fixture
    def lines(self) -> list[Any]:
        """What structlog prints, which is configured to print here."""
        printed: list[Any] = []

        class Printer:
            def msg(self, text: str) -> None:
                printed.append(text)

            info = warning = msg

        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(),
                structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True),
            ],
            logger_factory=lambda *_: Printer(),
            cache_logger_on_first_use=False,
        )
        return printed

    async def test_its_lines_are_shown_with_what_is_bound_but_for_what_the_event_says_anyway(
        self, bus: EventBus, lines: list[str]
    ) -> None:
        log = structlog.get_logger().bind(user="ada")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            log.info("ordered", count=5)
            log.warning("late")

        with watching_logs():
            event = await event_of(app, bus)

        assert told(event) == [("info", "", "ordered user='ada' count=5"), ("warning", "", "late user='ada'")]
        assert len(lines) == 2
        assert f"request_id='{event.request_id}'" in lines[0]

    async def test_a_logger_that_was_bound_before_the_block_is_watched_and_after_it_is_not(
        self, bus: EventBus, lines: list[str]
    ) -> None:
        structlog.configure(cache_logger_on_first_use=True)
        log = structlog.get_logger()
        log.info("first use")
        processors = list(structlog.get_config()["processors"])

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            log.info("hello")

        with watching_logs():
            assert told(await event_of(app, bus)) == [("info", "", "hello")]
        assert told(await event_of(app, bus)) == []
        assert structlog.get_config()["processors"] == processors
        assert len(lines) == 3

    async def test_a_line_that_its_configuration_drops_is_not_shown(self, bus: EventBus, lines: list[str]) -> None:
        def drop(logger: object, method: str, event_dict: structlog.types.EventDict) -> structlog.types.EventDict:
            raise structlog.DropEvent

        structlog.configure(processors=[drop, *structlog.get_config()["processors"]])

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            structlog.get_logger().info("dropped")

        with watching_logs():
            assert told(await event_of(app, bus)) == []

    @pytest.mark.parametrize(
        "renderer",
        [
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            structlog.stdlib.render_to_log_kwargs,
            structlog.processors.JSONRenderer(),
        ],
        ids=["ProcessorFormatter", "render_to_log_kwargs", "JSONRenderer"],
    )
    async def test_a_line_that_goes_on_to_the_standard_librarys_logging_is_shown_once(
        self, bus: EventBus, renderer: Any
    ) -> None:
        structlog.configure(
            processors=[structlog.stdlib.add_log_level, renderer],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            structlog.get_logger("shop.orders").info("ordered", count=5)

        with watching_logs():
            ((level, logger, message),) = told(await event_of(app, bus))

        assert (level, logger) == ("info", "shop.orders")
        assert "ordered" in message

    @pytest.mark.parametrize("processors", [(), []], ids=["tuple", "list"])
    async def test_an_empty_configuration_is_left_alone(self, processors: Any) -> None:
        structlog.configure(processors=processors)
        with watching_logs():
            assert structlog.get_config()["processors"] == processors

    async def test_a_configuration_that_cannot_be_changed_in_place_is_left_alone(self, bus: EventBus) -> None:
        structlog.configure(processors=(structlog.processors.add_log_level, structlog.dev.ConsoleRenderer()))
        processors = structlog.get_config()["processors"]

        with watching_logs():
            assert structlog.get_config()["processors"] is processors
            assert told(await event_of(logging_app("hello"), bus)) == [("info", "shop.orders", "hello")]

    async def test_a_value_that_cannot_be_shown_costs_the_application_nothing(
        self, bus: EventBus, lines: list[str]
    ) -> None:
        class Unreadable:
            def __repr__(self) -> str:
                raise LookupError

        structlog.configure(processors=[lambda _, __, event_dict: event_dict["event"]])

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            structlog.get_logger().info("ordered", what=Unreadable())

        with watching_logs():
            await event_of(app, bus)

        assert lines == ["ordered"]


class TestWhatStaysAsItWas:
    async def test_root_handlers_and_levels_and_every_logger(self) -> None:
        root = logging.getLogger()
        before = (list(root.handlers), root.level, root.filters, dict(vars(shop)), set(root.manager.loggerDict))
        with watching_logs():
            assert (list(root.handlers), root.level, root.filters, dict(vars(shop)), set(root.manager.loggerDict)) == (
                before
            )

    @pytest.mark.parametrize(
        ("set_up", "expected"),
        [
            ("", "last resort\n"),
            ("logging.basicConfig(format='%(name)s %(message)s')", "shop last resort\n"),
        ],
        ids=["nothing", "basicConfig"],
    )
    def test_an_application_that_never_set_up_logging_prints_as_before_and_basic_config_still_works(
        self, set_up: str, expected: str
    ) -> None:
        script = f"""
import logging
from reqscope.service.loglines import watching_logs
with watching_logs():
    assert logging.getLogger().handlers == []
    {set_up or "pass"}
    logging.getLogger("shop").warning("last resort")
"""
        ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)

        assert (ran.stdout, ran.stderr) == ("", expected)

    async def test_a_record_factory_of_the_applications_own_is_asked_before_and_after(self, bus: EventBus) -> None:
        made: list[str] = []

        class Record(logging.LogRecord):
            tenant = "7"

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = Record(*args, **kwargs)
            made.append(record.getMessage())
            return record

        logging.setLogRecordFactory(factory)
        with watching_logs():
            event = await event_of(logging_app("one"), bus)
            records: list[logging.LogRecord] = []
            shop.addFilter(keep := lambda record: records.append(record) or True)  # type: ignore[func-returns-value]  # `or` is for that
            await event_of(logging_app("two"), bus)
            shop.removeFilter(keep)
        await event_of(logging_app("three"), bus)

        assert made == ["one", "two", "three"]
        assert told(event) == [("info", "shop.orders", "one")]
        assert [type(record) for record in records] == [Record]
        assert vars(records[0]).keys() - {"message"} == vars(Record("", 0, "", 0, "", (), None)).keys()

    async def test_one_that_is_put_round_ours_and_watched_again_shows_each_line_once(self, bus: EventBus) -> None:
        with watching_logs():
            inner = logging.getLogRecordFactory()
            logging.setLogRecordFactory(lambda *args, **kwargs: inner(*args, **kwargs))
            with watching_logs():
                assert told(await event_of(logging_app("hello"), bus)) == [("info", "shop.orders", "hello")]

    async def test_a_factory_that_replaced_ours_altogether_is_watched_from_the_next_block_on(
        self, bus: EventBus
    ) -> None:
        with watching_logs():
            logging.setLogRecordFactory(logging.LogRecord)
            with watching_logs():
                assert told(await event_of(logging_app("hello"), bus)) == [("info", "shop.orders", "hello")]

    async def test_a_factory_that_fails_fails_as_before_and_is_watched_again_afterwards(self, bus: EventBus) -> None:
        broken = [True]

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            if broken[0]:
                raise LookupError
            return logging.LogRecord(*args, **kwargs)

        logging.setLogRecordFactory(factory)
        with watching_logs():
            with pytest.raises(LookupError):
                await event_of(logging_app("one"), bus)
            broken[0] = False
            assert told(await event_of(logging_app("two"), bus)) == [("info", "shop.orders", "two")]


class TestSettings:
    @pytest.mark.parametrize("capture_logs", [True, False])
    async def test_a_pipeline_watches_while_it_runs_if_it_is_asked_to(self, capture_logs: bool) -> None:
        pipeline = Pipeline(Settings(log="none", capture_logs=capture_logs))
        capture = pipeline.capture(logging_app("hello"))
        async with pipeline.running():
            await capture(scope_of(), nothing, swallow)
        (event,) = pipeline.bus.ring.since(0).events

        assert told(event) == ([("info", "shop.orders", "hello")] if capture_logs else [])

    async def test_what_the_application_configures_when_it_starts_is_watched_in_a_real_server(self) -> None:
        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
            start()
            yield

        app = FastAPI(lifespan=lifespan)

        @app.get("/orders")
        def orders() -> str:
            structlog.get_logger().info("structlog")
            shop.warning("logging")
            return "ordered"

        def start() -> None:
            structlog.configure(processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()])
            inner = logging.getLogRecordFactory()
            logging.setLogRecordFactory(lambda *args, **kwargs: inner(*args, **kwargs))

        monitor = Monitor(app)
        async with serving(app, lifespan="on") as url, client(url) as http:
            await http.get("/orders")
            shown = (await http.get("/reqscope/api/events")).json()["events"]
            detail = (await http.get(f"/reqscope/api/events/{shown[0]['id']}")).json()

        assert [(line["level"], line["logger"], line["message"]) for line in detail["logs"]] == [
            ("info", "", "structlog"),
            ("warning", "shop.orders", "logging"),
        ]
        assert monitor.faults.statistics().total == 0


async def test_a_line_keeps_when_it_was_written_and_by_whom(bus: EventBus) -> None:
    with watching_logs():
        event = await event_of(logging_app("hello"), bus)

    (line,) = event.logs
    assert line == LogLine(time=line.time, level="info", logger="shop.orders", message="hello")
    await until(lambda: event.app is not None, "the application to return")
