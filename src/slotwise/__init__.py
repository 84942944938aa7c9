"""Slotwise: a doctor-appointment booking server.

Every process imports this module before anything else of Slotwise, and so reads time zones from one edition of their
database: that of the package tzdata. Python alone would read the machine's files first, and editions disagree.
"""

import os
from zoneinfo import ZoneInfo, reset_tzpath

__version__ = "0.1.0"

os.environ["PYTHONTZPATH"] = ""  # for the processes that this one starts
reset_tzpath([])
ZoneInfo.clear_cache()  # a library may have read a zone before
