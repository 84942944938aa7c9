"""The command `slotwise`."""
