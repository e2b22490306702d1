"""Runs attacks, and prints what came of each with the collector's peak memory."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import click

from tests.attack.arena import Arena
from tests.attack.attacks import ATTACKS, ON_A_SERVER, mutations
from tests.attack.collector import CHECKOUT
from tests.conftest import new_database, with_database

HOUR_S = 3_600


def main() -> None:
    """Attack as asked, and exit 1 where something fell."""
    parser = argparse.ArgumentParser(prog="scripts/attack", description=__doc__)
    parser.add_argument("attack", nargs="*", help=f"mutations, or one of: {', '.join(ATTACKS)}; default: all")
    parser.add_argument("--polls", type=int, default=10_000, help="mutated ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.02, help="of the parts of a document that are mutated")
    parser.add_argument("--long", action="store_true", help="go on with mutations for an hour")
    parser.add_argument("--server", default="", help="URL of a PostgreSQL server: attack on it, not on SQLite")
    parser.add_argument("--checkout", type=Path, default=CHECKOUT, help="whose collector is attacked")
    chosen = parser.parse_args()
    names = chosen.attack or [*ATTACKS, "mutations"]
    if unknown := [name for name in names if name not in {*ATTACKS, "mutations"}]:
        parser.error(f"there is no attack {unknown[0]!r}")
    names = [name for name in names if chosen.server or name not in ON_A_SERVER]
    fell = [name for name in names if not attacked(name, chosen)]
    until = time.monotonic() + HOUR_S
    while chosen.long and time.monotonic() < until:
        chosen.seed += 1
        fell += [] if attacked("mutations", chosen) else ["mutations"]
    sys.exit(bool(fell))


def attacked(name: str, chosen: argparse.Namespace) -> bool:
    """Run one attack and print what came of it; return whether all stood."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="envoylog-attack-") as folder:
        place = Arena(Path(folder), checkout=chosen.checkout.absolute(), dice=random.Random(chosen.seed))
        if chosen.server:
            with (
                new_database(chosen.server) as database,
                Arena(Path(folder), with_database(chosen.server, database), place.checkout, place.dice) as arena,
            ):
                stood, said = outcome(name, arena, chosen)
        else:
            with place as arena:
                stood, said = outcome(name, arena, chosen)
    took_s = time.monotonic() - started
    peak = f"{arena.peak_kb / 1000:.0f} MB" if arena.peak_kb else "no collector"
    click.echo(f"{name:16} {'stood' if stood else 'FELL'}  {peak:>12}  {took_s:5.0f} s  {said}")
    return stood


def outcome(name: str, arena: Arena, chosen: argparse.Namespace) -> tuple[bool, str]:
    """Return whether everything stood, and in words what came of it."""
    try:
        said = mutations(arena, chosen.polls, chosen.share) if name == "mutations" else ATTACKS[name](arena)
    except Exception as error:  # noqa: BLE001 - whatever fell is what is to be shown
        if arena._collector is not None:
            arena.peak_kb = max(arena.peak_kb, arena._collector.peak_kb)
        return False, f"{type(error).__name__}: {error}".replace("\n", " ")[:400]
    return True, said


if __name__ == "__main__":
    main()
