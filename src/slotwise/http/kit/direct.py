"""Answers that are sent without the framework, which would cost several times as much as the work behind them."""

from collections.abc import Mapping

import msgspec
from litestar.types import Send

from slotwise.domain.errors import SlotwiseError
from slotwise.http.kit.problems import MEDIA_TYPE, headers_of, problem_of
from slotwise.observability.metrics import REFUSALS

encode = msgspec.json.Encoder().encode


async def send_refusal(send: Send, error: SlotwiseError) -> None:
    REFUSALS.labels(error.code).inc()
    problem = problem_of(error)
    await send_answer(send, problem.status, MEDIA_TYPE, headers_of(error), encode(problem))


async def send_answer(send: Send, status: int, media_type: str, headers: Mapping[str, str], body: bytes) -> None:
    raw = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in headers.items()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})
