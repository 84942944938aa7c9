"""Benchmarks that every user can run: `make bench`. Each figure has a baseline that is measured in the same run."""
