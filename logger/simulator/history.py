"""What a gateway would have reported for months, as rows of the raw tables: a history without a poll.

Walk: numbers -> here -> demo
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from logger.simulator.numbers import Numbers, inverter_serial

Row = dict[str, Any]


def rows(reports: Iterable[Numbers]) -> dict[str, list[Row]]:
    """Return what a gateway with CTs for production and net consumption shows at some instants.

    Table -> its rows, without the gateway's id. Inverters report with every fourth of the instants, while they work.
    """
    found: dict[str, list[Row]] = defaultdict(list)
    for count, numbers in enumerate(reports):
        polled_at = datetime.fromtimestamp(numbers.now_s, UTC)
        found["polls"].append({"polled_at": polled_at, "took_s": 0.01, "outcome": "complete"})
        for phase in numbers.site.phases:
            key = {"polled_at": polled_at, "phase": f"L{phase}" if phase else "total", "reading_age_s": 0}
            _add_meters(found, key, numbers, phase)
        if count % 4 == 0 and numbers.power_w("production") > 0:
            found["inverter_samples"] += [_inverter(numbers, index, polled_at) for index in numbers.inverters]
    return found


def _add_meters(found: dict[str, list[Row]], key: Row, numbers: Numbers, phase: int) -> None:
    """Add what the CTs of a phase show, and what follows from it."""
    made_w, net_w = (round(numbers.power_w(meter, phase), 3) for meter in ("production", "net-consumption"))
    made_wh, standby_wh = numbers.registers_wh("production", phase)
    import_wh, export_wh = numbers.registers_wh("net-consumption", phase)
    found["production_samples"].append({**key, "power_w": made_w, "energy_lifetime_wh": made_wh, "source": "ct"})
    for meter, watts, delivered_wh, received_wh in (
        ("production", made_w, made_wh, standby_wh),
        ("net-consumption", net_w, import_wh, export_wh),
    ):
        values: Row = {"power_w": watts, "delivered_wh": delivered_wh, "received_wh": received_wh}
        found["meter_readings"].append({**key, "measurement": meter, **values})
    net_wh = round(import_wh - export_wh, 3)
    used = round(made_w + net_w, 3), round(made_wh - standby_wh + import_wh - export_wh, 3)
    for meter, (watts, energy_wh), source in (
        ("net-consumption", (net_w, net_wh), "ct"),
        ("total-consumption", used, "derived"),
    ):
        values = {"power_w": watts, "energy_lifetime_wh": energy_wh, "source": source}
        found["consumption_samples"].append({**key, "measurement": meter, **values})


def _inverter(numbers: Numbers, index: int, at: datetime) -> Row:
    return {
        "reported_at": at,
        "serial": inverter_serial(index),
        "power_w": float(round(numbers.inverter_w(index, numbers.now_s))),
        "energy_lifetime_wh": round(round(numbers.inverter_j(index, numbers.now_s)) / 3600, 6),
    }
