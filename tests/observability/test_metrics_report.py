"""The report of all workers' metrics, also while one of them is being started or was killed then."""

from pathlib import Path
from typing import Any

from prometheus_client.mmap_dict import MmapedDict, mmap_key

from slotwise.observability.metrics_report import MetricsReport


def write_counter(file: Path, value: float) -> None:
    key = mmap_key("seen", "seen_total", [], [], "Things seen")
    values: Any = MmapedDict(str(file))  # type: ignore[no-untyped-call]  # the library has no types for its files
    values.write_value(key, value, 0.0)
    values.close()


def test_metrics_of_all_workers_are_added_up(tmp_path: Path) -> None:
    write_counter(tmp_path / "counter_1.db", 2)
    write_counter(tmp_path / "counter_2.db", 3)
    assert b"seen_total 5.0" in MetricsReport(tmp_path).text()


def test_a_worker_that_was_killed_before_its_first_metric_hides_no_other_workers(tmp_path: Path) -> None:
    write_counter(tmp_path / "counter_1.db", 2)
    for kind in ("counter", "histogram", "gauge_livesum"):
        (tmp_path / f"{kind}_999999999.db").touch()
    assert b"seen_total 2.0" in MetricsReport(tmp_path).text()


def test_gauges_that_are_removed_while_they_are_read_hide_nothing(tmp_path: Path) -> None:
    write_counter(tmp_path / "counter_1.db", 2)
    (tmp_path / "gauge_livesum_999999999.db").symlink_to(tmp_path / "removed")
    assert b"seen_total 2.0" in MetricsReport(tmp_path).text()
