"""The order of names in lists, as people who speak the clinic's language sort them.

The rules are those of Unicode (UTS 10) and of its Common Locale Data Repository, for every language: Ä stands with A in
English and after Z in Swedish. ICU knows them, and comes with the package icu4py. That package has no function for
sorting yet, so ICU's own is called, which belongs to its stable interface:
https://unicode-org.github.io/icu-docs/apidoc/released/icu4c/ucol_8h.html
"""

import ctypes
from functools import cache
from hashlib import blake2b
from typing import Any

import icu4py
from icu4py import locale as _linked

_VALID = 1
_STRENGTH, _IDENTICAL = 5, 15
_BUFFER = 4096
# For cursors and indexes. The longest name has half as many in Latin letters, and at most as many without rules.
MAX_KEY_BYTES = 810
_DIGEST = 16
# The order of a language that ICU does not know, and how its rules of another name are named.
_ROOT = "root"
_LONGEST_LOCALE = 200


class UnknownLanguage(Exception):
    """ICU has no rules for the language."""


class NameOrder:
    """Sorts by letters, then accents, then case. Names that all of that makes equal stand by their characters."""

    def __init__(self, language: str) -> None:
        """`language` is a tag such as `sv` or `de-u-co-phonebk` (BCP 47). Raises `UnknownLanguage`."""
        locale = _locale_of(language)
        status = ctypes.c_int(0)
        self._rules = _icu("ucol_open", ctypes.c_void_p)(locale, ctypes.byref(status))
        if status.value > 0 or not self._rules or not self._is_known(locale) or not _has_order(locale):
            raise UnknownLanguage(language)
        _icu("ucol_setAttribute")(ctypes.c_void_p(self._rules), _STRENGTH, _IDENTICAL, ctypes.byref(status))
        self._sort_key = _icu("ucol_getSortKey")
        self.edition = f"ICU {icu4py.icu_version}, rules {self._version()}, language {language}"

    def key(self, name: str) -> bytes:
        """Keys have the order of their names; two names have one key only if they are the same text to Unicode.

        A key has at most `MAX_KEY_BYTES`. That of a name in some scripts would be longer: it is cut, and a digest shows
        that it is the key of another name than those with the same beginning.
        """
        text = name.encode("utf-16-le", "surrogatepass")
        key = self._written(text, _BUFFER)
        return (
            key
            if len(key) <= MAX_KEY_BYTES
            else key[: MAX_KEY_BYTES - _DIGEST] + blake2b(key, digest_size=_DIGEST).digest()
        )

    def _written(self, text: bytes, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        length = self._sort_key(ctypes.c_void_p(self._rules), text + b"\0\0", len(text) // 2, buffer, size)
        # Each key ends with a zero byte.
        return buffer.raw[: length - 1] if length <= size else self._written(text, length)

    def _valid_name(self) -> str:
        name = _icu("ucol_getLocaleByType", ctypes.c_char_p)(
            ctypes.c_void_p(self._rules), _VALID, ctypes.byref(ctypes.c_int(0))
        )
        return name.decode() if name else _ROOT

    def _is_known(self, locale: bytes) -> bool:
        """The order of many languages, such as Basque, is the common one. ICU then has no rules but their names."""
        return self._valid_name() != _ROOT or bool(_icu("uloc_getISO3Language", ctypes.c_char_p)(locale))

    def _version(self) -> str:
        version = (ctypes.c_uint8 * 4)()
        _icu("ucol_getVersion", None)(ctypes.c_void_p(self._rules), version)
        return ".".join(map(str, version))


@cache
def name_order(language: str) -> NameOrder:
    """Made once for each language in three milliseconds, and never freed. Raises `UnknownLanguage`."""
    return NameOrder(language)


def _locale_of(tag: str) -> bytes:
    """What ICU calls the language of a well-formed tag. ICU itself reads as much of a tag as it understands."""
    text = tag.encode("ascii", "replace")
    name, read, status = ctypes.create_string_buffer(_LONGEST_LOCALE), ctypes.c_int32(0), ctypes.c_int(0)
    _icu("uloc_forLanguageTag")(text, name, len(name), ctypes.byref(read), ctypes.byref(status))
    if status.value > 0 or read.value != len(text) or not name.value:
        raise UnknownLanguage(tag)
    return name.value


def _has_order(locale: bytes) -> bool:
    """Whether the language has the order that the tag names, as German has `phonebk`; or names none."""
    wanted, status = ctypes.create_string_buffer(_LONGEST_LOCALE), ctypes.c_int(0)
    _icu("uloc_getKeywordValue")(locale, b"collation", wanted, len(wanted), ctypes.byref(status))
    orders = ctypes.c_void_p(
        _icu("ucol_getKeywordValuesForLocale", ctypes.c_void_p)(b"collation", locale, False, ctypes.byref(status))
    )
    read = _icu("uenum_next", ctypes.c_char_p)
    known = set(iter(lambda: read(orders, None, ctypes.byref(status)), None))
    _icu("uenum_close", None)(orders)
    return not wanted.value or wanted.value in known


def _icu(name: str, answer: Any = ctypes.c_int32) -> Any:
    """A function of the ICU that icu4py is linked with. Its names end with the number of the release."""
    function = getattr(ctypes.CDLL(_linked.__file__), f"{name}_{icu4py.icu_version_info[0]}")
    function.restype = answer
    return function


ENGLISH = name_order("en")
