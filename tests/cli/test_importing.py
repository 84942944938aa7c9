"""`slotwise import`, run as an operator runs it, on real files."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clinic import rows, slotwise
from tests.conftest import fresh_database

DOCTORS = "name,specialization\nDr. Grace Hopper,Cardiology\nDr. Katherine Johnson,\n"
TIMETABLES = (
    "doctor;first_day;last_day;weekdays;from;to;minutes;seats\n"
    "Dr. Grace Hopper;2031-02-03;2031-02-07;Mon Wed;09:00;10:00;30;2\n"
    "Dr. Katherine Johnson;2031-07-07;2031-07-07;1;09:00;24:00;300;\n"
)
BOOKINGS = (
    "doctor,day,time,name,email,people\n"
    "Dr. Grace Hopper,2031-02-03,09:30,Ada Lovelace,ada@example.org,2\n"
    "Dr. Grace Hopper,2031-02-05,09:00,Grace Ömer,g@example.org,\n"
)


class Office:
    """A folder with files, and the clinic's database."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.database_url = database_url
        self._folder = folder

    def bring(self, kind: str, text: str | bytes, *options: str) -> "subprocess.CompletedProcess[str]":
        file = self._folder / f"{kind}.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return slotwise(self.database_url, "import", kind, str(file), *options, CLINIC_TIME_ZONE="Europe/Berlin")

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in rows(self.database_url, query)]

    def counts(self) -> tuple[int, int, int]:
        tables = ("doctors", "appointment_slots", "bookings")
        counted = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
        [(doctors, slots, bookings)] = rows(self.database_url, f"SELECT {counted}")
        return doctors, slots, bookings


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Office:
    return Office(database_url, tmp_path)


@pytest.fixture(scope="module")
def opened_template(
    postgres_url: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with the doctors and their times."""
    with fresh_database(postgres_url, migrated_template) as url:
        office = Office(url, tmp_path_factory.mktemp("files"))
        for kind, text in (("doctors", DOCTORS), ("timetables", TIMETABLES)):
            done = office.bring(kind, text)
            assert done.returncode == 0, done.stderr
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def opened(postgres_url: str, opened_template: str, tmp_path: Path) -> Iterator[Office]:
    """With the doctors and their times."""
    with fresh_database(postgres_url, opened_template) as url:
        yield Office(url, tmp_path)


def test_a_clinic_is_imported_from_three_files_and_a_second_run_adds_nothing(office: Office) -> None:
    files = (("doctors", DOCTORS), ("timetables", TIMETABLES), ("bookings", BOOKINGS))
    first = [office.bring(kind, text) for kind, text in files]
    assert [done.returncode for done in first] == [0, 0, 0], [done.stderr for done in first]
    assert [done.stdout for done in first] == [
        "Imported 2 doctors; 0 were there already.\n",
        "Imported 7 times; 0 were there already.\n",
        "Imported 2 bookings; 0 were there already.\n",
    ]
    counts = office.counts()
    assert [office.bring(kind, text).stdout for kind, text in files] == [
        "Imported 0 doctors; 2 were there already.\n",
        "Imported 0 times; 7 were there already.\n",
        "Imported 0 bookings; 2 were there already.\n",
    ]
    assert office.counts() == counts == (2, 7, 2)
    assert office.rows("SELECT name, specialization FROM doctors ORDER BY id") == [
        ("Dr. Grace Hopper", "Cardiology"),
        ("Dr. Katherine Johnson", None),
    ]
    checked = slotwise(office.database_url, "check-invariants")
    assert checked.returncode == 0, checked.stdout


def test_times_are_local_times_of_the_clinic_in_winter_and_in_summer(opened: Office) -> None:
    starts = "SELECT to_char(start_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') FROM appointment_slots ORDER BY 1"
    assert [start for (start,) in opened.rows(starts)] == [
        "2031-02-03 08:00", "2031-02-03 08:30", "2031-02-05 08:00", "2031-02-05 08:30",
        "2031-07-07 07:00", "2031-07-07 12:00", "2031-07-07 17:00",
    ]  # fmt: skip


def test_imported_bookings_are_in_ledger_and_audit_log_as_those_of_an_import(opened: Office) -> None:
    done = opened.bring("bookings", BOOKINGS)
    assert done.returncode == 0, done.stderr
    ledger = "SELECT kind, seats, available_after, actor FROM booking_events WHERE booking_id IS NOT NULL ORDER BY 2"
    assert opened.rows(ledger) == [("BOOKED", 1, 1, "import"), ("BOOKED", 2, 0, "import")]
    booked = "SELECT user_name, user_email, seats_booked, status, user_id FROM bookings ORDER BY id"
    assert opened.rows(booked) == [
        ("Ada Lovelace", "ada@example.org", 2, "CONFIRMED", None),
        ("Grace Ömer", "g@example.org", 1, "CONFIRMED", None),
    ]
    noted = "SELECT action FROM audit_log WHERE actor = 'import' ORDER BY id"
    assert [action for (action,) in opened.rows(noted)] == [
        "import_doctors", "import_timetables", "hold_seats", "hold_seats", "import_bookings",
    ]  # fmt: skip


def test_a_dry_run_says_the_same_and_changes_nothing(opened: Office) -> None:
    before = opened.counts()
    done = opened.bring("bookings", BOOKINGS, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Dry run: nothing was changed. It would import 2 bookings; 0 were there already.\n"
    assert opened.counts() == before


FAULTY = (
    "doctor,day,time,name,email,people\n"
    "Dr. Grace Hopper,2031-02-03,09:30,Ada Lovelace,ada@example.org,1\n"
    "Dr. Who,2031-02-03,09:30,Ada Lovelace,ada@example.org,1\n"
    "Dr. Grace Hopper,2031-02-03,09:35,Ada Lovelace,ada@example.org,1\n"
    "Dr. Grace Hopper,3.2.2031,9h30,Ada Lovelace,ada@example,0\n"
    "Dr. Grace Hopper,2031-02-03,09:30, ,ada@example.org,1\n"
    "Dr. Grace Hopper,2031-02-03,09:30,Ada Lovelace,ADA@example.org,1\n"
    "Dr. Grace Hopper,2031-02-03,09:30,Too Many,many@example.org,2\n"
    "Dr. Grace Hopper,2031-03-30,02:30,Clock Change,clock@example.org,1\n"
)
REPORT = [
    "line 3, doctor: is not known: Dr. Who. Import the doctors first, or correct the name",
    "line 4, time: is no time of the doctor: import the timetable first, or correct day and time",
    "line 5, day: must be a day such as 2031-02-28",
    "line 5, email: must be a valid e-mail address",
    "line 5, people: must be a whole number from 1 to 1000000",
    "line 6, name: must not be empty",
    "line 7, name: is also in line 2, at the same time: remove one of the two",
    "line 8, time: has only 1 free places left: add places, or overbook it on its page",
    "line 9, time: does not exist on that day, because the clocks change",
]


def test_a_faulty_line_stops_the_whole_file_and_every_fault_is_told_by_line(opened: Office) -> None:
    done = opened.bring("bookings", FAULTY)
    assert done.returncode == 1
    assert done.stderr.splitlines() == REPORT
    assert done.stdout.startswith("Nothing was imported: 7 faulty lines.")
    assert opened.counts()[2] == 0


def test_faulty_lines_are_left_out_on_request(opened: Office) -> None:
    done = opened.bring("bookings", FAULTY, "--skip-faulty")
    assert done.returncode == 0
    assert done.stderr.splitlines() == REPORT
    assert done.stdout == "Imported 1 booking; 0 were there already. Left out 7 faulty lines.\n"
    assert opened.rows("SELECT user_name FROM bookings") == [("Ada Lovelace",)]


def test_a_booking_that_was_cancelled_since_does_not_come_back(opened: Office) -> None:
    assert opened.bring("bookings", BOOKINGS).returncode == 0
    cancel = (
        "SELECT outcome FROM cancel_bookings(ARRAY(SELECT id FROM bookings), ARRAY['a', 'b'], ARRAY['x', 'x'],"
        " NULL, NULL)"
    )
    assert len(opened.rows(cancel)) == 2
    assert opened.bring("bookings", BOOKINGS).stdout == "Imported 0 bookings; 2 were there already.\n"
    assert opened.rows("SELECT DISTINCT status FROM bookings") == [("CANCELLED",)]


def test_doctors_of_one_name_are_told_apart_or_refused(opened: Office) -> None:
    done = opened.bring("doctors", "name,specialty\nDr. Grace Hopper,Dermatology\nDr. New,\nDr. New,\n")
    assert done.stderr.splitlines() == [
        "line 2, specialization: differs from the specialty of the Dr. Grace Hopper that is there already: Cardiology."
        " Make the two the same",
        "line 4, name: is also in line 3: remove one of the two",
    ]
    opened.rows("INSERT INTO doctors (name, specialization) VALUES ('Dr. Grace Hopper', 'Dermatology') RETURNING id")
    several = opened.bring("bookings", BOOKINGS)
    assert "line 2, doctor: is the name of several doctors: Dr. Grace Hopper. Say which" in several.stderr
    named = (
        BOOKINGS.replace("people", "people,specialty")
        .replace(",2\n", ",2,Cardiology\n")
        .replace(",\n", ",,Cardiology\n")
    )
    assert opened.bring("bookings", named).stdout == "Imported 2 bookings; 0 were there already.\n"


def test_times_that_overlap_others_or_are_past_are_told(opened: Office) -> None:
    text = (
        "doctor,first_day,last_day,weekdays,from,to\n"
        "Dr. Grace Hopper,2031-02-03,2031-02-03,1,09:15,10:15\n"
        "Dr. Grace Hopper,2020-02-03,2020-02-03,1,09:00,10:00\n"
        "Dr. Grace Hopper,2031-02-04,2031-02-04,Funday,09:00,10:00\n"
        "Dr. Grace Hopper,2031-02-04,2031-02-04,2,10:00,09:00\n"
        "Dr. Grace Hopper,2031-02-11,2031-02-11,2,09:00,10:00\n"
        "Dr. Grace Hopper,2031-02-11,2031-02-11,2,09:00,09:30\n"
    )
    done = opened.bring("timetables", text)
    assert done.stderr.splitlines() == [
        "line 2, from: makes 2 times that overlap others of the doctor, the first the one of 2031-02-03 09:00",
        "line 3, first_day: makes 2 times that are in the past, the first 2020-02-03 09:00",
        "line 4, weekdays: must be days such as 1 3 5, where 1 is Monday, or Mon Wed Fri",
        "line 5, from: must be in order, must not overlap, and each must end after it begins",
        "line 7, from: makes 1 times that line 6 makes too: remove one of the two",
    ]
    assert opened.counts()[1] == 7


def test_times_are_refused_that_the_desk_could_not_add(opened: Office) -> None:
    """In a closure, at a clinic that takes no appointments, and where the doctor does not work."""
    opened.rows(
        "INSERT INTO clinics (name, time_zone, active) VALUES ('North', 'Europe/Berlin', TRUE),"
        " ('Shut', 'Europe/Berlin', FALSE) RETURNING id"
    )
    opened.rows(
        "INSERT INTO doctor_clinics (doctor_id, clinic_id) SELECT d.id, 1 FROM doctors AS d"
        " WHERE d.name = 'Dr. Grace Hopper' RETURNING 1"
    )
    opened.rows(
        "INSERT INTO closures (start_time, end_time, kind) VALUES"
        " ('2031-03-03T08:30Z', '2031-03-03T12:00Z', 'HOLIDAY'),"
        " ('2031-02-03T00:00Z', '2031-02-04T00:00Z', 'HOLIDAY') RETURNING id"
    )
    text = (
        "doctor,first_day,last_day,weekdays,from,to,clinic\n"
        "Dr. Grace Hopper,2031-03-03,2031-03-03,1,09:00,11:00,\n"
        "Dr. Grace Hopper,2031-03-10,2031-03-10,1,09:00,10:00,North\n"
        "Dr. Katherine Johnson,2031-03-10,2031-03-10,1,09:00,10:00,Shut\n"
        "Dr. Katherine Johnson,2031-03-10,2031-03-10,1,09:00,10:00,North\n"
    )
    done = opened.bring("timetables", text, "--skip-faulty")
    assert done.stderr.splitlines() == [
        "line 2, first_day: makes 3 times at which the doctor is away or the clinic is closed,"
        " the first 2031-03-03 09:30",
        "line 3, clinic: is a clinic where this doctor does not work",
        "line 4, clinic: is not known; known are Slotwise, North",
    ]
    assert done.stdout == "Imported 2 times; 0 were there already. Left out 3 faulty lines.\n"
    assert opened.counts()[1] == 9
    again = opened.bring("timetables", TIMETABLES)
    assert again.stdout == "Imported 0 times; 7 were there already.\n", again.stderr


def test_a_day_that_is_out_of_range_is_told_in_every_zone(opened: Office) -> None:
    opened.rows(
        "INSERT INTO clinics (name, time_zone) VALUES ('East', 'Asia/Tokyo'), ('West', 'America/New_York') RETURNING id"
    )
    text = (
        "doctor,day,time,name,email,clinic\n"
        "Dr. Grace Hopper,0001-01-01,00:00,Ada Lovelace,ada@example.org,East\n"
        "Dr. Grace Hopper,9999-12-31,22:00,Ada Lovelace,ada@example.org,West\n"
    )
    done = opened.bring("bookings", text)
    assert done.stderr.splitlines() == [
        "line 2, day: must be from 2000-01-01 to 9997-12-31",
        "line 3, day: must be from 2000-01-01 to 9997-12-31",
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"name,beard\nDr. No,long\n", "line 1, beard: is no column of this file; known are name, specialization"),
        (b"name\nDr. Jos\xe9\n", "line 2: is not UTF-8: save the file as 'CSV UTF-8' and import it again"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_of_error(office: Office, data: bytes, said: str) -> None:
    done = office.bring("doctors", data)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].endswith(said)
    assert done.stderr.startswith("error: ")


def test_a_missing_file_is_one_line_of_error(office: Office, tmp_path: Path) -> None:
    done = slotwise(office.database_url, "import", "doctors", str(tmp_path / "none.csv"))
    assert (done.returncode, done.stderr.strip()) == (
        1,
        f"error: cannot read {tmp_path / 'none.csv'}: No such file or directory",
    )


def test_help_shows_an_example_that_can_be_imported(office: Office) -> None:
    for kind in ("doctors", "timetables", "bookings"):
        told = slotwise("", "import", kind, "--help").stdout
        lines = [line.strip() for line in told.partition("An example of a file:")[2].splitlines()]
        example = [line for line in lines if line.startswith(("name,", "doctor,", "Dr. "))]
        done = office.bring(kind, "\n".join(example))
        assert done.returncode == 0, (example, done.stderr)
    assert office.counts()[2] == 1
