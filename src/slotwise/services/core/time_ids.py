"""Time ids: an offered time as a text that a client sends back to book it. Needs no row, as nobody else can make it."""

import msgspec

from slotwise.domain.errors import InvalidInput
from slotwise.domain.offered_times import OfferedTime
from slotwise.services.core.seals import Seals

_LABEL = b"slotwise time id"


class TimeIds:
    def __init__(self, secret: str) -> None:
        self._seals = Seals(secret, _LABEL)

    def id_of(self, time: OfferedTime) -> str:
        return self._seals.seal(msgspec.msgpack.encode(time))

    def read(self, time_id: str) -> OfferedTime:
        """Raises `InvalidInput` for a text that `id_of` has not made, with this secret."""
        content = self._seals.unseal(time_id)
        try:
            return msgspec.msgpack.decode(content or b"", type=OfferedTime)
        except msgspec.MsgspecError as error:
            raise InvalidInput.of("time_id", "must be a `timeId` of GET /api/times") from error
