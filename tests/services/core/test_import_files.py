"""Reading a file to import: what spreadsheets of all countries write, and what is no such file."""

import pytest

from slotwise.services.core import import_files
from slotwise.services.core.import_files import Columns, FaultyFile, read_lines

COLUMNS = Columns(("name", "email"), ("people",), {"e_mail": "email"})
ADA = {"name": "Ada Lovelace", "email": "ada@example.org", "people": "2"}


@pytest.mark.parametrize(
    "text",
    [
        "name,email,people\nAda Lovelace,ada@example.org,2\n",
        "name,email,people\r\nAda Lovelace,ada@example.org,2\r\n",
        "name;email;people\nAda Lovelace;ada@example.org;2",
        "\ufeffname,email,people\nAda Lovelace,ada@example.org,2\n",
        'people,"E-Mail",Name\n2," ada@example.org ","Ada Lovelace"\n',
        "\n\nname,email,people\n\nAda Lovelace,ada@example.org,2\n,,\n",
    ],
    ids=["commas", "rfc 4180", "semicolons", "byte order mark", "quotes, another order and spelling", "empty lines"],
)
def test_a_file_is_read_however_a_spreadsheet_has_written_it(text: str) -> None:
    [line] = read_lines(text.encode(), COLUMNS)
    assert dict(line.values) == ADA


def test_a_line_has_the_number_that_an_editor_shows_although_values_have_several_lines() -> None:
    text = 'name,email\n"Ada\nLovelace",a@example.org\n\n"say ""hello"", twice",b@example.org\n'
    first, second = read_lines(text.encode(), COLUMNS)
    assert (first.number, first.text("name"), first.text("people")) == (2, "Ada\nLovelace", "")
    assert (second.number, second.text("name")) == (5, 'say "hello", twice')


@pytest.mark.parametrize(
    ("data", "line", "field", "what"),
    [
        (b"", 1, "", "is missing: the first line names the columns, such as name, email, people"),
        (b"name,mail\nAda,a@example.org", 1, "mail", "is no column of this file; known are name, email, people"),
        (b"name\nAda", 1, "email", "is missing: the first line must name this column"),
        (b"name,email,name\n", 1, "name", "is there twice"),
        (b"name,email\nA,b,c\n", 2, "", "has 3 values, but the first line has 2"),
        (b'name,email\nA,b\n"A"x,b\n', 3, "", "is not CSV (RFC 4180)"),
        (b'name,email\n"A,b\n', 2, "", "is not CSV (RFC 4180)"),
        (b"name,email\nA,b\nJos\xe9,c\n", 3, "", "is not UTF-8: save the file as 'CSV UTF-8'"),
    ],
)
def test_what_is_no_such_file_is_told_with_its_line(data: bytes, line: int, field: str, what: str) -> None:
    with pytest.raises(FaultyFile) as refused:
        read_lines(data, COLUMNS)
    fault = refused.value.fault
    assert (fault.line, fault.field) == (line, field)
    assert fault.what.startswith(what)


def test_a_file_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_files, "MOST_LINES", 1_000)
    data = b"name,email\n" + b"A,b\n" * 1_001
    with pytest.raises(FaultyFile, match="a file may have 1,000 lines"):
        read_lines(data, COLUMNS)
    assert len(read_lines(data[: -len(b"A,b\n")], COLUMNS)) == 1_000
