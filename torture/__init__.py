"""Shows, under load and under faults, that Slotwise keeps its promises: `make torture`, `make mutants`."""
