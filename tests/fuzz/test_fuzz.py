"""Every target with what was ever found, and with some hundreds of inputs made up on the spot."""

from pathlib import Path

import pytest
from hypothesis import Phase, given, settings

from .inputs import inputs
from .targets import TARGETS

FOUND = Path(__file__).parent / "found"
SLOW = {"commands": 20}
"""Targets that start processes, with the inputs that they get."""


@pytest.mark.parametrize("name", TARGETS)
def test_what_it_takes_is_taken(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].check(seed)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{case.parent.name}/{case.name}") for case in sorted(FOUND.glob("*/*"))]
)
def test_what_was_found_once_is_mended(case: Path) -> None:
    TARGETS[case.parent.name].check(case.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_promises_hold_for_anything(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=min(settings().max_examples, SLOW.get(name, 10_000)), phases=set(Phase) - {Phase.explain})
    @given(inputs(target))
    def holds(data: bytes) -> None:
        target.check(data)

    holds()
