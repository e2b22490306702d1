"""Workers of a cluster answer for a lake's sites, and one that dies costs only time."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import distributed
import pytest
from sqlalchemy import Connection, text

from logger.cli import run
from logger.errors import UsageError
from logger.lake import cluster
from logger.simulator.site import Shape, Site
from logger.store.database import opened
from tests.sample_data import fill, times, utc

SINCE = utc(2026, 5, 31)
UNTIL = SINCE + timedelta(days=1)


@pytest.fixture
def lake(sqlite_url: str, tmp_path: Path) -> Path:
    with opened(sqlite_url) as engine:
        for number in range(1, 5):
            site = Site(Shape(phases=1), SINCE - timedelta(days=number))
            fill(engine, site, times(SINCE, UNTIL, 7200), zone="Europe/Amsterdam", gateway_id=number)
    folder = tmp_path / "lake"
    assert run(["--database-url", sqlite_url, "export", "all", "--format", "parquet", "-o", str(folder)]) == 0
    return folder


@pytest.fixture
def scheduler() -> Iterator[str]:
    """A scheduler on loopback with two worker processes."""
    start: Any = distributed.LocalCluster
    with start(n_workers=0, processes=True, dashboard_address=":0", silence_logs=50) as found:
        options = ["--no-nanny", "--nthreads", "1", "--no-dashboard"]
        command = [sys.executable, "-m", "distributed.cli.dask_worker", found.scheduler_address, *options]
        workers = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
        try:
            while len(found.scheduler.workers) < len(workers):
                time.sleep(0.05)
            yield found.scheduler_address
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()


def asked(lake: Path, question: cluster.Question[Any], scheduler: str | None) -> Any:
    return cluster.answers(lake, question, UNTIL, scheduler=scheduler, step=lambda _done, _of: None)


def energy_of(flag: Path | None) -> Callable[[Connection], list[Any]]:
    def energy(connection: Connection) -> list[Any]:
        if flag is not None and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [tuple(row) for row in connection.execute(text("SELECT serial, e.* FROM energy_daily e, gateways"))]

    return energy


def test_a_cluster_gives_the_same_though_a_worker_is_killed(lake: Path, scheduler: str, tmp_path: Path) -> None:
    alone = asked(lake, energy_of(None), None)
    assert len(alone[0]) == 4
    assert asked(lake, energy_of(tmp_path / "killed"), scheduler) == alone
    assert (tmp_path / "killed").exists()


def test_a_scheduler_that_is_not_there_is_named(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.2)
    with pytest.raises(UsageError, match="localhost:8786 is no scheduler's address"):
        asked(lake, energy_of(None), "localhost:8786")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(UsageError, match=r"No Dask scheduler answers at tcp://127.0.0.1:\d+; is that its address"):
            asked(lake, energy_of(None), f"tcp://127.0.0.1:{nobody.getsockname()[1]}")


class Cluster(NamedTuple):
    """A client of a cluster, as far as its versions are looked at."""

    worker: str

    def get_versions(self) -> dict[str, Any]:
        def of(dask: str) -> dict[str, Any]:
            return {"host": {}, "packages": {"python": "3.11.7.final.0", "dask": dask, "distributed": dask}}

        return {"client": of("2026.8.0"), "scheduler": of("2026.8.0"), "workers": {"tcp://1.2.3.4:5": of(self.worker)}}


def test_a_dask_of_another_version_is_named_with_the_one_to_install(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"The worker tcp://1.2.3.4:5 has dask 2025.1.0.*'dask==2026.8.0'"):
        cluster._check(Cluster("2025.1.0"), "tcp://127.0.0.1:1", tmp_path)
