import json
import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.bus.event import Headers
from reqscope.service import Redaction
from reqscope.service.redaction import MASK, SENSITIVE
from tests.conftest import PROVE

from .canaries import CANARIES, PLACES, Canary, Exchange, cut_off, traces

SECRET = b"s3cret"
REDACTION = Redaction()
MASKED = REDACTION.mask(SECRET)
SEEN = Redaction([])  # masks nothing


def spellings(name: str) -> list[str]:
    return [name, name.upper(), name.title(), name.replace("-", "_"), name.replace("-", "_").upper(), f" {name} "]


def pieces(exchange: Exchange, redaction: Redaction = REDACTION, *, complete: bool = True) -> list[bytes]:
    """Return everything there is to see of an exchange after redaction."""
    body = redaction.body(exchange.body, exchange.content_type, complete=complete)
    return [
        *(part for pair in redaction.headers(exchange.headers) for part in pair),
        redaction.query(exchange.query),
        redaction.path(exchange.path).encode(),
        redaction.text(exchange.text).encode(),
        body.decode("utf-16").encode() if b"utf-16" in exchange.content_type else body,
    ]


@pytest.mark.guarantees("43")
@pytest.mark.parametrize("name", [name for name in SENSITIVE if "cookie" not in name])
def test_each_sensitive_name_is_masked_in_every_spelling(name: str) -> None:
    for spelling in (text.encode() for text in spellings(name)):
        assert REDACTION.headers([(spelling, SECRET)]) == ((spelling, MASKED),)
        assert REDACTION.query(spelling + b"=" + SECRET) == spelling + b"=" + MASKED
        assert REDACTION.body(b'{"%s": "%s"}' % (spelling, SECRET), b"") == b'{"%s": "%s"}' % (spelling, MASKED)


@pytest.mark.guarantees("43")
@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_no_canary_can_be_found_wherever_it_is_put(canary: Canary) -> None:
    for place, put in PLACES.items():
        if exchange := put(canary):
            assert not [piece for piece in pieces(exchange) if traces(canary, piece)], place


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_what_is_around_a_canary_stays_as_it_is(canary: Canary) -> None:
    """What is before and after the masks is what was there, and no more is gone than the canary."""
    elsewhere = {"xml", "json_container", "json_beside", "cookie", "url_password"}
    for place, put in PLACES.items():
        if place not in elsewhere and (exchange := put(canary)) and (empty := put(canary._replace(text=""))):
            seen = zip(pieces(exchange, SEEN), pieces(empty, SEEN), pieces(exchange), strict=True)
            for original, without, redacted in seen:
                before, after = around_masks(redacted)
                assert original.startswith(before), place
                assert original.endswith(after), place
                assert len(original) - len(before) - len(after) <= max(0, len(original) - len(without)), place


def around_masks(redacted: bytes) -> tuple[bytes, bytes]:
    """Return what is before the first mask and what is after the last one."""
    parts = re.split(rb"\[redacted\]#[0-9a-f]{6}", redacted)
    return (parts[0], parts[-1]) if len(parts) > 1 else (redacted, b"")


@pytest.mark.guarantees("44")
@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_the_start_of_a_canary_is_masked_where_the_body_is_cut_off(canary: Canary) -> None:
    for exchange in cut_off(canary):
        assert not traces(canary, REDACTION.body(exchange.body, exchange.content_type, complete=False))


def test_the_canaries_are_where_they_are_looked_for() -> None:
    """Without redaction each of them can be seen in each place, or the tests above say nothing."""
    assert len({canary.secret for canary in CANARIES}) == len(CANARIES) >= 100
    for canary in CANARIES:
        exchanges = {place: exchange for place, put in PLACES.items() if (exchange := put(canary))}
        for place in exchanges.keys() - {"json_escaped"}:
            plain = [unquote(unquote(piece.decode("latin-1"))) for piece in pieces(exchanges[place], SEEN)]
            assert any(traces(canary, piece) for piece in plain), place
        assert len(exchanges) > 30


@pytest.mark.guarantees("43")
def test_headers_keep_their_names_their_order_and_their_duplicates() -> None:
    headers = [
        (b"Host", b"example.org"),
        (b"X-Api-Key", SECRET),
        (b"accept", b"text/html"),
        (b"X-API-KEY", SECRET),
        (b"accept", b"*/*"),
        (b"Authorization", b""),
    ]

    assert REDACTION.headers(iter(headers)) == (
        (b"Host", b"example.org"),
        (b"X-Api-Key", MASKED),
        (b"accept", b"text/html"),
        (b"X-API-KEY", MASKED),
        (b"accept", b"*/*"),
        (b"Authorization", b""),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0"),
        (b"accept", b"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
        (b"date", b"Wed, 21 Oct 2026 07:28:00 GMT"),
        (b"etag", b'W/"33a64df551425fcc55e4d42a148795d9f25f89d4"'),
        (b"x-request-id", b"550e8400-e29b-41d4-a716-446655440000"),
        (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        (b"host", b"localhost:8000"),
        (b"www-authenticate", b'Basic realm="api", Bearer realm="api", error="invalid_token"'),
        (b"vary", b"Cookie, Authorization"),
        (b"access-control-allow-headers", b"authorization, x-api-key"),
        (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'"),
        (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
        (b"idempotency-key", b"order-20261121-000042"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        (b"x-token-count", b"512"),
        (b"\xff\x00", b"\x00\xff value"),
    ],
)
def test_ordinary_headers_stay(name: bytes, value: bytes) -> None:
    assert REDACTION.headers([(name, value)]) == ((name, value),)


@pytest.mark.parametrize(
    ("query", "masked"),
    [
        (b"", b""),
        (b"page=2", b"page=2"),
        (b"token=s3cret", b"token=" + MASKED),
        (b"a=1&token=s3cret&b=2", b"a=1&token=" + MASKED + b"&b=2"),
        (b"token=s3cret&token=s3cret", b"token=" + MASKED + b"&token=" + MASKED),
        (b"token=s3c%72et&x=a=b", b"token=" + MASKED + b"&x=a=b"),
        (b"token=", b"token="),
        (b"token", b"token"),
        (b"%74oken=s3cret", b"%74oken=" + MASKED),
        (b"api%5Fkey=s3cret", b"api%5Fkey=" + MASKED),
        (b"user%5Bpassword%5D=s3cret", b"user%5Bpassword%5D=" + MASKED),
        (b"&&token=s3cret&", b"&&token=" + MASKED + b"&"),
        (b"q=token%3Ds3cret", b"q=token%3D" + MASKED),
        (b"u=//h/%3Ftoken%3Ds3cret%26n%3D1", b"u=//h/%3Ftoken%3D" + MASKED + b"%26n%3D1"),
        (b"=abc&=", b"=abc&="),
        (b"%ff=1&%zz=2&caf\xe9=3", b"%ff=1&%zz=2&caf\xe9=3"),
        (b"at=2026-11-21T10%3A11%3A12Z&ids=1,2,3&q=a+b%26c", b"at=2026-11-21T10%3A11%3A12Z&ids=1,2,3&q=a+b%26c"),
    ],
)
def test_a_query_keeps_everything_but_secrets(query: bytes, masked: bytes) -> None:
    assert REDACTION.query(query) == masked


@pytest.mark.parametrize(
    ("path", "masked"),
    [
        ("/items/42", "/items/42"),
        ("/café;v=1/b", "/café;v=1/b"),
        ("/a;token=s3cret/b", f"/a;token={MASKED.decode()}/b"),
        ("/a;v=1;token=s3cret;w=2", f"/a;v=1;token={MASKED.decode()};w=2"),
        ("/token=shown", "/token=shown"),
        ("/a/550e8400-e29b-41d4-a716-446655440000", "/a/550e8400-e29b-41d4-a716-446655440000"),
        ("/a/\udcff\ud800/b", "/a/\udcff\ud800/b"),
    ],
)
def test_a_path_is_masked_by_pattern_and_by_matrix_parameter(path: str, masked: str) -> None:
    assert REDACTION.path(path) == masked


def test_equal_secrets_are_recognised_across_places_and_instances() -> None:
    name, value = REDACTION.headers([(b"authorization", b"Bearer " + SECRET)])[0]

    assert (name, value) == (b"authorization", b"Bearer " + MASKED)
    assert Redaction(["token"]).query(b"token=" + SECRET).endswith(MASKED)
    assert REDACTION.body(b'{"token": "s3c\\u0072et"}', b"") == b'{"token": "%s"}' % MASKED
    assert MASKED.startswith(MASK + b"#")
    assert len(MASKED) == len(MASK) + 7
    assert REDACTION.mask(b"other") != MASKED


def test_names_of_ones_own_take_the_place_of_the_usual_ones() -> None:
    redaction = Redaction(["X_Tenant", " Customer-Number "])

    assert redaction.headers([(b"x-tenant", SECRET), (b"x-auth", b"shown"), (b"cookie", b"a=shown")]) == (
        (b"x-tenant", MASKED),
        (b"x-auth", b"shown"),
        (b"cookie", b"a=shown"),
    )
    assert redaction.query(b"customer_number=s3cret&token=shown") == b"customer_number=" + MASKED + b"&token=shown"
    assert redaction.body(b'{"customerNumber": 5}', b"") == b'{"customerNumber": "%s"}' % redaction.mask(b"5")


def test_a_name_may_be_in_any_script() -> None:
    redaction = Redaction(["пароль"])

    assert redaction.body('{"пароль": "s3cret"}'.encode(), b"") == f'{{"пароль": "{MASKED.decode()}"}}'.encode()
    assert redaction.body(json.dumps({"Пароль": "s3cret"}).encode(), b"").endswith(b'"%s"}' % MASKED)


@given(exchange=st.sampled_from([put(canary) for canary in CANARIES[::9] for put in PLACES.values()]))
def test_without_names_nothing_is_masked(exchange: Exchange | None) -> None:
    redaction = Redaction([])
    if exchange:
        assert redaction.headers(exchange.headers) == exchange.headers
        assert redaction.query(exchange.query) == exchange.query
        assert redaction.path(exchange.path) == exchange.path
        assert redaction.text(exchange.text) == exchange.text
        assert redaction.body(exchange.body, exchange.content_type, complete=False) == exchange.body


def test_patterns_can_be_turned_off() -> None:
    redaction = Redaction(patterns=False)
    for canary in CANARIES:
        exchange = PLACES["json, 3 deep"](canary)
        assert exchange
        if "Key=" not in canary.text:  # that one has a name inside
            assert bool(traces(canary, redaction.body(exchange.body, b""))) is (canary.by == "pattern")


def test_headers_that_a_client_makes_up_cannot_fill_the_memory_nor_hide_a_secret() -> None:
    redaction = Redaction()
    for number in range(10_000):
        redaction.headers([(b"x-%d" % number, b"some value")])
        redaction.body(
            b'{"%s": 1}' % number.to_bytes(4).hex().translate(str.maketrans("0123456789", "ghijklmnop")).encode(), b""
        )

    assert redaction.headers([(b"X-ApI-kEy", SECRET)]) == ((b"X-ApI-kEy", MASKED),)
    assert len(redaction._harmless) < 5_000  # pyright: ignore[reportPrivateUsage]
    assert len(redaction._names) < 5_000  # pyright: ignore[reportPrivateUsage]
    assert len(redaction._names.hints) < 5_000  # pyright: ignore[reportPrivateUsage]


def test_paths_and_queries_that_never_repeat_take_bounded_memory_and_secrets_among_them_are_not_kept() -> None:
    redaction = Redaction()
    for number in range(10_000):
        assert redaction.path(f"/orders/{number}") == f"/orders/{number}"
        assert redaction.query(b"page=%d" % number) == b"page=%d" % number
    for _ in range(2):
        assert b"hunter2" not in redaction.query(b"password=hunter2")
        assert "hunter2" not in redaction.path("/reset;token=hunter2")

    # Nothing public shows what is remembered, and that is what must be bounded and hold no secret.
    paths, queries = redaction._harmless_paths, redaction._harmless_queries  # pyright: ignore[reportPrivateUsage]
    assert len(paths) < 5_000
    assert len(queries) < 5_000
    assert not any("hunter2" in path for path in paths)
    assert not any(b"hunter2" in query for query in queries)


def test_threads_may_share_one() -> None:
    redaction = Redaction()
    exchanges = [put(canary) for canary in CANARIES[::7] for put in PLACES.values()]
    random.Random(1).shuffle(exchanges)
    work = [exchange for exchange in exchanges if exchange]

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda exchange: pieces(exchange, redaction), work))

    assert results == [pieces(exchange) for exchange in work]


# Texts made of what redaction looks for, in an order that makes no sense.
WORDS = st.sampled_from(
    [
        *(
            "password",
            "token=",
            "cookie: ",
            "Authorization: ",
            "Bearer ",
            "Basic YTpi",
            "[redacted]",
            "#1f3a9c",
            "x",
            "é",
        ),
        *(
            "://",
            "u:p@",
            "@",
            ":",
            "=",
            "&",
            ";",
            ",",
            " ",
            "\n",
            "\r\n\r\n",
            "%",
            "%3D",
            "%25",
            "+",
            "\\",
            "\\u0070",
            "\\/",
        ),
        *(
            '"',
            "'",
            "`",
            "&quot;",
            '\\"',
            '\\\\\\"',
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            "<",
            ">",
            "</",
            "<password>",
            "<![CDATA[",
        ),
        *(
            "eyJhbGciOiJIUzI1NiJ9",
            ".",
            "-",
            "_",
            "4111111111111111",
            "4111 1111",
            "12",
            "ghp_",
            "sk-",
            "AKIA",
            "a" * 20,
        ),
        *(
            "-----BEGIN PRIVATE KEY-----",
            "-----END",
            "null",
            "true",
            "1e5",
            "--B\r\n",
            "Content-Disposition: ;name=",
            "\ud800",
        ),
        *(
            "set-cookie",
            '"password": ',
            '{"token":',
            "apiKey",
            "hooks.slack.com/services/",
            "AccountKey=",
            "session",
            "key",
        ),
    ]
)
TEXTS = st.lists(WORDS, max_size=14).map("".join) | st.text(max_size=60)
TYPES = st.sampled_from(
    [
        *(
            b"",
            b"application/json",
            b"application/x-www-form-urlencoded",
            b"multipart/form-data; boundary=B",
            b"text/xml",
        ),
        *(b"text/plain; charset=utf-16", b"text/plain; charset=utf-32", b"image/png", b"\xff"),
    ]
)
BYTES = TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60)
BODIES = BYTES | TEXTS.map(lambda text: text.encode("utf-16", "surrogatepass"))


def again(redact: Callable[[Any], Any], value: Any) -> None:
    """Redact twice; what was redacted stays."""
    once = redact(value)
    assert redact(once) == once


@settings(max_examples=5_000 if PROVE else 200)
@given(text=TEXTS, data=BYTES, body=BODIES, content_type=TYPES, complete=st.booleans())
def test_nothing_fails_and_what_is_redacted_stays_so(
    text: str, data: bytes, body: bytes, content_type: bytes, complete: bool
) -> None:
    again(REDACTION.text, text)
    again(REDACTION.path, text)
    again(REDACTION.query, data)
    again(lambda body: REDACTION.body(body, content_type, complete=complete), body)
    for name in (b"authorization", b"cookie", b"set-cookie", b"x-api-key", b"referer", data):
        once = REDACTION.headers([(name, data)])
        assert REDACTION.headers(once) == once
    assert REDACTION.readable(body, content_type) in (True, False)


@settings(deadline=None)
@given(st.lists(st.tuples(BYTES, BYTES)))
def test_redacting_headers_changes_values_and_nothing_else(headers: list[tuple[bytes, bytes]]) -> None:
    masked: Headers = REDACTION.headers(headers)

    assert [name for name, _ in masked] == [name for name, _ in headers]


@pytest.mark.guarantees("43")
@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "unit",
    [
        *(
            b"a",
            b" ",
            b"\\",
            b'"',
            b"'",
            b"{",
            b"[",
            b'{"a":',
            b"%",
            b"%25",
            b"&",
            b"=",
            b";",
            b":",
            b"<",
            b"<password>",
            b"(b'",
        ),
        *(
            b"p=",
            b'p="',
            b"token:",
            b'token:"',
            b"token='\"",
            b'token=\\"',
            b"\\u0070",
            b"\\\\u0070",
            b"token={",
            b"1",
            b"1 ",
        ),
        *(
            b"4-",
            b"eyJ",
            b"eyJ-",
            b"eyJ.",
            b"sk-",
            b"AKIA",
            b"ghp_",
            b"npm_",
            b"SG.",
            b"://a:",
            b"://a:b@",
            b"Bearer ",
            b"basic ",
        ),
        *(
            b"-----BEGIN PRIVATE KEY-----",
            b"a\nb:",
            b",a",
            b"--B\r\n",
            b"\r\n--B",
            b"token ",
            b"cookie: a",
            b"key-",
            b"Key=",
            b"\xff",
        ),
        *(
            b"token=\\",
            b"token=,a",
            b"password=&",
            b'"password":"\\',
            b'"password":[',
            b'"password":{"a":"',
            b'{"name":"password","value":',
            b'[{"name":["password"],"value":1',
            b"&quot;",
            b"%2525",
        ),
    ],
)
def test_no_text_takes_more_than_its_share_of_time(unit: bytes) -> None:
    """What takes time in the square of the length would take minutes here, and not a part of a second."""
    body = unit * (100_000 // len(unit))
    REDACTION.body(body, b"multipart/form-data; boundary=B", complete=False)
    REDACTION.body(b"password=" + body, b"", complete=False)
    REDACTION.query(body)
    REDACTION.headers([(b"cookie", body), (b"set-cookie", body), (b"authorization", body), (b"referer", body)])
    REDACTION.text(body.decode("latin-1"))
