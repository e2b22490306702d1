"""Raw tables filled by plain SQL, as other programs would, and what is true of them."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from logger.simulator.site import Site

STATEMENTS = {
    "gateways": "INSERT INTO gateways (gateway_id, name, serial, firmware, time_zone, phase_count, "
    "peak_power_kwp) VALUES (:gateway_id, :name, :serial, '8.2.4286', :time_zone, :phases, :peak)",
    "polls": "INSERT INTO polls (gateway_id, polled_at, took_s, outcome) VALUES (:gateway_id, :at, 0.5, 'complete')",
    "production_samples": "INSERT INTO production_samples (gateway_id, polled_at, phase, power_w, "
    "energy_lifetime_wh, source) VALUES (:gateway_id, :at, :phase, :power_w, :energy_wh, :source)",
    "consumption_samples": "INSERT INTO consumption_samples (gateway_id, polled_at, measurement, "
    "phase, power_w, energy_lifetime_wh, source) VALUES (:gateway_id, :at, :measurement, :phase, "
    ":power_w, :energy_wh, :source)",
    "meter_readings": "INSERT INTO meter_readings (gateway_id, polled_at, measurement, phase, "
    "power_w, delivered_wh, received_wh) VALUES (:gateway_id, :at, :measurement, :phase, :power_w, "
    ":delivered_wh, :received_wh)",
}


def instant(engine: Engine, at: datetime) -> object:
    """What plain SQL would write: text in SQLite, an instant in PostgreSQL."""
    return at.strftime("%Y-%m-%d %H:%M:%S") if engine.dialect.name == "sqlite" else at


def times(since: datetime, until: datetime, step_s: int) -> list[datetime]:
    count = int((until - since).total_seconds()) // step_s
    return [since + timedelta(seconds=step_s * n) for n in range(count + 1)]


def fill(
    engine: Engine, site: Site, at: list[datetime], *, zone: str, gateway_id: int = 1, meters: bool = True
) -> None:
    """Fill the raw tables of a site with production and net-consumption CTs (and storage)."""
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in STATEMENTS}
    rows["gateways"] = [
        {"gateway_id": gateway_id, "name": f"site{gateway_id}", "serial": f"serial{gateway_id}",
         "time_zone": zone, "phases": site.shape.phases,
         "peak": site.shape.peak_power_w / 1000}
    ]  # fmt: skip
    for moment in at:
        key = {"gateway_id": gateway_id, "at": instant(engine, moment)}
        rows["polls"].append(key)
        at_s = moment.timestamp()
        for phase in site.phases:
            name = f"L{phase}" if phase else "total"
            powers = site.powers(at_s, phase)

            def counter(which: str, at_s: float = at_s, phase: int = phase) -> float:
                return round(5_000_000 + site.counter_wh(which, at_s, phase), 3)

            rows["production_samples"].append(
                {**key, "phase": name, "power_w": powers.production,
                 "energy_wh": counter("production"), "source": "ct"}
            )  # fmt: skip
            if not meters:
                continue
            pairs = [("production", powers.production, "production", "standby"),
                     ("net-consumption", powers.net, "grid_import", "grid_export")]  # fmt: skip
            if site.shape.battery:
                pairs.append(("storage", powers.storage, "battery_discharge", "battery_charge"))
            rows["meter_readings"] += [
                {**key, "measurement": kind, "phase": name, "power_w": watts,
                 "delivered_wh": counter(out), "received_wh": counter(into)}
                for kind, watts, out, into in pairs
            ]  # fmt: skip
            net = counter("grid_import") - counter("grid_export")
            rows["consumption_samples"] += [
                {**key, "phase": name, "measurement": "net-consumption", "power_w": powers.net,
                 "energy_wh": net, "source": "ct"},
                {**key, "phase": name, "measurement": "total-consumption",
                 "power_w": powers.production + powers.net,
                 "energy_wh": counter("production") - counter("standby") + net,
                 "source": "derived"},
            ]  # fmt: skip
    with engine.begin() as connection:
        for name, statement in STATEMENTS.items():
            if rows[name]:
                connection.execute(text(statement), rows[name])


def fill_inverters(
    engine: Engine, site: Site, at: list[datetime], shares: dict[str, float], *, gateway_id: int = 1
) -> None:
    """Fill in what single inverters counted: each its share of the production, by serial."""
    rows = [
        {"gateway_id": gateway_id, "at": instant(engine, moment), "serial": serial,
         "wh": site.counter_wh("production", moment.timestamp()) * share}
        for moment in at
        for serial, share in shares.items()
    ]  # fmt: skip
    statement = (
        "INSERT INTO inverter_samples (gateway_id, reported_at, serial, energy_lifetime_wh) "
        "VALUES (:gateway_id, :at, :serial, :wh)"
    )
    with engine.begin() as connection:
        connection.execute(text(statement), rows)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def fill_batteries(engine: Engine, site: Site, at: list[datetime], *, gateway_id: int = 1, kwh: float = 10.0) -> None:
    """Fill in what a battery says of itself, beside its CT, and an outage of the grid between two of the polls."""
    key = {"gateway_id": gateway_id}
    levels = []
    for moment in at:
        flows = [site.counter_wh(flow, moment.timestamp()) for flow in ("battery_charge", "battery_discharge")]
        stored_wh = 500 * kwh + 0.9 * flows[0] - flows[1]
        power_w = site.powers(moment.timestamp()).storage
        soc_pct = round(stored_wh / kwh / 10, 1)
        levels.append({**key, "at": instant(engine, moment), "power_w": power_w, "wh": stored_wh, "soc_pct": soc_pct})
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO storage_samples (gateway_id, polled_at, kind, power_w, energy_wh, soc_pct, source) "
                "VALUES (:gateway_id, :at, 'encharge', :power_w, :wh, :soc_pct, 'ensemble')"
            ),
            levels,
        )
        connection.execute(
            text(
                "INSERT INTO batteries (gateway_id, serial, kind, capacity_wh) "
                "VALUES (:gateway_id, 'b', 'encharge', :wh)"
            ),
            {**key, "wh": 1000 * kwh},
        )
        for kind, moment in (("grid_lost", at[len(at) // 3]), ("grid_back", at[len(at) // 2])):
            values = {**key, "at": instant(engine, moment), "kind": kind}
            event = "INSERT INTO events (gateway_id, at, kind, subject) VALUES (:gateway_id, :at, :kind, 'grid')"
            connection.execute(text(event), values)
        state = (
            "INSERT INTO site_states (gateway_id, at, subject, state) VALUES (:gateway_id, :at, 'grid_mode', 'on_grid')"
        )
        connection.execute(text(state), values)
