"""Serves many simulated gateways from one process, each at an address of its own, and counts what each was asked.

One event loop, and one certificate for all: what they take matters less than that they are many. Each is told by the
address at which it was asked: 127.1.0.0 is the first.
"""

import asyncio
import json
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path

import click

from logger.clock import epoch_now_s, utc_now
from logger.simulator.access import server_context
from logger.simulator.numbers import Model
from logger.simulator.server import Simulation
from logger.simulator.site import Shape, SimulatedClock

PORT = 8443
#: One document of each poll, of which there is one per poll.
COUNTED = "/ivp/meters/readings"


def address(number: int) -> str:
    """Return where a gateway listens."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


def serial(number: int) -> str:
    """Return a gateway's serial number."""
    return str(122_300_000_000 + number)


def simulated(number: int) -> Simulation:
    """Return a gateway with three phases and 20 inverters, of which every tenth makes half of what it could."""
    peak_power_w = 2800 if number % 10 == 9 else 5600
    shape = Shape(inverters=20, phases=3, seed=number % 7, peak_power_w=peak_power_w)
    return Simulation(
        shape=shape, model=Model(cts="net", serial=serial(number)), clock=SimulatedClock(utc_now(), speed=1.0)
    )


class Fleet:
    """Some of the gateways; ``hanging`` take what is asked and never answer."""

    def __init__(self, first: int, last: int, port: int, idle_s: float, hanging: int, folder: Path) -> None:
        self.gateways = {address(number): simulated(number) for number in range(first, last)}
        self.hanging = {address(number) for number in range(first, min(last, first + hanging))}
        self.port, self.idle_s = port, idle_s
        self.counts: Counter[str] = Counter()  #: by address and minute
        self.path = folder / f"asked-{first}.json"
        self.pages: dict[tuple[str, str, datetime], bytes] = {}

    async def serve(self) -> None:
        """Answer until the process is ended."""
        context = server_context("fleet")
        server = await asyncio.start_server(
            self._talk, "0.0.0.0", self.port, ssl=context, backlog=1000, reuse_port=True
        )
        click.echo("READY")
        async with server:
            while True:
                await asyncio.sleep(2)
                self.pages.clear()
                new = self.path.with_suffix(".new")
                new.write_text(json.dumps(self.counts))
                new.replace(self.path)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = writer.get_extra_info("sockname")[0]
        try:
            while True:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self.idle_s or None)
                path = head.split(b" ", 2)[1].decode()
                if at in self.hanging:
                    await asyncio.sleep(3600)
                writer.write(self._answer(at, path))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, at: str, path: str) -> bytes:
        simulation, now = self.gateways[at], epoch_now_s()
        if path == COUNTED:
            self.counts[f"{at} {int(now)}"] += 1
        if path == "/auth/check_jwt":
            body, head = b"<!DOCTYPE html><h2>Valid token.</h2>", "Set-Cookie: sessionId=x; Path=/; Secure\r\n"
            return self._reply("200 OK", body, head + "Content-Type: text/html\r\n")
        found = simulation.answer(simulation.clock(), path)
        if found is None:
            return self._reply("404 Not Found", b'{ "error" : "404 - Not Found" }')
        body = (found.body if isinstance(found.body, str) else json.dumps(found.body)).encode()
        return self._reply(f"{found.status} OK", body)

    @staticmethod
    def _reply(status: str, body: bytes, more: str = "Content-Type: application/json\r\n") -> bytes:
        return f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


if __name__ == "__main__":
    FIRST, LAST, PORT_, HANGING = map(int, sys.argv[1:5])
    asyncio.run(Fleet(FIRST, LAST, PORT_, float(sys.argv[5]), HANGING, Path(sys.argv[6])).serve())
