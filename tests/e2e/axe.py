"""What axe-core finds in a page."""

import re
from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}

_EVERYTHING = {"resultTypes": ["violations"]}
_CONTRAST = _EVERYTHING | {"runOnly": ["color-contrast"]}


def violations(page: Page, *, dark: bool = True) -> list[tuple[str, str, str]]:
    """Return what is wrong in a light page: rule, impact and the first element.

    :param dark: look at the contrast in dark colours too
    """
    found: list[dict[str, Any]] = Axe().run(page, options=_EVERYTHING).response["violations"]
    if dark:
        page.emulate_media(color_scheme="dark")
        if page.locator(".rq").count():
            expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
        found += Axe().run(page, options=_CONTRAST).response["violations"]
        page.emulate_media(color_scheme="light")
    return [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in found]
