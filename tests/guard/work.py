"""How much work a call is, counted instead of timed: the same on every machine and at every hour."""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, NamedTuple, TypeAlias

Run: TypeAlias = Callable[[], object]


class Work(NamedTuple):
    """What a call did.

    A loop over something shows in the bytecodes, a call of something large that is written in C in the calls and in
    the bytes, a copy in the bytes.
    """

    bytecodes: int
    """Instructions that Python's interpreter carried out."""
    calls: int
    """Calls of functions, those in C among them."""
    peak: int
    """Bytes allocated beyond what there was before, at the most."""
    kept: int
    """Bytes of those that are still there afterwards."""

    def __sub__(self, other: "Work") -> "Work":
        return Work(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))

    def each(self, times: int) -> "Work":
        """Return the share of one of so many."""
        return Work(*(round(number / times) for number in self))


def work(run: Run) -> Work:
    """Call `run` five times and return what one call does, once everything is warm and cached."""
    run()
    run()
    bytecodes = _bytecodes(run)
    calls = _calls(run)
    return Work(bytecodes, calls, *_memory(run))


def _bytecodes(run: Run) -> int:
    with _undisturbed():
        return _monitored(run) if sys.version_info >= (3, 12) else _traced(run)


def _monitored(run: Run) -> int:
    count = 0

    def instruction(code: CodeType, offset: int) -> None:
        nonlocal count
        count += 1

    monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]  # new in 3.12
    tool, events = monitoring.PROFILER_ID, monitoring.events
    monitoring.use_tool_id(tool, "guard")
    try:
        monitoring.register_callback(tool, events.INSTRUCTION, instruction)
        monitoring.set_events(tool, events.INSTRUCTION)
        run()
        monitoring.set_events(tool, 0)
    finally:
        monitoring.free_tool_id(tool)
    return count


def _traced(run: Run) -> int:
    count = 0

    def within(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "opcode"
        return within

    def begin(frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return within

    before = sys.gettrace()
    sys.settrace(begin)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


def _calls(run: Run) -> int:
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    with _undisturbed():
        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            run()
        finally:
            sys.setprofile(before)
    return count


def _memory(run: Run) -> tuple[int, int]:
    with _undisturbed():
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            run()
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    return peak - before, after - before


@contextmanager
def _undisturbed() -> Generator[None]:
    """Have no garbage of others collected meanwhile, with all that its finalisers would do."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
