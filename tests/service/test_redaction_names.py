import pytest

from reqscope.service.redaction.names import SENSITIVE, Names

NAMES = Names(SENSITIVE)


@pytest.mark.parametrize(
    "name",
    [
        *("user_password", "userPassword", "user.password", "user[password]", "users[0][password]", "USER-PASSWORD"),
        *(
            "stripe_secret",
            "refresh_token",
            "my_session_id",
            "accessToken",
            "X-API-Key",
            "api_key",
            "APIKey",
            "API key",
        ),
        *("password_confirmation", "passwordConfirm", "password2", "token_value", "password_hash", "old-password"),
        *("dbpassword", "MYPASSWORD", "%70assword", "pass%77ord", "wsse:Password", "$password", "data.user[0].pin"),
        *("x-hub-signature-256", "cvv2", "XSRF-TOKEN", "PHPSESSID", "connect.sid", "AWS_SECRET_ACCESS_KEY", "_csrf"),
        *("passwordconfirm", "newpasswordconfirmation", "tokenvalue", "pinconfirm", "x-usertoken", "keycookie"),
    ],
)
def test_a_name_is_sensitive_that_ends_with_the_words_of_one(name: str) -> None:
    assert NAMES[name.encode()]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "token_count",
            "token_type",
            "secretary",
            "design",
            "tokenizer",
            "author",
            "tokens",
            "max_tokens",
            "spinnew",
            "threshold",
            "token_context",
        ),
        *(
            "authorizations",
            "x-authorization-id",
            "accept",
            "",
            "shipping",
            "compass",
            "monkey",
            "key",
            "public_key",
            "code",
        ),
        *(
            "status_code",
            "hash",
            "value",
            "new",
            "42",
            "passenger",
            "session_count",
            "assigned",
            "resign",
            "cookie_policy",
        ),
        *(
            "bypass",
            "author_name",
            "authored_at",
            "keyboard",
            "sigma",
            "opinion",
            "\udcff",
            "primary_key",
            "foreignKey",
        ),
    ],
)
def test_a_name_that_only_resembles_a_sensitive_one_is_not(name: str) -> None:
    assert not NAMES[name.encode("utf-8", "surrogateescape")]


def test_the_usual_names_are_in_order_and_in_one_spelling() -> None:
    assert list(SENSITIVE) == sorted(set(SENSITIVE))
    assert all(name == name.lower().replace("_", "-") for name in SENSITIVE)


@pytest.mark.parametrize("name", ["page", "customer number", "größe", "Пароль", "a", "x1y"])
def test_a_name_of_ones_own_is_found_in_text_that_holds_it(name: str) -> None:
    names = Names([name])

    for spelling in (name, name.upper(), name.title(), f"my_{name}", f"{name}2"):
        assert names[spelling.encode()]
        assert names.hints.suspect(f'{{"{spelling}": 1}}'.encode())
    assert not names[b"token"]


def test_every_sensitive_name_is_hinted_at_in_every_spelling() -> None:
    for name in SENSITIVE:
        words = name.split("-")
        for spelling in (
            name,
            name.replace("-", "_"),
            "".join(map(str.title, words)),
            " ".join(words),
            ".".join(words),
        ):
            for text in (spelling, f'{{"id": 1, "{spelling}": "x"}}', f"my-{spelling}=", "x" * 5000 + f" {spelling} "):
                assert NAMES.hints.suspect(text.encode()), text


def test_most_text_holds_no_hint() -> None:
    assert not NAMES.hints.suspect(
        b'{"id": 42, "name": "A small wooden box", "tags": ["box"], "code": 200, "key": "a"}'
    )


def test_a_very_long_name_is_judged_by_its_end_and_not_remembered() -> None:
    names = Names(SENSITIVE)

    assert names[b"x-" * 100_000 + b"token"]
    assert not names[b"token-" * 100_000 + b"x"]
    assert not names


@pytest.mark.parametrize("names", [[], [""], [" ", "-", "[]"]])
def test_names_without_a_letter_are_none(names: list[str]) -> None:
    assert Names(names).none
