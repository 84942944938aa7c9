"""The scenarios, in the order of the report."""

from bench.scenarios.booking_answers import CYCLE, IDEMPOTENCY, SOLD_OUT
from bench.scenarios.booking_baselines import BATCHES, HTTP_COST, LONE_CLIENT
from bench.scenarios.booking_lists import BOOKING_LISTS
from bench.scenarios.booking_throughput import HOT_SLOT, SPREAD
from bench.scenarios.carving import CARVING
from bench.scenarios.finding import FINDING
from bench.scenarios.footprint import BYTES, MEMORY
from bench.scenarios.growth import CHURN, IN_SLOT, IN_TABLE
from bench.scenarios.log_ins import LOG_INS
from bench.scenarios.overload import OVERLOAD
from bench.scenarios.peers import PEERS
from bench.scenarios.publishing import APPLY, PUBLISHING
from bench.scenarios.reads import READS
from bench.scenarios.scenario import Scenario
from bench.scenarios.slot_lists import SLOT_LISTS
from bench.scenarios.times import TIMES

SCENARIOS: tuple[Scenario, ...] = (
    HOT_SLOT,
    SPREAD,
    HTTP_COST,
    BATCHES,
    LONE_CLIENT,
    CYCLE,
    SOLD_OUT,
    IDEMPOTENCY,
    CARVING,
    LOG_INS,
    OVERLOAD,
    PUBLISHING,
    APPLY,
    READS,
    SLOT_LISTS,
    TIMES,
    FINDING,
    BOOKING_LISTS,
    IN_SLOT,
    IN_TABLE,
    CHURN,
    MEMORY,
    BYTES,
    PEERS,
)
