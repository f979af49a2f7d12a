"""Order of the tests, and how thorough they are: `make test` takes minutes, `make prove` as long as it takes."""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from reqscope.bus.compiled import COMPILED

from . import nursery
from .nursery import PROVE as PROVE
from .outcomes import Recorder

# A place without certificates: httpx takes longer to load all that there are than for a request, and needs none here.
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)

settings.register_profile(
    "fast", derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("prove", settings.get_profile("fast"), derandomize=False, max_examples=2_000)
settings.load_profile("prove" if PROVE else "fast")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--outcomes", type=Path, metavar="FILE", help="add what came of the tests that prove a row to FILE"
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell has what it starts in the background ignore Ctrl-C, and all that this starts in turn: tests send it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(Recorder(config.getoption("--outcomes")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests with a browser last: Playwright keeps an event loop running in this thread until the end."""
    items.sort(key=lambda item: "e2e" in item.path.parts)
    left_out = [("prove", "takes long; make prove runs it")] if not PROVE else []
    if COMPILED:
        left_out.append(("interpreted", "the request path is compiled here; make test looks into its sources"))
    for item in items:
        for marker, reason in left_out:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    nursery.spare_the_collector()


def pytest_unconfigure() -> None:
    nursery.close()
    gc.unfreeze()  # or what DuckDB made would be told as leaked
