"""The least that does the work of a command, with the libraries that it could use: sqlite3, numpy, pandas, psycopg.

usage: python floors.py FLOOR DATABASE [ARGUMENT]

Each is run as a process of its own, as the command is.
"""

import csv
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

#: table -> what tells its series apart, and what is read of them
READ = {
    "production_samples": ("phase", "energy_lifetime_wh"),
    "consumption_samples": ("measurement || phase", "energy_lifetime_wh"),
    "meter_readings": ("measurement || phase", "delivered_wh"),
    "inverter_samples": ("serial", "energy_lifetime_wh"),
}
RAW = ("polls", *READ)
QUARTER_S = 900
ALL_TIME = "0001", "9999"


def instant_of(table: str) -> str:
    """Return the column that says when."""
    return "reported_at" if table == "inverter_samples" else "polled_at"


def quarters(db: sqlite3.Connection, span: tuple[str, str]) -> Iterator[tuple[str, int, list[float]]]:
    """Yield each series, its first quarter hour, and the energy in each after it."""
    import numpy as np  # noqa: PLC0415 - only where it is the floor

    for table, (key, energy) in READ.items():
        at = instant_of(table)
        series: dict[str, list[tuple[int, float]]] = {}
        select = f"SELECT unixepoch({at}), {key}, {energy} FROM {table} WHERE gateway_id = 1 AND {at} > ? AND {at} <= ?"
        for at_s, name, value in db.execute(f"{select} ORDER BY {at}", span):
            series.setdefault(name, []).append((at_s, value))
        for name, rows in series.items():
            values = np.array(rows, dtype=float)
            numbers = (values[1:, 0] // QUARTER_S).astype(np.int64)
            first = int(values[0, 0] // QUARTER_S)
            yield f"{table} {name}", first, np.bincount(numbers - first, weights=np.diff(values[:, 1])).tolist()


def write(db: sqlite3.Connection, found: Iterable[tuple[str, int, list[float]]]) -> None:
    """Write energies by quarter hour."""
    db.execute("CREATE TABLE IF NOT EXISTS floor_15min (at INTEGER, series TEXT, wh REAL, PRIMARY KEY (at, series)) "
               "WITHOUT ROWID")  # fmt: skip
    for name, first, energies in list(found):
        rows = [((first + number) * QUARTER_S, name, wh) for number, wh in enumerate(energies)]
        db.executemany("INSERT OR REPLACE INTO floor_15min VALUES (?, ?, ?)", rows)


def rebuild(path: str) -> None:
    """Read all samples, take differences, and write them by quarter hour."""
    with closing(sqlite3.connect(path)) as db, db:
        write(db, quarters(db, ALL_TIME))


def check(path: str) -> None:
    """Read all samples, and take differences."""
    with closing(sqlite3.connect(path)) as db:
        sum(sum(energies) for _, _, energies in quarters(db, ALL_TIME))


def prune(path: str, before: str) -> None:
    """Delete the samples before an instant."""
    with closing(sqlite3.connect(path)) as db, db:
        for table in RAW:
            db.execute(f"DELETE FROM {table} WHERE {instant_of(table)} < ?", (before,))


def report(path: str, since: str) -> None:
    """Print the days of a view as csv."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT * FROM v_energy_daily WHERE day >= ? ORDER BY day", (since,))
        csv.writer(sys.stdout).writerows(rows)


def workbook(path: str, since: str, output: str) -> None:
    """Write the days, months, years and panels of a database as pandas writes a spreadsheet."""
    import pandas as pd  # noqa: PLC0415 - only where it is the floor

    sheets = {
        "v_energy_daily": "day",
        "v_energy_monthly": "month",
        "v_energy_yearly": "year",
        "v_inverter_daily": "day",
    }
    with closing(sqlite3.connect(path)) as db, pd.ExcelWriter(output, engine="xlsxwriter") as writer:
        for view, period in sheets.items():
            select = f"SELECT * FROM {view} WHERE {period} >= ?"
            pd.read_sql(select, db, params=(since,)).to_excel(writer, sheet_name=view, index=False)


def export(path: str) -> None:
    """Print a table as csv."""
    with closing(sqlite3.connect(path)) as db:
        csv.writer(sys.stdout).writerows(db.execute("SELECT * FROM meter_readings ORDER BY gateway_id, polled_at"))


def export_postgresql(url: str) -> None:
    r"""Write a table as csv, as psql's \copy does."""
    import psycopg  # noqa: PLC0415 - only where it is the floor

    with (
        psycopg.connect(url) as db,
        db.cursor().copy("COPY (SELECT * FROM meter_readings) TO STDOUT (FORMAT csv)") as rows,
    ):
        for part in rows:
            sys.stdout.buffer.write(part)


def copy_out(url: str, folder: str) -> None:
    """Write all samples into files."""
    import psycopg  # noqa: PLC0415 - only where it is the floor

    with psycopg.connect(url) as db:
        for table in ("gateways", *RAW):
            with (
                Path(folder, table).open("wb") as out,
                db.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as rows,
            ):
                out.writelines(rows)


def copy_in(url: str, folder: str) -> None:
    """Read all samples from files."""
    import psycopg  # noqa: PLC0415 - only where it is the floor

    with psycopg.connect(url) as db:
        for table in ("gateways", *RAW):
            with Path(folder, table).open("rb") as rows, db.cursor().copy(f"COPY {table} FROM STDIN") as sink:
                while part := rows.read(65_536):
                    sink.write(part)


FLOORS: dict[str, Callable[..., None]] = {
    "rebuild": rebuild, "check": check, "prune": prune, "report": report, "workbook": workbook, "export": export,
    "export-postgresql": export_postgresql, "copy-out": copy_out, "copy-in": copy_in,
}  # fmt: skip

if __name__ == "__main__":
    FLOORS[sys.argv[1]](*sys.argv[2:])
