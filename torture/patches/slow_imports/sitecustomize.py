"""Loaded by every interpreter of the installation under test. A worker that is spawned while the file exists waits so
many seconds before it imports anything."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

if "--multiprocessing-fork" in sys.orig_argv:
    with suppress(KeyError, OSError, ValueError):
        time.sleep(float(Path(os.environ["SLOW_IMPORTS"]).read_text()))
