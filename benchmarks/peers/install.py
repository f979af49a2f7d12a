"""Installs the peers into this environment: all together, or where that fails each that can be."""

import subprocess
import sys
from pathlib import Path

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def main() -> None:
    if not _pip("--requirement", str(_REQUIREMENTS)):
        wanted = [line for line in _REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
        left_out = [each for each in wanted if not _pip(each)]
        print("Not installed:", ", ".join(left_out) or "none", file=sys.stderr)


def _pip(*arguments: str) -> bool:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *arguments]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    main()
