"""Shared by tests, benchmarks and torture: no process or folder of theirs stays when they end or are killed."""
