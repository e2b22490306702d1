"""A walk with real receivers: the collector, a mail server and an HTTP endpoint in which both are out for an hour.

The mail server refuses connections, the endpoint takes them and never answers, one of two gateways falls silent, and
things happen meanwhile. Each receiver gets one digest when it is back, and no poll is late.

Run it with ``scripts/soak notify``.
"""

import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from logger.clock import utc_now
from logger.settings import write_secret
from logger.simulator.numbers import Model
from logger.simulator.server import GatewayServer, Simulation
from logger.simulator.site import Shape, SimulatedClock
from tests.notify.receiving import Endpoint, Mailbox, endpoint, mail_server

EVERY_S = 5
#: What a poll may begin after its slot on a busy machine.
LATE_S = 1.0
#: The collector, whose notifier counts minutes so many times faster.
RUN = """
import sys
from logger.notify import notifier
speed, gap_s = float(sys.argv[1]), notifier.normal_gap_s
notifier.LOOK_EVERY_S /= speed
notifier.PAUSES_MIN = tuple(minutes / speed for minutes in notifier.PAUSES_MIN)
notifier.normal_gap_s = lambda every_s: gap_s(every_s) / speed
from logger.cli import main
main(["--config", sys.argv[2], "run"])
"""


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextlib.contextmanager
def hanging(port: int) -> Iterator[None]:
    """Take connections and never answer."""
    with socket.create_server(("127.0.0.1", port)):
        yield


class Walk:
    """Two gateways, a configuration that tells two receivers of them and pings a third, and the collector."""

    def __init__(self, directory: Path, speed: float, stack: contextlib.ExitStack) -> None:
        self.directory, self.speed = directory, speed
        self.mail_port, self.hook_port = free_port(), free_port()
        self.box, self.hooks = Mailbox(), list[tuple[str, str]]()
        self.monitor: Endpoint = stack.enter_context(endpoint())
        self.sites: dict[str, Simulation] = {}
        tables = [
            f'database_url = "sqlite:///{directory}/envoylog.db"\nstate_dir = "{directory}/state"',
            f"poll_every_s = {EVERY_S}\ninverters_every_s = 60\ncommit_every_s = 5",
            '[[notify]]\nname = "mail"\nurl_file = "mail.url"',
            '[[notify]]\nname = "hook"\nurl_file = "hook.url"\nwhen = ["grid_lost", "suspect", "gateway_silent"]',
            f'[healthcheck]\nurl = "{self.monitor.url}/ping"\nevery_s = 5',
        ]
        for name in ("roof", "barn"):
            clock = SimulatedClock(utc_now(), speed=1.0)
            model = Model(cts="net", serial=f"12233445560{len(self.sites)}")
            site = Simulation(shape=Shape(), model=model, clock=clock)
            self.sites[name] = site
            url = stack.enter_context(GatewayServer(site)).url
            write_secret(directory / f"{name}.token", site.token())
            tables.append(f'[[gateways]]\nname = "{name}"\nhost = "{url}"\ntoken_file = "{name}.token"\nmdns = false')
        write_secret(
            directory / "mail.url", f"mailto://127.0.0.1:{self.mail_port}?from=e@example.org&to=me@example.org"
        )
        write_secret(directory / "hook.url", f"json://127.0.0.1:{self.hook_port}/hook")
        config = directory / "config.toml"
        config.write_text("\n".join(tables))
        config.chmod(0o600)
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(speed), str(config)], stderr=subprocess.PIPE, text=True
        )
        stack.callback(self.process.kill)
        self.since_s, self.used_s, self.size_mb, self.ran_s = time.monotonic(), 0.0, 0.0, 0.0
        self.log: list[str] = []
        threading.Thread(target=lambda: self.log.extend(self.process.stderr or ()), daemon=True).start()

    def sleep(self, minutes: float) -> None:
        """Let simulated minutes pass."""
        time.sleep(60 * minutes / self.speed)

    def event(self, kind: str, subject: str) -> None:
        """Let something happen, by SQL."""
        values = (f"{utc_now():%Y-%m-%d %H:%M:%S}", kind, subject, f"{subject} happened")
        with contextlib.closing(sqlite3.connect(self.directory / "envoylog.db", timeout=30)) as connection, connection:
            connection.execute(
                "INSERT INTO events (gateway_id, at, kind, subject, detail) VALUES (1, ?, ?, ?, ?)", values
            )

    def told(self) -> bool:
        """Return whether nothing waits any more."""
        with contextlib.closing(sqlite3.connect(self.directory / "envoylog.db", timeout=30)) as connection:
            query = "SELECT count(*) FROM notifications WHERE outcome = 'waiting'"
            return bool(connection.execute(query).fetchone()[0] == 0)

    @contextlib.contextmanager
    def receivers(self) -> Iterator[None]:
        """Let both receivers answer."""
        with mail_server(self.box, self.mail_port), endpoint(self.hook_port) as hook:
            yield
            self.hooks += hook.requests

    def latenesses_s(self, site: str) -> dict[int, float]:
        """Return of each slot how long after it the gateway was asked; the soonest is none: gateways share a slot."""
        first: dict[int, float] = {}
        for request in self.sites[site].requests:
            at_s = request.at.timestamp()
            slot = int(at_s // EVERY_S)
            first[slot] = min(first.get(slot, at_s), at_s)
        soonest_s = min(at_s % EVERY_S for at_s in first.values())
        return {slot: at_s - slot * EVERY_S - soonest_s for slot, at_s in first.items()}

    def stop(self) -> None:
        """Note what the collector used, processes beside it not counted, and end it."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        self.used_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        self.size_mb, self.ran_s = pages * os.sysconf("SC_PAGE_SIZE") / 1e6, time.monotonic() - self.since_s
        self.process.terminate()
        self.process.wait(30)


def soak(directory: Path, out_min: int, speed: float) -> bool:
    """Lead the walk and print what came of it; return whether all is as it should be."""
    with contextlib.ExitStack() as stack:
        walk = Walk(directory, speed, stack)
        time.sleep(20)
        with walk.receivers():
            walk.event("grid_lost", "before")
            walk.sleep(3)
            time.sleep(15)
        before, pinged, out_at = (len(walk.box.mails), len(walk.hooks)), len(walk.monitor.requests), utc_now()
        walk.sites["barn"].fault("outage")
        with hanging(walk.hook_port):
            for number in range(6):
                walk.event("grid_lost", f"meanwhile {number}")
                walk.event("ct_disagrees", f"meanwhile {number}")
                walk.sleep(out_min / 6)
        back_at, pings = utc_now(), [path for path, _ in walk.monitor.requests[pinged:]]
        with walk.receivers():
            until = time.monotonic() + 60 * 16 / speed + 30
            while not walk.told() and time.monotonic() < until:
                time.sleep(1)
            walk.sleep(2)
        walk.stop()
        return _judged(walk, (out_at, back_at), before, pings)


def _judged(walk: Walk, outage: tuple[datetime, datetime], before: tuple[int, int], pings: list[str]) -> bool:
    late = walk.latenesses_s("roof")
    slots = range(min(late) + 1, max(late))
    missed = [slot for slot in slots if slot not in late]
    out = [slot for slot in slots if outage[0].timestamp() <= slot * EVERY_S <= outage[1].timestamp()]
    mails, hooks = walk.box.mails[before[0] :], walk.hooks[before[1] :]
    lines = " ".join(_text(mail) for mail in mails)
    with contextlib.closing(sqlite3.connect(walk.directory / "envoylog.db")) as connection:
        rows: list[Any] = connection.execute("SELECT receiver, outcome, tries FROM notifications").fetchall()
        stored = connection.execute("SELECT count(*) FROM polls WHERE gateway_id = 1").fetchone()[0]
    minutes = (outage[1] - outage[0]) / timedelta(minutes=1) * walk.speed
    click.echo(f"outage            {minutes:.0f} min, {walk.speed:g} times as fast")
    click.echo(f"slots             {len(slots)}, of which missed: {len(missed)}; {stored} polls stored")
    for what, chosen in (("in all", list(slots)), ("in the outage", out)):
        found = sorted(late[slot] for slot in chosen if slot in late)
        click.echo(f"after the slot    {what}: median {found[len(found) // 2]:.3f} s, most {found[-1]:.3f} s")
    click.echo(f"mails             {before[0]} before, then {[str(mail['subject']) for mail in mails]}")
    click.echo(f"hooks             {before[1]} before, then {len(hooks)}")
    for receiver in ("mail", "hook"):
        counted = Counter(outcome for name, outcome, _ in rows if name == receiver)
        tries = max(tries for name, _, tries in rows if name == receiver)
        click.echo(f"told {receiver}         {dict(counted)}, tried {tries} times at most")
    click.echo(f"pings meanwhile   {len(pings)}, of which at /fail: {pings.count('/ping/fail')}")
    click.echo(f"collector         {walk.used_s:.1f} s of processor, {walk.size_mb:.0f} MB, in {walk.ran_s:.0f} s")
    click.echo("".join(line for line in walk.log if "receiver=" in line or "rror" in line))
    told = all(f"meanwhile {number}" in lines for number in range(6)) and "barn: has not answered" in lines
    is_once = len(mails) == len(hooks) == 1 and {outcome for _, outcome, _ in rows} == {"sent"}
    return not missed and max(late[slot] for slot in out) < LATE_S and told and is_once


def _text(mail: Any) -> str:
    body = mail.get_body(("plain", "html"))
    return re.sub(r"<[^>]+>", " ", str(body.get_content())) if body is not None else ""
