"""The page that says how each cost grows has all that is measured, and says what that means."""

import xml.etree.ElementTree as ET

import pytest

from benchmarks.growth.command import GROWTHS
from benchmarks.growth.cost import Grown, Growth, timed
from benchmarks.growth.page import PAGE, PLOTS, file_name, section, summary
from benchmarks.growth.plot import plot

from .blocks import ROOT

FOLDER = ROOT / "benchmarks"


def grown(*costs: float) -> Grown:
    sizes = [10**power for power in range(len(costs))]
    return Grown(Growth("a cost & more", "things", sizes, timed(lambda _: lambda: 1), "It is so."), costs)


@pytest.mark.parametrize(
    ("costs", "verdict"),
    [
        ((9.0, 3.0, 1.0), "falls"),
        ((1.0, 1.2, 1.1), "stays"),
        ((1.0, 3.0, 9.0), "less than linear"),
        ((1.0, 10.0, 100.0), "linear"),
        ((1.0, 10.0, 1_000.0), "worse than linear"),
        ((100.0, 100.0, 2_000.0), "worse than linear"),  # at its end, which what stays would hide
    ],
)
def test_a_growth_is_called_by_its_name(costs: tuple[float, ...], verdict: str) -> None:
    assert grown(*costs).verdict == verdict
    assert verdict in section(grown(*costs))
    assert f"| {verdict} |" in summary([grown(*costs)])


def test_a_plot_has_a_point_for_each_size_and_is_xml() -> None:
    picture = ET.fromstring(plot(grown(1.0, 20.0, 3_000.0)))
    texts = {element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")}

    assert len(list(picture.iter("{http://www.w3.org/2000/svg}circle"))) == 3
    assert {"a cost & more, µs", "things", "1", "10", "100", "20.0", "3 000"} <= texts


def test_costs_are_held_against_all_that_they_may_depend_on() -> None:
    named = " ".join(growth.by for growth in GROWTHS)

    for of in ("per second", "in the ring", "readers", "pages", "routes", "stubs", "workers"):
        assert of in named
    assert all(growth.why for growth in GROWTHS)


def test_the_page_is_of_what_is_measured_now() -> None:
    page = (FOLDER / PAGE).read_text("utf-8")
    files = {file_name(growth) for growth in GROWTHS}

    assert [growth.title for growth in GROWTHS if f"({PLOTS}/{file_name(growth)})" not in page] == []
    assert [growth.title for growth in GROWTHS if growth.why not in page] == []
    assert {file.name for file in (FOLDER / PLOTS).iterdir()} == files
