"""The API of doctors, slots and seat events."""
