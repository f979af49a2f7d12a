"""Makes sure that there is a Redis for the tests: Debian's, started by them on ports of their own."""

import os
import shutil
import subprocess
import sys


def main() -> int:
    if shutil.which("redis-server"):
        return 0
    if not shutil.which("apt-get") or os.geteuid() != 0:
        print("The tests need redis-server; please install it", file=sys.stderr)
        return 1
    print("Installing redis-server (Debian's), once", file=sys.stderr)
    quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    # The service that the package brings is not to be started: the tests start theirs.
    for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", "redis-server"]):
        if status := subprocess.run(command, check=False, **quiet).returncode:  # type: ignore[call-overload]
            return int(status)
    return 0


if __name__ == "__main__":
    sys.exit(main())
