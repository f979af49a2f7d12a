"""Makes sure that the load tools of the end-to-end tests are there, where Debian's can be had."""

import os
import shutil
import subprocess
import sys
from typing import Any

TOOLS = {"wrk": "wrk", "hey": "hey", "ab": "apache2-utils", "siege": "siege"}
"""Command, and the package it is in."""


def main() -> int:
    missing = [package for command, package in TOOLS.items() if not shutil.which(command)]
    if not missing:
        return 0
    if not shutil.which("apt-get") or os.geteuid() != 0:
        print(f"The tests of {', '.join(missing)} are skipped: install them to have them run", file=sys.stderr)
        return 0
    print(f"Installing {', '.join(missing)} (Debian's), once", file=sys.stderr)
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    install = ["apt-get", "install", "--yes", "--no-install-recommends"]
    subprocess.run(["apt-get", "update"], check=False, **quiet)
    for package in missing:  # one that cannot be had is no reason to go without the others
        subprocess.run([*install, package], check=False, **quiet)
    return 0


if __name__ == "__main__":
    sys.exit(main())
