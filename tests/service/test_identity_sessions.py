import time

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from reqscope.service import User
from reqscope.service.identity import sessions as module
from reqscope.service.identity.clock import clock as clock_of_sessions
from reqscope.service.identity.sessions import IDLE, LENGTH, Session, Sessions

from .conftest import Clock

pytestmark = pytest.mark.anyio

ALICE = User("alice", "admin")


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock)


def used(sessions: Sessions, name: str) -> Session:
    session = sessions.use(name)
    assert session is not None
    return session


def test_each_session_has_a_name_of_its_own_that_the_server_does_not_keep(sessions: Sessions) -> None:
    names = {sessions.begin(ALICE) for _ in range(100)}

    assert len(names) == 100
    assert all(len(name) == 43 for name in names)
    for name in names:
        assert used(sessions, name).user is ALICE
        assert used(sessions, name).key != name


@pytest.mark.guarantees("81")
@pytest.mark.parametrize("name", ["", "x", "\ud800", "a" * 43, "\x00" * 100_000])
def test_a_name_that_nobody_was_given_is_no_session(sessions: Sessions, name: str) -> None:
    sessions.begin(ALICE)

    assert sessions.use(name) is None


def test_a_session_ends_eight_hours_after_the_sign_in_however_much_it_is_used(sessions: Sessions, clock: Clock) -> None:
    name, begun = sessions.begin(ALICE), clock.now
    while clock.now < begun + LENGTH - IDLE / 2:
        assert sessions.use(name)
        clock.now += IDLE / 2

    clock.now = begun + LENGTH
    assert LENGTH == 8 * 60 * 60
    assert sessions.use(name) is None


@pytest.mark.guarantees("81")
def test_a_session_ends_half_an_hour_after_its_last_use(sessions: Sessions, clock: Clock) -> None:
    name = sessions.begin(ALICE)
    clock.now += IDLE - 1
    session = used(sessions, name)
    clock.now += IDLE - 1
    assert sessions.is_live(session), "to ask is no use of it"
    clock.now += 1

    assert IDLE == 30 * 60
    assert not sessions.is_live(session)
    assert sessions.use(name) is None


def test_a_clock_that_is_set_makes_no_session_longer_or_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, day = Sessions(), time.time()
    name = sessions.begin(ALICE)
    for now in (day + 2 * LENGTH, day - 2 * LENGTH):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert LENGTH - 60 < sessions.seconds_left(used(sessions, name)) + LENGTH - IDLE <= LENGTH


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux has a clock of its own for that")
def test_the_time_goes_on_while_the_computer_sleeps() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= clock_of_sessions() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_session_ends_when_its_user_may_not_be_signed_in_any_more(sessions: Sessions) -> None:
    allowed = [True]
    name = sessions.begin(ALICE, lambda: allowed[0])
    assert sessions.use(name)

    allowed[0] = False
    assert sessions.use(name) is None
    allowed[0] = True
    assert sessions.use(name) is None


async def test_who_waits_for_the_end_of_a_session_hears_of_it_at_once(sessions: Sessions) -> None:
    heard = list[str]()
    sessions.on_end = lambda: heard.append("callback")
    name = sessions.begin(ALICE)
    session = used(sessions, name)

    async def wait() -> None:
        await sessions.wait_end(session)
        heard.append("waiter")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await wait_all_tasks_blocked()
            assert heard == []
            sessions.end_named(name)

    assert heard == ["callback", "waiter"]
    sessions.end_named(name)
    assert heard == ["callback", "waiter"]


async def test_who_waits_hears_of_an_expiry_too(
    sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_AGAIN", 0.01)
    session = used(sessions, sessions.begin(ALICE))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sessions.wait_end, session)
            await anyio.lowlevel.checkpoint()
            clock.now += IDLE


def test_what_has_expired_is_forgotten_and_there_are_never_too_many(
    sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(50):
        sessions.begin(ALICE)
    clock.now += IDLE
    sessions.begin(ALICE)
    assert len(sessions) == 1

    monkeypatch.setattr(module, "_MOST", 10)
    names = [sessions.begin(ALICE) for _ in range(20)]
    assert len(sessions) == 10
    assert [bool(sessions.use(name)) for name in names] == [False] * 10 + [True] * 10
