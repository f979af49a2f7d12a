import inspect

import pytest

import reqscope.bus

PUBLIC = [
    "Batch",
    "Body",
    "BusStatistics",
    "Event",
    "EventBus",
    "Failure",
    "FailureGroup",
    "Failures",
    "Filter",
    "FilterError",
    "Histogram",
    "InFlight",
    "JsonLogSink",
    "LogFile",
    "LogLine",
    "LoopLag",
    "Retention",
    "RingBuffer",
    "RingStatistics",
    "Rotation",
    "RouteRow",
    "RouteStats",
    "Running",
    "Sink",
    "SinkRunner",
    "SinkStatistics",
    "Snapshot",
    "Stats",
    "Subscription",
    "SubscriptionStatistics",
    "rotated_files",
]


def test_the_bus_exports_these_names_and_no_others() -> None:
    exported = [
        name for name, value in vars(reqscope.bus).items() if not name.startswith("_") and not inspect.ismodule(value)
    ]

    assert sorted(exported) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_is(name: str) -> None:
    documented = vars(reqscope.bus)[name]
    text = documented.__doc__ or ""

    assert text.strip()
    # A data class without a docstring gets its signature for one.
    assert not text.startswith(f"{name}(")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_comes_from_the_bus_itself(name: str) -> None:
    assert vars(reqscope.bus)[name].__module__.startswith("reqscope.bus.")
