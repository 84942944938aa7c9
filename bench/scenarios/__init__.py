"""What is measured, in the order of the report."""

from bench.scenarios.booking_throughput import HOT_SLOT, SPREAD
from bench.scenarios.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (HOT_SLOT, SPREAD)
