"""What was measured lately: the last poll, what waits, CTs that can't be right, what stands still, silent inverters."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from logger import status
from logger.clock import from_epoch_s, in_words, to_epoch_s
from logger.doctor.findings import Finding, Level, error, ok, warning
from logger.doctor.installation import Installation, nearest, of_sentence
from logger.doctor.storage import PATIENCE_S
from logger.errors import StoreError
from logger.readings import Source
from logger.reports.columns import SUSPECT
from logger.settings import GatewaySettings, Settings
from logger.store import database, schema
from logger.store.models import ENERGY_15MIN, EVENTS, INVERTERS, PRODUCTION_SAMPLES
from logger.store.queries import ends_s, gateway_named
from logger.store.spool import spool_path

#: Events of so many days are still news.
LATELY = timedelta(days=7)
#: A counter that stood still for this long beside power is stuck.
STUCK = timedelta(hours=2)
STUCK_POWER_W = 50.0
#: A meter's own reading that is older is stale.
STALE_S = 900
#: Totals follow each quarter hour.
BEHIND_S = 3 * 3600
#: An inverter is silent for days before it is news, and for so long before it is gone.
SILENT_DAYS = 2
GONE_DAYS = 60
NAMED = 4


def examine(here: Installation, loaded: Settings, start: str) -> Iterator[Finding]:
    """Yield what the database shows of each gateway; ``start`` is the command that starts the collector."""
    try:
        with database.opened(loaded.database_url, read_only=True) as engine:
            database.backend(engine).bound(engine, PATIENCE_S)
            schema.require_current(engine)
            with database.translated_errors(), engine.connect() as connection:
                unknown = [None] * len(loaded.gateways)
                for gateway, stands in zip(
                    loaded.gateways, status.statuses(connection, loaded, here.clock(), unknown), strict=True
                ):
                    yield from _last_poll(here, loaded, stands, start)
                    if (row := gateway_named(connection, gateway.name)) is not None:
                        yield from _of_site(here, connection, gateway, row)
                        if stands.ill_panels is not None:
                            text = f"{stands.ill_panels[:1].upper()}{stands.ill_panels[1:]}"
                            yield of_sentence("inverters", text, "envoylog panels", gateway.name, Level.WARNING)
                        else:
                            yield from _silent_inverters(connection, row.gateway_id, gateway.name)
    except StoreError:
        return  # The database's own check has said why.


def _last_poll(here: Installation, loaded: Settings, stands: status.GatewayStatus, start: str) -> Iterator[Finding]:
    name, age_s = stands.gateway, stands.last_good_age_s
    # Polls that wait are not for everybody to see.
    patience_s = 2 * loaded.poll_every_s + 120 + (loaded.commit_every_s if here.hidden else 0)
    waits_s = stands.waiting_since_s or 0
    refused = spool_path(loaded.state_dir, name).with_suffix(".refused")
    if nearest(refused) == refused:
        text = f"The database took other polls, but not those that were put aside in {refused}."
        yield warning("spool", text, "report this, with a recording: envoylog doctor --bundle FILE", name)
    if waits_s > patience_s + max(loaded.commit_every_s, loaded.poll_every_s):
        text = f"Polls wait for the database since {in_words(waits_s)}, {stands.spool_bytes / 1e6:.1f} MB of them."
        yield error("spool", text, "look at what is said of the database above; nothing is lost meanwhile", name)
    if age_s is None:
        yield error("last poll", "Nothing was measured yet.", start, name)
    elif age_s < -patience_s:
        text = f"The last poll lies {in_words(-age_s)} ahead: this machine's clock was or is wrong."
        yield error("last poll", text, "sudo timedatectl set-ntp true", name)
    elif age_s > patience_s:
        yield error("last poll", f"Nothing was measured for {in_words(age_s)}.", start, name)
    else:
        yield ok("last poll", f"{in_words(age_s)} ago.", name)


def _of_site(here: Installation, connection: Connection, gateway: GatewaySettings, row: Any) -> Iterator[Finding]:
    name = gateway.name
    yield from _changed(gateway, row)
    yield from _totals(connection, row.gateway_id, name)
    suspects = _events(here, connection, row.gateway_id, SUSPECT)
    for event in suspects:
        text = f"{event.subject}: {event.detail}"
        yield of_sentence("CTs", text, "envoylog report quality", name, Level.WARNING)
    if not suspects:
        yield ok("CTs", "Nothing suspect in the last week.", name)
    yield from _still(here, connection, row.gateway_id, name)


def _changed(gateway: GatewaySettings, row: Any) -> Iterator[Finding]:
    """Yield what the configuration says otherwise than what was counted by: nothing is stored until that is settled."""
    for key, what in (("time_zone", "days are those of"), ("grid_meter", "import and export are counted as")):
        wanted, counted = getattr(gateway, key), getattr(row, key)
        if wanted and counted and wanted != counted:
            text = (
                f"Its {what} {counted}, and the configuration says {wanted}: nothing is stored until that is settled."
            )
            yield error("configuration", text, f"envoylog db rebuild, or write {key} = {counted!r}", gateway.name)


def _totals(connection: Connection, gateway_id: int, name: str) -> Iterator[Finding]:
    """Yield whether the totals follow the samples."""
    sampled = ends_s(connection, PRODUCTION_SAMPLES.c.polled_at, gateway_id)
    counted = ends_s(connection, ENERGY_15MIN.c.starts_at, gateway_id)
    if sampled is None or sampled[1] - (counted[1] if counted else sampled[0]) < BEHIND_S:
        return
    until = f"end {in_words(sampled[1] - counted[1])} before the last poll" if counted else "have not begun"
    yield warning("totals", f"The totals {until}.", "envoylog db rebuild", name)


def _events(here: Installation, connection: Connection, gateway_id: int, kinds: Sequence[str]) -> list[Any]:
    """Return the newest event of each kind and subject of the last days."""
    columns = EVENTS.c
    query = select(columns.at, columns.kind, columns.subject, columns.detail).order_by(columns.at)
    mine = (columns.gateway_id == gateway_id) & columns.kind.in_(kinds) & (columns.at >= here.clock() - LATELY)
    return list({(event.kind, event.subject): event for event in connection.execute(query.where(mine))}.values())


def _still(here: Installation, connection: Connection, gateway_id: int, name: str) -> Iterator[Finding]:
    """Yield what stands still: the production counter beside power, or a meter's own readings."""
    columns = PRODUCTION_SAMPLES.c
    mine = (columns.gateway_id == gateway_id) & (columns.phase == "total")
    last = connection.execute(
        select(columns.polled_at, columns.reading_age_s, columns.source)
        .where(mine)
        .order_by(columns.polled_at.desc())
        .limit(1)
    ).one_or_none()
    if last is None:
        return
    recent = mine & (columns.polled_at >= last.polled_at - STUCK)
    least, most, power_w, since, count = connection.execute(
        select(
            func.min(columns.energy_lifetime_wh), func.max(columns.energy_lifetime_wh), func.min(columns.power_w),
            func.min(columns.polled_at), func.count(),
        ).where(recent)
    ).one()  # fmt: skip
    lasted = last.polled_at - since if count > 1 else timedelta()
    if least is not None and least == most and (power_w or 0) > STUCK_POWER_W and lasted >= 0.9 * STUCK:
        text = f"The production counter has stood still for {STUCK.total_seconds() / 3600:.0f} h, beside power."
        yield warning("stalled", text, "restart the gateway, if it stays so", name)
        return
    # Inverters report nothing at night; a meter reads each second.
    if last.source in {Source.CT, Source.EIM} and (last.reading_age_s or 0) > STALE_S:
        text = f"The production that it shows is {in_words(last.reading_age_s)} old."
        yield warning("stalled", text, "restart the gateway, if it stays so", name)
        return
    for event in _events(here, connection, gateway_id, ("stalled_counter", "frozen_readings")):
        text = f"{event.subject}: {event.detail} ({event.at:%Y-%m-%d})."
        yield warning("stalled", text, "envoylog report quality", name)
        return
    yield ok("stalled", "No counter stands still.", name)


def _silent_inverters(connection: Connection, gateway_id: int, name: str) -> Iterator[Finding]:
    columns = INVERTERS.c
    mine = (columns.gateway_id == gateway_id) & columns.last_seen_at.is_not(None)
    query = select(columns.serial, columns.last_seen_at).where(mine)
    seen = [(serial, to_epoch_s(at)) for serial, at in connection.execute(query.order_by(columns.serial))]
    if not seen:
        return
    newest_s = max(at_s for _, at_s in seen)
    ages_s = {serial: newest_s - at_s for serial, at_s in seen if newest_s - at_s < GONE_DAYS * 86_400}
    silent = {serial: age_s for serial, age_s in ages_s.items() if age_s > SILENT_DAYS * 86_400}
    if not silent:
        yield ok("inverters", f"All {len(ages_s)} reported within {SILENT_DAYS} days of each other.", name)
        return
    first = from_epoch_s(newest_s - max(silent.values()))
    serials = ", ".join(list(silent)[:NAMED]) + (", …" if len(silent) > NAMED else "")
    text = f"{len(silent)} of {len(ages_s)} are silent, the longest since {first:%Y-%m-%d}: {serials}."
    yield warning("inverters", text, "look at them in the Enphase app, and call the installer", name)
