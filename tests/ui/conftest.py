from collections.abc import Iterator

import pytest

from reqscope.bus import EventBus


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The event loop that uvicorn and the command line choose."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def bus() -> Iterator[EventBus]:
    bus = EventBus(capacity=2_000)
    yield bus
    bus.close()
