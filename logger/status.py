"""How things stand: the last polls, today's energy, the token, the spool, the database."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, select, text

from logger.clock import day_start_s, from_epoch_s, in_words, local_day, time_zone, to_epoch_s
from logger.errors import LoggerError, StoreAwayError
from logger.gateway.credentials import TokenLeft
from logger.readings import Outcome
from logger.reports.columns import SUSPECT
from logger.rollups import checkpoints, rollup
from logger.settings import GRID_METERS, GatewaySettings, Settings, normal_gap_s
from logger.store.lines import ends
from logger.store.models import ENERGY_DAILY, EVENTS, METERS, PANEL_DAILY, PANELS, POLLS
from logger.store.queries import gateway_named
from logger.store.spool import Waiting, waiting_files

#: This many gateways are named in a monitor's line, the worst first.
NAMED = 10
#: what to do where nothing is collected, unless the service knows better
START = "start the collector: envoylog run"
#: Bringing a ledger up to date is quick when it lies behind by no more than this.
CATCH_UP_S = 2 * 86_400
#: ``meteringStatus`` of a CT whose gateway asks for a person.
WIRING = "check-wiring"
_events = EVENTS.c
_polls = POLLS.c
_days = ENERGY_DAILY.c


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """One gateway, what waits for the database included."""

    gateway: str
    serial: str | None
    firmware: str | None
    last_poll_at: datetime | None
    last_poll_age_s: int | None = None
    last_outcome: str | None
    last_error: str | None
    last_good_age_s: int | None  #: since the last poll that measured something
    today_production_kwh: float | None
    today_consumption_kwh: float | None
    grid_meter_note: str | None = None  #: where the configuration wants another kind of meter than was counted for
    battery_soc_pct: float | None  #: of its newest poll
    grid_state: str | None  #: on_grid, off_grid or generator, where a system device says so
    token_days_left: int | None
    token_left_s: int | None
    token_renews: bool  #: with the configured account
    token_is_short: bool  #: so that somebody should look
    ill_panels: str | None = None  #: which panels are weak, dead or silent, and the command to type
    suspect: str | None  #: what to look at, where yesterday or today is suspect or the gateway flags a meter
    spool_bytes: int  #: what waits for the database
    spool_is_hidden: bool = False  #: from this user: what waits is not known
    waiting_since_s: int | None  #: how long the oldest poll has waited; None when none waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a monitor wants: 0 ok, 1 warning, 2 critical, 3 unknown, and one line."""

    level: int
    line: str


def statuses(
    connection: Connection, settings: Settings, now: datetime, tokens: Sequence[TokenLeft | None]
) -> list[GatewayStatus]:
    """Return how each configured gateway stands, what waits for the database included."""
    return [
        _status(connection, settings, gateway, now, token)
        for gateway, token in zip(settings.gateways, tokens, strict=True)
    ]


def _status(
    connection: Connection, settings: Settings, gateway: GatewaySettings, now: datetime, token: TokenLeft | None
) -> GatewayStatus:
    row = gateway_named(connection, gateway.name)
    last: Any = None
    good_at = today = suspect = power = ill_panels = None
    if row is not None:
        mine = _polls.gateway_id == row.gateway_id
        newest = select(_polls.polled_at, _polls.outcome, _polls.error).where(mine)
        newest = newest.order_by(_polls.polled_at.desc()).limit(1)
        last = connection.execute(newest).one_or_none()
        good = connection.execute(newest.where(_polls.outcome != "failed")).one_or_none()
        good_at = good.polled_at if good else None
        day = local_day(to_epoch_s(now), time_zone(row.time_zone or "UTC"))
        on_day = (_days.gateway_id == row.gateway_id, _days.day == day, _days.phase == "total")
        energy = select(_days.production_wh, _days.consumption_wh).where(*on_day)
        today = connection.execute(energy).one_or_none()
        suspect, ill_panels = _suspect(connection, row, day), _ill_panels(connection, row.gateway_id, day)
        now_of = "SELECT battery_soc_pct, grid_state FROM v_power_now WHERE gateway = :name ORDER BY measured_at DESC"
        power = connection.execute(text(f"{now_of} LIMIT 1"), {"name": row.name}).one_or_none()
    spool_bytes, is_hidden, files = 0, False, waiting_files(settings.state_dir, gateway.name)
    for path in files:
        try:
            spool_bytes += path.stat().st_size
        except OSError as error:
            is_hidden = is_hidden or isinstance(error, PermissionError)
    spooled = ends(files)
    if spooled is not None:
        newer = [poll for poll in spooled[1] if last is None or poll.polled_at >= last.polled_at]
        last = newer[-1] if newer else last
        measured = [poll.polled_at for poll in newer if poll.outcome is not Outcome.FAILED]
        good_at = measured[-1] if measured else good_at
    return GatewayStatus(
        gateway=gateway.name,
        serial=row.serial if row else None,
        firmware=row.firmware if row else None,
        last_poll_at=last.polled_at if last else None,
        last_poll_age_s=to_epoch_s(now) - to_epoch_s(last.polled_at) if last else None,
        last_outcome=last.outcome if last else None,
        last_error=last.error if last else None,
        last_good_age_s=to_epoch_s(now) - to_epoch_s(good_at) if good_at else None,
        today_production_kwh=_kwh(today.production_wh if today else None),
        today_consumption_kwh=_kwh(today.consumption_wh if today else None),
        grid_meter_note=_grid_meter_note(row.grid_meter, gateway) if row else None,
        battery_soc_pct=power.battery_soc_pct if power else None,
        grid_state=power.grid_state if power else None,
        token_days_left=(token.expires_at - now).days if token else None,
        token_left_s=to_epoch_s(token.expires_at) - to_epoch_s(now) if token else None,
        token_renews=token.renews if token else False,
        token_is_short=token.is_short(now) if token else False,
        ill_panels=ill_panels,
        suspect=suspect,
        spool_bytes=spool_bytes,
        spool_is_hidden=is_hidden,
        waiting_since_s=to_epoch_s(now) - to_epoch_s(spooled[0].polled_at) if spooled is not None else None,
    )


def _ill_panels(connection: Connection, gateway_id: int, today: date) -> str | None:
    """Return which panels were weak, dead or silent on the last day that was judged."""
    columns = PANEL_DAILY.c
    newest = select(columns.day).where(columns.gateway_id == gateway_id, columns.day >= today - timedelta(days=7))
    newest = newest.order_by(columns.day.desc()).limit(1)
    same = (PANELS.c.gateway_id == columns.gateway_id) & (PANELS.c.serial == columns.serial)
    query = select(columns.serial, columns.state, PANELS.c.name).select_from(PANEL_DAILY.outerjoin(PANELS, same))
    query = query.where(
        columns.gateway_id == gateway_id,
        columns.day == newest.scalar_subquery(),
        columns.state.in_(("weak", "dead", "silent")),
    )
    found = connection.execute(query.order_by(columns.serial)).all()
    if not found:
        return None
    named = ", ".join(f"{panel.name or panel.serial} {panel.state}" for panel in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"panel {named}{more}; look at: envoylog panels"


def _suspect(connection: Connection, row: Any, today: date) -> str | None:
    """Return what to look at, by the newest suspect day of yesterday and today, or a meter that is flagged now."""
    since = from_epoch_s(day_start_s(today - timedelta(days=1), time_zone(row.time_zone or "UTC")))
    mine = _events.gateway_id == row.gateway_id
    query = select(_events.kind, _events.detail).where(mine, _events.kind.in_(SUSPECT), _events.at >= since)
    event = connection.execute(query.order_by(_events.at.desc(), _events.kind).limit(1)).one_or_none()
    if event is not None:
        return f"{event.kind}: {event.detail}"
    meters = METERS.c
    flagged = select(meters.measurement, meters.status_flags).where(
        meters.gateway_id == row.gateway_id, meters.state == "enabled", meters.metering_status == WIRING
    )
    found = [f"{meter.measurement} {meter.status_flags or ''}".strip() for meter in connection.execute(flagged)]
    return f"wiring_flagged: the gateway asks to check the wiring of {', '.join(found)}" if found else None


def _grid_meter_note(counted: str | None, gateway: GatewaySettings) -> str | None:
    """Return what to do where import and export are not yet those of the meter that is configured, or the default."""
    wanted = gateway.grid_meter or GRID_METERS[0]
    if counted in {None, wanted}:
        return None
    keep = "" if gateway.grid_meter else f", or keep it with grid_meter = {counted!r}"
    return f"import and export are counted as {counted}; run `envoylog db rebuild` to count as {wanted}{keep}"


def bring_today_up(connection: Connection, settings: Settings, now: datetime) -> None:
    """Roll up the samples of the last minutes; the caller rolls the transaction back.

    The collector does so each quarter hour. A ledger that lies further behind is left as it is:
    catching up is not what somebody waits for who asks how things stand.
    """
    for gateway in settings.gateways:
        row = gateway_named(connection, gateway.name)
        if row is None:
            continue
        left = checkpoints.last(connection, row.gateway_id, rollup.ENERGY.name)
        if left is not None and to_epoch_s(now) - left.at_s < CATCH_UP_S:
            job = rollup.job_of(connection, row.gateway_id, now, normal_gap_s(settings.poll_every_s))
            rollup.catch_up(job, [rollup.ENERGY])


def _kwh(energy_wh: float | None) -> float | None:
    return None if energy_wh is None else round(energy_wh / 1000, 3)


def health(found: Sequence[GatewayStatus], settings: Settings, to_do: Callable[[], str] = lambda: START) -> Health:
    """Return what to report to a monitor: the worst of all gateways.

    ``to_do`` says what to do where nothing is collected.
    """
    if not found:
        return Health(level=3, line="UNKNOWN no gateway is configured")
    judged = [(*judge(gateway, settings, to_do), gateway.gateway) for gateway in found]
    judged.sort(key=itemgetter(0), reverse=True)
    worst = judged[0][0]
    name = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[worst]
    said = [f"{gateway}: {reason}" for _, reason, gateway in judged[:NAMED]]
    if left := judged[NAMED:]:
        bad = sum(level > 0 for level, _, _ in left)
        said.append(f"and {len(left)} more, {f'{bad} of them not ok' if bad else 'all ok'}")
    return Health(level=worst, line=f"{name} {'; '.join(said)}")


def health_now(connect: Callable[[], AbstractContextManager[Connection]], settings: Settings, now: datetime,
               tokens: Sequence[TokenLeft | None], to_do: Callable[[], str] = lambda: START) -> Health:  # fmt: skip
    """Return the same of a database that is yet to be opened, and may not be there."""
    try:
        with connect() as connection:
            found = statuses(connection, settings, now, tokens)
        return health(found, settings, to_do)
    except StoreAwayError as error:
        return Health(level=2, line=f"CRITICAL {and_what_waits(error, settings, now)}")
    except LoggerError as error:
        return Health(level=3, line=f"UNKNOWN {error}")


def and_what_waits(error: StoreAwayError, settings: Settings, now: datetime) -> str:
    """Return why the database is away, and what waits for it here as far as this user may see."""
    waiting = Waiting.of(settings.state_dir, [gateway.name for gateway in settings.gateways])
    if waiting.since is None:
        return str(error)
    since = in_words(max(0, to_epoch_s(now) - to_epoch_s(waiting.since)))
    return f"{error} {waiting.size_bytes / 1e6:.1f} MB of polls wait for it here, the oldest for {since}."


def normal_age_s(gateway: GatewayStatus, settings: Settings) -> int:
    """Return how old the newest poll may be when all is well: of whom the spool is hidden from, the newest stored."""
    return 2 * settings.poll_every_s + 120 + (settings.commit_every_s if gateway.spool_is_hidden else 0)


def judge(gateway: GatewayStatus, settings: Settings, to_do: Callable[[], str] = lambda: START) -> tuple[int, str]:
    """Return how bad it is (0 ok, 1 warning, 2 critical, 3 unknown), and in words with what to do."""
    age_s, waits_s = gateway.last_good_age_s, gateway.waiting_since_s or 0
    poll_s = normal_age_s(gateway, settings)
    store_s = max(settings.commit_every_s, settings.poll_every_s) + poll_s
    if age_s is None:
        if gateway.last_error is not None:
            return 2, f"never measured: {_reason(gateway)}"
        return 3, f"never measured; {to_do()}"
    if waits_s > store_s:
        size_mb = gateway.spool_bytes / 1e6
        return 2, f"nothing stored for {waits_s // 60} min, {size_mb:.1f} MB wait for the database"
    if age_s > poll_s:
        failed = gateway.last_outcome == Outcome.FAILED and gateway.last_error is not None
        is_tried = failed and (gateway.last_poll_age_s or 0) <= poll_s
        return 2, f"nothing measured for {in_words(age_s)}{f': {_reason(gateway)}' if is_tried else f'; {to_do()}'}"
    if gateway.token_is_short and gateway.token_left_s is not None:
        return 1, token_sentence(gateway.gateway, gateway.token_left_s, renews=gateway.token_renews)
    if gateway.last_outcome != Outcome.COMPLETE:
        return 1, f"last poll {gateway.last_outcome}: {_reason(gateway)}"
    if look := gateway.suspect or gateway.ill_panels:
        return 1, look
    return 0, f"measured {age_s} s ago"


def _reason(gateway: GatewayStatus) -> str:
    """Return why the last poll lacks something, as a part of a sentence."""
    return (gateway.last_error or "").removeprefix("gateway: ").rstrip(".")


def token_sentence(name: str, left_s: int, *, renews: bool) -> str:
    """Return when a gateway's token ends, and what to do."""
    ends = f"the token ends in {in_words(left_s)}" if left_s > 0 else "the token has ended"
    if renews:
        return f"{ends} and was not renewed yet; see why with: envoylog token renew {name}"
    return f"{ends}; get a new one and run: envoylog token set {name}"
