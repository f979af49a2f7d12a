"""Which state of the source code a server runs."""

import subprocess
from pathlib import Path
from typing import Final

_WITHIN: Final = 5.0


def revision(directory: Path) -> str:
    """Return git's name for what is checked out in `directory`, with `-dirty` if it was changed; empty without git.

    Blocks for as long as git takes, five seconds at the most.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_WITHIN, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
