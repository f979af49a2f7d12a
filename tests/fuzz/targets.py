"""What is fed with anything at all, and what holds then.

A target takes bytes, and raises when a promise is broken. What it feeds may refuse them only with the error that its
own documentation names.
"""

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from reqscope.bus import Body, Event, Failure, Filter, FilterError, LogLine
from reqscope.bus.commands import CLIENTS, CannotCopyError, command
from reqscope.bus.encoding import encode_lines
from reqscope.bus.entries import entries
from reqscope.service import Redaction
from reqscope.service.batches import BatchError, read_batch
from reqscope.service.draft import DraftError, Edited, draft, outgoing
from reqscope.service.faults import Faults
from reqscope.service.logfmt import logfmt
from reqscope.service.mock import StubStore
from reqscope.service.mock.files import StubError, parse
from reqscope.service.mock.request import MockRequest
from reqscope.service.otlp import NotOtlp, Receiver
from reqscope.service.pretty import Pretty
from reqscope.service.redact_message import NotARequest, redact_message
from reqscope.service.sealed import Gate, SealedRecord

CANARY: Final = "cAnArY-7f3a9c-value"
_REDACTION: Final = Redaction()
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_COLOUR: Final = re.compile("\x1b\\[[0-9;]*m")
_PAIR: Final = re.compile(rb"[!-~]{1,20}:[^\r\n\0]*")


@dataclass(frozen=True)
class Target:
    """One thing to feed."""

    name: str
    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    """What it takes, to begin from."""
    words: Sequence[bytes]
    """What such things are made of."""


def _gate() -> Gate:
    return Gate(_REDACTION, Faults(), 16 << 10)


def _opened(gate: Gate, events: Sequence[Event]) -> None:
    """Open events as readers do, and show each everywhere that it can be shown."""
    for event in events:
        event.open().glance()
    assert gate.faults.statistics().total == 0, gate.faults.statistics().last
    _shown(events)


def _shown(events: Sequence[Event]) -> None:
    lines = encode_lines(entries(events, "cafe"))
    text = lines.decode()
    assert text.count("\n") == len(events)
    for line in text.splitlines():
        assert not _CONTROL.search(line), line
        json.loads(line, parse_constant=_refuse)
        entry = msgspec.json.decode(line)
        assert not _CONTROL.search(logfmt(entry))
        assert not _CONTROL.search(Pretty(colour=False)(entry))
        assert not _CONTROL.search(_COLOUR.sub("", Pretty(colour=True)(entry)))


def _is_within(position: int, text: str) -> None:
    assert 0 <= position <= len(text), position


def _is_refusal(status: int) -> None:
    assert 400 <= status < 500, status


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def _event(data: bytes) -> Event:
    """Return a request with these bytes wherever a request may have any."""
    first, _, rest = data.partition(b"\n")
    head, _, body = rest.partition(b"\n\n")
    method, _, target = first.partition(b" ")
    path, _, query = target.partition(b"?")
    lines = [line.partition(b":") for line in head.split(b"\n") if _PAIR.fullmatch(line)]
    text = data.decode("latin-1")
    return Event(
        time=1_767_225_600_000_000_000,
        method=method.decode("latin-1"),
        path=path.decode("utf-8", "replace"),
        query=query,
        route=text[:50] or None,
        status=200,
        total=0.5,
        client=text[-20:],
        request_headers=tuple((name.lower(), value.strip()) for name, _, value in lines),
        request_size=len(body),
        request_body=Body(data=body, captured=len(body), complete=True) if body else None,
        error=text[:30] or None,
        failure=Failure(type=text[:10], message=data.decode("utf-8", "replace"), traceback=text, fingerprint="f"),
        logs=(LogLine(time=1, level=text[:5], logger=text[:9], message=text),),
    )


_EVENTS: Final = [
    Event(time=1),
    _event(b"POST /a?b=c\nhost: x\ncontent-type: application/json\n\n{}"),
    Event(time=1 << 60, kind="record", body=b'{"a": 1}', status=503, total=0.25, error="KeyError"),
]


def filters(data: bytes) -> None:
    """A filter is read or refused at a position in it; what was read says the same when it is written."""
    text = data[:4_096].decode("utf-8", "surrogateescape")
    try:
        parsed = Filter.parse(text)
    except FilterError as error:
        _is_within(error.position, text)
        return
    again = Filter.parse(parsed.text)
    assert again == parsed, (text, parsed.text, again.text)
    assert [again(event) for event in _EVENTS] == [parsed(event) for event in _EVENTS]


def batches(data: bytes) -> None:
    """Each line of a batch is taken or rejected, none is both, and none is lost."""
    for kind in ("application/x-ndjson", "application/json"):
        try:
            batch = read_batch(data, kind, "10.0.0.7")
        except BatchError as error:
            _is_refusal(error.status)
            continue
        if kind == "application/x-ndjson" and data.lstrip()[:1] != b"[":
            there = [line for line in data.split(b"\n") if line.strip()]
            assert len(batch.events) + batch.rejected == len(there)
        assert all(event.body in data for event in batch.events)
        gate = _gate()
        for event in batch.events:
            event.sealed = SealedRecord(gate)
        _opened(gate, batch.events)


def exports(data: bytes) -> None:
    """An export is taken or refused, in JSON as in protobuf."""
    for path in ("/v1/traces", "/v1/logs", "/v1/metrics"):
        for kind in ("application/json", "application/x-protobuf"):
            gate = _gate()
            try:
                received = Receiver(gate).read(path, kind, data)
            except NotOtlp as error:
                _is_refusal(error.status)
                continue
            _opened(gate, received.events)


def redaction(data: bytes) -> None:
    """Whatever stands beside it, a secret is masked where its name says that it is one. And masking ends."""
    secret = CANARY.encode()
    for masked in (
        _REDACTION.query(b"token=" + secret + b"&" + data),
        _REDACTION.query(data + b"&token=" + secret),
        _REDACTION.body(data + b"&password=" + secret, b"application/x-www-form-urlencoded"),
        b"".join(value for _, value in _REDACTION.headers([(b"x", data), (b"authorization", b"Bearer " + secret)])),
    ):
        assert secret not in masked, masked
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = data.decode("latin-1")
    body = json.dumps({"beside": value, "password": CANARY, "list": [value, {"api-key": CANARY}]}).encode()
    for kind in (b"application/json", b"", b"text/plain"):
        assert secret not in _REDACTION.body(body, kind)
        assert secret not in _REDACTION.body(body[: body.index(secret) + 8] + b"", kind, complete=False).replace(
            b"\\", b""
        )
        _REDACTION.body(data, kind)
        _REDACTION.body(data, kind, complete=False)
    _REDACTION.body(data, b"multipart/form-data; boundary=x", complete=False)
    _REDACTION.path(data.decode("utf-8", "replace"))
    text = _REDACTION.text(data.decode("latin-1"))
    assert _REDACTION.text(text) == text


def messages(data: bytes) -> None:
    """A request in a file is shown masked, or is none."""
    with suppress(NotARequest):
        redact_message(data, _REDACTION)


def log_lines(data: bytes) -> None:
    """Whatever was captured is one line, without a control character, and JSON."""
    _shown([_event(data), Event(time=1, kind="record", body=data, path=data.decode("utf-8", "surrogateescape"))])


def commands(data: bytes) -> None:
    """What is copied is one command to bash: it names the client once, and does nothing else."""
    event = _event(data)
    for client in CLIENTS:
        try:
            text = command(event, client, "http://127.0.0.1:9")
        except CannotCopyError:
            continue
        if client == "httpx":
            compile(text, "copied", "exec")
        else:
            _runs_once(text, "curl" if client == "curl" else "http")


def _runs_once(text: str, client: str) -> None:
    # Functions and an empty PATH: whatever else would be run is an error that stands on standard error.
    stand_ins = 'command_not_found_handle() { echo "ran $*" >&2; }\n'
    stand_ins += client + "() { while read -r _; do :; done; echo once; }\n"
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            ["/bin/bash", "--norc", "--noprofile"],
            input=(stand_ins + text).encode("utf-8", "surrogateescape"),
            cwd=folder,
            env={"PATH": "", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            timeout=20,
            check=False,
        )
        secrets = re.findall(rb"(\w+): (?:set|parameter)", done.stderr)
        assert done.stdout == b"once\n" or secrets, (text, done.stdout, done.stderr)
        assert done.stderr == b"" or secrets, (text, done.stderr)
        assert list(Path(folder).iterdir()) == [], text


def stubs(data: bytes) -> None:
    """A file of stubs is loaded, or the error says where; what was loaded can be asked for anything."""
    text = data.decode("utf-8", "replace")
    try:
        loaded = parse(text)
    except StubError:
        return
    store = StubStore()
    for stub in loaded:
        store.add(stub.stub)
    for path in ("/", "/orders/7/payments", text[:30]):
        request = MockRequest("POST", path, b"page=2", ((b"content-type", b"application/json"),), b'{"amount": 5}')
        if store.preview(request) is None:
            store.explain(request)


def drafts(data: bytes) -> None:
    """A form of a captured request is sent without a mask in it, or refused; filled in, each secret stands in it."""
    event = _event(data)
    event.request_headers = _REDACTION.headers(event.request_headers)
    event.query = _REDACTION.query(event.query)
    if event.request_body is not None:
        kinds = [value for name, value in event.request_headers if name == b"content-type"]
        event.request_body = Body(
            data=_REDACTION.body(event.request_body.data, kinds[-1] if kinds else b""),
            captured=event.request_body.captured,
            complete=True,
        )
    try:
        form = draft(event, "http://127.0.0.1:9")
    except CannotCopyError:
        return
    try:
        sent = outgoing(form, Edited())
    except DraftError as error:
        masks = {mask.partition("#")[2]: CANARY for mask in error.masks if "#" in mask} or dict.fromkeys(
            error.masks, CANARY
        )
        if not masks:
            return
        try:
            sent = outgoing(form, Edited(secrets=masks))
        except DraftError:
            return
    wire = b"\n".join([sent.target, *(b"%s: %s" % pair for pair in sent.headers), sent.body or b""])
    assert b"[redacted]#" not in wire, wire
    assert not re.search(rb"[\r\n ]", sent.target)


TARGETS: Final = {
    target.name: target
    for target in (
        Target(
            "filters",
            filters,
            [b"status:5xx", b'(path:"/a b" OR -dur>250ms) header.x~"y"', b"time:2026-01-01..", b"client:10.0.0.0/8"],
            [
                b"status:",
                b"dur>",
                b"OR ",
                b"NOT ",
                b"-",
                b"(",
                b")",
                b'"',
                b"\\",
                b"*",
                b"~",
                b",",
                b"..",
                b"5xx",
                b"1kB",
            ],
        ),
        Target(
            "batches",
            batches,
            [b'{"url.path":"/a","duration":0.1}\n\n{"x":[1]}', b'[{"error.type":"E"},{}]', b'{"a":1}\r\nno\n'],
            [
                b'"http.response.status_code":',
                b'"duration":',
                b"1e999",
                b"[",
                b"]",
                b"{",
                b"}",
                b"\n",
                b"\\ud800",
                b"\xff",
            ],
        ),
        Target(
            "exports",
            exports,
            [
                b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":'
                b'"b7ad6b7169203331","kind":2,"startTimeUnixNano":"1","endTimeUnixNano":"2","attributes":[]}]}]}]}',
                b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"},"severityNumber":9}]}]}]}',
                b"\n\x10\x12\x0e\x12\x0c\n\x10" + bytes(16),
            ],
            [
                b'"stringValue":',
                b'"intValue":',
                b'"arrayValue":{"values":[',
                b'"attributes":',
                b"\x0a",
                b"\x12",
                b"{",
                b"]",
            ],
        ),
        Target(
            "redaction",
            redaction,
            [
                b'{"password":"x"}',
                b"a=b&token=c",
                b"Bearer eyJhbGciOiJub25lIn0.e30.x",
                b"--x\r\nname=p\r\n\r\nv\r\n--x--",
            ],
            [
                b"password",
                b"token=",
                b"%22",
                b"\\u0022",
                b"--x\r\n",
                b"://u:p@h",
                b"4111111111111111",
                b"\xff\xfe",
                b"\\",
            ],
        ),
        Target(
            "messages",
            messages,
            [b"GET /?token=x HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\nHost: x\nCookie: a=b\n\n{}"],
            [b"HTTP/1.1", b"\r\n", b"Host: ", b": ", b" "],
        ),
        Target(
            "log_lines",
            log_lines,
            [b"GET /\xc2\x9b?x\n", b"\xe2\x80\xa8 /\xe2\x80\xae", b"POST /a\nx: y\n\nbody"],
            [b"\x1b[31m", b"\xc2\x9b", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\x7f", b"\r", b"\\", b'"'],
        ),
        Target(
            "commands",
            commands,
            [b"GET /a?b=c\nx: y\n", b"POST /a'b\ncontent-type: text/plain\n\n$(id) `id` !x", b"PUT /\n\n\x00\xff"],
            [b"'", b'"', b"$(", b"`", b"\\", b"!", b"\n\n", b"@", b"[redacted]#1f3a9c", b"%", b";", b"&", b"\xff"],
        ),
        Target(
            "stubs",
            stubs,
            [
                b"request: {method: POST, path: /orders/{id}/payments}\nresponse: {json: {id: '{{request.path.id}}'}}",
                b"stubs:\n - {name: a, request: {path_regex: '/a+', json_path: {$.amount: {above: 1}}},"
                b" response: {body: x}}",
            ],
            [
                b"request: ",
                b"response: ",
                b"path: ",
                b"{",
                b"}",
                b"{{",
                b"}}",
                b"&a ",
                b"*a",
                b"- ",
                b"!!",
                b"status: ",
                b"$..",
            ],
        ),
        Target(
            "drafts",
            drafts,
            [
                b"POST /a?token=x\ncontent-type: application/x-www-form-urlencoded\n\npassword=a&b=c",
                b"POST /a\ncontent-type: multipart/form-data; boundary=x\n\n--x\r\nname=password\r\n\r\nv\r\n--x--",
                b'PUT /a\ncontent-type: application/json\nauthorization: Bearer x\n\n{"password":"x"}',
            ],
            [b"token=", b"password", b"%", b"&", b"=", b"[redacted]", b"#1f3a9c", b"--x", b"\r\n", b"content-type: "],
        ),
    )
}
