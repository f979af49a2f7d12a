"""Makes sure that there is a browser for the end-to-end tests: Debian's, or else Playwright's own."""

import os
import shutil
import subprocess
import sys
from typing import Any


def main() -> int:
    if shutil.which("chromium"):
        return 0
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing chromium (Debian's), once", file=sys.stderr)
        quiet: dict[str, Any] = {
            "stdout": subprocess.DEVNULL,
            "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        }
        for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"]):
            if subprocess.run(command, check=False, **quiet).returncode:
                break
        else:
            return 0
    print("Installing Playwright's chromium, once", file=sys.stderr)
    return subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
