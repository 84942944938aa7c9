"""The answer of `GET /metrics`: metrics of all workers of this server, its release, and its processes' resources."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from multiprocessing import parent_process
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Metric, ProcessCollector, generate_latest, multiprocess
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from slotwise import __version__
from slotwise.observability.request_meters import REQUEST_METERS

# For these, the report has the minimum of all processes instead of the sum: the first start, the lowest limit.
LEAST_OF = frozenset({"process_start_time_seconds", "process_max_fds"})


class MetricsReport:
    """Metrics in Prometheus' text format. `shared` is the directory with all workers' metrics; None for one process."""

    def __init__(self, shared: Path | None) -> None:
        self._registry = CollectorRegistry()
        if shared is None:
            self._registry.register(_Own())
        else:
            self._registry.register(_Workers(shared))
            self._registry.register(_Processes(shared))
        self._registry.register(_Release())

    def text(self) -> bytes:
        REQUEST_METERS.flush()
        return generate_latest(self._registry)


class _Own(Collector):
    """The metrics of this process, including the library's own."""

    def collect(self) -> Iterable[Metric]:
        return REGISTRY.collect()


class _Workers(Collector):
    """The metrics of all workers, added up.

    A worker's file is empty for a moment when it is made, and for good if the worker is killed then. The library fails
    at such a file (prometheus/client_python, issue 1199), so empty ones are left out.
    """

    def __init__(self, shared: Path) -> None:
        self._shared = shared

    def collect(self) -> Iterable[Metric]:
        begun = [str(path) for path in self._shared.glob("*.db") if _size(path)]
        metrics: Iterable[Metric] = multiprocess.MultiProcessCollector.merge(begun)  # type: ignore[no-untyped-call]
        return metrics


class _Release(Collector):
    """The version in Prometheus' usual form: a gauge that is always 1."""

    def collect(self) -> Iterable[Metric]:
        release = GaugeMetricFamily("slotwise_build_info", "The release of this server; always 1", labels=["version"])
        release.add_metric([__version__], 1)
        yield release


class _Processes(Collector):
    """The standard `process_*` metrics of the supervisor and all workers together. Only available on Linux."""

    def __init__(self, shared: Path) -> None:
        self._shared = shared

    def collect(self) -> Iterable[Metric]:
        by_name: dict[str, list[Metric]] = defaultdict(list)
        for pid in self._pids():
            for metric in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                by_name[metric.name].append(metric)
        yield from map(_added_up, by_name.values())

    def _pids(self) -> set[int]:
        workers = {int(path.stem.rpartition("_")[2]) for path in self._shared.glob("gauge_livesum_*.db")}
        supervisor = parent_process()
        return workers | {os.getpid()} | ({supervisor.pid} if supervisor and supervisor.pid else set())


def _added_up(same: Sequence[Metric]) -> Metric:
    """One metric for several processes, from the metric of each."""
    first = same[0]
    values = [sample.value for metric in same for sample in metric.samples]
    name = first.samples[0].name
    together = Metric(first.name, first.documentation, first.type)
    together.add_sample(name, {}, min(values) if name in LEAST_OF else sum(values))
    return together


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a dead worker's gauges have just been removed
        return 0
