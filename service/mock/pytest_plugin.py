"""The `reqscope` fixture of pytest: a service to be asked, on a port of its own, for one test."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .server import MockServer


@pytest.fixture
def reqscope() -> "Iterator[MockServer]":
    """A mock server on a free port of this machine, without any stub, until the test ends."""
    from .server import MockServer  # only whoever asks for it waits for its import

    with MockServer() as server:
        yield server
