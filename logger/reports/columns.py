"""The columns of energy reports: name, heading and how a totals row comes about."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in csv, json and views; its heading for people."""

    name: str
    title: str
    decimals: int
    total: Literal["sum", "max", "ratio", "none"]


PERIOD_NAMES = {
    "hourly": "hour_starts_at",
    "daily": "day",
    "monthly": "month",
    "yearly": "year",
}
#: headings of the columns that name a row
LABELS = {
    "gateway": "Gateway",
    "hour_starts_at": "Hour (UTC)",
    "local_hour": "Hour",
    "day": "Day",
    "month": "Month",
    "year": "Year",
    "phase": "Phase",
    "serial": "Inverter",
    "status": "Status",
    "notes": "Notes",
}

ENERGY = (
    Column("production_kwh", "Production (kWh)", 2, "sum"),
    Column("consumption_kwh", "Consumption (kWh)", 2, "sum"),
    Column("grid_import_kwh", "Grid import (kWh)", 2, "sum"),
    Column("grid_export_kwh", "Grid export (kWh)", 2, "sum"),
    Column("battery_charge_kwh", "Battery charge (kWh)", 2, "sum"),
    Column("battery_discharge_kwh", "Battery discharge (kWh)", 2, "sum"),
    Column("self_consumption_kwh", "Self-consumption (kWh)", 2, "sum"),
    Column("self_consumption_pct", "Self-consumption (%)", 1, "ratio"),
    Column("self_sufficiency_pct", "Self-sufficiency (%)", 1, "ratio"),
    Column("specific_yield_kwh_per_kwp", "Specific yield (kWh/kWp)", 2, "sum"),
    Column("peak_production_w", "Peak production (W)", 0, "max"),
    Column("coverage_pct", "Coverage (%)", 1, "ratio"),
    Column("bridged_kwh", "Bridged (kWh)", 2, "sum"),
)
#: per phase and day: the flows alone
PHASE = ENERGY[:6]
#: per inverter and day
INVERTER = (
    Column("energy_kwh", "Energy (kWh)", 3, "sum"),
    Column("peak_power_w", "Peak power (W)", 0, "max"),
    Column("covered_s", "Measured (s)", 0, "none"),
)
#: what happened on a day, and whether counters and inverters agree
QUALITY = (
    Column("coverage_pct", "Coverage (%)", 1, "ratio"),
    Column("missing_s", "Missing (s)", 0, "sum"),
    Column("bridged_kwh", "Bridged (kWh)", 2, "sum"),
    Column("polls", "Polls", 0, "sum"),
    Column("polls_failed", "Failed polls", 0, "sum"),
    Column("production_kwh", "Production (kWh)", 2, "sum"),
    Column("inverters_kwh", "Inverters' sum (kWh)", 2, "sum"),
    Column("inverters_difference_pct", "Inverters over production (%)", 1, "ratio"),
    Column("gaps", "Gaps", 0, "sum"),
    Column("resets", "Resets", 0, "sum"),
    Column("wraps", "Wraps", 0, "sum"),
    Column("dips", "Dips", 0, "sum"),
    Column("suspects", "Suspect jumps", 0, "sum"),
    Column("stalls", "Stalls", 0, "sum"),
    Column("source_changes", "Source changes", 0, "sum"),
)
STATUS = "status"
NOTES = "notes"

COLUMNS = {column.name: column for column in (*ENERGY, *INVERTER, *QUALITY)}

#: what each column of an energy report means, for people
TEXTS = {
    "production_kwh": "what the site produced",
    "consumption_kwh": "what the house used: production + import - export + battery discharge - "
    "battery charge, less what the inverters draw at night",
    "grid_import_kwh": "what came from the grid",
    "grid_export_kwh": "what went to the grid",
    "battery_charge_kwh": "what went into the battery",
    "battery_discharge_kwh": "what came out of the battery",
    "self_consumption_kwh": "production - export",
    "self_consumption_pct": "self-consumption / production",
    "self_sufficiency_pct": "(consumption - import) / consumption",
    "specific_yield_kwh_per_kwp": "production / peak power of the panels",
    "peak_production_w": "the highest power that was seen",
    "coverage_pct": "how much of the period was measured at the normal cadence",
    "bridged_kwh": "how much of the production came from one difference over an outage",
    "status": "final; provisional while the period runs; partial below 95 % coverage, or "
    "(hours and days) where a counter was broken off",
}

#: languages whose spreadsheets want a decimal comma, and a semicolon between cells
COMMA_LOCALES = ("de", "nl", "fr", "es", "it", "pt", "da", "sv", "nb", "fi", "pl", "cs")
LOCALES = ("en", *COMMA_LOCALES)
