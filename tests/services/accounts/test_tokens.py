"""Access tokens that were read before."""

import pytest

from slotwise.domain.errors import NotAuthenticated
from slotwise.domain.users import Role, User
from slotwise.services.accounts import tokens
from slotwise.services.accounts.tokens import AccessTokens
from tests.clinic import eventually
from tests.workers import NOW

USER = User(7, "pat@example.org", "Pat", Role.PATIENT, True, 3, NOW, NOW)


def test_a_token_that_was_read_before_still_expires() -> None:
    issued = AccessTokens("a secret of at least 32 bytes, for tests", seconds=1)
    token = issued.issue(USER)
    assert issued.read(token).user_id == USER.id
    eventually(lambda: _is_refused(issued, token))


def _is_refused(issued: AccessTokens, token: str) -> bool:
    try:
        issued.read(token)
    except NotAuthenticated:
        return True
    return False


def test_only_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_VERIFIED", 2)
    issued = AccessTokens("a secret of at least 32 bytes, for tests", seconds=60)
    for _ in range(5):
        assert issued.read(issued.issue(USER)).version == USER.token_version
    assert len(issued._verified) <= 2
