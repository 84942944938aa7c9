"""Services that a user would pick instead of Slotwise, written as their tutorials write them, and their measurement."""
