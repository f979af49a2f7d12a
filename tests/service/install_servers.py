"""Makes sure that there are Redis and NATS for the tests: Debian's, started by them on ports of their own."""

import shutil
import sys

from tests.debian import can_install, install

SERVERS = ("redis-server", "nats-server")
"""The packages, and the programs in them."""


def main() -> int:
    missing = [server for server in SERVERS if not shutil.which(server)]
    if missing and not can_install():
        print(f"The tests need {' and '.join(missing)}; please install them", file=sys.stderr)
        return 1
    # The services that the packages bring are not to be started: the tests start theirs.
    return 0 if not missing or install(*missing) else 1


if __name__ == "__main__":
    sys.exit(main())
