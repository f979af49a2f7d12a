from reqscope.bus import Event, EventBus, LogLine, Stats
from reqscope.bus.schema import detail, level
from reqscope.bus.tracelines import MAX_LINES, trace_lines

TRACE = "0af7651916cd43dd8448eb211c80319c"


def line(message: str, *, trace: str = TRACE, time: int = 0, severity: str = "info") -> Event:
    told = LogLine(time=time, level="debug", logger="shop", message=message)
    return Event(time=time, kind="log", trace_id=trace, severity=severity, service="s", logs=(told,))


def test_lines_of_a_trace_are_found_whether_they_came_before_or_after() -> None:
    bus = EventBus()
    request = Event(time=0, trace_id=TRACE, logs=(LogLine(time=1_000, level="info", logger="a", message="own"),))
    for event in (line("before", time=2_000), line("other", trace="f" * 32), request, line("after")):
        bus.publish(event)

    shown = detail(request, bus.boot, trace_lines(bus.ring, request))

    assert [(each.message, each.service) for each in shown.logs] == [("after", "s"), ("own", ""), ("before", "s")]


def test_a_request_without_a_trace_has_none_and_a_line_does_not_find_itself() -> None:
    bus = EventBus()
    alone, single = Event(time=0), line("x")
    for event in (alone, single, line("y", trace="")):
        bus.publish(event)

    assert trace_lines(bus.ring, alone) == []
    assert trace_lines(bus.ring, single) == []


def test_of_many_lines_the_latest_are_found() -> None:
    bus = EventBus()
    request = Event(time=0, trace_id=TRACE)
    bus.publish(request)
    for number in range(MAX_LINES + 5):
        bus.publish(line(str(number)))

    found = trace_lines(bus.ring, request)

    assert (len(found), found[0].logs[0].message, found[-1].logs[0].message) == (MAX_LINES, "5", str(MAX_LINES + 4))


def test_an_exported_line_has_its_own_level_and_is_no_request_in_the_numbers() -> None:
    bus = EventBus()
    stats = Stats(bus)
    for event in (line("x", severity="warning"), Event(time=0, status=200, total=0.1)):
        bus.publish(event)

    assert level(line("x", severity="warning")) == "warning"
    assert sum(stats.snapshot().classes.values()) == 1
    assert sum(row.count for row in stats.by_route()) == 1
