"""Loaded by every interpreter of the installation under test: one that is spawned while the file is there takes so many
seconds until it goes on to import anything."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

if "--multiprocessing-fork" in sys.orig_argv:
    with suppress(KeyError, OSError, ValueError):
        time.sleep(float(Path(os.environ["SLOW_IMPORTS"]).read_text()))
