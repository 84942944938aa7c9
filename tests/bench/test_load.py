"""What the load generators print, captured from real runs, and what is made of it."""

from pathlib import Path

import pytest
from bench.load import h2load, pgbench, wrk
from bench.readings import CheckFailed

WRK_SAID = """\
Running 1s test @ http://127.0.0.1:45799
  2 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.29ms    3.71ms  39.35ms   95.21%
    Req/Sec   515.32    136.61   750.00     68.18%
  1129 requests in 1.10s, 663.69KB read
  Non-2xx or 3xx responses: 829
Requests/sec:   1025.19
Transfer/sec:    602.67KB
{"microseconds":1101255,"statuses":{"201":300,"409":829},"retryAfter":0,"p50":3610,"p99":26470,"longest":39350,"broken":0,"timeouts":0}
"""
PGBENCH_SAID = """\
pgbench (18.6)
transaction type: sql/book_one.pgbench
scaling factor: 1
query mode: prepared
number of clients: 4
number of threads: 2
maximum number of tries: 1
duration: 1 s
number of transactions actually processed: 1913
number of failed transactions: 0 (0.000%)
latency average = 2.084 ms
initial connection time = 7.678 ms
tps = 1919.328024 (without initial connection time)
"""
PGBENCH_LOGGED = "0 1 2310 0 1795400800 123456\n1 1 1905 0 1795400800 123999\n0 2 2111 0 1795400800 125678\n"
H2LOAD_LOGGED = "1795400891836963\t503\t1300472\n1795400891836971\t201\t1300796\n1795400892836963\t503\t1305039\n"


def test_wrk_tells_every_status_and_the_rate_of_one() -> None:
    answers = wrk.parse(WRK_SAID)
    assert answers.statuses == {201: 300, 409: 829}
    reading = answers.reading(409)
    assert (round(reading.rate), reading.p50, reading.p99) == (753, 3.61, 26.47)


def test_an_unexpected_status_fails_the_check() -> None:
    answers = wrk.parse(WRK_SAID)
    answers.require(201, 409)
    with pytest.raises(CheckFailed, match="829"):
        answers.require(201)


@pytest.mark.parametrize("trouble", ['"broken":1', '"timeouts":1'])
def test_a_broken_connection_or_a_late_answer_fails_the_check(trouble: str) -> None:
    name = trouble.partition(":")[0]
    answers = wrk.parse(WRK_SAID.replace(f"{name}:0", trouble))
    with pytest.raises(CheckFailed):
        answers.require(201, 409)


def test_wrk_without_a_result_fails_the_check() -> None:
    with pytest.raises(CheckFailed, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_pgbench_tells_its_commits_and_their_rate() -> None:
    assert pgbench.parse(PGBENCH_SAID) == (1913, 1919.328024)


def test_failed_transactions_of_pgbench_fail_the_check() -> None:
    with pytest.raises(CheckFailed):
        pgbench.parse(PGBENCH_SAID.replace("failed transactions: 0", "failed transactions: 7"))


def test_pgbench_logs_of_all_threads_make_the_percentiles(tmp_path: Path) -> None:
    (tmp_path / "log.4711").write_text(PGBENCH_LOGGED)
    (tmp_path / "log.4711.1").write_text("2 1 9000 0 1795400800 125999\n")
    times = pgbench.latencies(tmp_path)
    assert sorted(times) == [1.905, 2.111, 2.31, 9.0]
    p50, p99 = pgbench.percentiles(times)
    assert 2.1 < p50 < 2.4
    assert 8 < p99 <= 9


def test_h2load_tells_the_admitted_from_the_refused_and_when_they_were_answered() -> None:
    flood = h2load.parse(H2LOAD_LOGGED)
    assert (flood.count(201), flood.count(503), flood.count(503, within=2)) == (1, 2, 1)
    flood.require(201, 503)
    with pytest.raises(CheckFailed):
        flood.require(201)
