"""Makes sure that there are Redis and NATS for the tests: Debian's, started by them on ports of their own."""

import os
import shutil
import subprocess
import sys
from typing import Any

SERVERS = ("redis-server", "nats-server")
"""The packages, and the programs in them."""


def main() -> int:
    missing = [server for server in SERVERS if not shutil.which(server)]
    if not missing:
        return 0
    if not shutil.which("apt-get") or os.geteuid() != 0:
        print(f"The tests need {' and '.join(missing)}; please install them", file=sys.stderr)
        return 1
    print(f"Installing {' and '.join(missing)} (Debian's), once", file=sys.stderr)
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    # The services that the packages bring are not to be started: the tests start theirs.
    for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", *missing]):
        if status := subprocess.run(command, check=False, **quiet).returncode:
            return int(status)
    return 0


if __name__ == "__main__":
    sys.exit(main())
