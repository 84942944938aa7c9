"""Shows that Slotwise keeps its promises under load and under faults: `make torture`, `make mutants`."""
