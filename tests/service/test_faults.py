import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.service.faults import Faults, FaultStatistics

from .conftest import Clock


@pytest.fixture
def faults(clock: Clock) -> Faults:
    return Faults(clock)


def fail(faults: Faults, times: int, clock: Clock | None = None, every: float = 0.0) -> None:
    for _ in range(times):
        faults.record("send", ValueError("on purpose"))
        if clock is not None:
            clock.now += every


class Unreadable(Exception):
    def __str__(self) -> str:
        raise LookupError


def test_faults_are_counted_by_step_and_type_and_the_latest_is_told(faults: Faults) -> None:
    faults.record("send", ValueError("one"))
    faults.record("send", ValueError("two"))
    faults.record("end", KeyError("three"))

    assert faults.statistics() == FaultStatistics(
        3, {"send: ValueError": 2, "end: KeyError": 1}, "end: KeyError: 'three'", capturing=True
    )


def test_each_kind_is_logged_once_a_minute(faults: Faults, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for clock.now in (0.0, 20.0, 40.0, 59.9, 60.0, 100.0):
        faults.record("send", ValueError("one"))
    assert len(caplog.records) == 2
    faults.record("end", ValueError("other"))

    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert caplog.records[1].getMessage().endswith("5 times so far; the application is not affected: "
        "send: ValueError: one")  # fmt: skip
    assert "end: ValueError: other" in caplog.records[2].getMessage()


def test_an_exception_whose_text_cannot_be_read_is_counted_all_the_same(faults: Faults) -> None:
    faults.record("send", Unreadable())

    assert faults.statistics().last == "send: Unreadable: (its message cannot be read)"


def test_a_long_message_is_cut(faults: Faults) -> None:
    faults.record("send", ValueError("x" * 100_000))

    assert len(faults.statistics().last) == 500


def test_a_log_that_is_broken_breaks_nothing_else(faults: Faults) -> None:
    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("the log broke")

    broken = Broken()
    own = logging.getLogger("reqscope.service.faults")
    own.addFilter(broken)
    try:
        fail(faults, 10)
    finally:
        own.removeFilter(broken)

    assert faults.statistics().total == 10


def test_nine_faults_in_ten_seconds_or_ten_in_more_leave_capture_on(faults: Faults, clock: Clock) -> None:
    fail(faults, 9)
    clock.now = 10.1
    fail(faults, 9)
    clock.now = 20.2
    fail(faults, 200, clock, every=1.2)

    assert (faults.off, faults.statistics().capturing) == (False, True)


def test_ten_faults_within_ten_seconds_switch_capture_off_for_thirty(
    faults: Faults, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    fail(faults, 10, clock, every=1.0)

    assert faults.off
    assert not faults.statistics().capturing
    assert "capture is off for 30 seconds, because it failed too often" in caplog.messages
    off_at = 9.0
    clock.now = off_at + 29.9
    assert not faults.admits()
    assert faults.off
    clock.now = off_at + 30
    assert faults.admits()
    assert not faults.off


@pytest.mark.parametrize(("after", "off"), [(0.0, True), (9.9, True), (10.0, False), (60.0, False)])
def test_on_trial_one_fault_is_enough_and_afterwards_it_is_not(
    faults: Faults, clock: Clock, after: float, off: bool
) -> None:
    fail(faults, 10)
    clock.now = 30.0
    assert faults.admits()

    clock.now += after
    fail(faults, 1)

    assert faults.off is off
    if off:
        clock.now += 29.9
        assert not faults.admits()


def test_faults_of_requests_that_still_run_do_not_keep_it_off_for_longer(faults: Faults, clock: Clock) -> None:
    fail(faults, 10)
    clock.now = 29.0
    fail(faults, 9)
    clock.now = 30.0

    assert faults.admits()


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=200))
def test_while_it_is_on_there_were_never_ten_faults_in_less_than_ten_seconds(steps: list[tuple[float, bool]]) -> None:
    clock = Clock()
    faults, since_on = Faults(clock), list[float]()
    admits: Callable[[], bool] = lambda: not faults.off or faults.admits()  # noqa: E731 - as capture asks
    for wait, fails in steps:
        clock.now += wait
        was_off = faults.off
        if admits() and fails:
            since_on = [] if was_off else since_on
            fail(faults, 1)
            since_on.append(clock.now)
            if not faults.off and len(since_on) >= 10:
                assert since_on[-1] - since_on[-10] > 10
