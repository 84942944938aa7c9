"""`slotwise privacy`, run as an operator runs it, for a person without an account."""

import stat
from pathlib import Path

import msgspec
import pytest

from slotwise.cli.privacy import opened
from slotwise.cli.running import CommandFailed
from slotwise.services.privacy.personal_data import PersonalDataDocument
from tests.clinic import Clinic, RunningServer, rows, slotwise
from tests.streams import watching
from tests.traces import places_of

NAME, EMAIL = "Gustav Guestbird", "gustav.guestbird@example.org"


@pytest.fixture
def guest(clinic: Clinic) -> RunningServer:
    """A server on which a guest has an upcoming booking."""
    clinic.hold(clinic.slot()["id"], userName=NAME, userEmail=EMAIL.title())
    return clinic.server


def test_a_guest_is_exported_and_erased_without_a_trace(guest: RunningServer, postgres_log: Path) -> None:
    url = guest.database_url
    exported = slotwise(url, "privacy", "export", EMAIL)
    assert exported.returncode == 0, exported.stderr
    data = msgspec.json.decode(exported.stdout, type=PersonalDataDocument)
    assert (data.account, [booking.user_name for booking in data.bookings]) == (None, [NAME])
    assert places_of(url, NAME, EMAIL) == {"bookings.user_name", "bookings.user_email"}

    refused = slotwise(url, "privacy", "erase", EMAIL)
    assert refused.returncode == 1
    assert "no account and 1 bookings" in refused.stderr
    assert places_of(url, NAME, EMAIL) == {"bookings.user_name", "bookings.user_email"}

    with watching(guest.url) as events:
        done = slotwise(url, "privacy", "erase", EMAIL, "--yes")
        assert done.returncode == 0, done.stderr
        events.until("refresh")
    assert done.stdout == "Erased the person from 1 bookings, of which 1 were cancelled.\n"
    assert places_of(url, NAME, EMAIL) == set()
    said = guest.log.read_text() + postgres_log.read_text(errors="replace") + done.stderr
    assert not [word for word in (NAME, EMAIL, "guestbird") if word.lower() in said.lower()]
    [booking] = data.bookings
    [left] = rows(
        url,
        "SELECT b.status, b.cancel_reason, e.kind, e.actor FROM bookings AS b JOIN booking_events AS e"
        " ON e.slot_id = b.slot_id AND e.booking_id = b.id WHERE b.id = $1 ORDER BY e.sequence DESC LIMIT 1",
        booking.id,
    )
    assert tuple(left) == ("CANCELLED", "erased", "CANCELLED", "operator")


def test_an_email_without_data_is_reported(server: RunningServer) -> None:
    said = slotwise(server.database_url, "privacy", "erase", "nobody.at.all@example.org", "--yes")
    assert (said.returncode, said.stderr) == (1, "error: no data is kept under that e-mail address\n")


def test_a_file_of_personal_data_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.touch(mode=0o644)
    with opened(path) as file:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        file.write(b"{}")
    assert path.read_bytes() == b"{}"
    with pytest.raises(CommandFailed, match="cannot write"), opened(tmp_path / "missing" / "data.json"):
        pass
