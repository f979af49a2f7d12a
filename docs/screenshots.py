"""Takes the README's pictures of a running demo: `make screenshots`."""

import argparse
import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES: Final = Path(__file__).parent / "images"
SPAN: Final = 100.0
"""Seconds of traffic to wait for, so that the charts are full."""

DESK: Final = (1280, 800)
PHONE: Final = (390, 844)
_COLOURS: Final = 256
_MOST_BYTES: Final = 250_000

Scheme: TypeAlias = Literal["light", "dark"]


class Picture(NamedTuple):
    name: str
    size: tuple[int, int]
    scheme: Scheme
    address: str
    act: Callable[[Page], None]
    """What a user does before the picture is taken."""


def _nothing(page: Page) -> None:
    page.locator(".rq-row:visible").nth(8).wait_for()


def _look_inside(page: Page) -> None:
    page.locator(".rq-row:visible").first.wait_for()
    page.keyboard.press("j")
    page.get_by_role("tab", name="Request").click()
    page.locator(".rq-detail pre:visible").wait_for()


def _see_routes(page: Page) -> None:
    page.locator(".rq-list tbody tr").nth(4).wait_for()


PICTURES: Final = (
    Picture("live-light", DESK, "light", "/", _nothing),
    Picture("live-dark", DESK, "dark", "/", _nothing),
    Picture("detail", DESK, "light", "/?filter=method:POST status:201", _look_inside),
    Picture("routes", DESK, "light", "/?view=routes", _see_routes),
    Picture("phone", PHONE, "dark", "/", _nothing),
)


def main() -> int:
    """Take every picture; 1 when the demo does not run."""
    parser = argparse.ArgumentParser(
        prog="python docs/screenshots.py", description="Take the README's pictures of a running demo."
    )
    parser.add_argument("--panel", help="the address of a demo that runs already; by default one is started")
    parser.add_argument("--output", type=Path, default=IMAGES, help="folder for the pictures (default: %(default)s)")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        if options.panel:
            _take_all(options.panel.rstrip("/"), options.output)
        else:
            with _demo() as panel:
                _take_all(panel, options.output)
    except (RuntimeError, httpx.HTTPError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _demo() -> Generator[str]:
    """Run the demo on free ports, and yield the address of its panel."""
    command = [sys.executable, "-m", "reqscope.service", "demo", "--api-port", "0", "--panel-port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = (re.search(r"Panel\s+(http://\S+)", line) for line in process.stderr)
            panel = next((match[1] for match in found if match), None)
            if panel is None:
                raise RuntimeError("the demo did not start")
            yield panel
        finally:
            process.terminate()


def _take_all(panel: str, output: Path) -> None:
    _wait_for_traffic(panel)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for picture in PICTURES:
            file = output / f"{picture.name}.png"
            file.write_bytes(_small(_take(browser, panel, picture)))
            print(f"{file}  {file.stat().st_size // 1000} kB", file=sys.stderr)
            if file.stat().st_size > _MOST_BYTES:
                raise RuntimeError(f"{file} is larger than {_MOST_BYTES} bytes")
        browser.close()


def _wait_for_traffic(panel: str) -> None:
    print(f"Waiting for {SPAN:.0f} s of traffic", file=sys.stderr)
    end = time.monotonic() + 2 * SPAN
    while time.monotonic() < end:
        events = httpx.get(f"{panel}/api/events", params={"after": 0, "limit": 1}).json()["events"]
        began = httpx.get(f"{panel}/api/events/{events[0]['id']}").json()["timestamp"] if events else None
        if began is not None and time.time() - datetime.fromisoformat(began).timestamp() > SPAN:
            return
        time.sleep(1)
    raise RuntimeError(f"there is no traffic at {panel}")


def _take(browser: Browser, panel: str, picture: Picture) -> bytes:
    width, height = picture.size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=picture.scheme)
    page = context.new_page()
    page.goto(panel + picture.address)
    page.locator(".rq[data-state=live]").wait_for()
    picture.act(page)
    page.mouse.move(1, 1)
    image = page.screenshot()
    context.close()
    return image


def _small(image: bytes) -> bytes:
    """The same picture with a palette: a third of the size, and no difference that one could see."""
    packed = io.BytesIO()
    Image.open(io.BytesIO(image)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(
        packed, "PNG", optimize=True
    )
    return packed.getvalue()


if __name__ == "__main__":
    sys.exit(main())
