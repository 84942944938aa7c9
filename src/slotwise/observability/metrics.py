"""The metrics for Prometheus. Label values come from fixed sets and never contain a name or an e-mail."""

from prometheus_client import Counter, Gauge, Histogram

LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("slotwise_http_requests_total", "Answered requests", ["method", "route", "status"])
LATENCY = Histogram(
    "slotwise_http_request_seconds", "Time from request to the end of its answer", ["route"], buckets=LATENCY_SECONDS
)
BATCH_SIZE = Histogram(
    "slotwise_batch_size", "Requests that shared one transaction", ["queue"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
BATCHES_SPLIT = Counter(
    "slotwise_batches_split_total", "Batches that were rolled back and tried request by request", ["queue"]
)
QUEUE_DEPTH = Gauge(
    "slotwise_queue_depth", "Requests waiting for the next batch", ["queue"], multiprocess_mode="livesum"
)
HOLDS = Counter("slotwise_holds_total", "New bookings, by resulting status", ["status"])
CONFIRMATIONS = Counter("slotwise_confirmations_total", "Confirm requests by outcome", ["outcome"])
CANCELLATIONS = Counter("slotwise_cancellations_total", "Cancel requests by outcome", ["outcome"])
EXPIRIES = Counter("slotwise_expired_holds_total", "Expired holds", ["by"])
REPLAYS = Counter("slotwise_replayed_answers_total", "Repeated answers for a repeated Idempotency-Key")
REFUSALS = Counter("slotwise_refusals_total", "Refused requests by reason", ["reason"])
# More than a few mean that the search and the booking do not follow the same rules.
OFFERED_REFUSALS = Counter(
    "slotwise_offered_times_refused_total",
    "Times refused a minute or two after they were offered, for another reason than taken seats or the patient",
    ["reason"],
)
LOG_LINES_LOST = Counter(
    "slotwise_log_lines_lost_total", "Log lines that were not read in time, or could not be written"
)
SEAT_LISTENERS = Gauge("slotwise_seat_listeners", "Clients that watch seats", multiprocess_mode="livesum")
POOL_WAITS = Counter(
    "slotwise_pool_wait_seconds_total", "Time that requests and batches waited for a database connection", ["pool"]
)
POOL_CONNECTIONS = Gauge(
    "slotwise_pool_connections",
    "Database connections by pool and state",
    ["pool", "state"],
    multiprocess_mode="livesum",
)
