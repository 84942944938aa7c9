"""Metrics, logs and crash points."""
