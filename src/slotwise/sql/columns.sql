-- The columns of rows that several statements return. In a statement, `b.booking_columns` stands for the columns that
-- are listed here under that name, each with the prefix `b`.

-- name: booking_columns
-- The fields of `domain.bookings.Booking`, in the same order.
SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time,
    b.clinic_id, b.added_seats, b.visit_type_id
FROM bookings_now AS b;

-- name: slot_columns
-- The fields of `domain.slots.Slot`, in the same order.
SELECT
    s.id, s.doctor_id, s.doctor_name, s.specialization, s.start_time, s.end_time, s.total_seats, s.available_seats,
    s.status, s.created_at, s.updated_at, s.clinic_id, s.visit_type_ids
FROM slots_now AS s;

-- name: clinic_columns
-- The fields of `domain.clinics.Clinic`, in the same order.
SELECT
    c.id, c.name, c.time_zone, c.address, c.telephone, c.email, c.directions, c.opening_note, c.colour, c.active,
    c.evening_list, c.version, c.created_at, c.updated_at
FROM clinics AS c;

-- name: doctor_columns
-- The fields of `domain.doctors.Doctor`, in the same order.
SELECT d.id, d.name, d.specialization, d.active, d.created_at, d.updated_at, d.name_sort_key
FROM doctors AS d;

-- name: user_columns
-- The fields of `domain.users.User`, in the same order.
SELECT u.id, u.email, u.name, u.role, u.active, u.token_version, u.created_at, u.updated_at, u.was_desk
FROM users AS u;

-- name: visit_type_columns
-- The fields of `domain.visit_types.VisitType`, in the same order.
SELECT
    t.id, t.name, t.minutes, t.buffer_minutes, t.mode, t.video_link, t.instructions, t.min_notice_minutes,
    t.horizon_days, t.change_deadline_minutes, t.max_live_per_patient, t.patients, t.bookable_by, t.active, t.version,
    t.created_at, t.updated_at
FROM visit_types AS t;

-- name: booked_visit_columns
-- The fields of `domain.visit_types.BookedVisit`, in the same order.
SELECT t.name, t.mode, t.instructions, t.video_link
FROM visit_types AS t;

-- name: rule_columns
-- The fields of `domain.schedules.Rule`, in the same order.
SELECT
    r.id, r.doctor_id, r.clinic_id, r.first_day, r.last_day, r.every_weeks, r.weekday, r.opens, r.closes,
    r.slot_minutes, r.break_minutes, r.total_seats, r.visit_type_ids, r.version, r.removed_at, r.kind, r.step_minutes
FROM schedule_rules AS r;

-- name: closure_columns
-- The fields of `domain.schedules.Closure`, in the same order.
SELECT
    c.id, c.doctor_id, c.clinic_id, c.start_time, c.end_time, c.kind, c.reason, c.message, c.version, c.removed_at
FROM closures AS c;
