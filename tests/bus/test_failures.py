from dataclasses import astuple
from typing import Any

import anyio
import pytest

from reqscope.bus import Event, Failure, FailureGroup, Failures
from reqscope.bus.event import Glance
from reqscope.bus.failures import MAX_GROUPS, FailureStatistics

DEADLINE = 20.0


class Opens:
    """A seal that says when it was broken."""

    def __init__(self, failure: Failure | None) -> None:
        self.failure = failure
        self.opened = 0

    def open(self, event: Event) -> None:
        self.opened += 1
        event.failure = self.failure

    def glance(self, event: Event) -> Glance:
        return event.open().glance()


def failed(fingerprint: str, time: int = 0, message: str = "m", **more: Any) -> Event:
    failure = Failure(type="ValueError", message=message, traceback=f"trace of {message}", fingerprint=fingerprint)
    return Event(time=time, failure=failure, error="ValueError", **more)


def counts(failures: Failures) -> dict[str, int]:
    return {group.fingerprint: group.count for group in failures.latest()}


def test_failures_of_one_fingerprint_are_one_group_with_the_first_and_the_latest() -> None:
    failures = Failures()
    failures.note(failed("a", 1, "one", seq=11, route="/x"))
    failures.note(failed("a", 2, "two", seq=12, route="/x"))
    failures.note(failed("a", 5, "three", seq=13, route="/x"))

    assert failures.latest() == [
        FailureGroup(
            fingerprint="a",
            type="ValueError",
            route="/x",
            message="three",
            traceback="trace of three",
            count=3,
            first=1,
            last=5,
            event=13,
        )
    ]


def test_the_group_with_the_latest_failure_comes_first() -> None:
    failures = Failures()
    for time, fingerprint in enumerate("abcab"):
        failures.note(failed(fingerprint, time))

    assert [(group.fingerprint, group.count) for group in failures.latest()] == [("b", 2), ("a", 2), ("c", 1)]


def test_noting_opens_nothing_and_looking_opens_each_once() -> None:
    failures, seal = Failures(), Opens(Failure(type="ValueError", message="m", traceback="t", fingerprint="a"))
    failures.note(Event(time=0, sealed=seal))
    assert seal.opened == 0

    failures.latest()
    failures.latest()
    assert (seal.opened, counts(failures)) == (1, {"a": 1})


def test_an_event_whose_failure_could_not_be_told_is_grouped_nowhere_and_accounted_for() -> None:
    failures = Failures()
    failures.note(Event(time=0, sealed=Opens(None)))

    assert failures.latest() == []
    assert failures.statistics() == FailureStatistics(noted=1, grouped=1, waiting=0, lost=0, groups=0, forgotten=0)


def test_beyond_the_bound_the_group_that_was_quiet_longest_is_forgotten_and_that_is_counted() -> None:
    failures = Failures()
    for number in range(MAX_GROUPS):
        failures.note(failed(f"{number}", number))
    failures.note(failed("0", MAX_GROUPS))  # the oldest has news, so the next oldest goes
    failures.note(failed("new", MAX_GROUPS + 1))

    groups = counts(failures)
    assert len(groups) == MAX_GROUPS
    assert (groups["0"], groups["new"], "1" in groups, "2" in groups) == (2, 1, False, True)
    assert failures.statistics().forgotten == 1


def test_too_many_at_once_are_lost_and_counted() -> None:
    failures = Failures()
    for _ in range(1_010):
        failures.note(failed("a"))

    assert astuple(failures.statistics()) == (1_010, 0, 1_000, 10, 0, 0)
    assert counts(failures) == {"a": 1_000}
    assert astuple(failures.statistics()) == (1_010, 1_000, 0, 10, 1, 0)


@pytest.mark.anyio
async def test_while_it_runs_what_is_noted_is_grouped_without_anybody_looking() -> None:
    failures = Failures()
    failures.note(failed("before"))
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(failures.run)
            await anyio.wait_all_tasks_blocked()
            assert failures.statistics().grouped == 1
            for _ in range(75):
                failures.note(failed("a"))
            await anyio.wait_all_tasks_blocked()
            assert failures.statistics().grouped == 76
            tasks.cancel_scope.cancel()

    assert counts(failures) == {"before": 1, "a": 75}


@pytest.mark.anyio
async def test_others_get_their_turn_while_many_are_grouped() -> None:
    failures, turns = Failures(), list[int]()
    for _ in range(1_000):
        failures.note(failed("a"))

    async def take_turns() -> None:
        while failures.statistics().waiting:
            turns.append(failures.statistics().waiting)
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(failures.run)
            await take_turns()
            tasks.cancel_scope.cancel()

    assert len(turns) >= 10


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_runs_again_in_another_event_loop(backend: str) -> None:
    failures = Failures()

    async def run() -> None:
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(failures.run)
                await anyio.wait_all_tasks_blocked()
                failures.note(failed("a"))
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()

    for _ in range(2):
        anyio.run(run, backend=backend)
        failures.note(failed("a"))  # to nobody yet

    assert counts(failures) == {"a": 4}
