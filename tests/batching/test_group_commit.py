"""Group commit: order, sharing, faulty requests, limits and deadlines. Tests of its transactions are in races/."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from slotwise.batching.group_commit import GroupCommit
from slotwise.domain.errors import DatabaseUnavailable, OutcomeUnknown, Overloaded


class Recorder:
    """A transaction of a given duration that remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.poison: int | None = None
        self.error: Exception = ValueError("poisoned")

    async def commit(self, requests: Sequence[int]) -> list[int]:
        self.batches.append(list(requests))
        await self.gate.wait()
        if self.poison in requests:
            raise self.error
        return [request * 10 for request in requests]


async def _submitted(queue: GroupCommit[int, int], requests: Sequence[int]) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(queue.submit(request)) for request in requests]
    await asyncio.sleep(0)
    return tasks


async def test_a_lone_request_is_committed_alone_and_at_once() -> None:
    recorder = Recorder()
    assert await GroupCommit("test", recorder.commit).submit(1) == 10
    assert recorder.batches == [[1]]


async def test_requests_that_arrive_during_a_batch_share_the_next_in_order_of_arrival() -> None:
    recorder = Recorder()
    recorder.gate.clear()
    queue = GroupCommit("test", recorder.commit)
    first = await _submitted(queue, [1])
    await asyncio.sleep(0)
    others = await _submitted(queue, [5, 3, 4, 2])
    recorder.gate.set()
    assert await asyncio.gather(*first, *others) == [10, 50, 30, 40, 20]
    assert recorder.batches == [[1], [5, 3, 4, 2]]


async def test_a_batch_is_never_larger_than_its_limit() -> None:
    recorder = Recorder()
    queue = GroupCommit("test", recorder.commit, batch_limit=3)
    await asyncio.gather(*(queue.submit(n) for n in range(8)))
    assert [len(batch) for batch in recorder.batches] == [3, 3, 2]


async def test_two_requests_with_one_exclusive_key_never_share_a_batch_and_keep_their_order() -> None:
    recorder = Recorder()
    queue = GroupCommit("test", recorder.commit, exclusive=lambda request: request % 10)
    await asyncio.gather(*(queue.submit(n) for n in [1, 11, 2, 21, 3]))
    assert recorder.batches == [[1, 2, 3], [11], [21]]


def refused(error: Exception) -> bool:
    """What the server reported, in these tests."""
    return isinstance(error, ValueError)


async def test_a_poisoned_request_fails_alone() -> None:
    recorder = Recorder()
    recorder.poison = 3
    queue = GroupCommit("test", recorder.commit, rolled_back=refused)
    results = await asyncio.gather(*(queue.submit(n) for n in range(1, 6)), return_exceptions=True)
    assert [result for result in results if not isinstance(result, ValueError)] == [10, 20, 40, 50]
    assert isinstance(results[2], ValueError)


async def test_an_error_that_the_server_did_not_report_leaves_the_outcome_unknown() -> None:
    """It may have come after the commit, from reading the rows: the batch must not be executed twice."""
    recorder = Recorder()
    recorder.poison, recorder.error = 2, TypeError("Ada Lovelace has a column more")
    queue = GroupCommit("test", recorder.commit, rolled_back=refused)
    with capture_logs() as logged:
        results = await asyncio.gather(*(queue.submit(n) for n in (1, 2, 3)), return_exceptions=True)
    [entry] = logged
    assert (entry["event"], entry["reason"]) == ("batch_unreadable", "TypeError")
    assert "exc_info" not in entry
    assert "Ada" not in str(entry)
    assert [type(result) for result in results] == [OutcomeUnknown] * 3
    assert recorder.batches == [[1, 2, 3]]


@pytest.mark.parametrize("error", [DatabaseUnavailable(), OutcomeUnknown()])
async def test_a_batch_whose_outcome_is_unknown_is_never_tried_again(error: Exception) -> None:
    recorder = Recorder()
    recorder.poison, recorder.error = 2, error
    queue = GroupCommit("test", recorder.commit)
    results = await asyncio.gather(*(queue.submit(n) for n in (1, 2, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [type(error)] * 3
    assert len(recorder.batches) == 1


async def test_the_queue_goes_on_after_a_failed_batch() -> None:
    recorder = Recorder()
    recorder.poison = 1
    queue = GroupCommit("test", recorder.commit, rolled_back=refused)
    with pytest.raises(ValueError, match="poisoned"):
        await queue.submit(1)
    assert await queue.submit(2) == 20


async def test_past_its_bound_the_queue_refuses_at_once_and_does_nothing() -> None:
    recorder = Recorder()
    recorder.gate.clear()
    queue = GroupCommit("test", recorder.commit, queue_limit=2, refusal_seconds=0)
    tasks = await _submitted(queue, [1])
    await asyncio.sleep(0)
    tasks += await _submitted(queue, [2, 3])
    with pytest.raises(Overloaded):
        await queue.submit(4)
    recorder.gate.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30]
    assert 4 not in [request for batch in recorder.batches for request in batch]


async def test_a_full_queue_refuses_slowly() -> None:
    recorder = Recorder()
    recorder.gate.clear()
    queue = GroupCommit("test", recorder.commit, queue_limit=0, refusal_seconds=0.1)
    began = asyncio.get_running_loop().time()
    with pytest.raises(Overloaded):
        await queue.submit(1)
    assert asyncio.get_running_loop().time() - began >= 0.1
    assert recorder.batches == []


async def test_past_its_deadline_a_waiting_request_is_refused_and_never_done() -> None:
    recorder = Recorder()
    recorder.gate.clear()
    queue = GroupCommit("test", recorder.commit, deadline_seconds=0.05)
    first = await _submitted(queue, [1, 2])
    await asyncio.sleep(0)
    second = await _submitted(queue, [3])
    results = await asyncio.gather(*first, *second, return_exceptions=True)
    # The first two were in flight, so their outcome is unknown; the third had not started, so nothing was done.
    assert [type(result) for result in results] == [OutcomeUnknown, OutcomeUnknown, Overloaded]
    recorder.gate.set()
    await queue.drained()
    assert recorder.batches == [[1, 2]]


async def test_a_caller_that_goes_away_does_not_disturb_its_neighbours() -> None:
    recorder = Recorder()
    recorder.gate.clear()
    queue = GroupCommit("test", recorder.commit)
    tasks = await _submitted(queue, [1, 2, 3])
    await asyncio.sleep(0)
    tasks[1].cancel()
    recorder.gate.set()
    assert [await tasks[0], await tasks[2]] == [10, 30]


async def test_draining_waits_for_everything_accepted() -> None:
    recorder = Recorder()
    recorder.gate.clear()
    queue = GroupCommit("test", recorder.commit)
    tasks = await _submitted(queue, [1, 2])
    draining = asyncio.create_task(queue.drained())
    await asyncio.sleep(0.01)
    assert not draining.done()
    recorder.gate.set()
    await draining
    assert await asyncio.gather(*tasks) == [10, 20]
