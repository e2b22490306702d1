"""Give people and spreadsheets kWh in local time, and a dictionary of every column.

The views have the same names, columns and results on SQLite and PostgreSQL: sums are rounded to the milliwatt-hour,
ratios to a thousandth, and come from summed energies.

Revision ID: 0003 Revises: 0002
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

#: whole texts of the views per engine, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision

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


def upgrade() -> None:
    engine = op.get_bind().dialect.name
    for path in sorted((TEXTS / engine).glob("*.sql")):
        # On one line, as databases have kept them since the first of them was made.
        op.execute(sa.text(" ".join(path.read_text(encoding="utf-8").split())))
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
    if engine != "sqlite":
        for table, columns in DICTIONARY.items():
            for column, (unit, meaning) in columns.items():
                words = (meaning + (f" [{unit}]" if unit else "")).replace("'", "''")
                op.execute(sa.text(f"COMMENT ON COLUMN {table}.\"{column}\" IS '{words}'"))


def downgrade() -> None:
    op.drop_table("data_dictionary")
    for view in reversed(VIEWS):
        op.execute(sa.text(f"DROP VIEW {view}"))
