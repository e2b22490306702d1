"""Give people and spreadsheets kWh in local time, and a dictionary of every column.

The views have the same names, columns and results on SQLite and PostgreSQL: sums are rounded to
the milliwatt-hour, ratios to a thousandth, and come from summed energies.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KWH = "kWh"
ENERGY = {
    "production": "what the site produced",
    "consumption": "what the house used: production + import - export + discharge - charge",
    "grid_import": "bought from the grid",
    "grid_export": "fed into the grid",
    "battery_charge": "put into the battery",
    "battery_discharge": "taken from the battery",
}
VIEW_COLUMNS = {
    **{f"{name}_kwh": (KWH, meaning) for name, meaning in ENERGY.items()},
    "self_consumption_kwh": (KWH, "production that was not exported: production - export"),
    "self_consumption_pct": ("%", "self-consumption / production, from summed energies"),
    "self_sufficiency_pct": ("%", "(consumption - import) / consumption, from summed energies"),
    "specific_yield_kwh_per_kwp": ("kWh/kWp", "production / peak power of the panels"),
    "peak_production_w": ("W", "highest power that was sampled"),
    "coverage_pct": ("%", "share of the time in which every stream was measured"),
    "bridged_kwh": (KWH, "part of the production that came from one difference over an outage"),
}
KEYS = {
    "gateway_id": (None, "which gateway"),
    "polled_at": ("UTC", "when we polled, by our own clock"),
    "phase": (None, "total (as reported, never our sum), L1, L2 or L3"),
}
SAMPLE = {
    "power_w": ("W", "power at that instant; net power is positive for import"),
    "energy_lifetime_wh": ("Wh", "lifetime counter, as reported"),
    "reading_age_s": ("s", "polled_at minus the gateway's own reading time"),
    "source": (None, "ct, eim, v1, inverters, html or derived"),
}
ROLLUP = {
    **{f"{name}_wh": ("Wh", meaning) for name, meaning in ENERGY.items()},
    "covered_s": ("s", "seconds in which every stream of the site was measured"),
    "bridged_wh": ("Wh", "part of the production that came from one difference over an outage"),
    "peak_production_w": ("W", "highest production that was sampled"),
    "peak_production_at": ("UTC", "when that was"),
    "peak_consumption_w": ("W", "highest consumption that was sampled"),
    "peak_consumption_at": ("UTC", "when that was"),
}
OFFSET = ("s", "how far local time runs ahead of UTC")
DICTIONARY: dict[str, dict[str, tuple[str | None, str]]] = {
    "gateways": {
        "gateway_id": (None, "small integer given on first sight"),
        "name": (None, "name in the configuration"),
        "serial": (None, "serial number; joins databases"),
        "part_number": (None, "part number"),
        "firmware": (None, "firmware without its leading letter"),
        "is_metered": (None, "whether it says it has the meter board; unknown on firmware 3"),
        "phase_mode": (None, "single, split or three: the wiring, not the number in use"),
        "phase_count": (None, "phases in use, over enabled meters"),
        "time_zone": (None, "IANA name; its days are the days of all reports"),
        "peak_power_kwp": ("kWp", "peak power of the panels, as configured"),
        "first_seen_at": ("UTC", "first poll"),
        "last_seen_at": ("UTC", "last poll in which it was identified"),
    },
    "meters": {
        "gateway_id": KEYS["gateway_id"],
        "measurement": (None, "what this CT measures"),
        "eid": (None, "the slot's identifier"),
        "state": (None, "enabled or disabled"),
        "metering_status": (None, "normal, not-metering or check-wiring"),
        "status_flags": (None, "the gateway's complaints, joined by commas"),
        "phase_mode": (None, "single, split or three"),
        "phase_count": (None, "phases in use"),
    },
    "inverters": {
        "gateway_id": KEYS["gateway_id"],
        "serial": (None, "the microinverter's serial number"),
        "device_type": (None, "1 microinverter"),
        "first_seen_at": ("UTC", "first report"),
        "last_seen_at": ("UTC", "last report"),
    },
    "polls": {
        "gateway_id": KEYS["gateway_id"],
        "polled_at": KEYS["polled_at"],
        "took_s": ("s", "how long the poll took"),
        "outcome": (None, "complete, partial or failed"),
        "error": (None, "what was missing"),
    },
    "production_samples": {**KEYS, **SAMPLE},
    "consumption_samples": {
        "gateway_id": KEYS["gateway_id"],
        "polled_at": KEYS["polled_at"],
        "measurement": (None, "total-consumption or net-consumption"),
        "phase": KEYS["phase"],
        **SAMPLE,
    },
    "meter_readings": {
        "gateway_id": KEYS["gateway_id"],
        "polled_at": KEYS["polled_at"],
        "measurement": (None, "what this CT measures"),
        "phase": KEYS["phase"],
        "power_w": ("W", "active power in the direction of delivered"),
        "delivered_wh": ("Wh", "lifetime: produced, imported, used or discharged"),
        "received_wh": ("Wh", "lifetime, the other way: exported, charged"),
        "voltage_v": ("V", "the total is the sum of the legs"),
        "current_a": ("A", "the total is the sum of the legs"),
        "power_factor": (None, "as reported; on newer firmware the total is a sum of phases"),
        "apparent_power_va": ("VA", "apparent power"),
        "reactive_power_var": ("var", "reactive power"),
        "frequency_hz": ("Hz", "grid frequency"),
        "reading_age_s": SAMPLE["reading_age_s"],
    },
    "inverter_samples": {
        "gateway_id": KEYS["gateway_id"],
        "reported_at": ("UTC", "when the inverter reported"),
        "serial": (None, "the microinverter's serial number"),
        "power_w": ("W", "mean power of its report interval"),
        "max_power_w": ("W", "highest power ever reported"),
        "energy_lifetime_wh": ("Wh", "lifetime counter"),
        "energy_interval_wh": ("Wh", "energy of the interval"),
        "interval_s": ("s", "length of the interval"),
        "dc_voltage_v": ("V", "panel voltage"),
        "dc_current_a": ("A", "panel current"),
        "ac_voltage_v": ("V", "grid voltage"),
        "ac_current_a": ("A", "grid current"),
        "frequency_hz": ("Hz", "grid frequency"),
        "temperature_c": ("C", "temperature of the inverter"),
    },
    "events": {
        "gateway_id": KEYS["gateway_id"],
        "at": ("UTC", "when"),
        "kind": (None, "counter_wrap, counter_reset, outage, firmware_change and so on"),
        "subject": (None, "the stream, meter or inverter"),
        "detail": (None, "the samples or values"),
    },
    "energy_15min": {
        "gateway_id": KEYS["gateway_id"],
        "starts_at": ("UTC", "start of the quarter hour"),
        "phase": KEYS["phase"],
        "utc_offset_s": OFFSET,
        **ROLLUP,
    },
    "energy_hourly": {
        "gateway_id": KEYS["gateway_id"],
        "starts_at": ("UTC", "start of the local hour"),
        "phase": KEYS["phase"],
        "utc_offset_s": OFFSET,
        "period_s": ("s", "length of the hour, so far"),
        **ROLLUP,
    },
    "energy_daily": {
        "gateway_id": KEYS["gateway_id"],
        "day": (None, "local date of the gateway"),
        "phase": KEYS["phase"],
        "period_s": ("s", "length of the day, so far: 23 to 25 hours"),
        **ROLLUP,
    },
    "inverter_daily": {
        "gateway_id": KEYS["gateway_id"],
        "day": (None, "local date of the gateway"),
        "serial": (None, "the microinverter's serial number"),
        "energy_wh": ("Wh", "energy of the day"),
        "peak_power_w": ("W", "highest power that was reported"),
        "covered_s": ("s", "seconds that reports cover"),
    },
    "rollup_checkpoints": {
        "gateway_id": KEYS["gateway_id"],
        "ledger": (None, "internal: energy or inverters"),
        "at": ("UTC", "internal: before this nothing changes any more"),
        "state": (None, "internal: the counters then, as JSON"),
    },
    "data_dictionary": {
        "table": (None, "table or view"),
        "column": (None, "column"),
        "unit": (None, "unit"),
        "meaning": (None, "what it means"),
    },
    "v_energy_hourly": {
        "gateway": (None, "name"),
        "hour_starts_at": ("UTC", "start of the hour"),
        "local_hour": ("local", "start of the hour in the gateway's time zone"),
        **VIEW_COLUMNS,
    },
    "v_energy_daily": {"gateway": (None, "name"), "day": (None, "local date"), **VIEW_COLUMNS},
    "v_energy_monthly": {"gateway": (None, "name"), "month": (None, "2026-03"), **VIEW_COLUMNS},
    "v_energy_yearly": {"gateway": (None, "name"), "year": (None, "2026"), **VIEW_COLUMNS},
    "v_phase_daily": {
        "gateway": (None, "name"),
        "day": (None, "local date"),
        "phase": (None, "L1, L2 or L3"),
        **{f"{name}_kwh": (KWH, meaning) for name, meaning in ENERGY.items()},
    },
    "v_inverter_daily": {
        "gateway": (None, "name"),
        "day": (None, "local date"),
        "serial": (None, "the microinverter's serial number"),
        "energy_kwh": (KWH, "energy of the day"),
        "peak_power_w": ("W", "highest power that was reported"),
        "covered_s": ("s", "seconds that reports cover"),
    },
    "v_power_now": {
        "gateway": (None, "name"),
        "measured_at": ("UTC", "newest sample"),
        "production_w": ("W", "production"),
        "consumption_w": ("W", "what the house uses"),
        "grid_w": ("W", "positive: import, negative: export"),
        "battery_w": ("W", "positive: discharging, negative: charging"),
    },
    "v_gaps": {
        "gateway": (None, "name"),
        "starts_at": ("UTC", "first quarter hour that was not wholly measured"),
        "ends_at": ("UTC", "end of the last"),
        "missing_s": ("s", "seconds not measured in between"),
    },
    "v_events": {
        "gateway": (None, "name"),
        "at": ("UTC", "when"),
        "kind": (None, "what happened"),
        "subject": (None, "the stream, meter or inverter"),
        "detail": (None, "the samples or values"),
    },
}
VIEWS = [name for name in DICTIONARY if name.startswith("v_")]


def rounded(expression: str, digits: int) -> str:
    """Round alike on both engines: decimal rounding, then a double again."""
    return f"CAST(ROUND(CAST({expression} AS NUMERIC), {digits}) AS DOUBLE PRECISION)"


def energy_view(period: str, table: str, group: str, length: str) -> str:
    """Return a view over total rows; ``group`` makes the period, ``length`` its seconds."""
    total = {name: f"SUM(e.{name}_wh)" for name in ENERGY}
    made, used = total["production"], total["consumption"]
    kept = f"({made} - {total['grid_export']})"
    home = f"({used} - {total['grid_import']})"
    kept_pct = rounded(f"100.0 * {kept} / NULLIF({made}, 0)", 3)
    home_pct = rounded(f"100.0 * {home} / NULLIF({used}, 0)", 3)
    specific = rounded(f"{made} / 1000.0 / NULLIF(MAX(g.peak_power_kwp), 0)", 6)
    columns = [f"g.name AS gateway, {group} AS {period}"]
    if table == "hourly":
        columns = [f"g.name AS gateway, e.starts_at AS hour_starts_at, {group} AS local_hour"]
    columns += [f"{rounded(f'{value} / 1000.0', 6)} AS {name}_kwh" for name, value in total.items()]
    columns += [
        f"{rounded(f'{kept} / 1000.0', 6)} AS self_consumption_kwh",
        f"{kept_pct} AS self_consumption_pct",
        f"{home_pct} AS self_sufficiency_pct",
        f"{specific} AS specific_yield_kwh_per_kwp",
        "MAX(e.peak_production_w) AS peak_production_w",
        f"{rounded(f'100.0 * SUM(e.covered_s) / NULLIF({length}, 0)', 3)} AS coverage_pct",
        f"{rounded('SUM(e.bridged_wh) / 1000.0', 6)} AS bridged_kwh",
    ]
    return (
        f"CREATE VIEW v_energy_{table} AS SELECT {', '.join(columns)} "  # noqa: S608 - our own text
        f"FROM energy_{'hourly' if table == 'hourly' else 'daily'} e "
        "JOIN gateways g ON g.gateway_id = e.gateway_id WHERE e.phase = 'total' "
        "GROUP BY e.gateway_id, g.name, "
        + ("e.starts_at, e.utc_offset_s" if table == "hourly" else group)
    )


def upgrade() -> None:
    lite = op.get_bind().dialect.name == "sqlite"
    if lite:
        hour = "datetime(e.starts_at, e.utc_offset_s || ' seconds')"
        month, year = "strftime('%Y-%m', e.day)", "CAST(strftime('%Y', e.day) AS INTEGER)"
        in_month = "CAST(strftime('%d', MIN(e.day)) AS INTEGER)"
        in_year = "CAST(strftime('%j', MIN(e.day)) AS INTEGER)"
        minutes = "strftime('%s', q.starts_at) / 900"
        last_end = "datetime(MAX(starts_at), '900 seconds')"
    else:
        hour = "e.starts_at AT TIME ZONE 'UTC' + e.utc_offset_s * INTERVAL '1 second'"
        month, year = "to_char(e.day, 'YYYY-MM')", "CAST(extract(year FROM e.day) AS INTEGER)"
        in_month = "CAST(extract(day FROM MIN(e.day)) AS INTEGER)"
        in_year = "CAST(extract(doy FROM MIN(e.day)) AS INTEGER)"
        minutes = "CAST(extract(epoch FROM q.starts_at) AS BIGINT) / 900"
        last_end = "MAX(starts_at) + INTERVAL '900 seconds'"
    # Days before the first logged day of a month or year count as not covered.
    before_month = f"(SUM(e.period_s) + ({in_month} - 1) * 86400)"
    before_year = f"(SUM(e.period_s) + ({in_year} - 1) * 86400)"
    op.execute(sa.text(energy_view("hour_starts_at", "hourly", hour, "SUM(e.period_s)")))
    op.execute(sa.text(energy_view("day", "daily", "e.day", "SUM(e.period_s)")))
    op.execute(sa.text(energy_view("month", "monthly", month, before_month)))
    op.execute(sa.text(energy_view("year", "yearly", year, before_year)))
    phases = ", ".join(f"{rounded(f'e.{name}_wh / 1000.0', 6)} AS {name}_kwh" for name in ENERGY)
    op.execute(
        sa.text(
            f"CREATE VIEW v_phase_daily AS SELECT g.name AS gateway, e.day, e.phase, {phases} "  # noqa: S608
            "FROM energy_daily e JOIN gateways g ON g.gateway_id = e.gateway_id "
            "WHERE e.phase <> 'total'"
        )
    )
    op.execute(
        sa.text(
            "CREATE VIEW v_inverter_daily AS SELECT g.name AS gateway, i.day, i.serial, "  # noqa: S608
            f"{rounded('i.energy_wh / 1000.0', 6)} AS energy_kwh, i.peak_power_w, i.covered_s "
            "FROM inverter_daily i JOIN gateways g ON g.gateway_id = i.gateway_id"
        )
    )
    op.execute(
        sa.text(
            "CREATE VIEW v_power_now AS SELECT g.name AS gateway, p.polled_at AS measured_at, "
            "p.power_w AS production_w, "
            "c.power_w + COALESCE(b.power_w, 0) AS consumption_w, "
            "n.power_w AS grid_w, b.power_w AS battery_w "
            "FROM gateways g JOIN production_samples p ON p.gateway_id = g.gateway_id "
            "AND p.phase = 'total' AND p.polled_at = (SELECT MAX(x.polled_at) "
            "FROM production_samples x WHERE x.gateway_id = g.gateway_id) "
            "LEFT JOIN consumption_samples c ON c.gateway_id = g.gateway_id "
            "AND c.polled_at = p.polled_at AND c.phase = 'total' "
            "AND c.measurement = 'total-consumption' "
            "LEFT JOIN consumption_samples n ON n.gateway_id = g.gateway_id "
            "AND n.polled_at = p.polled_at AND n.phase = 'total' "
            "AND n.measurement = 'net-consumption' "
            "LEFT JOIN meter_readings b ON b.gateway_id = g.gateway_id "
            "AND b.polled_at = p.polled_at AND b.phase = 'total' AND b.measurement = 'storage'"
        )
    )
    op.execute(
        sa.text(
            "CREATE VIEW v_gaps AS SELECT g.name AS gateway, MIN(s.starts_at) AS starts_at, "  # noqa: S608
            f"{last_end.replace('starts_at', 's.starts_at')} AS ends_at, "
            "SUM(900 - s.covered_s) AS missing_s FROM (SELECT q.gateway_id, q.starts_at, "
            f"q.covered_s, {minutes} - ROW_NUMBER() OVER "
            "(PARTITION BY q.gateway_id ORDER BY q.starts_at) AS island "
            "FROM energy_15min q WHERE q.phase = 'total' AND q.covered_s < 900) s "
            "JOIN gateways g ON g.gateway_id = s.gateway_id "
            "GROUP BY s.gateway_id, g.name, s.island"
        )
    )
    op.execute(
        sa.text(
            "CREATE VIEW v_events AS SELECT g.name AS gateway, e.at, e.kind, e.subject, e.detail "
            "FROM events e JOIN gateways g ON g.gateway_id = e.gateway_id"
        )
    )
    dictionary = op.create_table(
        "data_dictionary",
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("column", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("meaning", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("table", "column", name="pk_data_dictionary"),
        sqlite_with_rowid=False,
    )
    op.bulk_insert(
        dictionary,
        [
            {"table": table, "column": column, "unit": unit, "meaning": meaning}
            for table, columns in DICTIONARY.items()
            for column, (unit, meaning) in columns.items()
        ],
    )
    if not lite:
        for table, columns in DICTIONARY.items():
            for column, (unit, meaning) in columns.items():
                words = (meaning + (f" [{unit}]" if unit else "")).replace("'", "''")
                op.execute(sa.text(f"COMMENT ON COLUMN {table}.\"{column}\" IS '{words}'"))


def downgrade() -> None:
    op.drop_table("data_dictionary")
    for view in reversed(VIEWS):
        op.execute(sa.text(f"DROP VIEW {view}"))
