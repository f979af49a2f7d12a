"""The copied commands are run: by real shells, with real clients, against a socket that keeps every byte it gets.

HTTPie is no dependency. Where it is not installed, bash runs what was copied with a stand-in for `http` that keeps its
arguments, and `Httpie` below reads those as HTTPie's documentation says.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.bus import Body, Event
from reqscope.bus.commands import CannotCopyError, curl, httpie, httpx

DEADLINE = 60.0
BASE = "http://127.0.0.1:9"
MASK, OTHER = "[redacted]#1f3a9c", "[redacted]#00beef"
SECRETS: Final = {"1f3a9c": "s3cr.t-%41_~", "00beef": "another"}
SHELLS: Final = [
    pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not installed"))
    for name in ("bash", "zsh")
]
PROVE = settings().max_examples > 1_000
LOST = re.compile(rb"(?<!\\)(?:\\\\)*\\[:;=@]")
OWN = {b"host", b"content-length", b"connection"}
"""Headers that clients make for themselves."""


@dataclass
class Got:
    """A request as it came over the wire."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def captured(self) -> list[tuple[bytes, bytes]]:
        """The headers that a client does not make for itself, in the order of their names."""
        return ordered([(name, value) for name, value in self.headers if name not in OWN])


def ordered(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Sort by name, and keep the order of equal ones."""
    return sorted(headers, key=lambda header: header[0])


@dataclass
class Recorder:
    """A server that answers everything, and keeps what it was asked byte for byte."""

    listener: socket.socket
    got: list[Got] = field(default_factory=list[Got])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:  # closed: the tests are over
                return
            with connection, connection.makefile("rb") as stream:
                self.got.append(read(stream.readline, stream.read))
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    def take(self) -> list[Got]:
        got, self.got = self.got, []
        return got


def read(line: Callable[[], bytes], exactly: Callable[[int], bytes]) -> Got:
    method, target, _ = line().rstrip(b"\r\n").split(b" ")
    headers = list[tuple[bytes, bytes]]()
    while (text := line()) not in (b"\r\n", b""):
        name, _, value = text.removesuffix(b"\r\n").partition(b":")
        headers.append((name.lower(), value.strip(b" ")))
    body = exactly(int(dict(headers).get(b"content-length", 0)))
    return Got(method, target, headers, body)


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        recorder = Recorder(listener)
        thread = threading.Thread(target=recorder.run)
        thread.start()
        yield recorder
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(DEADLINE)


def run(program: list[str], text: str, folder: Path, **variables: str) -> str:
    """Run what was copied, in an empty folder that must stay empty, and return what it said besides answers."""
    script = folder.with_suffix(".copied")
    script.write_text(text)
    here = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [*program, str(script)],
        cwd=folder,
        env=here | {"LC_ALL": "C.UTF-8"} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=3_000 if PROVE else DEADLINE,
    )
    assert [*folder.iterdir()] == []  # what would have written a file did not run
    return done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def shell(name: str) -> list[str]:
    return {"bash": ["bash", "--norc", "--noprofile"], "zsh": ["zsh", "-f"]}[name]


def variables(copied: str) -> dict[str, str]:
    """Return the variables that the first comment asks for, each set to a secret that tells which one it is."""
    first = copied.partition("\n")[0]
    return {name: SECRETS[digits] for name, digits in re.findall(r"(TOKEN\d*) was masked as ([0-9a-f]{6})", first)}


def in_python(copied: str) -> str:
    return f"import os; os.environ.update({variables(copied)!r})\n{copied}"


def in_shell(copied: str) -> str:
    return "".join(f"{name}={secret}\n" for name, secret in variables(copied).items()) + copied


def examples(strategy: st.SearchStrategy[Event], count: int) -> list[Event]:
    """Return so many events, or as many as the profile says, to be sent in one go: a shell for each takes too long."""
    found: list[Event] = []

    @settings(max_examples=max(count, settings().max_examples), database=None)
    @given(strategy)
    def collect(event: Event) -> None:
        found.append(event)

    collect()
    return found


def request(
    method: str = "GET",
    path: str = "/",
    query: bytes = b"",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes = b"",
    **more: object,
) -> Event:
    captured = Body(data=body, captured=len(body)) if body else None
    event = Event(time=1, method=method, path=path, query=query, request_headers=headers)
    event.request_size, event.request_body = len(body), captured
    for name, value in more.items():
        setattr(event, name, value)
    return event


def unmasked(data: bytes) -> bytes:
    """Return the data with each mask replaced by the secret that its variable is set to."""
    return re.sub(rb"\[redacted\]#([0-9a-f]{6})", lambda match: SECRETS[match[1].decode()].encode(), data)


def octets(path: str) -> bytes:
    return unquote_to_bytes(unmasked(path.replace("%", "%25").encode("utf-8", "surrogateescape")))


def assert_same(got: Got, event: Event, respelt: bool = False) -> None:
    """What came over the wire is what was captured."""
    path, _, query = got.target.partition(b"?")
    body = b"" if event.request_body is None else event.request_body.data
    headers = [(name, unmasked(value)) for name, value in event.request_headers if name not in OWN]
    sent, captured = query, unmasked(event.query)
    if respelt:
        sent, captured = unquote_to_bytes(sent), unquote_to_bytes(captured)
    assert (got.method.decode(), unquote_to_bytes(path), sent) == (event.method, octets(event.path), captured)
    assert got.captured == ordered(headers)
    assert got.body == unmasked(body)


def assert_all_same(got: list[Got], events: list[Event], said: str) -> None:
    assert len(got) == len(events), said
    for one, event in zip(got, events, strict=True):
        assert_same(one, event)


HOSTILE: Final = [
    "'", '"', "\\", "!", "!!", "$", "`", "$(id>x)", "`id>x`", "${HOME}", "%", "%41", "%2f", "%0a", "@", "@/etc/passwd",
    "{a,b}", "[1-3]", "[", "*", "?", "~", "#", ";id>x", "&id>x", "|id>x", ">x", "<x", "(", ")", "=", "==", ":=", "-",
    "--", " ", "  ", "é", "漢字", "\u202e", "\u00a0", "🙂", "\\'", "\\x41", "\\n", "\\\\", "''", "$'a'", "%s%n%d", "&&",
    "..", "../..", "/./", "//", "+", "^", "!$", "\\:", "\\@", "a", "b7", "x27", "041", MASK, OTHER,
]  # fmt: skip


def joined(*more: str, most: int = 8) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from([*HOSTILE, *more]), max_size=most).map("".join)


METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "HEAD"])
ODD_METHODS = METHODS | st.sampled_from(["get", "M-SEARCH", "A'B", "!$&|`", "-X", "#"])
PATHS = st.builds("/{}{}".format, joined("/", "\t", "\n", "\r", "\x7f", "\x1b[0m"), st.text(max_size=3))
QUERIES = joined("&", "a=1", "/").map(lambda text: text.replace(" ", "+").encode())
ASCII_QUERIES = QUERIES.map(lambda query: bytes(byte for byte in query if byte < 0x80))
NAMES = st.sampled_from(
    [
        *(b"accept", b"accept-encoding", b"authorization", b"content-type", b"cookie", b"range", b"te", b"user-agent"),
        *(b"x-a", b"x-b", b"x'!$`|~"),
    ]
)
VALUES = joined("\t", "; ").map(lambda text: text.strip(" \t").encode())
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=6).map(tuple)
BODIES = st.binary(max_size=60) | joined("\n", "\r\n", "\0", "\0007", "\x018", most=12).map(str.encode)
EVENTS = st.builds(request, METHODS, PATHS, ASCII_QUERIES, HEADERS, BODIES)
ODD_EVENTS = st.builds(request, ODD_METHODS, PATHS, QUERIES, HEADERS, BODIES)


@pytest.mark.guarantees("40")
@pytest.mark.parametrize("name", SHELLS)
def test_curl_sends_what_was_captured_byte_for_byte(name: str, recorder: Recorder, folder: Path) -> None:
    events = examples(ODD_EVENTS, 120)
    said = run(shell(name), "".join(in_shell(curl(event, recorder.url)) for event in events), folder)
    assert_all_same(recorder.take(), events, said)


ONE_CONTEXT = """
import functools, ssl
ssl.create_default_context = functools.cache(ssl.create_default_context)
"""
"""Reading certificates again for each client would take most of the time."""


def test_httpx_sends_what_was_captured_byte_for_byte(recorder: Recorder, folder: Path) -> None:
    events = examples(st.builds(request, ODD_METHODS, PATHS, ASCII_QUERIES, HEADERS, BODIES), 200)
    script = ONE_CONTEXT + "".join(in_python(httpx(event, recorder.url)) for event in events)
    said = run([sys.executable, "-I"], script, folder)
    assert_all_same(recorder.take(), events, said)


class Httpie:
    """HTTPie's reading of its arguments, as its documentation has it, and what it sends then."""

    SPECIAL = frozenset(b":;=@")

    def __init__(self, arguments: list[bytes], stdin: bytes) -> None:
        options = [argument for argument in arguments if argument.startswith(b"--")]
        method, url, *items = arguments[len(options) :]
        assert set(options) <= {b"--ignore-netrc", b"--path-as-is", b"--ignore-stdin"}
        assert (b"--ignore-stdin" in options) <= (stdin == b"")
        read_stdin = b"--ignore-stdin" not in options
        self.headers = {b"user-agent": [b"HTTPie"], b"accept": [b"*/*"], b"accept-encoding": [b"gzip"]}
        if read_stdin and stdin:
            self.headers |= {b"content-type": [b"application/json"]}
        self.given = dict[bytes, list[bytes]]()
        for item in items:
            self.header(item)
        target = re.sub(rb"\Ahttp://[^/]*", b"", url)
        headers = [(name, value) for name, values in (self.headers | self.given).items() for value in values]
        self.got = Got(method, target, headers, stdin)

    def header(self, item: bytes) -> None:
        """Read `name:value`, `name:` to leave one out, or `name;` for an empty one. Anything else is no header."""
        name, separator, value = self.split(item)
        assert not name.startswith(b"-"), "an option"
        if separator == b";":
            assert not value
            self.given.setdefault(name, []).append(b"")
        elif value:
            assert separator == b":", "a file, or data"
            self.given.setdefault(name, []).append(value.decode().strip().encode())
        else:
            assert separator == b":"
            self.given[name] = []

    def split(self, item: bytes) -> tuple[bytes, bytes, bytes]:
        found = re.match(rb"([^:;=@\\]+)(:=@|==@|:@|:=|=@|==|[:;=@])(.*)", item, re.DOTALL)
        assert found, "an escape in a name"
        # A backslash escapes what is special, and otherwise stands for itself and takes the next character along.
        unescaped = re.sub(rb"\\(.)", self.unescape, found[3], flags=re.DOTALL)
        return found[1], found[2], unescaped

    def unescape(self, match: re.Match[bytes]) -> bytes:
        return match[1] if match[1][0] in self.SPECIAL else match[0]


KEEP_ARGUMENTS = """
http() {
    printf '%s\\0' "$@" > "$OUT/$NUMBER.arguments"
    case " $* " in *" --ignore-stdin "*) : > "$OUT/$NUMBER.stdin" ;; *) cat > "$OUT/$NUMBER.stdin" ;; esac
}
"""


@pytest.mark.parametrize("name", SHELLS)
def test_what_httpie_is_given_means_what_was_captured(name: str, tmp_path: Path, folder: Path) -> None:
    events = examples(EVENTS, 300)
    copied = [httpie(event, BASE) for event in events]
    (out := tmp_path / "out").mkdir()
    script = [f"NUMBER={number}\n{in_shell(text)}" for number, text in enumerate(copied)]
    assert run(shell(name), KEEP_ARGUMENTS + "".join(script), folder, OUT=str(out)) == ""

    for number, (event, text) in enumerate(zip(events, copied, strict=True)):
        arguments = (out / f"{number}.arguments").read_bytes().split(b"\0")[:-1]
        got = Httpie(arguments, (out / f"{number}.stdin").read_bytes()).got
        assert_same(got, without_what_httpie_loses(event, text), respelt="in its own way" in text)


@pytest.mark.skipif(not shutil.which("http"), reason="HTTPie is not installed")
def test_httpie_sends_what_was_captured(recorder: Recorder, folder: Path) -> None:
    events = examples(EVENTS, 300)[: 10_000 if PROVE else 25]
    copied = [httpie(event, recorder.url) for event in events]
    said = run(shell("bash"), "".join(map(in_shell, copied)), folder, HTTPIE_CONFIG_DIR=str(folder))

    got = recorder.take()
    assert len(got) == len(events), said
    for one, event, text in zip(got, events, copied, strict=True):
        assert_same(one, without_what_httpie_loses(event, text), respelt="in its own way" in text)


def without_what_httpie_loses(event: Event, copied: str) -> Event:
    """Return the event without the headers of which the comment says that they are left out."""
    lost = re.search(r"^# Left out: (\d+) headers? that HTTPie cannot send\.$", copied, re.MULTILINE)
    kept = [(name, value) for name, value in event.request_headers if not LOST.search(unmasked(value))]
    kept = [(name, value) for name, value in kept if value.decode().strip() == value.decode()]
    assert len(event.request_headers) - len(kept) == (int(lost[1]) if lost else 0)
    event.request_headers = tuple(kept)
    return event


COPIERS = pytest.mark.parametrize("copy", [curl, httpie, httpx])
Copier = Callable[[Event, str], str]


def comments(copied: str) -> list[str]:
    """Return the sentences of the comments above the command."""
    lines = copied.splitlines()
    first = next(number for number, line in enumerate(lines) if not line.startswith("# "))
    return [line.removeprefix("# ") for line in lines[:first]]


@COPIERS
@given(event=EVENTS)
def test_nothing_invisible_is_copied_and_comments_are_plain_words(copy: Copier, event: Event) -> None:
    """An interactive zsh runs comments as commands, unless told otherwise."""
    copied = copy(event, BASE)

    assert re.fullmatch(r"[\n -~]+", copied)
    assert all(re.fullmatch(r"[A-Za-z0-9 ,.:-]+", sentence) for sentence in comments(copied))


@COPIERS
def test_each_mask_is_one_variable_and_the_first_line_says_which_and_where(copy: Copier) -> None:
    event = request(
        "POST",
        f"/x/{OTHER}",
        f"token={MASK}".encode(),
        ((b"authorization", f"Bearer {MASK}".encode()), (b"x'$`id`", OTHER.encode())),
        f'{{"password": "{MASK}"}}'.encode(),
    )
    copied = copy(event, BASE)

    assert comments(copied) == [
        "Set first: TOKEN was masked as 1f3a9c in the body and header authorization and the query, "
        "TOKEN2 was masked as 00beef in a header and the path."
    ]
    assert "redacted" not in copied
    if copy is httpx:
        assert 'TOKEN2 = os.environ["TOKEN2"]' in copied


@COPIERS
def test_a_variable_that_holds_anything_is_sent_as_it_is(copy: Copier, recorder: Recorder, folder: Path) -> None:
    secret = """$(id>x)`id>x`'"\\!*?~{a,b} %s%n \\x41"""
    headers = ((b"authorization", f"Bearer {MASK}".encode()),)
    event = request("POST", "/", b"", headers, f"{MASK}{OTHER}{MASK}\0".encode())

    if copy is httpie and not shutil.which("http"):
        pytest.skip("HTTPie is not installed")
    program = [sys.executable, "-I"] if copy is httpx else shell("bash")
    said = run(
        program, copy(event, recorder.url), folder, TOKEN=secret, TOKEN2="@/etc/passwd", HTTPIE_CONFIG_DIR="/nowhere"
    )

    (got,) = recorder.take() or [pytest.fail(said)]
    assert got.body.decode() == f"{secret}@/etc/passwd{secret}\0"
    assert dict(got.headers)[b"authorization"].decode() == f"Bearer {secret}"


RARE = [
    request("PUT", "/", body=bytes(range(256)) * 1_000),
    request("PUT", "/", body=b"'a\r\n" * 60_000),
    request("GET", "/", headers=((b"x-latin", b"caf\xe9"), (b"x-high", bytes(range(0x80, 0x100))), (b"x", b""))),
    request("GET", "//x/../.././y//", b"/../?"),
    request("GET", "/lone\udc80\udcff"),
    request("OPTIONS", "*"),
    request("HEAD", body=b"x"),
]


@pytest.mark.parametrize("event", RARE, ids=["large", "long", "bytes", "dots", "undecodable", "star", "head"])
@pytest.mark.parametrize("copy", [curl, httpx])
def test_what_is_rare_is_sent_too(copy: Copier, event: Event, recorder: Recorder, folder: Path) -> None:
    program = [sys.executable, "-I"] if copy is httpx else shell("bash")
    said = run(program, copy(event, recorder.url), folder)
    assert_all_same(recorder.take(), [event], said)


def test_curl_heeds_no_configuration_of_the_users(recorder: Recorder, folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text('header = "x-mine: 1"\nuser-agent = "mine"\n')
    event = request("GET", "/", headers=((b"user-agent", b"theirs"),))
    said = run(shell("bash"), curl(event, recorder.url), folder, HOME=str(tmp_path))
    assert_all_same(recorder.take(), [event], said)


@COPIERS
def test_what_clients_make_for_themselves_is_left_to_them(copy: Copier) -> None:
    theirs = (b"connection", b"content-length", b"expect", b"keep-alive", b"proxy-connection", b"transfer-encoding")
    event = request("POST", headers=(*((name, b"their-own") for name in theirs), (b"Host", b"EXAMPLE.org")))
    for base in ("http://example.org", "http://example.org:80", "http://example.org/prefix/"):
        assert "their-own" not in (copied := copy(event, base))
        assert "EXAMPLE" not in copied
    assert "EXAMPLE.org" in copy(event, "http://127.0.0.1")
    assert "EXAMPLE.org" in copy(event, "https://example.org:80")


def test_a_request_that_said_its_body_is_empty_says_so_again() -> None:
    event = request("GET", headers=((b"content-length", b"0"),))
    assert "-H 'content-length: 0'" in curl(event, BASE)
    assert "content-length" not in curl(request("GET"), BASE)


@COPIERS
def test_the_path_of_the_address_comes_before_that_of_the_request(copy: Copier) -> None:
    assert f"{BASE}/api/items?a=1" in copy(request("GET", "/items", b"a=1"), f"{BASE}/api/")


@COPIERS
@pytest.mark.parametrize(
    ("event", "said"),
    [
        (request("PUT", request_size=7), "The body of 7 bytes was not captured: it is left out."),
        (
            request("PUT", headers=((b"content-length", b"7"),)),
            "The body of 7 bytes was not captured: it is left out.",
        ),
        (
            request("PUT", body=b"SECRET", request_size=9),
            "Only 6 of 9 bytes of the body were captured: it is left out.",
        ),
        (
            request("PUT", request_size=6, request_body=Body(data=b"", captured=6, withheld="SECRET")),
            "The body was withheld, as it could not be made safe to show: it is left out.",
        ),
        (
            request("PUT", body=f"SECRET {MASK}".encode("utf-16")),
            "The body holds masked secrets in UTF-16 or UTF-32: it is left out.",
        ),
        (
            request("PUT", body=b"SECRET" * 50_000),
            "The body of 300000 bytes is too long to be sent from here: it is left out.",
        ),
        (request("PUT", "[withheld]"), "The path could not be made safe to show, so this one is not right."),
        (request("PUT", headers=((b"x y", b"SECRET"),)), "Left out: 1 header that no client can send."),
        (
            request("PUT", headers=((b"a", b"SECRET\r\nb: c"), (b"b", b"SECRET\0"))),
            "Left out: 2 headers that no client can send.",
        ),
    ],
)
def test_what_cannot_be_sent_as_it_was_is_left_out_and_said(copy: Copier, event: Event, said: str) -> None:
    if copy is httpie and event.path != "/":
        pytest.skip("HTTPie refuses this path")
    copied = copy(event, BASE)
    assert comments(copied) == [said]
    assert "SECRET" not in copied
    assert "data" not in copied
    assert "printf" not in copied
    assert "content=" not in copied


@COPIERS
def test_a_body_that_was_unpacked_is_sent_unpacked(copy: Copier) -> None:
    encoded = ((b"content-encoding", b"gzip"), (b"content-type", b"text/plain"))
    event = request("PUT", headers=encoded, request_size=3, request_body=Body(data=b"unpacked", captured=3))
    copied = copy(event, BASE)
    assert comments(copied) == ["The body was sent compressed. Here it is as it was captured, unpacked."]
    assert copied.count("unpacked") == 2
    assert "content-encoding" not in copied


@COPIERS
def test_a_body_that_could_not_be_unpacked_is_sent_as_it_came(copy: Copier) -> None:
    for encoding in (b"gzip", b"br"):
        copied = copy(request("PUT", headers=((b"content-encoding", encoding),), body=b"packed"), BASE)
        assert comments(copied) == []
        assert f"content-encoding{encoding.decode()}" in re.sub(r"[^a-z-]", "", copied.replace("b'", ""))


@COPIERS
@pytest.mark.parametrize("kind", ["websocket", "record"])
def test_only_requests_can_be_copied(copy: Copier, kind: str) -> None:
    with pytest.raises(CannotCopyError, match=kind):
        copy(request(kind=kind), BASE)


@pytest.mark.guarantees("40")
@COPIERS
@pytest.mark.parametrize("method", ["", "GET /", "G\nT", "é", "G\udc80"])
def test_no_command_has_a_method_that_is_none(copy: Copier, method: str) -> None:
    with pytest.raises(CannotCopyError, match="method"):
        copy(request(method), BASE)


@COPIERS
@pytest.mark.parametrize(
    "base",
    ["", "example.org", "ftp://x", "http://", "http://a b", "http://x/?q", "http://x/#", "http://u:p@x", "http://x\n",
     "http://x/'", "http://x:port", "file:///etc/passwd", "-o /etc/passwd"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(copy: Copier, base: str) -> None:
    with pytest.raises(CannotCopyError, match="base_url"):
        copy(request(), base)


@pytest.mark.parametrize("event", [request("get"), request("M-SEARCH"), request("OPTIONS", "*")])
def test_what_httpie_cannot_send_is_refused(event: Event) -> None:
    with pytest.raises(CannotCopyError, match="HTTPie"):
        httpie(event, BASE)


@pytest.mark.parametrize("query", [b"a=%2f", b"a=%7E", b"a=<", b"a=\xff", b"a#b"])
def test_a_query_that_httpie_changes_is_said(query: bytes) -> None:
    assert comments(httpie(request(query=query), BASE)) == [
        "HTTPie spells this query in its own way. curl sends it as it was."
    ]
    assert comments(curl(request(query=query), BASE)) == []
