"""The attacks, by the name of what is attacked; each returns what came of it in words, or fails."""

import contextlib
import gzip
import itertools
import json
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from logger.gateway import profile as profiles
from logger.store.database import opened
from tests.attack.arena import BAD, GOOD, Arena
from tests.attack.documents import RECORDINGS
from tests.attack.hostile import Hostile, Reply
from tests.store.test_hanging import Proxy

Attack = Callable[[Arena], str]
ATTACKS: dict[str, Attack] = {}
#: These need a server.
ON_A_SERVER = {"hanging server", "reader"}
DEVICES, METERED = "8.2-device-data", "7.6-metered-three-phase"
#: In the place of any text of a gateway.
TEXTS = (
    "\ud800",
    "a\x00b\x1b[2J\x07",
    "\u202eroof\u2066",
    "=cmd|' /C calc'!A0",
    "\u2028\u0085",
    "x" * 50_000,
    "\U000e0001",
)


def attack(name: str) -> Callable[[Attack], Attack]:
    """Keep an attack under a name."""

    def keep(function: Attack) -> Attack:
        ATTACKS[name] = function
        return function

    return keep


def _changed(arena: Arena, recording: str, path: str, change: Callable[[Any], Any]) -> Callable[[str], Reply]:
    """Return replies of a recording of which one page is changed."""
    replies = arena.recorded(recording)

    def reply(asked: str) -> Reply:
        found: Reply = replies(asked)
        if asked != path or found.status != 200:
            return found
        return found._replace(body=json.dumps(change(json.loads(found.body))).encode())

    return reply


@attack("many gateways")
def many_gateways(arena: Arena) -> str:
    """Many gateways are seen for the first time in the same second."""
    names = [f"house {number}" for number in range(12)]
    for number, name in enumerate(names):
        arena.simulate(name, serial=f"12220000{number:04}")
    arena.poll(5)
    arena.stop()
    said = arena.check(GOOD, *names)
    ids = arena.query("SELECT count(DISTINCT gateway_id), count(DISTINCT serial) FROM gateways")
    assert ids == [(len(names) + 1, len(names) + 1)], f"ids and serials: {ids}"
    return f"{len(names) + 1} gateways, {said}"


@attack("odd texts")
def odd_texts(arena: Arena) -> str:
    """Serials, names and states that are no text that a database or a terminal takes."""
    number = iter(range(10**6))

    def change(document: Any) -> Any:
        if isinstance(document, dict):
            return {key: change(part) for key, part in document.items()}
        if isinstance(document, list):
            return [change(part) for part in document]
        return TEXTS[next(number) % len(TEXTS)] if isinstance(document, str) and next(number) % 3 == 0 else document

    replies = [_changed(arena, DEVICES, path, change) for path in (profiles.DEVICE_DATA, profiles.V1_INVERTERS)]
    plain = arena.recorded(DEVICES)
    pages = {profiles.DEVICE_DATA: replies[0], profiles.V1_INVERTERS: replies[1]}
    arena.attack_with(lambda path: pages.get(path, plain)(path))
    arena.poll(20)
    arena.stop()
    shown = [arena.run(*command).stdout for command in (("status",), ("report", "inverters"), ("export", "inverters"))]
    odd = [letter for letter in "".join(shown) if not letter.isprintable() and letter not in "\n\r"]
    assert not odd, f"a terminal gets {odd[:5]}"
    assert not any(line.startswith(("=", ",=")) or ",=" in line for line in shown[2].splitlines()), "a formula"
    return arena.check(GOOD, BAD)


@attack("odd numbers")
def odd_numbers(arena: Arena) -> str:
    """Times in milliseconds, numbers that no column holds."""
    odd = itertools.cycle([10**30, -5, "1781524800000", 2**31, 1e308, "nan"])

    def change(page: Any) -> Any:
        minute = len(arena.asked)
        if minute in {3, 4}:
            return [{**ct, "timestamp": 1000 * ct["timestamp"]} for ct in page]
        keys = ("timestamp", "activePower", "actEnergyDlvd", "eid")
        return page if minute % 2 else [{**ct, keys[(n + minute) % 4]: next(odd)} for n, ct in enumerate(page)]

    arena.attack_with(_changed(arena, METERED, profiles.READINGS, change))
    arena.poll(20)
    arena.stop()
    for command in (("db", "check"), ("db", "rebuild")):
        ended = arena.run(*command)
        assert "Traceback" not in ended.stderr, ended.stderr[-500:]
        assert not re.search("year [0-9]|unexpected", ended.stderr), f"{command}: {ended.stderr[-300:]}"
    return arena.check(GOOD, BAD)


@attack("another serial")
def another_serial(arena: Arena) -> str:
    """Another gateway answers at the start, for one poll, then the right one again."""
    is_other = False
    replies = arena.recorded(METERED)

    def reply(path: str) -> Reply:
        found: Reply = replies(path)
        return found._replace(body=found.body.replace(b"122334455668", b"122334455999")) if is_other else found

    arena.attack_with(reply)
    arena.lines[-1] = "mdns = true"  # Where nothing can look, nothing is found.
    arena.poll(3)
    arena.stop()
    is_other = True
    arena.poll(1)
    is_other = False
    arena.poll(4)
    arena.stop()
    back = len([at for at in arena.times_of(BAD) if at >= arena.at - timedelta(minutes=3)])
    since = f"{arena.at - timedelta(minutes=3):%Y-%m-%d %H:%M:%S}"
    complete = arena.query("SELECT count(*) FROM polls JOIN gateways USING (gateway_id) WHERE name = 'bad'"
                           f" AND outcome <> 'failed' AND polled_at >= '{since}'")  # fmt: skip
    assert (back, complete) == (3, [(3,)]), f"{back} polls after it was back, {complete}"
    return arena.check()


@attack("full disks")
def full_disks(arena: Arena) -> str:
    """Database and state lie on a disk that is full for three hours; then the power is cut."""
    with arena.small_disk(3 * 1024) as disk:
        arena.state_dir = disk / "state"
        if arena.database_url.startswith("sqlite"):
            arena.database_url = f"sqlite:///{disk}/envoylog.db"
        arena.poll(5)
        with contextlib.suppress(OSError), (disk / "ballast").open("ab", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        arena.poll(180)
        arena.kill()
        (disk / "ballast").unlink()
        arena.poll(5)
        arena.stop()
        return arena.check()


@attack("full state")
def full_state(arena: Arena) -> str:
    """The disk of the state is full for an hour, the database's is not; then the power is cut."""
    with arena.small_disk(2 * 1024) as disk:
        arena.state_dir = disk / "state"
        arena.poll(5)
        with contextlib.suppress(OSError), (disk / "ballast").open("ab", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        arena.poll(60)
        arena.kill()
        (disk / "ballast").unlink()
        arena.poll(5)
        arena.stop()
        return arena.check()


@attack("vanishing files")
def vanishing_files(arena: Arena) -> str:
    """The spool's file, its folder and the database's file are removed while polls are taken."""
    arena.poll(5)
    until_s = time.monotonic() + 20
    while len(arena.times_of(GOOD)) < 4 and time.monotonic() < until_s:
        time.sleep(0.2)  # A server's tables are being made: here minutes pass within a second.
    spool = arena.state_dir / "spool"
    (spool / "good.jsonl").unlink()
    arena.poll(5)
    while spool.exists():  # The collector makes files meanwhile.
        shutil.rmtree(spool, ignore_errors=True)
    arena.poll(5)
    path = make_url(arena.database_url).database
    if arena.database_url.startswith("sqlite") and path:
        for name in (path, f"{path}-wal", f"{path}-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
        arena.asked.clear()  # What it held went with it.
    arena.poll(10)
    arena.stop()
    arena.poll(1)  # A start asks who answers; the database that was made anew does not know the gateway.
    arena.stop()
    found, asked = arena.times_of(GOOD), arena.asked
    # A poll that was being stored when a file went may have gone with it.
    lost = [at for at in asked if at not in found]
    assert len(lost) <= 1, f"{len(lost)} polls are lost"
    assert "removed" in arena.logs, "nothing was said"
    arena.check_quiet()
    return f"{len(asked)} slots, {len(lost)} lost with the file that was removed, said in the log"


@attack("hanging server")
def hanging_server(arena: Arena) -> str:
    """The database server hangs for a day, all connections open."""
    url = make_url(arena.database_url)
    host = str(url.host or url.query.get("host") or "127.0.0.1")
    arena.patience_s = 1.0
    with contextlib.closing(Proxy(host, url.port or int(str(url.query.get("port", 5432))))) as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port, query={})
        direct, arena.database_url = arena.database_url, through.render_as_string(hide_password=False)
        arena.poll(5)
        proxy.is_hanging = True
        arena.poll(SLOTS["hanging server"])
        proxy.is_hanging = False
        arena.poll(5)
        proxy.is_hanging = True
        arena.poll(2)
        started = time.monotonic()
        arena.stop()
        took_s = time.monotonic() - started
        assert took_s < 25, f"a stop took {took_s:.0f} s while the server hung"
        proxy.is_hanging = False
        arena.poll(1)
        arena.stop()
        arena.database_url = direct
        return f"{arena.check()}, stopped in {took_s:.0f} s while it hung"


#: of what lasts, in slots of a minute
SLOTS = {"hanging server": 1440}


@attack("clock ahead")
def clock_ahead(arena: Arena) -> str:
    """Our clock is an hour ahead for 150 minutes, and right after a restart: only ages of readings tell."""
    arena.poll(30)
    arena.stop()
    arena.ahead = timedelta(hours=1)
    arena.poll(150)
    arena.stop()
    arena.ahead = timedelta(0)
    arena.poll(90)
    arena.stop()
    (site,) = (simulation.site for simulation in arena.simulations)
    true_wh = site.energy_between_wh("production", arena.asked[0], arena.asked[-1])
    ((wh,),) = arena.query("SELECT SUM(production_wh) FROM energy_daily WHERE phase = 'total'")
    off_pct = 100 * (wh / true_wh - 1)
    assert abs(off_pct) < 0.5, f"the day is {off_pct:+.1f} % off"
    return f"{arena.check(slack_s=2)}, the day is {off_pct:+.2f} % off"


@attack("endless numbers")
def endless_numbers(arena: Arena) -> str:
    """Numbers of 200 000 digits, as numbers and as text."""
    huge = [
        "9" * 200_000,
        "9" * 200_000 + "x",
        "0." + "1" * 200_000,
        "1" * 100_000 + "e" + "5" * 100_000,
        " " * 200_000,
    ]
    change = lambda page: [{**ct, "activePower": huge[n % 5], "voltage": huge[-1 - n % 5]} for n, ct in enumerate(page)]  # noqa: E731
    arena.attack_with(_changed(arena, METERED, profiles.READINGS, change))
    arena.poll(5)
    arena.stop()
    assert arena.slowest_s < 20, f"a slot took {arena.slowest_s:.0f} s"
    return f"{arena.check(GOOD, BAD)}, a slot took {arena.slowest_s:.1f} s at most"


@attack("plain http")
def plain_http(arena: Arena) -> str:
    """TLS is cut in a running session; who then listens at the port gets plain requests."""
    got: list[bytes] = []
    for mode in ("verify", "off", "pin"):
        server = Hostile(arena.recorded(METERED))
        name = f"roof {mode}"
        arena.collect_from(name, f"127.0.0.1:{server.port}", arena.bad_token, f'tls = "{mode}"')
        arena.poll(2)
        server.close()
        with Hostile(arena.recorded(METERED), port=server.port, is_secure=False) as plain:
            arena.poll(4)
            arena.stop()
            arena.poll(2)
            arena.stop()
        got += plain.received
        del arena.lines[-7:]
    sent = [secret for secret in [*arena.secrets, "sessionId"] if any(secret.encode() in request for request in got)]
    assert not sent, "the token was sent over plain HTTP"
    assert not any(b"Authorization" in request or b"Cookie" in request for request in got), "credentials were sent"
    return f"{arena.check()}, {len(got)} requests in the open, 0 with a secret"


@attack("pin")
def pin(arena: Arena) -> str:
    """The file of the pinned certificate is emptied, and another certificate answers."""
    server = Hostile(arena.recorded(METERED))
    arena.collect_from("roof", server.url, arena.bad_token)
    arena.poll(2)
    arena.stop()
    server.close()
    for content in (b"", b"\n", b"0" * 63, b"\xff" * 64, b"g" * 64):
        (arena.state_dir / "certificates" / "roof.sha256").write_bytes(content)
        with Hostile(arena.recorded(METERED), port=server.port) as other:
            arena.poll(2)
            arena.stop()
        assert not other.received, f"{len(other.received)} requests went to whoever answered"
    return f"{arena.check()}, 0 requests sent"


@attack("configuration")
def configuration(arena: Arena) -> str:
    """A configuration with a password that everybody reads; passwords in URLs of every form."""
    shown = []
    for url in ("postgresql://me:hunter2@127.0.0.1:1/x", "postgresql://me@127.0.0.1:1/x?password=hunter2",
                "postgresql://me:p%40hunter2@127.0.0.1:1/x", "postgresql://127.0.0.1:1/x?user=me&password=hunter2",
                "postgres://me:a:hunter2@127.0.0.1:1/x", "postgresql://me:x@hunter2@127.0.0.1:1/x",
                "postgresql://me@127.0.0.1:1/x?sslpassword=hunter2", "postgresql://me@127.0.0.1:1/x?PASSWORD=hunter2",
                "host=127.0.0.1 password=hunter2", "postgresql+psycopg://me:hunter2@[::1]:1/x"):  # fmt: skip
        arena.database_url = url
        for environ in ({}, {"ENVOYLOG_DATABASE_URL": url}):
            for command in (
                ("config", "show"),
                ("config", "check"),
                ("status",),
                ("health",),
                ("poll",),
                ("db", "check"),
            ):
                ended = arena.run("-v", *command, environ=environ) if command[0] == "poll" else arena.run(*command)
                shown.append(ended.stdout + ended.stderr)
    assert not any("hunter2" in text for text in shown), next(text for text in shown if "hunter2" in text)[:300]
    assert not any("Traceback" in text for text in shown), next(text for text in shown if "Traceback" in text)[:900]
    arena.database_url = "postgresql://me:hunter2@127.0.0.1:1/x"
    path = arena.config
    path.chmod(0o644)
    refused = subprocess.run([sys.executable, "-m", "logger", "--config", str(path), "status"], check=False,
                             capture_output=True, text=True, cwd=arena.checkout)  # fmt: skip
    assert refused.returncode == 3, f"a configuration that everybody reads: {refused.returncode} {refused.stderr}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    return f"{len(shown)} commands, 0 with the password; readable by all: refused with exit 3"


@attack("reader")
def reader(arena: Arena) -> str:
    """A reader with a difficult password takes what locks it can, before the collector starts."""
    password, role = "100%s %(x)s'\"\\ ü", f"attack_{arena.dice.randrange(10**9)}"
    arena.run("db", "upgrade")
    made = arena.run("sql", "create-reader", role, stdin=f"{password}\n")
    assert made.returncode == 0, made.stderr
    url = make_url(arena.database_url).set(username=role, password=password)
    with opened(url.render_as_string(hide_password=False)) as engine, engine.connect() as connection:
        key = int.from_bytes(b"envoylog")
        for statement in (f"SELECT pg_try_advisory_lock({key})", "SELECT * FROM polls LIMIT 1"):
            connection.exec_driver_sql(statement).all()
        query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        tables = connection.exec_driver_sql(query).scalars().all()
        for table in tables:
            with contextlib.suppress(SQLAlchemyError), connection.begin_nested():
                connection.exec_driver_sql(f'LOCK TABLE "{table}" IN ACCESS SHARE MODE NOWAIT')
        arena.poll(5)
        arena.stop()
        written = False
        with contextlib.suppress(SQLAlchemyError):
            connection.exec_driver_sql("DELETE FROM polls")
            written = True
        assert not written, "the reader could delete"
    said = arena.check()
    with opened(arena.database_url) as engine, engine.begin() as connection:
        for statement in (f"DROP OWNED BY {role}", f"DROP ROLE {role}"):
            connection.exec_driver_sql(statement)
    return f"{said}, with every lock that the reader may take"


@attack("floods")
def floods(arena: Arena) -> str:
    """Answers that never end, of every kind, as fast as they are read."""
    ok, chunked = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    replies = [
        Reply(200, endless=b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
        Reply(200, head=chunked + b"2\r\n[]\r\n0\r\n", endless=b"X-Trailer: 1\r\n" * 500),
        Reply(200, head=ok, endless=b"X-Header: 1\r\n" * 500),
        Reply(200, head=chunked, endless=b"1;" + b"x" * 60_000 + b"\r\n[\r\n"),
        Reply(200, head=chunked, endless=b"1\r\n \r\n" * 500),
        Reply(200, head=ok + b"\r\n", endless=b" " * 60_000),
        Reply(401, head=chunked.replace(b"200 OK", b"401 No") + b"0\r\n", endless=b"X-Trailer: 1\r\n" * 500),
        Reply(200, endless=b"\r\n" * 30_000),
    ]  # fmt: skip
    number, honest = itertools.count(), arena.recorded(METERED)
    arena.attack_with(lambda path: replies[next(number) % len(replies)] if path != profiles.INFO else honest(path))
    info = Hostile(lambda _: replies[next(number) % len(replies)])
    with info:
        arena.collect_from("worse", info.url, arena.bad_token)
        arena.poll(12)
        arena.stop()
    assert arena.slowest_s < 20, f"a slot took {arena.slowest_s:.0f} s"
    return f"{arena.check()}, a slot took {arena.slowest_s:.1f} s at most"


@attack("new serials")
def new_serials(arena: Arena) -> str:
    """Every list names other devices each time: inverters, batteries, meters and contacts without end."""
    number = itertools.count()
    serials = {"serialNumber", "serial_num", "sn", "eid", "id", "name", "load_name", "contact_name"}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: next(number) if key in serials else renamed(part) for key, part in value.items()}
        return [renamed(part) for part in value] if isinstance(value, list) else value

    replies = arena.recorded("8.2-iq-batteries")

    def reply(path: str) -> Reply:
        found: Reply = replies(path)
        if path in {profiles.INFO, profiles.METERS} or found.status != 200 or found.body[:1] not in b"[{":
            return found
        page = json.loads(found.body)
        page = renamed(page * 40) if isinstance(page, list) else renamed(page)
        return found._replace(body=json.dumps(page).encode())

    arena.attack_with(reply)
    arena.poll(60)
    first_kb = arena.collector.peak_kb
    arena.poll(240)
    arena.stop()
    grew_mb = (arena.peak_kb - first_kb) / 1000
    assert grew_mb < 12, f"memory grew by {grew_mb:.0f} MB in four hours"
    return f"{arena.check()}, memory grew by {grew_mb:.1f} MB in four hours"


@attack("bombs")
def bombs(arena: Arena) -> str:
    """Bodies that are some gigabytes when they are unpacked, on every status; documents as large as may be."""
    zeros = gzip.compress(bytes(300_000_000), 6)
    packed = {"Content-Encoding": "gzip"}
    challenge = {"WWW-Authenticate": 'Digest realm="x", nonce="y", qop="auth"'}
    deep, wide = b'{"a":' * 400_000, b"[" + b"{}," * 650_000 + b"{}]"
    replies = [
        Reply(200, zeros, packed), Reply(302, zeros, {**packed, "Location": "http://[x"}), Reply(200, deep),
        Reply(401, zeros, {**packed, **challenge}), Reply(200, wide), Reply(200, b"\x00" * 8_000_000),
        Reply(200, b"[]", {f"Set-Cookie{n}": "x" for n in range(90)} | {"Set-Cookie": "a=" + "b" * 60_000}),
        Reply(200, b"{}", {"Content-Length": "99999999999"}), Reply(403, zeros, packed), Reply(500, zeros, packed),
        Reply(200, zeros, {"Content-Encoding": "deflate"}), Reply(200, b'"' + b"\\u0000" * 300_000 + b'"'),
        Reply(200, gzip.compress(zeros, 9), {"Content-Encoding": "gzip, gzip"}),
        Reply(200, b"<envoy_info>" + b"<device>" * 200_000), Reply(204), Reply(599, wide),
    ]  # fmt: skip
    number, honest = iter(range(10**6)), arena.recorded(DEVICES)
    arena.attack_with(lambda path: replies[next(number) % len(replies)] if path != profiles.INFO else honest(path))
    info = Hostile(lambda _: replies[next(number) % len(replies)])
    with info:
        arena.collect_from("worse", info.url, arena.bad_token)
        arena.poll(40)
        arena.stop()
    return f"{arena.check()}, 40 polls of bombs"


def mutations(arena: Arena, polls: int, share: float = 0.02) -> str:
    """Mutated documents of every recorded gateway, a good gateway beside it at every slot."""
    current = arena.recorded(RECORDINGS[0])

    def reply(path: str) -> Reply:
        found: Reply = current(path)
        return found

    arena.attack_with(reply)
    for number in range(polls):
        if number % 25 == 0:
            current = arena.recorded(arena.dice.choice(RECORDINGS), share * arena.dice.choice((0.3, 1.0, 4.0)))
        arena.poll()
    arena.stop()
    bad = len(arena.times_of(BAD))
    threads = arena.most_threads
    return f"{arena.check()}; {bad} of {polls} attacked ones stored, {threads} threads at most"


@attack("stop")
def stop(arena: Arena) -> str:
    """What systemd runs is asked to stop while a gateway is silent and the database hangs, or is locked."""
    took_s = []
    for number in (signal.SIGTERM, signal.SIGHUP):
        with closing_socket() as port, contextlib.ExitStack() as stack:
            del arena.lines[6:]
            arena.collect_from(BAD, f"https://127.0.0.1:{port}", arena.bad_token)
            hang = _hanging(arena, stack)
            process = arena.begin("run", environ={"ENVOYLOG_POLL_EVERY_S": "5"})
            time.sleep(12)
            hang()
            time.sleep(12)
            started = time.monotonic()
            process.send_signal(number)
            _, log = process.communicate(timeout=60)
            took_s.append(time.monotonic() - started)
            arena.logs += log
            assert process.returncode == 0, f"{process.returncode}: {log[-500:]}"
    arena.check_quiet()
    assert max(took_s) < 10, f"a stop took {max(took_s):.1f} s"
    return f"stopped within {max(took_s):.1f} s"


def _hanging(arena: Arena, stack: contextlib.ExitStack) -> Callable[[], None]:
    """Return what lets the database hang from then on, until the stack is closed."""
    if arena.database_url.startswith("sqlite"):

        def lock() -> None:
            engine = stack.enter_context(opened(arena.database_url))
            stack.enter_context(engine.begin())

        return lock
    url = make_url(arena.database_url)
    host, port = str(url.host or url.query.get("host") or "127.0.0.1"), url.port or 5432
    proxy = stack.enter_context(contextlib.closing(Proxy(host, port)))
    direct = arena.database_url
    stack.callback(lambda: setattr(arena, "database_url", direct))
    through = url.set(host="127.0.0.1", port=proxy.port, query={})
    arena.database_url = through.render_as_string(hide_password=False)
    stack.callback(lambda: setattr(proxy, "is_hanging", False))
    return lambda: setattr(proxy, "is_hanging", True)


@attack("silence")
def silence(arena: Arena) -> str:
    """A gateway that takes connections and says nothing, or one byte a second, beside one that answers well."""
    with closing_socket() as port:
        arena.collect_from(BAD, f"https://127.0.0.1:{port}", arena.bad_token)
        arena.poll(3)
        arena.stop()
    assert arena.slowest_s < 30, f"a slot took {arena.slowest_s:.0f} s"
    return f"{arena.check()}, a slot took {arena.slowest_s:.1f} s at most"


@contextlib.contextmanager
def closing_socket() -> Iterator[int]:
    """Listen at a port, take connections and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(listening.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        yield listening.getsockname()[1]
        listening.close()
        for connection in held:
            connection.close()
