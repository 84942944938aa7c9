"""A patient's holds and appointments."""
