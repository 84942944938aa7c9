"""Install pgbouncer for the tests of connection pooling, if this is Debian and the user is root.

Otherwise those tests are skipped, with the reason.
"""
# ruff: noqa: T201, S607 - it prints, and runs a fixed program

import os
import shutil
import subprocess
import sys


def main() -> int:
    """Install it if it is missing. Does not start it."""
    if shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or not shutil.which("apt-get"):
        return 0
    if os.getuid() != 0:
        print("pgbouncer: NOT TESTED: connection pooling. pgbouncer is not installed", file=sys.stderr)
        return 0
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
    return subprocess.run(["apt-get", "install", "-y", "-qq", "pgbouncer"], env=quiet, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
