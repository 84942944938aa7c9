"""The errors of the domain, named as facts. Each edge has one table from these to its answers; no HTTP here."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self


class SlotwiseError(Exception):
    """A fact that ends an operation. `code` is stable and public; `detail` is for people."""

    code: ClassVar[str]
    title: ClassVar[str]

    @property
    def detail(self) -> str:
        return self.title


@dataclass(frozen=True)
class FieldError:
    """`field` is the snake_case name of an input; each edge converts it to its own spelling."""

    field: str
    message: str


class InvalidInput(SlotwiseError):
    code = "invalid-input"
    title = "The input is invalid"

    def __init__(self, *errors: FieldError) -> None:
        super().__init__(*errors)
        self.errors = errors

    @classmethod
    def of(cls, field: str, message: str) -> Self:
        return cls(FieldError(field, message))

    @property
    def detail(self) -> str:
        return "; ".join(f"{error.field}: {error.message}" for error in self.errors)


class NotFound(SlotwiseError):
    """Base of the errors for a thing that does not exist."""


class Conflict(SlotwiseError):
    """Base of the errors for a thing that exists, but whose state forbids the operation."""


class Unavailable(SlotwiseError):
    """Base of the temporary errors: try again later. `retry_after` is in seconds."""

    retry_after: int = 1


class AnsweredMeanwhile(Exception):
    """Another worker used an idempotency key of this batch after it was looked up. Nothing was done: look up again."""


class NotAuthenticated(SlotwiseError):
    code = "not-authenticated"
    title = "A valid access token is required"

    @property
    def detail(self) -> str:
        return "Log in, and send the access token with the request."


class InvalidCredentials(SlotwiseError):
    code = "invalid-credentials"
    title = "The e-mail address or the password is wrong"


class NotAllowed(SlotwiseError):
    """`elsewhere` if the account may do such things at other clinics."""

    code = "not-allowed"
    title = "This account may not do that"

    def __init__(self, *, elsewhere: bool = False) -> None:
        super().__init__()
        self.elsewhere = elsewhere

    @property
    def detail(self) -> str:
        return "This account works for other clinics" if self.elsewhere else self.title


class DoctorNotFound(NotFound):
    code = "doctor-not-found"
    title = "The doctor does not exist"


class ClinicNotFound(NotFound):
    code = "clinic-not-found"
    title = "The clinic does not exist"


class SlotNotFound(NotFound):
    code = "slot-not-found"
    title = "The slot does not exist"


class BookingNotFound(NotFound):
    code = "booking-not-found"
    title = "The booking does not exist"


class VisitTypeNotFound(NotFound):
    code = "visit-type-not-found"
    title = "The visit type does not exist"


class EmailTaken(Conflict):
    code = "email-taken"
    title = "An account with this e-mail address already exists"


class LastAdmin(Conflict):
    code = "last-admin"
    title = "This is the only admin; make another user an admin first"


@dataclass(eq=False)
class SlotOverlaps(Conflict):
    """If several slots were wanted, `overlaps` is the number of them that overlap other slots.

    If one was wanted, `period` is the period of the slot that it overlaps, if known. `closed` says that this slot is
    closed and still has bookings.
    """

    code = "slot-overlaps"
    title = "The doctor already has an open slot in that period"
    overlaps: int = 0
    period: tuple[datetime, datetime] | None = None
    closed: bool = False

    @property
    def detail(self) -> str:
        if self.overlaps > 0:
            return f"{self.overlaps} of the slots overlap existing ones. Nothing was done; a dry run lists them."
        if self.closed:
            return "The doctor has a closed slot in that period that still has bookings. Move it or cancel them first."
        return self.title


@dataclass(eq=False)
class TimeClosed(Conflict):
    """`times` is how many of several wanted slots lie in a holiday or an absence; 0 if one was wanted."""

    code = "time-closed"
    title = "The doctor is away, or the clinic is closed, in that period"
    times: int = 0

    @property
    def detail(self) -> str:
        what = f"{self.times} of the slots lie" if self.times else "The slot lies"
        return f"{what} in a holiday or an absence. Nothing was done; shorten or remove the closure first."


@dataclass(eq=False)
class ScheduleTooLarge(Conflict):
    """`part` is a part of the change that is small enough, if one was found, and `proposal` tells it."""

    code = "schedule-too-large"
    title = "The change concerns too many slots at once"
    touched: int
    limit: int
    part: object = None
    proposal: str = "Make it in several parts."

    @property
    def detail(self) -> str:
        return f"It would change {self.touched} slots, and at most {self.limit} can be changed at once. {self.proposal}"


@dataclass(eq=False)
class ScheduleChanged(Conflict):
    """`outlined` is what the change would do now."""

    code = "schedule-changed"
    title = "The schedule has changed since the preview; nothing was done"
    outlined: object = None

    @property
    def detail(self) -> str:
        return "Look at the new preview, and apply it if it is still right."


@dataclass(eq=False)
class SeatsTaken(Conflict):
    """`seats_taken` is the smallest total. `added_seats` of them, if any, were added by overbooking."""

    code = "seats-taken"
    title = "More seats are taken than the new total"
    seats_taken: int
    added_seats: int = 0

    @property
    def detail(self) -> str:
        if self.added_seats > 0 and self.seats_taken == self.added_seats + 1:
            return f"{self.added_seats} of the seats were added by overbooking; besides these, one must stay"
        return f"{self.seats_taken} seats are held or booked; the total cannot be lower"


@dataclass(eq=False)
class SlotFull(Conflict):
    code = "slot-full"
    title = "Not enough seats are free"
    available_seats: int

    @property
    def detail(self) -> str:
        match self.available_seats:
            case 0:
                return "The slot is sold out"
            case 1:
                return "Only 1 seat is free"
            case seats:
                return f"Only {seats} seats are free"


class SlotClosed(Conflict):
    code = "slot-closed"
    title = "The slot is closed for booking"


class SlotStarted(Conflict):
    code = "slot-started"
    title = "The appointment has already started"


class TimeGone(Conflict):
    code = "time-gone"
    title = "This time is no longer offered"


class VisitTypeNotOffered(Conflict):
    code = "visit-type-not-offered"
    title = "The slot does not offer this visit type"


class TooLateToBook(Conflict):
    code = "too-late-to-book"
    title = "It is too late to book this visit type at that time"


class TooEarlyToBook(Conflict):
    code = "too-early-to-book"
    title = "It is too early to book this visit type at that time"


class BookingLimitReached(Conflict):
    code = "booking-limit-reached"
    title = "The patient already has as many coming visits of this type as are allowed"


class ForNewPatientsOnly(Conflict):
    code = "for-new-patients-only"
    title = "This visit type is for patients who have not been here yet"


class ForReturningPatientsOnly(Conflict):
    code = "for-returning-patients-only"
    title = "This visit type is for patients who have been here before"


class TooLateToChange(Conflict):
    code = "too-late-to-change"
    title = "It is too late for patients to cancel this visit; the clinic still can"


class BookingCancelled(Conflict):
    code = "booking-cancelled"
    title = "The booking was cancelled"


class BookingFailed(Conflict):
    code = "booking-failed"
    title = "The hold expired before it was confirmed; there is nothing to release"


class ClinicInUse(Conflict):
    code = "clinic-in-use"
    title = "The clinic has open times or weekly hours ahead; close, move or end them first"


class VisitTypeInUse(Conflict):
    code = "visit-type-in-use"
    title = (
        "Weekly hours use this visit type, and another length moves their times. `changeLengths` of POST"
        " /api/schedule/preview shows how, first"
    )


class LastClinic(Conflict):
    code = "last-clinic"
    title = "This is the only active clinic"


@dataclass(eq=False)
class ChangedMeanwhile(SlotwiseError):
    """`present` is the thing as it is now, and `version` its version. Edges show it."""

    code = "changed-meanwhile"
    title = "Somebody else has changed it since you read it"
    present: object = None
    version: int = 1

    @property
    def detail(self) -> str:
        return "Somebody else has changed it since you read it. Nothing was done; `present` shows it as it is now."


class HoldExpired(SlotwiseError):
    code = "hold-expired"
    title = "The hold has expired; its seats are free again"

    @property
    def detail(self) -> str:
        return "The hold was not confirmed before its deadline. Book again."


class KeyReused(SlotwiseError):
    code = "idempotency-key-reused"
    title = "This idempotency key was used with another body"

    @property
    def detail(self) -> str:
        return "Send the original body again, or choose a new key."


@dataclass(eq=False)
class TooManyRequests(SlotwiseError):
    code = "too-many-requests"
    title = "Too many requests"
    retry_after: int

    @property
    def detail(self) -> str:
        return f"Try again in {self.retry_after} seconds."


class TooManyLogins(TooManyRequests):
    code = "too-many-logins"
    title = "Too many failed log-ins to this account from this client"


class Overloaded(Unavailable):
    code = "overloaded"
    title = "The server has more requests than it can take; nothing was done"


class DatabaseUnavailable(Unavailable):
    code = "database-unavailable"
    title = "The database cannot be reached; nothing was done"


class DatabaseBusy(Unavailable):
    code = "database-busy"
    title = "The database could not take this request in time; nothing was done"


class OutcomeUnknown(Unavailable):
    """No answer to COMMIT came in time. The transaction may or may not have committed."""

    code = "outcome-unknown"
    title = "The answer of the database was lost; it is unknown whether the request took effect"

    @property
    def detail(self) -> str:
        return (
            "Check whether it took effect. A booking that was sent with an idempotency key can be sent again unchanged."
        )
