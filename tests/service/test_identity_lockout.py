from typing import Any

import pytest

from reqscope.service.identity import lockout as module
from reqscope.service.identity.lockout import FAILURES, PERIOD, Lockout

from .conftest import Clock


@pytest.fixture
def lockout(clock: Clock) -> Lockout:
    return Lockout(clock)


def fail(lockout: Lockout, times: int = FAILURES, user: str = "alice", address: str = "192.0.2.1") -> list[float]:
    return [lockout.attempt(user, address) for _ in range(times)]


def test_five_failures_lock_for_five_minutes_from_the_last(lockout: Lockout, clock: Clock) -> None:
    for _ in range(FAILURES):
        assert fail(lockout, 1) == [0]
        clock.now += 10

    assert fail(lockout, 3) == [PERIOD - 10] * 3


def test_when_the_time_is_over_it_is_open_again(lockout: Lockout, clock: Clock) -> None:
    fail(lockout)

    clock.now += PERIOD - 1
    assert fail(lockout, 1) == [1]
    clock.now += 1
    assert fail(lockout, 1) == [0]


def test_failures_that_lie_apart_do_not_lock(lockout: Lockout, clock: Clock) -> None:
    for _ in range(20):
        assert fail(lockout, 1) == [0]
        clock.now += PERIOD / (FAILURES - 1)


def test_a_success_forgets_the_failures(lockout: Lockout) -> None:
    fail(lockout, FAILURES - 1)
    lockout.attempt("alice", "192.0.2.1")

    lockout.succeeded("alice", "192.0.2.1")

    assert fail(lockout) == [0] * FAILURES


def test_nobody_is_locked_out_by_somebody_elsewhere_or_as_somebody_else(lockout: Lockout) -> None:
    fail(lockout)

    assert fail(lockout, 1, address="192.0.2.2") == [0]
    assert fail(lockout, 1, user="bob") == [0]
    assert fail(lockout, 1) != [0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.3", False),
        ("unix", "unix", True),
        ("", "", True),
    ],
)
def test_what_one_person_has_counts_as_one_address(lockout: Lockout, one: str, other: str, same: bool) -> None:
    fail(lockout, address=one)

    assert (fail(lockout, 1, address=other) != [0]) is same


def test_memory_is_bounded_and_the_latest_are_remembered(lockout: Lockout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 100)
    for number in range(1_000):
        fail(lockout, user=f"user{number}")

    remembered: Any = vars(lockout)["_failures"]
    assert len(remembered) == 100
    assert fail(lockout, 1, user="user999") != [0]
