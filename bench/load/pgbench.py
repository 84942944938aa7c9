"""pgbench: the usual one-booking transaction without a web server."""

import re
from pathlib import Path
from statistics import quantiles

from harness.watchdog import temporary_folder

from bench.database import SQL
from bench.processes import output_of
from bench.readings import CheckFailed, Reading
from bench.tools import PGBENCH, path_of

THREADS = 2


def run(url: str, slots: int, clients: int, seconds: int) -> tuple[Reading, int]:
    """The reading, and the number of transactions that committed."""
    with temporary_folder("pgbench-") as folder:
        threads = min(clients, THREADS)
        numbers = ["-c", f"{clients}", "-j", f"{threads}", "-T", f"{seconds}", "-D", f"slots={slots}"]
        options = ["-n", "-M", "prepared", "--log", f"--log-prefix={folder}/log"]
        printed = output_of([path_of(PGBENCH), *options, *numbers, "-f", SQL / "book_one.pgbench", url])
        transactions, rate = parse(printed)
        p50, p99 = percentiles(latencies(folder))
    return Reading(rate, p50, p99), transactions


def parse(printed: str) -> tuple[int, float]:
    """Transactions, and transactions per second without connecting. Raises `CheckFailed` if one failed."""
    transactions = re.search(r"transactions actually processed: (\d+)", printed)
    rate = re.search(r"^tps = ([\d.]+)", printed, re.MULTILINE)
    failed = re.search(r"number of failed transactions: (\d+)", printed)
    if transactions is None or rate is None or (failed and failed[1] != "0"):
        raise CheckFailed(f"pgbench says: {printed[-1000:]}")
    return int(transactions[1]), float(rate[1])


def latencies(folder: Path) -> list[float]:
    """The time of each transaction in milliseconds, from the third column of pgbench's logs (microseconds)."""
    lines = (line for log in sorted(folder.glob("log.*")) for line in log.read_text().splitlines())
    return [int(line.split()[2]) / 1000 for line in lines]


def percentiles(times: list[float]) -> tuple[float, float]:
    """The 50th and the 99th percentile."""
    cuts = quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[98]
