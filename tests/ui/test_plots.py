import sys
from contextvars import copy_context
from types import ModuleType

import pytest
from gradio import utils

from reqscope.ui.plots import leave_backend_alone


class Drawing(ModuleType):
    """What Gradio calls of matplotlib, which need not be installed."""

    def __init__(self) -> None:
        super().__init__("matplotlib")
        self.backend = "svg"
        self.used: list[str] = []

    def get_backend(self) -> str:
        return self.backend

    def use(self, backend: str) -> None:
        self.backend = backend
        self.used.append(backend)


@pytest.fixture
def matplotlib(monkeypatch: pytest.MonkeyPatch) -> Drawing:
    drawing = Drawing()
    monkeypatch.setitem(sys.modules, "matplotlib", drawing)
    return drawing


def step() -> None:
    """What Gradio does around each step of an event."""
    with utils.MatplotlibBackendMananger():
        pass


def test_round_a_stream_of_ours_the_backend_stays_as_it_is(matplotlib: Drawing) -> None:
    def stream() -> None:
        leave_backend_alone()
        step()
        step()

    copy_context().run(stream)

    assert matplotlib.used == []


def test_round_an_event_of_the_applications_own_it_is_changed_and_changed_back(matplotlib: Drawing) -> None:
    copy_context().run(leave_backend_alone)

    copy_context().run(step)

    assert matplotlib.used == ["agg", "svg"]


def test_the_step_in_which_a_stream_says_so_changes_it_back(matplotlib: Drawing) -> None:
    def stream() -> None:
        with utils.MatplotlibBackendMananger():
            leave_backend_alone()
        step()

    copy_context().run(stream)

    assert matplotlib.used in ([], ["agg", "svg"])  # a stream of another test may have been the first
    assert matplotlib.backend == "svg"
