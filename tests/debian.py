"""Installs programs that the tests use from Debian's packages, where that is possible."""

import os
import shutil
import subprocess
import sys
from typing import Any, Final

_INSTALL: Final = ("install", "--yes", "--no-install-recommends")


def can_install() -> bool:
    """Whether there are Debian's packages here, and we may install them."""
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def install(*packages: str) -> bool:
    """Install packages, and say whether all of them are there now."""
    print(f"Installing {', '.join(packages)} (Debian's), once", file=sys.stderr)
    _apt("update")  # where that fails, the lists that there are may do
    return _apt(*_INSTALL, *packages)


def install_each(*packages: str) -> None:
    """Install what can be had of these: one that cannot is no reason to go without the others."""
    if not install(*packages):
        for package in packages:
            _apt(*_INSTALL, package)


def _apt(*arguments: str) -> bool:
    # New machines install updates by themselves at first: that is waited for.
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    return subprocess.run(command, check=False, **quiet).returncode == 0
