"""Forms as they were sent: what was typed, and what is wrong with it, to be shown together again."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self
from urllib.parse import parse_qsl

from litestar.enums import RequestEncodingType
from litestar.exceptions import ClientException, HTTPException

from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.web.kit.access import PageRequest

MAX_FIELDS = 200
_MAX_DIGITS = 18


class Form:
    """`errors` has a sentence for each field at fault; `problem` is one about the whole form."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.values = dict(values or {})
        self.errors: dict[str, str] = {}
        self.problem: str | None = None
        self._all: list[tuple[str, str]] = list(self.values.items())

    @classmethod
    async def of(cls, request: PageRequest) -> Self:
        """The form that a page of ours sends; another kind of body is refused."""
        if request.content_type[0] != RequestEncodingType.URL_ENCODED:
            raise HTTPException("Send the form from its page.", status_code=415)
        body = await request.body()
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        except ValueError as error:
            # No browser sends that. Read as something else, it would be kept as something else.
            raise ClientException("The form has too many fields, or text that is not UTF-8.") from error
        form = cls(dict(pairs))
        form._all = pairs
        return form

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str:
        """What was typed, without spaces around it; empty where nothing was."""
        return self.values.get(name, "").strip()

    def exactly(self, name: str) -> str:
        """What was typed, as it was typed: for passwords."""
        return self.values.get(name, "")

    def all(self, name: str) -> list[str]:
        """Every value of a field that may be given several times, such as boxes to tick."""
        return [value for given, value in self._all if given == name]

    def number(self, name: str, lowest: int, highest: int) -> int:
        """Raises `InvalidInput` for what is no whole number of the range."""
        text = self.text(name)
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None
        if number is None or not lowest <= number <= highest:
            raise InvalidInput.of(name, f"must be a whole number from {lowest} to {highest}")
        return number

    def refuse(self, error: InvalidInput) -> None:
        """Say at each field what is wrong with it; of a field that the form has not, above the form."""
        for fault in error.errors:
            self._note(fault)

    def _note(self, fault: FieldError) -> None:
        sentence = f"{fault.message[:1].upper()}{fault.message[1:]}."
        if fault.field in self.values:
            self.errors.setdefault(fault.field, sentence)
        else:
            self.problem = f"{fault.field.replace('_', ' ').capitalize()}: {fault.message}."

    @property
    def failed(self) -> bool:
        return bool(self.errors) or self.problem is not None

    def faults(self) -> Iterator[tuple[str, str]]:
        """Field and sentence, in the order of the form."""
        return ((name, self.errors[name]) for name in self.values if name in self.errors)


def read_all(readers: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """What each reader returns, by its name; raises `InvalidInput` with the faults of all of them."""
    faults: list[FieldError] = []
    values: dict[str, Any] = {}
    for name, read in readers.items():
        try:
            values[name] = read()
        except InvalidInput as error:
            faults += error.errors
    if faults:
        raise InvalidInput(*faults)
    return values
