from pathlib import Path

import pytest
from argon2 import PasswordHasher

from reqscope.service import User
from reqscope.service.identity.users import UserError, Users

PASSWORD = "correct horse battery"


class CountingHasher(PasswordHasher):
    """Argon2 at its cheapest, which tells how often it was asked."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]  # noqa: A002 - as it is called there
        self.verified += 1
        return super().verify(hash, password)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.json"


@pytest.fixture
def users(path: Path, hasher: CountingHasher) -> Users:
    return Users(path, hasher)


def test_a_user_is_known_by_name_and_password_and_by_nothing_less(users: Users) -> None:
    users.add("alice", PASSWORD, "admin")
    users.add("Zoë Ω", PASSWORD + "ß", "viewer")

    assert users.verify("alice", PASSWORD) == User("alice", "admin")
    assert users.verify("Zoë Ω", PASSWORD + "ß") == User("Zoë Ω", "viewer")
    for name, password in [
        ("alice", PASSWORD.upper()),
        ("alice", ""),
        ("alice", PASSWORD + " "),
        ("Alice", PASSWORD),
        ("", PASSWORD),
        ("nobody", PASSWORD),
        ("alice", "\ud800"),
    ]:
        assert users.verify(name, password) is None
    assert [user.name for user in users.all()] == ["Zoë Ω", "alice"]


def test_the_file_holds_no_password_but_an_argon2_hash_with_a_salt_of_its_own(users: Users, path: Path) -> None:
    for name in ("a", "b"):
        users.add(name, PASSWORD, "viewer")

    text = path.read_text()

    assert PASSWORD not in text
    assert text.count("$argon2id$") == 2
    assert len(set(text.split('"password": ')[1:])) == 2


def test_the_hash_of_a_real_one_costs_what_rfc_9106_advises() -> None:
    """https://www.rfc-editor.org/rfc/rfc9106.html#section-4, the choice for where memory is short."""
    hasher = PasswordHasher()

    assert (hasher.time_cost, hasher.memory_cost, hasher.parallelism) == (3, 65536, 4)


def test_somebody_unknown_costs_as_much_work_as_somebody_known(users: Users, hasher: CountingHasher) -> None:
    users.add("alice", PASSWORD, "viewer")
    costs: list[int] = []
    for name in ("alice", "nobody"):
        before = hasher.verified
        users.verify(name, "wrong password")
        costs.append(hasher.verified - before)

    assert costs == [1, 1]


def test_adding_one_that_is_there_gives_another_password_and_role_and_a_stamp(users: Users) -> None:
    users.add("alice", PASSWORD, "admin")
    before = users.stamp("alice")

    users.add("alice", PASSWORD + "2", "viewer")

    assert users.verify("alice", PASSWORD) is None
    assert users.verify("alice", PASSWORD + "2") == User("alice", "viewer")
    assert users.stamp("alice") not in (before, None)


def test_one_that_is_removed_is_unknown(users: Users) -> None:
    users.add("alice", PASSWORD, "viewer")

    users.remove("alice")

    assert (len(users), users.verify("alice", PASSWORD), users.stamp("alice")) == (0, None, None)
    with pytest.raises(UserError, match="there is no user alice"):
        users.remove("alice")


@pytest.mark.parametrize("password", ["", "elevenchars", "x" * 1_025])
def test_a_password_that_is_too_short_or_long_is_refused(users: Users, password: str) -> None:
    with pytest.raises(UserError, match="at least 12 characters"):
        users.add("alice", password, "viewer")
    assert len(users) == 0


@pytest.mark.parametrize("name", ["", " ", " alice", "a\nb", "a\x1b[31m", "x" * 65, "\u202eecila"])
def test_a_name_that_would_not_show_as_it_is_is_refused(users: Users, name: str) -> None:
    with pytest.raises(UserError, match="a name has"):
        users.add(name, PASSWORD, "viewer")


def test_a_record_that_was_tampered_with_lets_nobody_in(users: Users, path: Path) -> None:
    users.add("alice", PASSWORD, "admin")
    for text in ('{"alice": {}}', '{"alice": {"password": ""}}', '{"alice": {"password": 5, "role": "god"}}'):
        path.write_text(text)
        assert users.verify("alice", PASSWORD) is None
        assert users.all() == [User("alice", "viewer")]
