"""Doctors, their slots, and free times."""
