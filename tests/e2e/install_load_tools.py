"""Makes sure that the load tools of the end-to-end tests are there, where Debian's can be had."""

import shutil
import sys

from tests.debian import can_install, install_each

TOOLS = {"wrk": "wrk", "hey": "hey", "ab": "apache2-utils", "siege": "siege"}
"""Command, and the package it is in."""


def main() -> None:
    missing = [package for command, package in TOOLS.items() if not shutil.which(command)]
    if missing and can_install():
        install_each(*missing)
    elif missing:
        print(f"The tests of {', '.join(missing)} are skipped: install them to have them run", file=sys.stderr)


if __name__ == "__main__":
    main()
