"""A collector in a process of its own, with a clock that is given to it and its own threads; its memory is measured.

It is what ``envoylog run`` is made of, but for the schedule: slots come as lines, so that a day takes some minutes.
"""

import json
import os
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import IO, Any

#: Settings, the first instant, and the seconds that a transaction may take; a slot per line.
CHILD = """
import json, os, sys, threading
from datetime import datetime
from pathlib import Path
from logger import settings
from logger.collector import process
from logger.collector.wiring import pollers
from logger.collector.writer import Writer
from logger.store import lock
lock.PATIENCE_S = float(sys.argv[3])
process.share_one_heap()
loaded = settings.load(Path(sys.argv[1]), {})
database = lock.CollectorDatabase(loaded.database_url)
now = [datetime.fromisoformat(sys.argv[2])]
polling = pollers(loaded, database, {}, clock=lambda: now[0])
complain = lambda error: print(error, file=sys.stderr)
writer = Writer([poller.keeper for poller in polling], lambda: now[0], complain)
writer.start()
for poller in polling:
    poller.gateway.budget_s = 5.0  # What is slow takes real time.
for line in sys.stdin:
    now[0] = datetime.fromisoformat(line.strip())
    tasks = [
        threading.Thread(target=poller.poll, args=(now[0],), kwargs={"inverters": now[0].minute % 5 == 0})
        for poller in polling
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    for poller in polling:
        if poller.keeper.is_due(now[0]):
            writer.wake(poller.keeper)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak_kb = int(status["VmHWM"].split()[0])
    stored = {poller.name: poller.keeper.stored for poller in polling}
    print(json.dumps({"peak_kb": peak_kb, "threads": threading.active_count(), "stored": stored}), flush=True)
writer.stop(60)
writer.join(60)
database.close()
os._exit(writer.is_alive())
"""
CHECKOUT = Path(__file__).parents[2]


class Collector:
    """The process, and what it said."""

    def __init__(self, config: Path, at: datetime, *, checkout: Path = CHECKOUT, patience_s: float = 60.0) -> None:
        self.peak_kb = self.most_threads = 0
        self.stored: dict[str, int] = {}  #: by gateway, as it says
        self._log: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CHILD, str(config), at.isoformat(), str(patience_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout), "TZ": "UTC"},
        )
        errors = self.process.stderr
        assert errors is not None
        self._reader = threading.Thread(target=lambda: self._log.extend(errors), daemon=True)
        self._reader.start()

    @property
    def _in(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def log(self) -> str:
        """All that it has logged."""
        return "".join(self._log)

    def slot(self, at: datetime) -> None:
        """Let all gateways be polled at an instant."""
        self._in.write(f"{at.isoformat()}\n")
        self._in.flush()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the collector ended: {self.log[-2000:]}"
        said: dict[str, Any] = json.loads(line)
        self.peak_kb, self.stored = max(self.peak_kb, said["peak_kb"]), said["stored"]
        self.most_threads = max(self.most_threads, said["threads"])

    def stop(self, seconds: float = 120) -> int:
        """End it cleanly; return its exit code, or raise TimeoutExpired."""
        self._in.close()
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(5)
            for pipe in (self.process.stdout, self.process.stderr):
                if pipe is not None:
                    pipe.close()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.stop()
