"""Housekeeping beside the requests. Several processes may do it at once. Correct answers never depend on it."""
