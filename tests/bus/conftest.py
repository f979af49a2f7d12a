import gc
import tracemalloc
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="asyncio+uvloop"),
        pytest.param(("trio", dict[str, bool]()), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Every event loop that the bus promises to work in."""
    backend: tuple[str, dict[str, bool]] = request.param
    return backend


@pytest.fixture
def allocated() -> Iterator[Callable[[], int]]:
    """Tells the bytes of memory allocated since the test began, and not freed."""
    gc.collect()
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
