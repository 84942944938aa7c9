"""A mutant, loaded by every interpreter with this folder in PYTHONPATH: sessions are REPEATABLE READ."""

from slotwise.db import sessions

sessions.SESSION["default_transaction_isolation"] = "repeatable read"
