"""A lake's sites, one by one here, or shared by the workers of a Dask cluster.

A site is one task: a worker that is killed leaves its sites to the others, which count them anew.
"""

import importlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

import logger
from logger.errors import LoggerError, StoreError, UsageError
from logger.exports import need
from logger.lake.read import SiteFiles, database_of, sites_in

Result = TypeVar("Result")
#: what is asked of the database of one site; a function of a module, which workers import
Question = Callable[[Connection], Result]
#: how long a scheduler, and its first worker, may take to be there
CONNECT_S = 10


def answers(
    lake: Path, question: Question[Result], now: datetime, *, scheduler: str | None, step: Callable[[int, int], None]
) -> tuple[list[Result], list[LoggerError]]:
    """Return what each site answers, and why some do not; ``step`` hears how many of how many are done.

    Raises:
        UsageError: there is no lake, or the cluster can't be used.
    """
    sites = sites_in(lake.resolve())
    done: dict[int, Result] = {}
    errors: list[LoggerError] = []
    found = _here(sites, question, now) if scheduler is None else _there(scheduler, lake, sites, question, now)
    for number, result in found:
        if isinstance(result, LoggerError):
            errors.append(result)
        else:
            done[number] = result
        step(len(done) + len(errors), len(sites))
    return [done[number] for number in sorted(done)], errors


def answer(site: SiteFiles, question: Question[Result], now: datetime) -> Result | LoggerError:
    """Return what a site answers, or why it does not."""
    try:
        with database_of(site, now) as engine, engine.connect() as connection:
            return question(connection)
    except LoggerError as error:
        return error


def _here(
    sites: Sequence[SiteFiles], question: Question[Result], now: datetime
) -> Iterator[tuple[int, Result | LoggerError]]:
    for number, site in enumerate(sites):
        yield number, answer(site, question, now)


def _there(
    scheduler: str, lake: Path, sites: Sequence[SiteFiles], question: Question[Result], now: datetime
) -> Iterator[tuple[int, Result | LoggerError]]:
    """Yield what a cluster's workers answer, as they do."""
    need("distributed", "fleet")
    dask: Any = importlib.import_module("distributed")  # an extra
    with _client(dask, scheduler) as client:
        _check(client, scheduler, lake)
        futures = {client.submit(answer, site, question, now, pure=False): number for number, site in enumerate(sites)}
        try:
            for future in dask.as_completed(list(futures), loop=client.loop):
                try:
                    yield futures[future], future.result()
                except dask.scheduler.KilledWorker:
                    yield (
                        futures[future],
                        StoreError(
                            f"Worker after worker died of {sites[futures[future]].gateways[0][0].serial}; "
                            "have they memory and room in TMPDIR?"
                        ),
                    )
        except (OSError, TimeoutError) as error:
            raise _away(scheduler) from error


def _client(dask: Any, scheduler: str) -> Any:
    if not scheduler.startswith(("tcp://", "tls://")):
        raise UsageError(f"{scheduler} is no scheduler's address; write it as dask scheduler shows it: tcp://HOST:8786")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of other versions; we say it ourselves.
            return dask.Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise _away(scheduler) from error


def _away(scheduler: str) -> UsageError:
    return UsageError(f"No Dask scheduler answers at {scheduler}; is that its address, and does it run: dask scheduler")


def _check(client: Any, scheduler: str, lake: Path) -> None:
    """Check that the cluster has workers of our versions, which see the lake.

    Raises:
        UsageError: it has not.
    """
    versions = client.get_versions()
    own = _packages(versions["client"])
    for name, other in (("The scheduler", versions["scheduler"]), *versions["workers"].items()):
        for package, version in own.items():
            if (theirs := _packages(other).get(package)) != version:
                who = name if name == "The scheduler" else f"The worker {name}"
                raise UsageError(
                    f"{who} has {package} {theirs or 'of no known version'}, this machine {version}; install the same: "
                    f"pip install '{package}=={version}'"
                )
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError as error:
        raise UsageError(f"The scheduler {scheduler} has no workers; start some: dask worker {scheduler}") from error
    try:
        looks = client.run(look, str(lake.resolve()))
    except ModuleNotFoundError as error:
        raise UsageError(
            f"A worker has no envoylog; install it there: pip install 'envoylog[fleet]=={logger.__version__}'"
        ) from error
    for worker, (version, is_there) in looks.items():
        if version != logger.__version__:
            raise UsageError(
                f"The worker {worker} has envoylog {version}, this machine {logger.__version__}; install the same."
            )
        if not is_there:
            raise UsageError(
                f"The worker {worker} does not see {lake.resolve()}; a lake has to have the same path on all machines."
            )


def _packages(versions: Any) -> dict[str, str]:
    """Return what has to be the same everywhere."""
    found = {name: versions["packages"][name] for name in ("dask", "distributed")}
    python = str(versions["packages"].get("python") or ".".join(map(str, versions["host"]["python"][:2])))
    return {name: str(version) for name, version in found.items()} | {"python": ".".join(python.split(".")[:2])}


def look(lake: str) -> tuple[str, bool]:
    """Return the version of envoylog that a worker has, and whether it sees the lake."""
    return logger.__version__, Path(lake).is_dir()
