"""Slotwise: a doctor-appointment booking server."""

__version__ = "0.1.0"
