import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.service import Redaction
from reqscope.service.redaction import MASK, SENSITIVE

SECRET = b"s3cret"
NAMES = st.sampled_from(SENSITIVE).map(str.encode) | st.binary(max_size=12).filter(lambda name: b"=" not in name)


def spellings(name: str) -> list[str]:
    return [name, name.upper(), name.title(), name.replace("-", "_"), name.replace("-", "_").upper(), f" {name} "]


@pytest.mark.parametrize("name", SENSITIVE)
def test_each_sensitive_name_is_masked_in_every_spelling(name: str) -> None:
    redaction = Redaction()
    for spelling in spellings(name):
        assert redaction.headers([(spelling.encode(), SECRET)]) == ((spelling.encode(), MASK),)
        assert redaction.query(f"{spelling}=".encode() + SECRET) == f"{spelling}=".encode() + MASK


def test_headers_keep_their_names_their_order_and_their_duplicates() -> None:
    headers = [
        (b"Host", b"example.org"),
        (b"Cookie", SECRET),
        (b"accept", b"text/html"),
        (b"COOKIE", SECRET),
        (b"accept", b"*/*"),
        (b"Authorization", b""),
    ]

    assert Redaction().headers(iter(headers)) == (
        (b"Host", b"example.org"),
        (b"Cookie", MASK),
        (b"accept", b"text/html"),
        (b"COOKIE", MASK),
        (b"accept", b"*/*"),
        (b"Authorization", MASK),
    )


@pytest.mark.parametrize(
    "name", [b"authorizations", b"x-authorization-id", b"tokens", b"keycookie", b"accept", b"", b"\xff\x00"]
)
def test_a_name_that_only_resembles_a_sensitive_one_is_not_masked(name: bytes) -> None:
    assert Redaction().headers([(name, b"value")]) == ((name, b"value"),)


@pytest.mark.parametrize(
    ("query", "masked"),
    [
        (b"", b""),
        (b"page=2", b"page=2"),
        (b"token=abc", b"token=[redacted]"),
        (b"a=1&token=abc&b=2", b"a=1&token=[redacted]&b=2"),
        (b"token=abc&token=def", b"token=[redacted]&token=[redacted]"),
        (b"token=abc==&x=a=b", b"token=[redacted]&x=a=b"),
        (b"token=", b"token=[redacted]"),
        (b"token", b"token"),
        (b"%74oken=abc", b"%74oken=[redacted]"),
        (b"api%5Fkey=abc", b"api%5Fkey=[redacted]"),
        (b"&&token=abc&", b"&&token=[redacted]&"),
        (b"q=token%3Dabc", b"q=token%3Dabc"),
        (b"=abc&=", b"=abc&="),
        (b"%ff=1&%zz=2&caf\xe9=3", b"%ff=1&%zz=2&caf\xe9=3"),
    ],
)
def test_a_query_keeps_everything_but_the_values_of_sensitive_parameters(query: bytes, masked: bytes) -> None:
    assert Redaction().query(query) == masked


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=8))))
def test_masking_headers_changes_values_and_nothing_else(headers: list[tuple[bytes, bytes]]) -> None:
    masked = Redaction().headers(headers)

    assert [name for name, _ in masked] == [name for name, _ in headers]
    assert all(after in (before, MASK) for (_, before), (_, after) in zip(headers, masked, strict=True))


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.just(SECRET)), min_size=1))
def test_a_query_of_any_names_is_masked_as_headers_of_these_names_are(pairs: list[tuple[bytes, bytes]]) -> None:
    redaction = Redaction()
    query = b"&".join(b"%s=%s" % pair for pair in pairs if b"&" not in pair[0])
    expected = [b"%s=%s" % pair for pair in redaction.headers(pairs) if b"&" not in pair[0]]

    assert redaction.query(query) == b"&".join(expected)


def test_names_of_ones_own_take_the_place_of_the_usual_ones() -> None:
    redaction = Redaction(["X_Tenant", " Customer-Number "])

    assert redaction.headers([(b"x-tenant", SECRET), (b"authorization", b"shown")]) == (
        (b"x-tenant", MASK),
        (b"authorization", b"shown"),
    )
    assert redaction.query(b"customer_number=5&token=shown") == b"customer_number=[redacted]&token=shown"


def test_without_names_nothing_is_masked() -> None:
    redaction = Redaction([])

    assert redaction.headers([(b"authorization", b"shown")]) == ((b"authorization", b"shown"),)
    assert redaction.query(b"password=shown") == b"password=shown"


def test_names_that_a_client_makes_up_cannot_fill_the_memory_nor_hide_a_secret() -> None:
    redaction = Redaction()
    for number in range(10_000):
        redaction.headers([(b"x-%d" % number, b"value")])

    assert redaction.headers([(b"AuThOrIzAtIoN", SECRET)]) == ((b"AuThOrIzAtIoN", MASK),)
    assert len(redaction._masked) < 5_000  # pyright: ignore[reportPrivateUsage]
