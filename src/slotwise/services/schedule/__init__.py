"""Doctors, their slots, and the times that are free."""
