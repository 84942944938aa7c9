"""Doctors, slots and seat events over the API."""
