"""Within one machine: to whom raw events are given, and what is asked on the way back."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from tempfile import TemporaryDirectory

import anyio
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from reqscope.bus import EventBus, Running
from reqscope.service.bridge.addresses import connect
from reqscope.service.bridge.bridge import Bridge, BridgeError
from reqscope.service.bridge.carried import Sealer
from reqscope.service.bridge.packed import Packed, Rules, pack
from reqscope.service.bridge.publisher import Publisher
from reqscope.service.bridge.receiver import Receiver
from reqscope.service.capture import CaptureMiddleware
from reqscope.service.redaction import Redaction
from reqscope.service.redaction.names import SENSITIVE

from .bridging import arrived, panel, worker
from .conftest import until

pytestmark = pytest.mark.anyio

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user, too")

NOBODY = 65534
SECRET = "geheim-4711"

STRANGER = """
import os, socket, sys
path, number = sys.argv[1:]
os.umask(0)
with socket.socket(socket.AF_UNIX) as mine:
    os.setuid(int(number))
    mine.bind(path)
    mine.listen()
    print("ready", flush=True)
    taken, _ = mine.accept()
    print(taken.recv(100_000), flush=True)
    taken.recv(1)
"""

SENDER = """
import os, socket, sys
path, data, number = sys.argv[1:]
os.setuid(int(number))
with socket.socket(socket.AF_UNIX) as mine:
    mine.connect(path)
    try:
        mine.send(bytes.fromhex(data))
        print(mine.recv(1))
    except ConnectionError:
        print(b"")
"""


@pytest.fixture
def address() -> Iterator[str]:
    """Where anybody might make a socket: pytest's own folders are its user's."""
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield f"unix:{folder}/collector.sock"


@pytest.fixture
def squatted(address: str) -> Iterator["subprocess.Popen[str]"]:
    """Another user's process that listens where the collector should."""
    command = [sys.executable, "-c", STRANGER, address.removeprefix("unix:"), str(NOBODY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


class Runs:
    def __init__(self, number: int, path: str = "/x") -> None:
        self.number, self.path = number, path

    def running(self) -> Running:
        return Running(id=str(self.number), time=self.number, age=1.0, kind="request", method="GET", path=self.path)


@needs_root
async def test_another_users_socket_gets_nothing(address: str, squatted: "subprocess.Popen[str]") -> None:
    bridge = connect(address)
    with pytest.raises(BridgeError, match="another user's"):
        await bridge.publish(pack(Packed(worker="1", boot="b", number=1, after=0)), "1")

    assert squatted.stdout is not None
    assert squatted.stdout.readline() == "b''\n"


@needs_root
async def test_another_users_batches_are_not_taken(address: str) -> None:
    data = pack(Packed(worker="1", boot="b", number=0, after=0, heartbeat=9.0))
    framed = (len(data).to_bytes(4) + data).hex()
    path = address.removeprefix("unix:")
    async with panel(connect(address)) as (_, receiver):
        await until(lambda: os.path.exists(path) and os.stat(path).st_mode & 0o777 == 0o600, "the socket")
        os.chmod(path, 0o666)  # as a mistake would have it
        for user, answer in ((NOBODY, b"b''\n"), (0, b"b'\\x06'\n")):
            done = await anyio.run_process([sys.executable, "-c", SENDER, path, framed, str(user)])
            assert done.stdout == answer
        assert [row.worker for row in receiver.workers.rows()] == ["1"]


async def shop(request: Request) -> Response:
    if request.url.path == "/fails":
        raise ValueError(f"password={SECRET}")
    await request.body()
    return PlainTextResponse("ordered", headers={"set-cookie": f"session={SECRET}"})


async def test_what_is_captured_is_whole_and_masked_in_the_panel_and_was_not_opened_in_the_worker(address: str) -> None:
    bus, redaction = EventBus(), Redaction()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (await shop(Request(scope, receive)))(scope, receive, send)

    capture = CaptureMiddleware(app, bus, redaction=redaction, bodies="all", body_cap=1_000)
    publisher = Publisher(bus, connect(address), lambda: "1", sealer=Sealer(redaction, Rules(SENSITIVE, 1_000)))
    transport = httpx.ASGITransport(capture, raise_app_exceptions=False)
    async with (
        panel(connect(address)) as (shown, _),
        anyio.create_task_group() as tasks,
        httpx.AsyncClient(transport=transport, base_url="http://x") as client,
    ):
        tasks.start_soon(publisher.run)
        await client.post("/orders?token=" + SECRET, json={"password": SECRET, "count": 3})
        with suppress(ValueError):
            await client.get("/fails")
        await arrived(shown, 2)
        bus.close()

        ordered, failed = shown.ring.since(0, sealed=True).events
        assert ordered.sealed is not None
        assert all(event.sealed is not None for event in bus.ring.since(0, sealed=True).events)
        assert SECRET not in repr(shown.ring.since(0, sealed=True).events)
        assert [group.type for group in shown.failures.latest()] == ["ValueError"]
        assert ordered.open().path == "/orders"
        assert ordered.request_body is not None
        assert b'"count":3' in ordered.request_body.data.replace(b" ", b"")
        assert ordered.response_body is not None
        assert ordered.response_body.data == b"ordered"
        failure = failed.open().failure
        assert failure is not None
        assert "in shop" in failure.traceback
        assert SECRET not in repr((ordered, failed))
        assert (ordered.worker, ordered.status, failed.status) == ("1", 200, 500)


async def asked(receiver: Receiver, holds: Callable[[list[Running]], bool]) -> list[Running]:
    with anyio.fail_after(20):
        while not holds(running := await receiver.running.ask()):  # noqa: ASYNC110 - they are elsewhere
            await anyio.sleep(0.02)
    return running


async def test_workers_are_asked_what_is_in_flight(address: str) -> None:
    async with (
        panel(connect(address)) as (_, receiver),
        worker(connect(address), "1") as (one, _),
        worker(connect(address), "2") as (two, _),
    ):
        one.in_flight.add(Runs(5, "/\ud800"))
        one.in_flight.add(Runs(7))
        two.in_flight.add(Runs(6))

        running = await asked(receiver, lambda running: len(running) == 3)
        assert [(each.worker, each.id, each.path) for each in running] == [
            ("1", "1-5", "/\\ud800"),
            ("2", "2-6", "/x"),
            ("1", "1-7", "/x"),
        ]
        assert receiver.running.answered == 2


async def test_whoever_looks_is_told_and_nobody_is_asked_while_nobody_looks(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = 0
    bridge = connect(address)
    ask = bridge.ask

    async def count() -> list[bytes] | None:
        nonlocal questions
        questions += 1
        return await ask()

    monkeypatch.setattr(bridge, "ask", count)
    async with panel(bridge) as (shown, receiver), worker(connect(address)) as (bus, _):
        bus.in_flight.add(Runs(1))
        await until(lambda: receiver.workers.reporting == 1, "the worker")
        assert questions == 0

        await until(lambda: [each.id for each in shown.in_flight.oldest(9)] == ["1-1"], "it is told")
        assert shown.in_flight.oldest(9)[0].age >= 1.0
        assert shown.in_flight.here(9) == []


async def test_one_that_does_not_answer_is_left_out_and_said_to_be(address: str) -> None:
    silent_was_asked = False
    async with panel(connect(address)) as (_, receiver), worker(connect(address)) as (bus, _):
        bus.in_flight.add(Runs(1))
        await asked(receiver, lambda running: len(running) == 1)
        async with (
            await anyio.connect_unix(address.removeprefix("unix:")) as silent,
            anyio.create_task_group() as tasks,
        ):
            await silent.send(bytes(4))
            tasks.start_soon(asked, receiver, lambda running: silent_was_asked)
            with anyio.fail_after(20):
                silent_was_asked = await silent.receive(1) != b""

            assert [each.id for each in await receiver.running.ask()] == ["1-1"]
            assert receiver.running.answered == 1


async def test_a_collector_that_comes_again_can_ask_again(address: str) -> None:
    async with worker(connect(address)) as (bus, _):
        bus.in_flight.add(Runs(1))
        for _ in range(2):
            async with panel(connect(address)) as (_, receiver):
                await asked(receiver, lambda running: len(running) == 1)


async def test_over_a_broker_nobody_can_be_asked() -> None:
    bridge: Bridge = connect("redis://127.0.0.1:1/0")
    receiver = Receiver(EventBus(), bridge)

    assert (await receiver.running.ask(), receiver.running.answered) == ([], None)
