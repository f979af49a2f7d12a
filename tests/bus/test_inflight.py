import anyio
import pytest

from reqscope.bus import InFlight, Running

DEADLINE = 20.0


class Runner:
    def __init__(self, name: str) -> None:
        self.name = name

    def running(self) -> Running:
        return Running(id=self.name, time=0, age=0.0, kind="request", method="GET", path="/")


def names(in_flight: InFlight, limit: int = 100) -> list[str]:
    return [running.id for running in in_flight.oldest(limit)]


def test_what_began_first_is_told_first_and_the_limit_cuts_off_the_newest() -> None:
    in_flight, runners = InFlight(), [Runner(name) for name in "abcd"]
    for runner in runners:
        in_flight.add(runner)

    assert names(in_flight) == ["a", "b", "c", "d"]
    assert names(in_flight, 2) == ["a", "b"]
    in_flight.discard(runners[0])
    in_flight.discard(runners[2])
    assert names(in_flight) == ["b", "d"]
    assert len(in_flight) == 2


def test_what_ends_twice_or_never_began_is_no_error() -> None:
    in_flight, runner = InFlight(), Runner("a")
    in_flight.discard(runner)
    in_flight.add(runner)
    in_flight.discard(runner)
    in_flight.discard(runner)

    assert (len(in_flight), names(in_flight)) == (0, [])


@pytest.mark.anyio
@pytest.mark.parametrize("change", ["begins", "ends"])
async def test_everyone_who_waits_wakes_when_something_begins_or_ends(change: str) -> None:
    in_flight, runner, woken = InFlight(), Runner("a"), list[int]()
    in_flight.add(runner)

    async def wait(number: int) -> None:
        await in_flight.wait_change()
        woken.append(number)

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, 1)
            tasks.start_soon(wait, 2)
            await anyio.wait_all_tasks_blocked()
            assert woken == []
            if change == "begins":
                in_flight.add(Runner("b"))
            else:
                in_flight.discard(runner)

    assert sorted(woken) == [1, 2]


@pytest.mark.anyio
async def test_one_who_gives_up_does_not_keep_the_other_from_waking() -> None:
    in_flight, woken, given_up = InFlight(), anyio.Event(), anyio.CancelScope(deadline=0)

    async def wait() -> None:
        await in_flight.wait_change()
        woken.set()

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            with given_up:
                await in_flight.wait_change()
            in_flight.add(Runner("a"))
            await woken.wait()

    assert given_up.cancelled_caught


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_who_gave_up_in_an_event_loop_that_is_gone_is_in_nobodys_way(backend: str) -> None:
    in_flight = InFlight()

    async def give_up() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_flight.wait_change)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    async def wait() -> None:
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(in_flight.wait_change)
                await anyio.wait_all_tasks_blocked()
                in_flight.add(Runner("a"))

    anyio.run(give_up, backend=backend)
    anyio.run(wait, backend=backend)

    assert names(in_flight) == ["a"]
