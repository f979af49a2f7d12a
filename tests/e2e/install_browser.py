"""Makes sure that there is a browser for the end-to-end tests: Debian's, or else Playwright's own."""

import shutil
import subprocess
import sys

from tests.debian import can_install, install


def main() -> int:
    if shutil.which("chromium-headless-shell") or shutil.which("chromium"):
        return 0
    # The first is what the tests run: it draws no window, which takes a sixth less time. The second takes the pictures.
    if can_install() and install("chromium-headless-shell", "chromium"):
        return 0
    print("Installing Playwright's chromium, once", file=sys.stderr)
    return subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
