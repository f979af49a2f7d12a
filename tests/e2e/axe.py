"""What axe-core finds in a page."""

import re
from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.sync_api import Page, ViewportSize, expect

DESK: Final[ViewportSize] = {"width": 1440, "height": 900}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}

_SCRIPT: Final[str] = Axe().axe_script
_EVERYTHING: Final[dict[str, Any]] = {"resultTypes": ["violations"]}
_CONTRAST: Final = _EVERYTHING | {"runOnly": ["color-contrast"]}


def violations(page: Page, *, dark: bool = True) -> list[tuple[str, str, str]]:
    """Return what is wrong in a light page: rule, impact and the first element.

    :param dark: look at the contrast in dark colours too
    """
    found = _run(page, _EVERYTHING)
    if dark:
        page.emulate_media(color_scheme="dark")
        if page.locator(".rq").count():
            expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
        found += _run(page, _CONTRAST)
        page.emulate_media(color_scheme="light")
    return [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in found]


def _run(page: Page, options: dict[str, Any]) -> list[dict[str, Any]]:
    if not page.evaluate("'axe' in window"):  # half a megabyte, once for each page
        page.evaluate(_SCRIPT)
    found: list[dict[str, Any]] = page.evaluate("async (options) => (await axe.run(options)).violations", options)
    return found
