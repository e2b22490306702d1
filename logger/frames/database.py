"""A database, and the frames that it gives.

Walk: columns, ranges -> here -> logger.connect
"""

import contextlib
import itertools
import weakref
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection

from logger.errors import ReadOnlyError, UsageError
from logger.frames.columns import LOCAL_VIEWS, as_read, at_home, guessed, is_instant, local_times, series, typed
from logger.frames.ranges import NOBODY, Range, beginnings, between, days_of, period_key, sites_named, zone_of
from logger.reports.periods import WITHIN_A_DAY, Kind
from logger.store import schema
from logger.store.database import backend, open_engine, translated_errors, tuples
from logger.store.database import rows as every_row
from logger.store.models import METADATA

Energy = Literal["15min", "hourly", "daily", "monthly", "yearly"]
Samples = Literal["production", "consumption", "meters", "inverters", "polls", "batteries", "storage"]
#: kind of energy -> as reports call it, and the column of its view that names a period
ENERGY: dict[str, tuple[Kind, str]] = {
    "15min": ("quarter-hourly", "quarter_starts_at"), "hourly": ("hourly", "hour_starts_at"),
    "daily": ("daily", "day"), "monthly": ("monthly", "month"), "yearly": ("yearly", "year"),
}  # fmt: skip
SAMPLES: dict[str, str] = {
    "production": "production_samples", "consumption": "consumption_samples", "meters": "meter_readings",
    "inverters": "inverter_samples", "polls": "polls", "batteries": "battery_samples", "storage": "storage_samples",
}  # fmt: skip
#: Text of samples that comes again and again: as categories a year takes a sixth of the memory.
FEW = frozenset({"gateway", "phase", "measurement", "source", "serial", "outcome", "kind", "state"})
#: So many rows of samples are read at a time.
ROWS = 100_000


class Database:
    """A database of envoylog, open for reading; ``logger.connect`` makes one. As a context manager it closes.

    All methods take days as a range: ``"2026-03-29"``, ``"2026-03"``, ``"2026"``, ``"7d"``, ``"last-month"``, a date,
    or a pair of such, both ends included; without one they return all there is. Days are those of the gateway's zone.
    ``gateway`` names one of several. The index holds aware instants in the gateway's zone, or in ``tz``; the columns
    are those of the views. What is not known is NaN.

    >>> import logger
    >>> db = logger.connect("house.db")
    >>> db.gateways[["time_zone", "peak_power_kwp"]]
                   time_zone  peak_power_kwp
    gateway
    roof    Europe/Amsterdam             5.6
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url, read_only=True)
        self.close = weakref.finalize(self, self._engine.dispose)
        with translated_errors():
            schema.require_current(self._engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def gateways(self) -> pd.DataFrame:
        """The gateways, by name.

        >>> db.gateways.index.to_list()
        ['roof']
        """
        return (
            self.sql("SELECT * FROM gateways ORDER BY gateway_id")
            .rename(columns={"name": "gateway"})
            .set_index("gateway")
        )

    def energy(
        self, kind: Energy = "daily", days: Range = None, *, gateway: str | None = None, tz: str | None = None
    ) -> pd.DataFrame:
        """Return the energy of each quarter hour, hour, day, month or year: ``v_energy_*``.

        Each row is at the instant at which its period begins.

        >>> march = db.energy("daily", "2026-03")
        >>> march[["production_kwh", "self_sufficiency_pct", "coverage_pct"]].round(1)
                                   production_kwh  self_sufficiency_pct  coverage_pct
        day
        2026-03-27 00:00:00+01:00            11.9                  35.4         100.0
        2026-03-28 00:00:00+01:00            18.3                  34.2         100.0
        2026-03-29 00:00:00+01:00            18.4                  41.0         100.0
        2026-03-30 00:00:00+02:00            10.7                  32.2          86.5
        >>> hours = db.energy("hourly", "2026-03-29")
        >>> len(hours), hours.index[0].isoformat(), hours.index[-1].isoformat()
        (23, '2026-03-29T00:00:00+01:00', '2026-03-29T23:00:00+02:00')
        >>> quarters = db.energy("15min", "2026-03-29", tz="UTC")["production_kwh"]
        >>> quarters.resample("6h").sum().round(2)
        quarter_starts_at
        2026-03-28 18:00:00+00:00    0.00
        2026-03-29 00:00:00+00:00    0.06
        2026-03-29 06:00:00+00:00    9.81
        2026-03-29 12:00:00+00:00    8.48
        2026-03-29 18:00:00+00:00    0.00
        Freq: 6h, Name: production_kwh, dtype: float64

        Raises:
            UsageError: no such kind, range or gateway.
        """
        period, key = ENERGY[_one_of("energy", kind, ENERGY)]
        return self._view("v_energy_" + kind, key, days, gateway=gateway, tz=tz, period=period)

    def phases(self, days: Range = None, *, gateway: str | None = None, tz: str | None = None) -> pd.DataFrame:
        """Return the energy of each phase on each day: ``v_phase_daily``.

        >>> phases = db.phases("2026-03-28")
        >>> phases.set_index("phase")["production_kwh"].round(2).to_dict()
        {'L1': 6.1, 'L2': 6.1, 'L3': 6.1}
        """
        return self._view("v_phase_daily", "day", days, gateway=gateway, tz=tz)

    def inverters(self, days: Range = None, *, gateway: str | None = None, tz: str | None = None) -> pd.DataFrame:
        """Return the energy of each inverter on each day: ``v_inverter_daily``.

        Their single reports are ``samples("inverters")``.

        >>> by_day = db.inverters("2026-03").pivot(columns="serial", values="energy_kwh")
        >>> by_day.round(2)
        serial                       121   122
        day
        2026-03-27 00:00:00+01:00   7.15  4.77
        2026-03-28 00:00:00+01:00  10.98  7.32
        2026-03-29 00:00:00+01:00  11.02  7.34
        2026-03-30 00:00:00+02:00   6.41  4.27
        """
        return self._view("v_inverter_daily", "day", days, gateway=gateway, tz=tz)

    def panels(self, days: Range = None, *, gateway: str | None = None, tz: str | None = None) -> pd.DataFrame:
        """Return how each panel did beside its neighbours on each day: ``v_panels``."""
        return self._view("v_panels", "day", days, gateway=gateway, tz=tz)

    def battery(self, days: Range = None, *, gateway: str | None = None, tz: str | None = None) -> pd.DataFrame:
        """Return what batteries took and gave on each day: ``v_battery_daily``."""
        return self._view("v_battery_daily", "day", days, gateway=gateway, tz=tz)

    def events(self, days: Range = None, *, gateway: str | None = None, tz: str | None = None) -> pd.DataFrame:
        """Return what happened: ``v_events``.

        >>> db.events("2026-03-30").iloc[0][["kind", "subject"]].to_list()
        ['outage', 'gateway']
        """
        return self._view("v_events", "at", days, gateway=gateway, tz=tz)

    def gaps(self, days: Range = None, *, gateway: str | None = None, tz: str | None = None) -> pd.DataFrame:
        """Return when nothing was measured: ``v_gaps``.

        >>> db.gaps()[["ends_at", "missing_s"]]
                                                    ends_at  missing_s
        starts_at
        2026-03-30 08:45:00+02:00 2026-03-30 12:00:00+02:00    11700.0
        """
        return self._view("v_gaps", "starts_at", days, gateway=gateway, tz=tz)

    def samples(
        self, what: Samples, days: Range = None, *, gateway: str | None = None, tz: str | None = None
    ) -> pd.DataFrame:
        """Return raw samples, as the gateway gave them; text that comes again and again is of categories.

        A year of one gateway's meters, polled each minute, takes some 500 MB; ``stream`` gives it part by part.

        >>> readings = db.samples("meters", "2026-03-28")
        >>> made = readings.query("phase == 'total' and measurement == 'production'")["delivered_wh"]
        >>> round(made.max() - made.min())
        18298
        """
        parts = list(self.stream(what, days, gateway=gateway, tz=tz))
        for name in FEW & set(parts[0].columns):
            every = pd.api.types.union_categoricals([part[name] for part in parts]).categories
            for part in parts:
                part[name] = part[name].cat.set_categories(every)
        return pd.concat(parts) if len(parts) > 1 else parts[0]

    def stream(
        self, what: Samples, days: Range = None, *, gateway: str | None = None, tz: str | None = None, rows: int = ROWS
    ) -> Iterator[pd.DataFrame]:
        """Yield raw samples in frames of at most ``rows`` rows, so that memory does not grow with the range.

        >>> [len(part) for part in db.stream("production", "2026-03", rows=1000)]
        [1000, 476]
        """
        table = METADATA.tables[SAMPLES[_one_of("samples", what, SAMPLES)]]
        time = next(column for column in table.primary_key if is_instant(column.name))
        columns = [column for column in table.c if column.name != "gateway_id"]
        names = ["gateway", *(column.name for column in columns)]
        with self._reading() as connection:
            sites = sites_named(connection, gateway)
            zone = zone_of(sites, tz)
            is_empty = True
            for site in sites or [NOBODY]:
                query = (
                    sa.select(*(backend(connection).plain(column) for column in columns))
                    .where(table.c.gateway_id.in_(site.gateway_ids), *between(time, site.bounds(days_of(days, site))))
                    .order_by(*table.primary_key)
                )
                found = itertools.chain.from_iterable(tuples(connection, query))
                while batch := [(site.name, *row) for row in itertools.islice(found, rows)]:
                    yield _frame(names, batch, zone, few=FEW).set_index(time.name)
                    is_empty = False
            if is_empty:
                yield _frame(names, (), zone, few=FEW).set_index(time.name)

    def sql(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        tz: str | None = None,
        index: str | None = None,
    ) -> pd.DataFrame:
        """Return what a query of one's own finds; ``:name`` in it stands for a parameter.

        Columns whose names end with ``_at`` become aware instants on either engine, and days become dates. Local times,
        which ``v_gaps``, ``v_events`` and ``v_outages`` have, stay without a zone.

        >>> db.sql("SELECT day FROM v_energy_daily WHERE production_kwh > :least", {"least": 12})
                 day
        0 2026-03-28
        1 2026-03-29
        """
        with self._reading() as connection:
            try:
                with translated_errors():
                    result = connection.execute(sa.text(query), parameters or {})
            except ReadOnlyError as error:
                raise UsageError("This statement writes, and sql() only reads; it is for SELECT.") from error
            if not result.returns_rows:
                raise UsageError("This statement returns no rows; sql() is for SELECT.")
            names = list(result.keys())
            zone = tz or zone_of(sites_named(connection, None), None)
            values = zip(names, list(zip(*result.fetchall(), strict=True)) or [()] * len(names), strict=True)
        found = pd.concat([guessed(name, column, zone, local_times(query)) for name, column in values], axis=1)
        found.columns = pd.Index(names)  # Two of one name stay two.
        return found if index is None else found.set_index(index)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with translated_errors(), self._engine.connect() as connection:
            yield connection

    def _view(
        self, view: str, key: str, days: Range, *, gateway: str | None, tz: str | None, period: Kind = "daily"
    ) -> pd.DataFrame:
        """Return the rows of a view, of some days; the column that says when is the index."""
        with self._reading() as connection:
            sites = sites_named(connection, gateway)
            zone, names = zone_of(sites, tz), list(connection.execute(sa.text(f"SELECT * FROM {view} LIMIT 0")).keys())  # noqa: S608 - our own view
            columns = {name: typed(name) for name in names}
            select = sa.select(*(as_read(connection, column) for column in columns.values())).select_from(
                sa.table(view)
            )
            parts = []
            for site in sites or [NOBODY]:
                chosen = days_of(days, site)
                if period in WITHIN_A_DAY or is_instant(key):
                    wall = site._replace(zone="UTC") if view in LOCAL_VIEWS else site
                    where = between(columns[key], wall.bounds(chosen))
                elif chosen is not None:
                    where = [columns[key].between(period_key(period, chosen.first), period_key(period, chosen.last))]
                else:
                    where = []
                query = select.where(columns["gateway"] == site.name, *where).order_by(columns[key])
                part = _frame(names, list(every_row(connection, query)), zone)
                if view in LOCAL_VIEWS:
                    for name in filter(is_instant, names):
                        part[name] = at_home(part[name], site.zone).dt.tz_convert(zone)
                if not is_instant(key):
                    part[key] = beginnings(part[key], site, zone)
                parts.append(part.set_index(key))
        return pd.concat(parts) if len(parts) > 1 else parts[0]


def _one_of(method: str, chosen: str, known: Mapping[str, object]) -> str:
    if chosen not in known:
        raise UsageError(f"{method}() knows {', '.join(known)}; not {chosen!r}.")
    return chosen


def _frame(
    names: Sequence[str], rows: Sequence[Sequence[Any]], zone: str, few: frozenset[str] = frozenset()
) -> pd.DataFrame:
    values = list(zip(*rows, strict=True)) or [()] * len(names)
    columns = {name: series(name, column, zone) for name, column in zip(names, values, strict=True)}
    return pd.DataFrame(
        {name: column.astype("category") if name in few else column for name, column in columns.items()}
    )
