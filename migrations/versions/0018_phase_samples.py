"""Keep in SQLite one row of each phase of a poll: three tables become views of one.

A commit writes whole pages of each table that it touches, so that three tables in which the same instants and texts
stand again cost twice of one. What a view is given goes into the table, as it went into its own before. Nothing changes
in PostgreSQL.

Revision ID: 0018 Revises: 0017
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

#: text -> its code; in the order of the texts, so that a poll's rows come as they came
MEASUREMENTS = {"net-consumption": 0, "production": 1, "storage": 2, "total-consumption": 3}
PHASES = {"L1": 0, "L2": 1, "L3": 2, "total": 3}
#: 0 for a sample of which nobody said where it comes from
SOURCES = {"ct": 1, "eim": 2, "v1": 3, "inverters": 4, "html": 5, "derived": 6}
PRODUCTION = MEASUREMENTS["production"]
#: columns of meter_readings -> those of phase_samples; NULL where there is no reading
READING = {
    "power_w": "power_mw", "delivered_wh": "delivered_mwh", "received_wh": "received_mwh", "voltage_v": "voltage_mv",
    "current_a": "current_ma", "power_factor": "power_factor_milli", "apparent_power_va": "apparent_power_mva",
    "reactive_power_var": "reactive_power_mvar", "frequency_hz": "frequency_mhz", "reading_age_s": "reading_age_s",
}  # fmt: skip
#: columns of production_samples and consumption_samples -> those of phase_samples
SAMPLE = {
    "power_w": "sample_power_mw", "energy_lifetime_wh": "sample_energy_mwh", "reading_age_s": "sample_age_s",
    "source": "source",
}  # fmt: skip
KEY = ("gateway_id", "polled_at", "measurement", "phase")
COLUMNS = (*KEY, "is_reading", *READING.values(), *SAMPLE.values())
#: where a thousandth is no whole number, the number itself stands, with its fraction
MEANINGS = {
    "gateway_id": (None, "which gateway"),
    "polled_at": ("UTC", "when we polled, by our own clock"),
    "measurement": (None, "0 net-consumption, 1 production, 2 storage, 3 total-consumption, or another name"),
    "phase": (None, "0 L1, 1 L2, 2 L3, 3 total, or another name"),
    "is_reading": (None, "whether it is a row of meter_readings"),
    "power_mw": ("mW", "power_w of meter_readings; with a fraction it is W"),
    "delivered_mwh": ("mWh", "delivered_wh of meter_readings; with a fraction it is Wh"),
    "received_mwh": ("mWh", "received_wh of meter_readings; with a fraction it is Wh"),
    "voltage_mv": ("mV", "voltage_v of meter_readings; with a fraction it is V"),
    "current_ma": ("mA", "current_a of meter_readings; with a fraction it is A"),
    "power_factor_milli": (None, "thousandths of power_factor of meter_readings; with a fraction it is that itself"),
    "apparent_power_mva": ("mVA", "apparent_power_va of meter_readings; with a fraction it is VA"),
    "reactive_power_mvar": ("mvar", "reactive_power_var of meter_readings; with a fraction it is var"),
    "frequency_mhz": ("mHz", "frequency_hz of meter_readings; with a fraction it is Hz"),
    "reading_age_s": ("s", "reading_age_s of meter_readings"),
    "sample_power_mw": ("mW", "power_w of production_samples, consumption_samples; with a fraction it is W"),
    "sample_energy_mwh": ("mWh", "energy_lifetime_wh of the same; with a fraction it is Wh"),
    "sample_age_s": ("s", "reading_age_s of the same"),
    "source": (
        None,
        "source of the same: 1 ct, 2 eim, 3 v1, 4 inverters, 5 html, 6 derived, 0 not known; NULL where it is no row",
    ),
}
DICTIONARY = sa.table(
    "data_dictionary", *(sa.column(name, sa.Text()) for name in ("table", "column", "unit", "meaning"))
)
#: the views, and which of their columns are part of the key
VIEWS = {
    "production_samples": (("phase",), SAMPLE),
    "consumption_samples": (("measurement", "phase"), SAMPLE),
    "meter_readings": (("measurement", "phase"), READING),
}


def of_code(name: str, codes: dict[str, int]) -> str:
    """Return SQL for the text of a code."""
    cases = " ".join(f"WHEN {code} THEN '{text}'" for text, code in codes.items())
    return f"CASE {name} {cases} ELSE {name} END"


def code_of(name: str, codes: dict[str, int]) -> str:
    """Return SQL for the code of a text."""
    cases = " ".join(f"WHEN '{text}' THEN {code}" for text, code in codes.items())
    return f"CASE {name} {cases} ELSE CAST({name} AS TEXT) END"


def number(name: str) -> str:
    """Return SQL for a number that is kept in whole thousandths, or as it is."""
    return f"CASE typeof({name}) WHEN 'integer' THEN {name} / 1000.0 ELSE {name} END"


def thousandths(name: str) -> str:
    """Return SQL for a number's whole thousandths where they are the same number; of a text that is one, for that."""
    # Whether it was rounded rightly shows the way back; round() takes ten times as long.
    whole = f"CAST({name} * 1000.0 + CASE WHEN {name} < 0 THEN -0.5 ELSE 0.5 END AS INTEGER)"
    # A text that is compared with a number is taken for one only where it is one, as a column of numbers takes it; CAST
    # makes 0 of '-', and 1 of '1-2'.
    return (
        f"CASE WHEN typeof({name}) = 'text' AND {name} = CAST({name} AS REAL) THEN CAST({name} AS REAL) "
        f"WHEN typeof({name}) NOT IN ('integer', 'real') THEN {name} "
        f"WHEN abs({name}) < 9e12 AND {whole} / 1000.0 = {name} THEN {whole} ELSE CAST({name} AS REAL) END"
    )


def equal(row: dict[str, str], table: str = "") -> str:
    """Return SQL for: it is the row of this key."""
    return " AND ".join(f"{table}{name} = {row[name]}" for name in KEY)


def select_of(view: str) -> str:
    """Return the query of a view."""
    key, values = VIEWS[view]
    codes = {"measurement": MEASUREMENTS, "phase": PHASES}
    columns = ["gateway_id", "polled_at", *(f"{of_code(name, codes[name])} AS {name}" for name in key)]
    for name, kept in values.items():
        if name == "reading_age_s":
            columns.append(f"{kept} AS {name}" if kept != name else name)
        elif name == "source":
            # Another text than ours stays; 0 is none.
            columns.append(f"{of_code('NULLIF(source, 0)', SOURCES)} AS source")
        else:
            columns.append(f"{number(kept)} AS {name}")
    only = {
        "production_samples": f"measurement = {PRODUCTION} AND source IS NOT NULL",
        "consumption_samples": f"measurement <> {PRODUCTION} AND source IS NOT NULL",
        "meter_readings": "is_reading",
    }[view]
    return f"SELECT {', '.join(columns)} FROM phase_samples WHERE {only}"


def given(view: str, row: str) -> dict[str, str]:
    """Return SQL for what a row of a view is in phase_samples, its key first."""
    key, values = VIEWS[view]
    found = {"gateway_id": f"{row}.gateway_id", "polled_at": f"{row}.polled_at"}
    found["measurement"] = code_of(f"{row}.measurement", MEASUREMENTS) if "measurement" in key else str(PRODUCTION)
    found["phase"] = code_of(f"{row}.phase", PHASES)
    if view == "meter_readings":
        found["is_reading"] = "1"
    for name, kept in values.items():
        if name == "source":
            found[kept] = f"COALESCE({code_of(f'{row}.source', SOURCES)}, 0)"
        else:
            found[kept] = f"{row}.{name}" if name == "reading_age_s" else thousandths(f"{row}.{name}")
    return found


def triggers_of(view: str) -> list[str]:
    """Return what happens where a view is written."""
    new, old = given(view, "NEW"), given(view, "OLD")
    own = {name: sql for name, sql in new.items() if name not in KEY}
    others = [name for name in COLUMNS if name not in new]
    parts = ["is_reading", "source IS NOT NULL"]
    mine, other = parts if view == "meter_readings" else reversed(parts)
    filled = ", ".join(f"{name} = {sql}" for name, sql in own.items())
    emptied = ", ".join(f"{name} = {0 if name == 'is_reading' else 'NULL'}" for name in own)
    # What another view has of the row stays where an INSERT OR REPLACE comes.
    kept = [f"COALESCE(there.{name}, 0)" if name == "is_reading" else f"there.{name}" for name in others]
    fill = f"UPDATE phase_samples SET {filled} WHERE {equal(new)} AND NOT ({mine})"
    # With a row that has it already this is the conflict that it would be in a table.
    add = (
        f"INSERT INTO phase_samples ({', '.join([*new, *others])}) SELECT {', '.join([*new.values(), *kept])} "
        f"FROM (SELECT 1) LEFT JOIN phase_samples AS there ON {equal(new, 'there.')} WHERE changes() = 0"
    )
    insert = [fill, add]
    if view == "consumption_samples":
        sentence = "consumption_samples: measurement is total-consumption or net-consumption"
        insert.insert(0, f"SELECT RAISE(ABORT, '{sentence}') WHERE NEW.measurement = 'production'")
    delete = [
        f"UPDATE phase_samples SET {emptied} WHERE {equal(old)} AND ({other})",
        f"DELETE FROM phase_samples WHERE {equal(old)} AND NOT ({other})",
    ]
    key, values = VIEWS[view]
    names = ["gateway_id", "polled_at", *key, *values]
    update = [
        f"DELETE FROM {view} WHERE {' AND '.join(f'{name} = OLD.{name}' for name in names[: 2 + len(key)])}",
        f"INSERT INTO {view} ({', '.join(names)}) VALUES ({', '.join(f'NEW.{name}' for name in names)})",
    ]
    return [
        f"CREATE TRIGGER {what}_{view} INSTEAD OF {what.upper()} ON {view} BEGIN {'; '.join(steps)}; END"
        for what, steps in (("insert", insert), ("delete", delete), ("update", update))
    ]


#: Without a type a value stays what it is: a whole number is one of thousandths.
TABLE = f"""
CREATE TABLE phase_samples (
    gateway_id SMALLINT NOT NULL,
    polled_at VARCHAR(19) NOT NULL,
    measurement NOT NULL,
    phase NOT NULL,
    is_reading BOOLEAN DEFAULT 0 NOT NULL,
    {", ".join(f"{name} INTEGER" if name.endswith("_s") else name for name in COLUMNS[5:])},
    CONSTRAINT pk_phase_samples PRIMARY KEY ({", ".join(KEY)}),
    CONSTRAINT fk_phase_samples_gateway_id FOREIGN KEY(gateway_id) REFERENCES gateways (gateway_id)
) WITHOUT ROWID
"""


def run(*statements: str) -> None:
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    run(" ".join(TABLE.split()))
    fill()
    for view in VIEWS:
        run(f"DROP TABLE {view}", f"CREATE VIEW {view} AS {select_of(view)}", *triggers_of(view))
    describe()


def fill() -> None:
    """Put the rows of the tables into the one, in the order of its key: a gateway's day after the other."""
    parts = []
    for view in VIEWS:
        row = given(view, "old")
        columns = [f"{row.get(name, '0' if name == 'is_reading' else 'NULL')} AS {name}" for name in COLUMNS]
        within = "old.gateway_id = :gateway AND old.polled_at BETWEEN :first AND :last"
        parts.append(f"SELECT {', '.join(columns)} FROM {view} AS old WHERE {within}")
    both = ", ".join(name if name in KEY else f"max({name})" for name in COLUMNS)
    move = (
        f"INSERT INTO phase_samples ({', '.join(COLUMNS)}) SELECT {both} FROM ({' UNION ALL '.join(parts)}) "
        f"GROUP BY {', '.join(KEY)} ORDER BY {', '.join(KEY)}"
    )
    for gateway in of_all("SELECT min(gateway_id) FROM {} WHERE gateway_id > :after", after=-1):
        here = {"gateway": gateway}
        later = "SELECT min(polled_at) FROM {} WHERE gateway_id = :gateway AND polled_at > :after"
        for first in of_all(later, after="", **here):
            op.get_bind().execute(sa.text(move), here | {"first": first, "last": last_of(first)})


def of_all(query: str, after: int | str, **here: int) -> Iterator[Any]:
    """Yield one value after the other, of whichever table has the least; of instants those of other days."""
    bind = op.get_bind()
    while True:
        found = [bind.execute(sa.text(query.format(view)), here | {"after": after}).scalar() for view in VIEWS]
        if not (known := [value for value in found if value is not None]):
            return
        yield min(known)
        after = last_of(min(known))


def last_of(value: Any) -> Any:
    """Return what no instant of the same day comes after."""
    return value[:10] + chr(0x10FFFF) if isinstance(value, str) else value


def describe() -> None:
    rows = [
        {"table": "phase_samples", "column": name, "unit": unit, "meaning": meaning}
        for name, (unit, meaning) in MEANINGS.items()
    ]
    op.bulk_insert(DICTIONARY, rows)


def downgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    for view, (key, values) in VIEWS.items():
        run(f"DROP VIEW {view}")
        op.create_table(
            view,
            sa.Column("gateway_id", sa.SmallInteger(), nullable=False),
            sa.Column("polled_at", sa.String(19), nullable=False),
            *(sa.Column(name, sa.Text(), nullable=False) for name in key),
            *(sa.Column(name, type_of(name), nullable=True) for name in values),
            sa.ForeignKeyConstraint(["gateway_id"], ["gateways.gateway_id"], name=f"fk_{view}_gateway_id"),
            sa.PrimaryKeyConstraint("gateway_id", "polled_at", *key, name=f"pk_{view}"),
            sqlite_with_rowid=False,
        )
        run(f"INSERT INTO {view} {select_of(view)} ORDER BY gateway_id, polled_at")
    op.drop_table("phase_samples")
    op.execute(DICTIONARY.delete().where(DICTIONARY.c.table == "phase_samples"))


def type_of(name: str) -> sa.types.TypeEngine[Any]:
    if name == "source":
        return sa.Text()
    return sa.Integer() if name == "reading_age_s" else sa.Double()
