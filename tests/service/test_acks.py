import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from reqscope.bus import Event, LogFile
from reqscope.service.ingest import DataPlane
from reqscope.service.pipeline import Pipeline
from reqscope.service.settings import Settings

from .conftest import DEADLINE, Site, until

pytestmark = pytest.mark.anyio

ACK = {"ack": "disk"}


@asynccontextmanager
async def ingesting(site: Site, **settings: Any) -> AsyncGenerator[tuple[httpx.AsyncClient, Pipeline]]:
    pipeline = Pipeline(Settings(**settings))
    plane = DataPlane(PlainTextResponse("app"), pipeline.bus, sinks=pipeline.sinks)
    async with pipeline.running(), site.client(plane) as client:
        yield client, pipeline


def bodies(log: Path) -> list[str]:
    return [json.loads(line)["body"] for line in log.read_text().splitlines() if '"body"' in line]


@pytest.mark.parametrize("fsync", ["off", "interval", "always"])
async def test_what_is_answered_is_in_the_file_and_synced(
    site: Site, tmp_path: Path, fsync: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, synced, sync = tmp_path / "log.jsonl", list[int](), os.fdatasync

    def noted(file: int) -> None:
        sync(file)
        synced.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fdatasync", noted)
    async with ingesting(site, log="file", log_file=log, log_fsync=fsync) as (client, _):
        for number in range(3):
            assert (await client.post("/log", params=ACK, content=str(number))).status_code == 200
            assert bodies(log)[-1] == str(number)
            assert log.stat().st_size in synced
        answer = await client.post("/events", params=ACK, content='{"n":1}\nbad\n' + '{"n":2}\n' * 2_500)
        assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (200, 2_501, 1)
        assert bodies(log)[3:] == ['{"n":1}'] + ['{"n":2}'] * 2_500
        assert log.stat().st_size in synced
        assert (await client.post("/events", params=ACK, content="")).json()["accepted"] == 0


@pytest.mark.parametrize("settings", [{"log": "none"}, {"log": "file", "log_file": "/dev/null"}])
async def test_without_a_file_on_a_disk_it_cannot_be_promised_and_nothing_is_taken(
    site: Site, settings: dict[str, Any]
) -> None:
    async with ingesting(site, **settings) as (client, pipeline):
        answers = [await client.post(path, params=ACK, content="{}") for path in ("/log", "/events")]

        assert [(answer.status_code, "--log file" in answer.json()["detail"]) for answer in answers] == [
            (400, True)
        ] * 2
        assert {event.kind for event in pipeline.bus.ring.since(0).events} == {"request"}


@pytest.mark.parametrize("ack", ["ack=", "ack=memory", "ack=disk&ack=all"])
async def test_another_word_is_refused_rather_than_ignored(site: Site, tmp_path: Path, ack: str) -> None:
    async with ingesting(site, log="file", log_file=tmp_path / "log.jsonl") as (client, _):
        answer = await client.post(f"/log?{ack}", content="x")

    assert (answer.status_code, answer.json()["detail"]) == (400, "ack takes the word disk, and nothing else")


@pytest.mark.guarantees("F9")
async def test_a_full_disk_is_told_to_those_who_asked_and_to_nobody_else(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, write = tmp_path / "log.jsonl", os.write
    async with ingesting(site, log="file", log_file=log) as (client, pipeline):
        monkeypatch.setattr(os, "write", _full)
        asked = await client.post("/log", params=ACK, content="asked")
        other = await client.post("/log", content="other")
        monkeypatch.setattr(os, "write", write)

        assert (asked.status_code, asked.headers["retry-after"]) == (503, "1")
        assert "1 could not be written" in asked.json()["detail"]
        assert other.status_code == 200
        assert [event.open().body for event in pipeline.bus.ring.since(0).events if event.kind == "log"] == [
            b"asked",
            b"other",
        ]
        assert (await client.post("/log", params=ACK, content="later")).status_code == 200
        assert bodies(log)[-1] == "later"


def _full(file: int, data: bytes) -> int:
    raise OSError(28, os.strerror(28))


@pytest.mark.guarantees("F13")
async def test_a_disk_that_hangs_is_waited_for_until_the_deadline_only(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr("reqscope.service.acks._WITHIN", 0.1)
    async with ingesting(site, log="file", log_file=tmp_path / "log.jsonl") as (client, _):
        monkeypatch.setattr(os, "fdatasync", lambda file: goes_on.wait())
        try:
            answer = await client.post("/log", params=ACK, content="x")
        finally:
            goes_on.set()

    assert answer.status_code == 503
    assert "it is not known" in answer.json()["detail"]


async def test_what_a_full_hold_or_the_ring_drops_is_not_waited_for(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, write = threading.Event(), os.write

    def slow(file: int, data: bytes) -> int:
        goes_on.wait()
        return write(file, data)

    async with ingesting(site, log="file", log_file=tmp_path / "log.jsonl", capacity=20_000) as (client, pipeline):
        monkeypatch.setattr(os, "write", slow)
        try:
            pipeline.bus.publish_all([Event(time=0, kind="record") for _ in range(15_000)])
            await until(lambda: pipeline.sinks[0].statistics().lost > 0, "the hold to be full")
            answer = await client.post("/log", params=ACK, content="x")
        finally:
            goes_on.set()

    assert answer.status_code == 503
    assert "1 could not be written" in answer.json()["detail"]


SERVER = """
import socket, sys
from contextlib import asynccontextmanager
from pathlib import Path
import uvicorn
from starlette.applications import Starlette
from reqscope.service.collector import data_plane
from reqscope.service.pipeline import Pipeline
from reqscope.service.settings import Settings

pipeline = Pipeline(Settings(log="file", log_file=Path(sys.argv[1]), log_fsync=sys.argv[2]))

@asynccontextmanager
async def lifespan(app):
    async with pipeline.running():
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        yield

listening = socket.create_server(("127.0.0.1", 0))
app, _ = data_plane(pipeline, Starlette(lifespan=lifespan))
uvicorn.Server(uvicorn.Config(app, log_level="error")).run([listening])
"""


@pytest.mark.guarantees("F22")
@pytest.mark.parametrize("fsync", ["off", "always"])
def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path, fsync: str) -> None:
    log, acknowledged, enough = tmp_path / "log.jsonl", list[str](), threading.Event()

    def post(address: str, sender: int) -> None:
        with suppress(httpx.TransportError), httpx.Client() as client:
            for number in range(100_000):
                body = f"{sender}-{number}"
                if client.post(f"{address}/log", params=ACK, content=body).status_code == 200:
                    acknowledged.append(body)
                if len(acknowledged) >= 24:
                    enough.set()

    command = [sys.executable, "-c", textwrap.dedent(SERVER), str(log), fsync]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        senders = [threading.Thread(target=post, args=(address, sender)) for sender in range(8)]
        for sender in senders:
            sender.start()
        reached = enough.wait(DEADLINE)
        server.kill()
        for sender in senders:
            sender.join(DEADLINE)

    LogFile(log).close()  # as a restart does
    assert reached
    assert set(acknowledged) <= set(bodies(log))
