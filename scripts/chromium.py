"""Install Debian's Chromium for the browser tests, if apt is there and the user is root. Otherwise print a warning.

The tests find it by its name in the PATH. Without it they are skipped.
"""
# ruff: noqa: T201, S603, S607 - it prints, and runs fixed programs

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WITHOUT = "chromium: NOT TESTED: the pages in a browser. On Debian or Ubuntu: sudo apt install chromium"


def installed() -> "str | None":
    """The path of the installed Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def install() -> bool:
    """Install it, one process at a time; a process that waited may find it installed. Prints output only on failure."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print("chromium: installing it with apt-get, for the browser tests", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with (Path(tempfile.gettempdir()) / "slotwise-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installed() is not None:
            return True
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"]):
            done = subprocess.run(
                ["apt-get", "-qq", *arguments], env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                print(f"{done.stdout}{done.stderr}".strip(), file=sys.stderr)
                return False
    return True


def main() -> None:
    if installed() is None and not install():
        print(WITHOUT, file=sys.stderr)


if __name__ == "__main__":
    main()
