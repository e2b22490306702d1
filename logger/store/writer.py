"""One poll into rows. Storing the same poll twice is storing it once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, Table, bindparam, case, delete, func, select, update

from logger import readings
from logger.errors import SettingsError
from logger.readings import Event, GatewayInfo, Outcome, Poll
from logger.settings import GRID_METERS, GatewaySettings
from logger.store import models, phase_samples
from logger.store.database import backend
from logger.store.panels import remember_panels
from logger.store.rows import insert_or_ignore, insert_rows, is_new_row, run, upsert


def _named_rows(kind: type) -> Callable[[dict[str, Any], Iterable[Any]], list[dict[str, Any]]]:
    """Return what makes rows of readings and a key (dataclasses.asdict takes ten times as long)."""
    names = tuple(field.name for field in fields(kind))
    values = attrgetter(*names)
    return lambda key, found: [{**key, **dict(zip(names, values(reading), strict=True))} for reading in found]


class _Sampled(NamedTuple):
    """What of a poll goes into a table: which readings, by which columns, in the order of their key."""

    table: Table
    names: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]
    key: Callable[[Any], Any]
    of_poll: Callable[[Poll], tuple[Any, ...]]


def _sampled(table: Table, kind: type, of_poll: str, *key: str) -> _Sampled:
    names = tuple(field.name for field in fields(kind))
    columns = ("gateway_id", "polled_at", *names)
    return _Sampled(table, columns, attrgetter(*names), attrgetter(*key), attrgetter(of_poll))


_IDENTITY = ("part_number", "firmware", "is_metered", "phase_mode", "phase_count")
_METER_STATE = [column.name for column in models.METERS.c if not column.primary_key]
_meter_rows, _event_rows = _named_rows(readings.Meter), _named_rows(Event)
_POLL = ("gateway_id", "polled_at", "took_s", "outcome", "error")
_OF_PHASES = (
    _sampled(models.PRODUCTION_SAMPLES, readings.ProductionSample, "production", "phase"),
    _sampled(models.CONSUMPTION_SAMPLES, readings.ConsumptionSample, "consumption", "measurement", "phase"),
    _sampled(models.METER_READINGS, readings.MeterReading, "meter_readings", "measurement", "phase"),
)
_OF_BATTERIES = (
    _sampled(models.BATTERY_SAMPLES, readings.BatterySample, "batteries", "serial"),
    _sampled(models.STORAGE_SAMPLES, readings.StorageSample, "storage", "kind"),
)
_INVERTER = tuple(
    field.name for field in fields(readings.InverterSample) if field.name not in {"device_type", "reported_at"}
)
_inverter_values, _inverter_key = attrgetter(*_INVERTER), attrgetter("reported_at", "serial")
_GATEWAY: BindParameter[int] = bindparam("gateway")
_storage, _left = models.STORAGE_SAMPLES.c, models.ROLLUP_CHECKPOINTS.c
_AT = bindparam("polled_at", type_=_storage.polled_at.type)
_of_storage = select(func.max(_storage.polled_at)).where(_storage.gateway_id == _GATEWAY)
#: Power of batteries that comes late also fills the gap before it, though nothing of longer ago than a day.
_known_before = _of_storage.where(
    _storage.power_w.is_not(None),
    _storage.polled_at < _AT,
    _storage.polled_at >= bindparam("day_before", type_=_AT.type),
)
#: Of each poll with batteries: not to be made anew for each.
_REOPEN_WITH_STORAGE = delete(models.ROLLUP_CHECKPOINTS).where(
    _left.gateway_id == _GATEWAY,
    _left.ledger == "energy",
    _left.at
    >= case((_of_storage.scalar_subquery() > _AT, func.coalesce(_known_before.scalar_subquery(), _AT)), else_=_AT),
)
# Of each poll: what SQLAlchemy does about a statement takes longer than the statement.
_REOPEN = "DELETE FROM rollup_checkpoints WHERE gateway_id = ? AND ledger = ? AND at >= ?"
_report, _inverter = models.INVERTER_SAMPLES.c, models.INVERTERS.c
#: That a gateway or an inverter is there is noted this often: each time is a page to write.
SEEN_EVERY = timedelta(hours=1)
_SEE_GATEWAY = """
UPDATE gateways SET last_seen_at = ? WHERE gateway_id = ? AND (last_seen_at IS NULL OR NOT last_seen_at BETWEEN ? AND ?)
"""
#: Of a unit that fell silent the last report is asked for alone: since then others have made years of them.
LATELY = timedelta(days=2)
_REPORTS = select(_report.reported_at, _report.serial).where(
    _report.gateway_id == _GATEWAY, _report.reported_at >= bindparam("oldest")
)
_IS_REPORTED = select(_report.serial).where(
    _report.gateway_id == _GATEWAY, _report.reported_at == bindparam("at"), _report.serial == bindparam("of")
)
_INVERTERS = select(_inverter.serial, _inverter.last_seen_at).where(_inverter.gateway_id == _GATEWAY)
_battery_rows, _BATTERY_STATE = _named_rows(readings.Battery), [field.name for field in fields(readings.Battery)][1:]


def remember_gateway(connection: Connection, info: GatewayInfo, settings: GatewaySettings, at: datetime) -> int:
    """Create or update a gateway's row and its meters; return its id, which is that of its serial.

    Raises:
        SettingsError: the configured time zone is not the one its days were made with, or the configured grid meter
            not the one of its import and export.
    """
    mine = models.GATEWAYS.c.serial == info.serial
    known = connection.execute(select(models.GATEWAYS).where(mine)).one_or_none()
    values = {"name": settings.name, "last_seen_at": at} | {name: getattr(info, name) for name in _IDENTITY}
    if settings.peak_power_kwp is not None:
        values["peak_power_kwp"] = settings.peak_power_kwp
    zone, grid_meter = settings.time_zone or info.time_zone, settings.grid_meter or GRID_METERS[0]
    if known is None:
        # Another collector, or another gateway's thread, may be giving out a number just now.
        connection.exec_driver_sql(backend(connection).LOCK_WRITES.format(models.GATEWAYS.name))
        newest = connection.execute(select(func.max(models.GATEWAYS.c.gateway_id))).scalar_one()
        gateway_id = (newest or 0) + 1
        key = {"gateway_id": gateway_id, "serial": info.serial, "first_seen_at": at}
        row = {**key, **values, "time_zone": zone or "UTC", "grid_meter": grid_meter}
        insert_or_ignore(connection, models.GATEWAYS, [row])
        # It may also have been this gateway, seen from elsewhere.
        gateway_id = connection.execute(select(models.GATEWAYS.c.gateway_id).where(mine)).scalar_one()
    else:
        gateway_id = known.gateway_id
        if settings.time_zone and known.time_zone and settings.time_zone != known.time_zone:
            raise SettingsError(
                f"gateway {settings.name!r}: its days are those of {known.time_zone}, the configuration says "
                f"{settings.time_zone}; run `envoylog db rebuild` to move them, or change time_zone back."
            )
        if settings.grid_meter and known.grid_meter and settings.grid_meter != known.grid_meter:
            raise SettingsError(
                f"gateway {settings.name!r}: its import and export are those of a meter that is {known.grid_meter}, "
                f"the configuration says {settings.grid_meter}; run `envoylog db rebuild` to count them anew, or "
                "change grid_meter back."
            )
        if known.grid_meter is None:
            values["grid_meter"] = grid_meter
        if known.time_zone is None:
            values["time_zone"] = zone or "UTC"
        # A name written again would be a page of its index.
        changed = {name: value for name, value in values.items() if getattr(known, name) != value}
        if changed:
            here = models.GATEWAYS.c.gateway_id == gateway_id
            connection.execute(update(models.GATEWAYS).where(here).values(changed))
        _note_changes(connection, known, info, at)
    remember_panels(connection, int(gateway_id), settings)
    upsert(connection, models.METERS, _meter_rows({"gateway_id": gateway_id}, info.meters), _METER_STATE)
    return int(gateway_id)


def _note_changes(connection: Connection, known: Any, info: GatewayInfo, at: datetime) -> None:
    """Keep as events what changed since the gateway was last identified, also by an older run."""
    gateway_id, firmware = known.gateway_id, known.firmware
    events: list[Event] = []
    if firmware not in {None, info.firmware}:
        events.append(Event(at=at, kind="firmware_change", subject="gateway", detail=f"{firmware} to {info.firmware}"))
    query = select(models.METERS.c.eid, models.METERS.c.state).where(models.METERS.c.gateway_id == gateway_id)
    states = {row.eid: row.state for row in connection.execute(query)}
    for meter in info.meters:
        before = states.get(meter.eid)
        if before not in {None, meter.state}:
            events.append(Event(at=at, kind=f"meter_{meter.state}", subject=meter.measurement, detail=f"was {before}"))
    insert_or_ignore(connection, models.EVENTS, _event_rows({"gateway_id": gateway_id}, events))


def note_event(connection: Connection, gateway_id: int, event: Event) -> None:
    """Keep an event; the caller commits."""
    insert_or_ignore(connection, models.EVENTS, _event_rows({"gateway_id": gateway_id}, [event]))


def took_s(poll: Poll) -> float:
    """Return how long a poll took, as it is stored."""
    return round(poll.took_s, 3)


def save(connection: Connection, gateway_id: int, poll: Poll) -> bool:
    """Store a poll, unless one lies at its instant; return whether it was stored. The caller commits."""
    key = (gateway_id, models.instant(connection, poll.polled_at))
    if not is_new_row(connection, models.POLLS, _POLL, (*key, took_s(poll), poll.outcome, poll.error)):
        return False
    ages_s = [sample.reading_age_s for sample in poll.production]
    ages_s += [reading.reading_age_s for reading in poll.meter_readings]
    # A clock that is wrong by days is no reason to count years anew: the ledger looks at it.
    clocks_agree = all(age_s is None or abs(age_s) <= 86_400 for age_s in ages_s)
    of = {"gateway": gateway_id, "polled_at": poll.polled_at}
    with backend(connection).pipelined(connection):
        if is_merged := backend(connection).MERGES_PHASES:
            phase_samples.insert(connection, *key, poll)
        for table, names, values, order, of_poll in _OF_BATTERIES if is_merged else _OF_PHASES + _OF_BATTERIES:
            rows = [(*key, *values(reading)) for reading in sorted(of_poll(poll), key=order)]
            insert_rows(connection, table, names, rows)
        insert_or_ignore(connection, models.EVENTS, _event_rows({"gateway_id": gateway_id}, poll.events))
        if poll.outcome is not Outcome.FAILED:
            hour_before = models.instant(connection, poll.polled_at - SEEN_EVERY)
            run(connection, _SEE_GATEWAY, key[1], gateway_id, hour_before, key[1])
        if (poll.production or poll.consumption or poll.meter_readings or poll.storage) and clocks_agree:
            if poll.storage:
                connection.execute(_REOPEN_WITH_STORAGE, of | {"day_before": poll.polled_at - timedelta(days=1)})
            else:
                _reopen(connection, gateway_id, "energy", poll.polled_at)
    _save_inverters(connection, gateway_id, poll)
    _save_batteries(connection, gateway_id, poll)
    return True


def _save_inverters(connection: Connection, gateway_id: int, poll: Poll) -> None:
    if not poll.inverters:
        return
    # Most reports were seen before: ask, so that only new ones can reopen a day.
    lately = max(sample.reported_at for sample in poll.inverters) - LATELY
    oldest = min(sample.reported_at for sample in poll.inverters if sample.reported_at >= lately)
    stored = {(at, serial) for at, serial in connection.execute(_REPORTS, {"gateway": gateway_id, "oldest": oldest})}
    for sample in poll.inverters:
        if sample.reported_at < lately:
            of = {"gateway": gateway_id, "at": sample.reported_at, "of": sample.serial}
            if connection.execute(_IS_REPORTED, of).first() is not None:
                stored.add((sample.reported_at, sample.serial))
    new = [sample for sample in poll.inverters if (sample.reported_at, sample.serial) not in stored]
    if not new:
        return
    _see_inverters(connection, gateway_id, new)
    rows = [
        (gateway_id, models.instant(connection, sample.reported_at), *_inverter_values(sample))
        for sample in sorted(new, key=_inverter_key)
    ]
    insert_rows(connection, models.INVERTER_SAMPLES, ("gateway_id", "reported_at", *_INVERTER), rows)
    _reopen(connection, gateway_id, "inverters", min(sample.reported_at for sample in new))


def _see_inverters(connection: Connection, gateway_id: int, new: Iterable[readings.InverterSample]) -> None:
    """Make inverters known, and note once an hour that they report."""
    seen = {row.serial: row.last_seen_at for row in connection.execute(_INVERTERS, {"gateway": gateway_id})}
    known = [
        {"gateway_id": gateway_id, "serial": sample.serial, "device_type": sample.device_type}
        | dict.fromkeys(("first_seen_at", "last_seen_at"), sample.reported_at)
        for sample in new
        if (last := seen.get(sample.serial)) is None or not last <= sample.reported_at < last + SEEN_EVERY
    ]
    upsert(connection, models.INVERTERS, known, ("last_seen_at",))


def _save_batteries(connection: Connection, gateway_id: int, poll: Poll) -> None:
    seen = dict.fromkeys(("first_seen_at", "last_seen_at"), poll.polled_at)
    _reopen_rated(connection, gateway_id, poll.battery_devices)
    columns_of: defaultdict[tuple[str, ...], list[readings.Battery]] = defaultdict(list)
    for device in poll.battery_devices:
        columns_of[tuple(name for name in _BATTERY_STATE if getattr(device, name) is not None)].append(device)
    for known, devices in columns_of.items():
        # What was known once stays, also where a list leaves it out.
        rows = _battery_rows({"gateway_id": gateway_id, **seen}, devices)
        upsert(connection, models.BATTERIES, rows, ["last_seen_at", *known])
    for state in poll.site_states:
        # A collector that has started anew reports each state once, changed or not.
        columns = models.SITE_STATES.c
        mine = (columns.gateway_id == gateway_id) & (columns.subject == state.subject) & (columns.at < state.at)
        last = connection.execute(select(columns.state).where(mine).order_by(columns.at.desc()).limit(1)).first()
        if last is None or last.state != state.state:
            row = {"gateway_id": gateway_id, "at": state.at, "subject": state.subject, "state": state.state}
            insert_or_ignore(connection, models.SITE_STATES, [row])


def _reopen_rated(connection: Connection, gateway_id: int, devices: Sequence[readings.Battery]) -> None:
    """Let be counted anew what batteries did whose rated power was not known: part of it is no power at all."""
    if not devices:
        return
    first = func.min(models.STORAGE_SAMPLES.c.polled_at)
    known = connection.execute(select(models.BATTERIES).where(models.BATTERIES.c.gateway_id == gateway_id)).all()
    rated_w = {device.serial: device.rated_power_w for device in devices if device.rated_power_w is not None}
    since = [row.first_seen_at for row in known if rated_w.get(row.serial, row.rated_power_w) != row.rated_power_w]
    is_unheard = not {device.kind for device in devices} <= {row.kind for row in known}
    if since or is_unheard:
        # Before the first sample that is kept there is nothing to count.
        kept = connection.execute(select(first).where(models.STORAGE_SAMPLES.c.gateway_id == gateway_id)).scalar_one()
        begun = kept if is_unheard else min(filter(None, since), default=None)
        if begun is not None:
            _reopen(connection, gateway_id, "energy", max(begun, kept or begun) + timedelta(seconds=1))


def _reopen(connection: Connection, gateway_id: int, ledger: str, at: datetime) -> None:
    """Let a sample that arrives late have its days recomputed."""
    run(connection, _REOPEN, gateway_id, ledger, models.instant(connection, at))


_id = models.GATEWAYS.c.gateway_id
_TURN = select(_id).where(_id == bindparam("gateway")).with_for_update(key_share=True)
_ROLLUPS = f"{models.ENERGY_15MIN.name}, {models.INVERTER_DAILY.name}"


def reserve_rollups(connection: Connection) -> None:
    """Let nobody else roll up until the end of the transaction; reading goes on."""
    connection.exec_driver_sql(backend(connection).LOCK_WRITES.format(_ROLLUPS))


def take_turn(connection: Connection, gateway_id: int) -> None:
    """Roll up a gateway alone, before samples are read: who reserves rollups may drop these.

    Raises:
        DBAPIError: somebody does, which takes minutes where all is counted anew.
    """
    connection.exec_driver_sql(backend(connection).LOCK_OWN_WRITES.format(_ROLLUPS))
    connection.execute(_TURN, {"gateway": gateway_id})
