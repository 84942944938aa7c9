"""Base64url: each text that is decoded is the one that `encode` makes."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from slotwise.domain import base64url


@given(some.binary(max_size=40))
def test_what_was_encoded_is_decoded(data: bytes) -> None:
    assert base64url.decode(base64url.encode(data)) == data


@pytest.mark.parametrize("text", ["YQ=", "YQ==", "YR", "Y Q", "YQ ", "\tYQ", "Y!Q", "Y", "YQ\n", "Y+", "Y/", "é"])
def test_no_other_spelling_is_decoded(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        base64url.decode(text)
