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
PERIOD_TITLES = {"hourly": "Hour", "daily": "Day", "monthly": "Month", "yearly": "Year"}

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
STATUS = "status"
