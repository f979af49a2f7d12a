"""Makes sure that there is a browser for the end-to-end tests: Debian's, or else Playwright's own."""

import shutil
import subprocess
import sys

from tests.debian import can_install, install


def main() -> int:
    if shutil.which("chromium") or (can_install() and install("chromium")):
        return 0
    print("Installing Playwright's chromium, once", file=sys.stderr)
    return subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
