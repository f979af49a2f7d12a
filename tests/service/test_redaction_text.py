import pytest

from reqscope.service import Redaction

from .canaries import CANARIES

REDACTION = Redaction()


def shown(text: str) -> str:
    """Return the redacted text, a star for each mask."""
    text = REDACTION.text(text)
    while "[redacted]#" in text:
        start = text.index("[redacted]#")
        text = text[:start] + "*" + text[start + 17 :]
    return text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("password=abc and user=bob", "password=* and user=bob"),
        ("token: abc, user: bob", "token: *, user: bob"),
        ("token=abc,user=bob", "token=*,user=bob"),
        ("<p>password=a<b&c<br>x</p>", "<p>password=*<br>x</p>"),
        ("password=<abc> ok", "password=*> ok"),
        ("token=a,b;c user", "token=* user"),
        ("login(password=abc)", "login(password=*)"),
        ("User(password='a b', n=1)", "User(password='*', n=1)"),
        ("{'password': b'x', 'n': 1}", "{'password': b'*', 'n': 1}"),
        ('{"password": {"a": 1}, "b": 2} was sent', '{"password": "*", "b": 2} was sent'),
        ("got {'credentials': {'a': 'b'}, 'n': 1}", "got {'credentials': \"*\", 'n': 1}"),
        (r"got {\"pin\": \"a\\\"b\", \"n\": 1}", r"got {\"pin\": \"*\", \"n\": 1}"),
        ("(b'authorization', b'Bearer x'), (b'host', b'h')", "(b'authorization', b'Bearer *'), (b'host', b'h')"),
        ("Authorization: Bearer abc", "Authorization: Bearer *"),
        ("Authorization: Own a b c\nHost: h", "Authorization: Own *\nHost: h"),
        ("curl -H 'Authorization: Token abc' http://h", "curl -H 'Authorization: Token *' http://h"),
        ("Cookie: a=b; c=d\nHost: h", "Cookie: a=*; c=*\nHost: h"),
        ("GET /a?token=abc&n=1 HTTP/1.1", "GET /a?token=*&n=1 HTTP/1.1"),
        ("GET /a?next=%2Fb%3Ftoken%3Dabc%26n%3D1 x", "GET /a?next=%2Fb%3Ftoken%3D*%26n%3D1 x"),
        ("postgres://u:p@ss@h/db, redis://:a/b@h/0", "postgres://u:*@h/db, redis://:*@h/0"),
        ("&quot;pin&quot;:&quot;12&quot;,&quot;n&quot;:1", "&quot;pin&quot;:&quot;*&quot;,&quot;n&quot;:1"),
        (r"a\ntoken=abc", r"a\ntoken=*"),
        ("password => abc", "password => *"),
        ("export API_KEY=abc", "export API_KEY=*"),
        ("пароль password=пароль, да", "пароль password=*, да"),
        ("\ud800 token=abc \udfff", "\ud800 token=* \udfff"),
    ],
)
def test_the_value_behind_a_sensitive_name_is_masked(before: str, after: str) -> None:
    assert shown(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ValueError: invalid literal for int() with base 10: 'abc'",
        'File "/app/auth/token.py", line 12, in session',
        "token_count=3 token_type=bearer secretary=x design=1 author: me",
        "see https://example.org:8080/a@b, or http://[::1]:8000/@x",
        "Basic authentication is required; the bearer token is missing; a basic plan",
        "order 4111111111111112 at 1700000000000 or 20240506123456 or 1732183872123456789",
        "550e8400-e29b-41d4-4716-446655440000 and 12345678-1234-1234-4111-111111111111",
        "Session::start() said nothing",
        "password=None, token: null",
        "sk-SK and en-GB, task-force-of-twenty-and-more-people, disk-usage-of-the-whole-machine",
        "npm_config_registry=x npm_lifecycle_event=build npm_package_name",
        "cursor=eyJpZCI6MTB9",
        "the password is wrong",
        "AKIAB and ASIA, the continent; SG.com; xoxo-",
    ],
)
def test_what_only_resembles_a_secret_stays(text: str) -> None:
    assert REDACTION.text(text) == text


@pytest.mark.parametrize(
    "canary", [canary for canary in CANARIES if canary.by == "pattern"], ids=lambda canary: canary.name
)
@pytest.mark.parametrize(
    "around", ["{}", "see {} there", '"{}"', "a={}&b=1", "[{},1]", "\\n{}\\n", "x\t{}\n", "({})", "é{}é", "key_{}"]
)
def test_a_secret_is_known_by_its_looks_wherever_it_stands(canary: tuple[str, str, str, str], around: str) -> None:
    text = around.format(canary[3])
    hidden = REDACTION.text(text)
    before, after = around.split("{}")

    assert canary[1][:12] not in hidden
    assert canary[1][-12:] not in hidden
    assert "[redacted]#" in hidden
    assert hidden.startswith(before)
    assert hidden.endswith(after)
