"""Forms as they were sent: the typed values and their errors, to be shown again together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from litestar.enums import RequestEncodingType
from litestar.exceptions import ClientException, HTTPException

from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.web.kit.access import MAX_DIGITS, PageRequest, fields_in


class Form:
    """`errors` has a sentence for each wrong field; `problem` is a sentence about the whole form."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.values = dict(values or {})
        self.errors: dict[str, str] = {}
        self.problem: str | None = None
        self._all: list[tuple[str, str]] = list(self.values.items())

    @classmethod
    async def of(cls, request: PageRequest) -> Self:
        """The form of a page. Refuses other kinds of bodies."""
        if request.content_type[0] != RequestEncodingType.URL_ENCODED:
            raise HTTPException("Send the form from its page.", status_code=415)
        body = await request.body()
        try:
            pairs = fields_in(body)
        except ValueError as error:
            # Browsers do not send this. To guess what it means could store a wrong value.
            raise ClientException("The form has too many fields, or text that is not UTF-8.") from error
        form = cls()
        form.fill(pairs)
        return form

    def fill(self, fields: Sequence[tuple[str, str]]) -> None:
        """Show these fields. Those that are not among them keep their values, unless they are check boxes."""
        self.values |= dict(fields)
        self._all = list(fields)

    @property
    def fields(self) -> list[tuple[str, str]]:
        return list(self._all)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str:
        """What was typed, without spaces around it; empty if nothing was."""
        return self.values.get(name, "").strip()

    def exactly(self, name: str) -> str:
        """What was typed, unchanged: for passwords."""
        return self.values.get(name, "")

    def all(self, name: str) -> list[str]:
        """All values of a field that can occur several times, such as check boxes."""
        return [value for given, value in self._all if given == name]

    def number(self, name: str, lowest: int, highest: int) -> int:
        """Raises `InvalidInput` if it is not a whole number in the range."""
        text = self.text(name)
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None
        if number is None or not lowest <= number <= highest:
            raise InvalidInput.of(name, f"must be a whole number from {lowest} to {highest}")
        return number

    def refuse(self, error: InvalidInput) -> None:
        """Note each error at its field, or above the form if the form does not have the field."""
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
    """What each reader returns, by its name. Raises `InvalidInput` with the errors of all of them."""
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
