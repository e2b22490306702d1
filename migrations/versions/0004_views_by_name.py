"""Join the gateways of one name: a gateway that was replaced goes on where the old one ended.

Their counters are never joined, their periods are: on the day of the replacement both count.

Revision ID: 0004
Revises: 0003
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FLOWS = (
    "production",
    "consumption",
    "grid_import",
    "grid_export",
    "battery_charge",
    "battery_discharge",
)
COVERED = (
    "CASE WHEN SUM(e.covered_s) > MAX(e.period_s) THEN MAX(e.period_s) ELSE SUM(e.covered_s) END"
)
DAYS = (
    "(SELECT g.name AS gateway, e.day, "
    + ", ".join(f"SUM(e.{name}_wh) AS {name}_wh" for name in FLOWS)
    + ", MAX(e.peak_production_w) AS peak_production_w, MAX(e.period_s) AS period_s, "
    f"{COVERED} AS covered_s, SUM(e.bridged_wh) AS bridged_wh, "
    "MAX(g.peak_power_kwp) AS peak_power_kwp "
    "FROM energy_daily e JOIN gateways g ON g.gateway_id = e.gateway_id "
    "WHERE e.phase = 'total' GROUP BY g.name, e.day)"
)

#: Seconds of a month or year of which the first logged day has a number
WHOLE = "(SUM(e.period_s) + ({} - 1) * 86400)"


def rounded(expression: str, digits: int) -> str:
    """Round alike on both engines, to the double that prints with so many digits.

    Whole numbers and one division: SQLite's ROUND to digits may miss the nearest double. Rounded
    twice, because what is a half in decimals may be a little less as a double.
    """
    whole = f"ROUND(ROUND(CAST(({expression}) * {10**digits}.0 AS NUMERIC), 3), 0)"
    return f"(CAST({whole} AS DOUBLE PRECISION) / {10**digits}.0)"


def numbers(covered: str, length: str, peak_kwp: str) -> Iterator[str]:
    """Yield the columns of numbers of an energy view."""
    total = {name: f"SUM(e.{name}_wh)" for name in FLOWS}
    made, used = total["production"], total["consumption"]
    kept = f"({made} - {total['grid_export']})"
    home = f"({used} - {total['grid_import']})"
    for name, value in total.items():
        yield f"{rounded(f'{value} / 1000.0', 6)} AS {name}_kwh"
    yield f"{rounded(f'{kept} / 1000.0', 6)} AS self_consumption_kwh"
    yield f"{rounded(f'100.0 * {kept} / NULLIF({made}, 0)', 3)} AS self_consumption_pct"
    yield f"{rounded(f'100.0 * {home} / NULLIF({used}, 0)', 3)} AS self_sufficiency_pct"
    specific = rounded(f"{made} / 1000.0 / NULLIF(MAX({peak_kwp}), 0)", 6)
    yield f"{specific} AS specific_yield_kwh_per_kwp"
    yield "MAX(e.peak_production_w) AS peak_production_w"
    yield f"{rounded(f'100.0 * {covered} / NULLIF({length}, 0)', 3)} AS coverage_pct"
    yield f"{rounded('SUM(e.bridged_wh) / 1000.0', 6)} AS bridged_kwh"


def views(*, lite: bool, by_name: bool) -> dict[str, str]:
    """Return the text of each view, by name or, as it was before, by gateway."""
    if lite:
        hour = "datetime(e.starts_at, e.utc_offset_s || ' seconds')"
        month, year = "strftime('%Y-%m', e.day)", "CAST(strftime('%Y', e.day) AS INTEGER)"
        in_month = "CAST(strftime('%d', MIN(e.day)) AS INTEGER)"
        in_year = "CAST(strftime('%j', MIN(e.day)) AS INTEGER)"
    else:
        hour = "e.starts_at AT TIME ZONE 'UTC' + e.utc_offset_s * INTERVAL '1 second'"
        month, year = "to_char(e.day, 'YYYY-MM')", "CAST(extract(year FROM e.day) AS INTEGER)"
        in_month = "CAST(extract(day FROM MIN(e.day)) AS INTEGER)"
        in_year = "CAST(extract(doy FROM MIN(e.day)) AS INTEGER)"
    one = "" if by_name else "e.gateway_id, "
    covered, length = (COVERED, "MAX(e.period_s)") if by_name else (
        "SUM(e.covered_s)", "SUM(e.period_s)")  # fmt: skip
    made: dict[str, str] = {}
    for name, label, group, table in (
        ("hourly", f"e.starts_at AS hour_starts_at, {hour} AS local_hour",
         "e.starts_at, e.utc_offset_s", "energy_hourly"),
        ("daily", "e.day AS day", "e.day", "energy_daily"),
    ):  # fmt: skip
        made[f"v_energy_{name}"] = (
            f"SELECT g.name AS gateway, {label}, "  # noqa: S608 - our own text
            f"{', '.join(numbers(covered, length, 'g.peak_power_kwp'))} "
            f"FROM {table} e JOIN gateways g ON g.gateway_id = e.gateway_id "
            f"WHERE e.phase = 'total' GROUP BY {one}g.name, {group}"
        )
    # Days before the first logged day of a month or year count as not covered.
    for name, label, group, before in (
        ("monthly", "month", month, in_month),
        ("yearly", "year", year, in_year),
    ):
        whole = WHOLE.format(before)
        if by_name:
            made[f"v_energy_{name}"] = (
                f"SELECT e.gateway, {group} AS {label}, "  # noqa: S608 - our own text
                f"{', '.join(numbers('SUM(e.covered_s)', whole, 'e.peak_power_kwp'))} "
                f"FROM {DAYS} e GROUP BY e.gateway, {group}"
            )
        else:
            made[f"v_energy_{name}"] = (
                f"SELECT g.name AS gateway, {group} AS {label}, "  # noqa: S608 - our own text
                f"{', '.join(numbers('SUM(e.covered_s)', whole, 'g.peak_power_kwp'))} "
                "FROM energy_daily e JOIN gateways g ON g.gateway_id = e.gateway_id "
                f"WHERE e.phase = 'total' GROUP BY {one}g.name, {group}"
            )
    added = "SUM({})" if by_name else "{}"
    phases = ", ".join(
        f"{rounded(added.format(f'e.{name}_wh') + ' / 1000.0', 6)} AS {name}_kwh" for name in FLOWS
    )
    made["v_phase_daily"] = (
        f"SELECT g.name AS gateway, e.day, e.phase, {phases} "  # noqa: S608 - our own text
        "FROM energy_daily e JOIN gateways g ON g.gateway_id = e.gateway_id "
        "WHERE e.phase <> 'total'" + (" GROUP BY g.name, e.day, e.phase" if by_name else "")
    )
    energy = rounded(added.format("i.energy_wh") + " / 1000.0", 6)
    peak = "MAX(i.peak_power_w)" if by_name else "i.peak_power_w"
    made["v_inverter_daily"] = (
        f"SELECT g.name AS gateway, i.day, i.serial, {energy} AS energy_kwh, "  # noqa: S608
        f"{peak} AS peak_power_w, {added.format('i.covered_s')} AS covered_s "
        "FROM inverter_daily i JOIN gateways g ON g.gateway_id = i.gateway_id"
        + (" GROUP BY g.name, i.day, i.serial" if by_name else "")
    )
    return made


def is_lite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def replace(made: dict[str, str]) -> None:
    """Make views anew, with the comments that they had."""
    comments: dict[tuple[str, str], str] = {}
    if not is_lite():
        rows = op.get_bind().execute(
            sa.text('SELECT "table", "column", meaning, unit FROM data_dictionary')
        )
        comments = {(row[0], row[1]): row[2] + (f" [{row[3]}]" if row[3] else "") for row in rows}
    for name, select in made.items():
        op.execute(sa.text(f"DROP VIEW {name}"))
        op.execute(sa.text(f"CREATE VIEW {name} AS {select}"))
    for (table, column), words in comments.items():
        if table in made:
            escaped = words.replace("'", "''")
            op.execute(sa.text(f"COMMENT ON COLUMN {table}.\"{column}\" IS '{escaped}'"))


def upgrade() -> None:
    replace(views(lite=is_lite(), by_name=True))


def downgrade() -> None:
    replace(views(lite=is_lite(), by_name=False))
