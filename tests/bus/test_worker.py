import threading
from collections.abc import Iterator
from functools import partial

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from reqscope.bus.worker import Worker

pytestmark = pytest.mark.anyio


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("tested")
    worker.start()
    yield worker
    worker.stop()


async def test_a_call_returns_what_the_function_returns(worker: Worker) -> None:
    with anyio.fail_after(10):
        assert await worker.call(sorted, [3, 1, 2], reverse=True) == [3, 2, 1]


@pytest.mark.parametrize("error", [ValueError("wrong"), OSError("broken")])
async def test_a_call_raises_what_the_function_raises_and_the_next_one_is_made(
    worker: Worker, error: Exception
) -> None:
    def fail() -> None:
        raise error

    with anyio.fail_after(10):
        with pytest.raises(type(error)) as caught:
            await worker.call(fail)
        assert await worker.call(len, "next") == 4

    assert caught.value is error


@pytest.mark.guarantees("F42")
async def test_all_calls_are_made_in_the_same_thread_which_the_interpreter_does_not_wait_for(worker: Worker) -> None:
    with anyio.fail_after(10):
        threads = {await worker.call(threading.current_thread) for _ in range(5)}

    (thread,) = threads
    assert thread is not threading.current_thread()
    assert (thread.name, thread.daemon) == ("tested", True)


async def test_the_event_loop_goes_on_while_a_call_is_made(worker: Worker) -> None:
    go = threading.Event()
    returned: list[bool] = []

    async def call() -> None:
        returned.append(await worker.call(go.wait))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await wait_all_tasks_blocked()
            assert returned == []
            go.set()

    assert returned == [True]


async def test_an_abandoned_call_is_made_to_its_end_and_before_the_next(worker: Worker) -> None:
    go = threading.Event()
    made: list[str] = []

    def first() -> None:
        go.wait()
        made.append("first")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.call, first)
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert made == []
        go.set()
        await worker.call(made.append, "second")

    assert made == ["first", "second"]


async def test_a_posted_call_is_made_in_its_turn_and_may_be_asked_how_it_went(worker: Worker) -> None:
    made: list[int] = []

    def fail() -> None:
        raise OSError("broken")

    calls = [worker.post(made.append, number) for number in range(3)]
    failing = worker.post(fail)

    with anyio.fail_after(10):
        with pytest.raises(OSError, match="broken"):
            await failing.outcome()
        assert made == [0, 1, 2]
        for call in calls:
            await call.outcome()


async def test_a_stopped_worker_makes_the_calls_it_was_given_and_ends(worker: Worker) -> None:
    go = threading.Event()
    made: list[int] = []

    def call(number: int) -> None:
        go.wait()
        made.append(number)

    with anyio.fail_after(10):
        thread = await worker.call(threading.current_thread)
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(worker.call, partial(call, number))
                await wait_all_tasks_blocked()
            worker.stop()
            go.set()
    thread.join(10)

    assert made == [0, 1, 2]
    assert not thread.is_alive()


@pytest.mark.guarantees("F42")
def test_a_call_that_outlives_its_event_loop_ends_the_thread_no_less() -> None:
    worker = Worker("survivor")
    worker.start()
    go = threading.Event()
    threads: list[threading.Thread] = []

    async def abandon() -> None:
        threads.append(await worker.call(threading.current_thread))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.call, go.wait)
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    anyio.run(abandon)
    go.set()
    worker.stop()
    threads[0].join(10)

    assert not threads[0].is_alive()
