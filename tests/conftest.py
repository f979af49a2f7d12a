"""Order of the tests."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests with a browser last: Playwright keeps an event loop running in this thread until the end."""
    items.sort(key=lambda item: "e2e" in item.path.parts)
