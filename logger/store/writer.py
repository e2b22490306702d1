"""One poll into rows. Storing the same poll twice is storing it once."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from logger.errors import SettingsError
from logger.readings import Event, GatewayInfo, Outcome, Poll
from logger.settings import GatewaySettings
from logger.store.database import backend, insert_or_ignore, upsert
from logger.store.models import (
    CONSUMPTION_SAMPLES,
    ENERGY_15MIN,
    EVENTS,
    GATEWAYS,
    INVERTER_DAILY,
    INVERTER_SAMPLES,
    INVERTERS,
    METER_READINGS,
    METERS,
    POLLS,
    PRODUCTION_SAMPLES,
    ROLLUP_CHECKPOINTS,
)


def remember_gateway(
    connection: Connection, info: GatewayInfo, settings: GatewaySettings, at: datetime
) -> int:
    """Create or update a gateway's row and its meters; return its id.

    Raises:
        SettingsError: the configured time zone is not the one its days were made with.
    """
    table = GATEWAYS
    known = connection.execute(select(table).where(table.c.serial == info.serial)).one_or_none()
    values: dict[str, Any] = {
        "name": settings.name,
        "part_number": info.part_number,
        "firmware": info.firmware,
        "is_metered": info.is_metered,
        "phase_mode": info.phase_mode,
        "phase_count": info.phase_count,
        "last_seen_at": at,
    }
    if settings.peak_power_kwp is not None:
        values["peak_power_kwp"] = settings.peak_power_kwp
    zone = settings.time_zone or info.time_zone
    if known is None:
        newest = connection.execute(select(func.max(table.c.gateway_id))).scalar_one()
        gateway_id = (newest or 0) + 1
        key = {"gateway_id": gateway_id, "serial": info.serial, "first_seen_at": at}
        insert_or_ignore(connection, table, [{**key, **values, "time_zone": zone or "UTC"}])
    else:
        gateway_id = known.gateway_id
        if settings.time_zone and known.time_zone and settings.time_zone != known.time_zone:
            raise SettingsError(
                f"gateway {settings.name!r}: its days are those of {known.time_zone}, the "
                f"configuration says {settings.time_zone}; run `envoylog db rebuild` to move them, "
                "or change time_zone back."
            )
        if known.time_zone is None:
            values["time_zone"] = zone or "UTC"
        connection.execute(update(table).where(table.c.gateway_id == gateway_id).values(values))
        _note_changes(connection, gateway_id, known.firmware, info, at)
    meters = [{"gateway_id": gateway_id, **asdict(meter)} for meter in info.meters]
    replace = ("measurement", "state", "metering_status", "status_flags")
    upsert(connection, METERS, meters, (*replace, "phase_mode", "phase_count"))
    return int(gateway_id)


def _note_changes(
    connection: Connection, gateway_id: int, firmware: str | None, info: GatewayInfo, at: datetime
) -> None:
    """Keep as events what changed since the gateway was last identified, also by an older run."""
    events: list[Event] = []
    if firmware is not None and firmware != info.firmware:
        detail = f"{firmware} to {info.firmware}"
        events.append(Event(at=at, kind="firmware_change", subject="gateway", detail=detail))
    table = METERS
    query = select(table.c.eid, table.c.state).where(table.c.gateway_id == gateway_id)
    states = {row.eid: row.state for row in connection.execute(query)}
    for meter in info.meters:
        before = states.get(meter.eid)
        if before not in {None, meter.state}:
            events.append(
                Event(
                    at=at,
                    kind=f"meter_{meter.state}",
                    subject=meter.measurement,
                    detail=f"was {before}",
                )
            )
    rows = [{"gateway_id": gateway_id, **asdict(event)} for event in events]
    insert_or_ignore(connection, EVENTS, rows)


def save(connection: Connection, gateway_id: int, poll: Poll) -> None:
    """Store a poll; the caller commits."""
    key = {"gateway_id": gateway_id, "polled_at": poll.polled_at}
    row = {"took_s": round(poll.took_s, 3), "outcome": poll.outcome, "error": poll.error}
    insert_or_ignore(connection, POLLS, [{**key, **row}])
    for table, readings in (
        (PRODUCTION_SAMPLES, poll.production),
        (CONSUMPTION_SAMPLES, poll.consumption),
        (METER_READINGS, poll.meter_readings),
    ):
        insert_or_ignore(connection, table, [{**key, **asdict(one)} for one in readings])
    _save_inverters(connection, gateway_id, poll)
    events = [{"gateway_id": gateway_id, **asdict(event)} for event in poll.events]
    insert_or_ignore(connection, EVENTS, events)
    if poll.outcome is not Outcome.FAILED:
        gateways = GATEWAYS
        seen = update(gateways).where(gateways.c.gateway_id == gateway_id)
        connection.execute(seen.values(last_seen_at=poll.polled_at))
    ages_s = [one.reading_age_s for one in poll.production]
    ages_s += [one.reading_age_s for one in poll.meter_readings]
    # A clock that is wrong by days is no reason to count years anew: the ledger looks at it.
    clocks_agree = all(age_s is None or abs(age_s) <= 86_400 for age_s in ages_s)
    if (poll.production or poll.consumption or poll.meter_readings) and clocks_agree:
        _reopen(connection, gateway_id, "energy", poll.polled_at)


def _save_inverters(connection: Connection, gateway_id: int, poll: Poll) -> None:
    if not poll.inverters:
        return
    samples = [{"gateway_id": gateway_id, **asdict(one)} for one in poll.inverters]
    known = [
        {
            "gateway_id": gateway_id,
            "serial": one.serial,
            "device_type": one.device_type,
            "first_seen_at": one.reported_at,
            "last_seen_at": one.reported_at,
        }
        for one in poll.inverters
    ]
    upsert(connection, INVERTERS, known, ("last_seen_at",))
    for sample in samples:
        del sample["device_type"]
    table = INVERTER_SAMPLES
    oldest = min(one.reported_at for one in poll.inverters)
    query = select(table.c.reported_at, table.c.serial).where(
        table.c.gateway_id == gateway_id, table.c.reported_at >= oldest
    )
    # Most reports were seen before: ask, so that only new ones can reopen a day.
    stored = {(at, serial) for at, serial in connection.execute(query)}
    new = [one for one in samples if (one["reported_at"], one["serial"]) not in stored]
    insert_or_ignore(connection, table, new)
    if new:
        _reopen(connection, gateway_id, "inverters", min(one["reported_at"] for one in new))


def _reopen(connection: Connection, gateway_id: int, ledger: str, at: datetime) -> None:
    """Let a sample that arrives late have its days recomputed."""
    table = ROLLUP_CHECKPOINTS
    connection.execute(
        delete(table).where(
            table.c.gateway_id == gateway_id, table.c.ledger == ledger, table.c.at >= at
        )
    )


def reserve_rollups(connection: Connection) -> None:
    """Let nobody else roll up until the end of the transaction; reading goes on."""
    names = f"{ENERGY_15MIN.name}, {INVERTER_DAILY.name}"
    connection.exec_driver_sql(backend(connection).LOCK_WRITES.format(names))
