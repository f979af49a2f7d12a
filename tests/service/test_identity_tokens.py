from pathlib import Path

import pytest

from reqscope.service.identity.tokens import PREFIX, Purpose, Token, TokenError, Tokens, bearer

from .conftest import scope_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


@pytest.fixture
def tokens(path: Path) -> Tokens:
    return Tokens(path)


@pytest.mark.guarantees("80")
def test_a_token_is_found_by_itself_and_by_nothing_else(tokens: Tokens) -> None:
    made = {name: tokens.add(name, ["read"]) for name in ("a", "b", "c")}

    for name, token in made.items():
        found = tokens.find(token.encode())
        assert found is not None
        assert found.name == name
    right = made["b"].encode()
    wrong = [
        b"",
        b"rq_",
        right[:-1],
        right + b"x",
        right.upper(),
        b"\x00" + right,
        "rq_ü".encode(),
        b"\xff",
        b"x" * 999,
    ]
    assert [tokens.find(each) for each in wrong] == [None] * len(wrong)


def test_a_token_has_256_bits_and_begins_so_that_scanners_know_it(tokens: Tokens) -> None:
    token = tokens.add("a", ["ingest"])

    assert token.startswith(PREFIX)
    assert len(token) == len(PREFIX) + 43


def test_the_file_holds_a_hash_and_not_the_token(tokens: Tokens, path: Path) -> None:
    token = tokens.add("a", ["ingest"])

    assert token not in path.read_text()
    assert token.removeprefix(PREFIX) not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (("ingest",), {"ingest"}),
        (("read",), {"read"}),
        (("admin",), {"read", "admin"}),
        (("ingest", "read"), {"ingest", "read"}),
        ((), set()),
    ],
)
def test_a_token_is_for_what_it_was_made_for(scopes: tuple[Purpose, ...], allowed: set[str]) -> None:
    token = Token("a", scopes, "")
    purposes: tuple[Purpose, ...] = ("ingest", "read", "admin")

    assert {each for each in purposes if token.allows(each)} == allowed


def test_scopes_that_nobody_knows_are_none(tokens: Tokens, path: Path) -> None:
    path.write_text('{"a": {"scopes": ["god", "read"]}, "b": {"scopes": "admin"}, "c": {}}')
    path.chmod(0o600)

    assert [token.scopes for token in tokens.all()] == [("read",), (), ()]
    assert tokens.find(b"") is None


def test_a_name_is_given_once_and_free_again_when_removed(tokens: Tokens) -> None:
    first = tokens.add("a", ["read"])
    with pytest.raises(TokenError, match="there is a token a already"):
        tokens.add("a", ["read"])

    tokens.remove("a")

    assert (tokens.find(first.encode()), tokens.all(), tokens.has("read")) == (None, [], False)
    assert tokens.add("a", ["read"]) != first
    with pytest.raises(TokenError, match="there is no token x"):
        tokens.remove("x")


@pytest.mark.guarantees("80")
@pytest.mark.parametrize(
    ("sent", "token"),
    [
        ([b"Bearer rq_x"], b"rq_x"),
        ([b"bearer   rq_x "], b"rq_x"),
        ([b"Basic rq_x"], None),
        ([b"rq_x"], None),
        ([b"Bearer"], b""),
        ([], None),
        ([b"Bearer rq_x", b"Bearer rq_y"], None),
        ([b"Bearer " + b"x" * (1 << 20)], b"x" * 249),
    ],
)
def test_a_token_is_read_from_one_header_and_cut_where_none_of_ours_is_so_long(
    sent: list[bytes], token: bytes | None
) -> None:
    assert bearer(scope_of(headers=[(b"authorization", each) for each in sent])) == token


@pytest.mark.guarantees("80")
def test_a_token_in_the_query_is_none() -> None:
    assert bearer(scope_of(query_string=b"token=rq_x&access_token=rq_x&authorization=Bearer%20rq_x")) is None
