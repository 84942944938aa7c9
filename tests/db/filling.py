"""Enough rows for the planner to choose as on a large installation. Takes some seconds of set-based SQL.

Slots of 400 doctors, half of them past, half of the rest sold out. Bookings of the same slots, nearly all confirmed.
"""

from datetime import UTC, datetime

# All times are around this one, not the database's: a slow machine may fill it long after the tests were collected.
NOW = datetime.now(UTC)
_AT = f"'{NOW.isoformat()}'::timestamptz"

DOCTORS = 400
SLOTS_EACH = 100
SLOTS = DOCTORS * SLOTS_EACH
BOOKINGS = 120_000
USERS = 20_000
OVERDUE = 40
LIVE_HOLDS = 4_000

# Doctors with a special role in the tests.
DOCTOR = 20
DOCTOR_WITHOUT_SLOTS = DOCTORS + 1
DOCTOR_OF_TWO = DOCTORS + 2

# An account with hundreds of bookings among those with a few.
REGULAR = 7

# The two slots of DOCTOR_OF_TWO: one that was never used, and one whose holds expired again and again, one held
# every second. It was moved twice meanwhile.
FRESH_SLOT = SLOTS + 1
OLD_SLOT = SLOTS + 2
OLD_SLOT_HISTORY = 30_000
_OLD_SLOT_BEGAN = f"({_AT} - interval '1 day')"

# Before ANALYZE: with the default, statistics are of a random sample, and in one of many runs a plan was another.
ALL_ROWS = "SET default_statistics_target = 1000"

FILL = f"""
-- Foreign keys are not what is tested here.
SET session_replication_role = replica;

INSERT INTO users (id, email, name, role, password_hash)
SELECT
    i, 'person' || i || '@example.org', 'Person ' || i, CASE WHEN i % 500 = 0 THEN 'staff' ELSE 'patient' END, 'none'
FROM generate_series(1, {USERS}) AS i;

INSERT INTO doctors (id, name, name_sort_key, specialization, active)
SELECT
    i, 'Dr. ' || i, convert_to('Dr. ' || i, 'UTF8'),
    CASE WHEN i <= 2 THEN 'Rare' WHEN i % 10 = 9 THEN 'Booked out' WHEN i % 4 = 0 THEN 'Common' ELSE 'Other' END,
    i % 20 <> 7
FROM generate_series(1, {DOCTOR_OF_TWO}) AS i;

INSERT INTO appointment_slots (id, doctor_id, start_time, end_time, total_seats, available_seats, status)
SELECT
    (i - 1) * {SLOTS_EACH} + j, i, start, start + interval '30 minutes', seats,
    CASE WHEN i % 10 = 9 OR (i * 7 + j * 13) % 10 < 5 THEN 0 ELSE seats END,
    CASE WHEN (i + j) % 50 = 0 THEN 'CLOSED' ELSE 'OPEN' END
FROM generate_series(1, {DOCTORS}) AS i
CROSS JOIN generate_series(1, {SLOTS_EACH}) AS j
CROSS JOIN LATERAL (
    SELECT
        {_AT} + (j - {SLOTS_EACH} / 2) * interval '2 hours' + i % 60 * interval '1 minute' AS start,
        CASE WHEN (i + j) % 10 = 3 THEN 20 ELSE 1 END AS seats
) AS planned;

INSERT INTO appointment_slots (id, doctor_id, start_time, end_time, total_seats, available_seats)
SELECT i, {DOCTOR_OF_TWO}, start, start + interval '30 minutes', 1000000, 1000000 - (i = {OLD_SLOT})::integer
FROM generate_series({FRESH_SLOT}, {OLD_SLOT}) AS i
CROSS JOIN LATERAL (SELECT {_AT} + i % 10 * interval '1 day' AS start) AS planned;

INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)
SELECT s.id, 1, 'CREATED', s.total_seats, s.available_seats, s.total_seats, 'test', {_OLD_SLOT_BEGAN}
FROM appointment_slots AS s;

INSERT INTO booking_events (
    slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
)
SELECT
    {OLD_SLOT}, 1 + row_number() OVER (ORDER BY e.seconds), e.kind, e.booking_id, 1, 1, 1, 'test',
    {_OLD_SLOT_BEGAN} + e.seconds * interval '1 second'
FROM (
    SELECT 'HELD' AS kind, {BOOKINGS} + k AS booking_id, k AS seconds FROM generate_series(1, {OLD_SLOT_HISTORY}) AS k
    UNION ALL
    SELECT 'EXPIRED', {BOOKINGS} + k, k + 120.5 FROM generate_series(1, {OLD_SLOT_HISTORY}) AS k
    UNION ALL
    SELECT 'MOVED', NULL, k * {OLD_SLOT_HISTORY} / 3 + 0.7 FROM generate_series(1, 2) AS k
) AS e;
UPDATE appointment_slots SET last_event = 3 + 2 * {OLD_SLOT_HISTORY} WHERE id = {OLD_SLOT};

INSERT INTO bookings (
    id, slot_id, user_id, user_name, user_email, seats_booked, status, expires_at, confirmed_at, cancelled_at,
    manage_token_hash
)
SELECT
    k, 1 + k * 7919 % {SLOTS}, CASE WHEN k % 100 = 1 THEN {REGULAR} WHEN k % 2 = 0 THEN 1 + k % {USERS} END,
    'Person ' || k, 'person' || k || '@example.org', 1, status, {_AT} + interval '1 minute',
    CASE WHEN status = 'CONFIRMED' THEN {_AT} END, CASE WHEN status = 'CANCELLED' THEN {_AT} END,
    decode(md5(k::text), 'hex')
FROM generate_series(1, {BOOKINGS}) AS k
CROSS JOIN LATERAL (
    SELECT CASE WHEN k % 5000 = 0 THEN 'CANCELLED' WHEN k % 10 = 0 THEN 'FAILED' ELSE 'CONFIRMED' END AS status
) AS planned;

INSERT INTO bookings (
    id, slot_id, user_name, user_email, seats_booked, status, expires_at, manage_token_hash, created_at
)
SELECT
    {BOOKINGS} + k, {OLD_SLOT}, 'Bot', 'bot@example.org', 1, 'FAILED', held_at + interval '2 minutes',
    decode(md5(k::text), 'hex'), held_at
FROM generate_series(1, {OLD_SLOT_HISTORY}) AS k
CROSS JOIN LATERAL (SELECT {_OLD_SLOT_BEGAN} + k * interval '1 second' AS held_at) AS held;

INSERT INTO bookings (id, slot_id, user_name, user_email, seats_booked, status, expires_at, manage_token_hash)
SELECT
    {BOOKINGS + OLD_SLOT_HISTORY} + k, id, 'Ada', 'ada@example.org', 1, 'PENDING',
    {_AT} + CASE WHEN k <= {OVERDUE} THEN interval '-1 minute' ELSE interval '1 day' END, '\\x00'
FROM (
    SELECT s.id, row_number() OVER (ORDER BY md5(s.id::text)) AS k
    FROM appointment_slots AS s
    WHERE s.available_seats = 0 AND s.status = 'OPEN' AND s.start_time > {_AT}
) AS sold_out
WHERE k <= {OVERDUE + LIVE_HOLDS};

INSERT INTO idempotency_keys (caller, route, key_hash, body_hash, answer, manage_nonce, created_at)
SELECT 'guest', 'POST /api/bookings', decode(md5(k::text), 'hex'), '\\x00', '1', '\\x00',
    {_AT} - k * interval '6 seconds'
FROM generate_series(1, 20000) AS k;

INSERT INTO login_attempts (account_hash, created_at)
-- A hundred of them a day older than the rest: how long the tests take changes nothing in which are old.
SELECT
    decode(md5((k % 5000)::text), 'hex'),
    {_AT} - k * interval '1 second' - CASE WHEN k > 19900 THEN interval '1 day' ELSE interval '0' END
FROM generate_series(1, 20000) AS k;

INSERT INTO audit_log (actor, action, subject, created_at)
SELECT
    CASE WHEN k % 400 = 0 THEN 'user:2' ELSE 'user:1' END,
    CASE WHEN k % 1000 = 0 THEN 'change_rights' ELSE 'get_booking' END,
    'booking:' || k, {_AT} - k * interval '1 minute'
FROM generate_series(1, 20000) AS k;

SELECT setval('bookings_id_seq', {BOOKINGS + OLD_SLOT_HISTORY + OVERDUE + LIVE_HOLDS});
"""
