"""Small databases in which everything that happens to samples happens: made from a seed, by hand.

Each is a site polled every five minutes for some days, and a list of what went wrong there. They stand on their own:
nothing here is asked of the program, so that nothing in it can change them.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

STEP_S = 300
DAY_S = 86_400
WRAP_MWH = 1_193_046_471

Row = dict[str, Any]
Harm = Callable[["Spoilt"], None]

COLUMNS = {
    "production_samples": ("phase", "power_w", "energy_lifetime_wh", "reading_age_s", "source"),
    "consumption_samples": (
        "measurement", "phase", "power_w", "energy_lifetime_wh", "reading_age_s", "source",
    ),
    "meter_readings": (
        "measurement", "phase", "power_w", "delivered_wh", "received_wh", "reading_age_s",
    ),
    "inverter_samples": (
        "serial", "power_w", "energy_lifetime_wh", "energy_interval_wh", "interval_s",
    ),
}  # fmt: skip
TIME = dict.fromkeys(COLUMNS, "polled_at") | {"inverter_samples": "reported_at"}


@dataclass
class Spoilt:
    """What was sampled of a site; ``at`` of each row is epoch seconds."""

    seed: int
    zone: str = "Europe/Amsterdam"
    start: datetime = datetime(2026, 3, 26, tzinfo=UTC)
    days: int = 8
    phases: int = 1
    #: where production comes from: a CT, or a counter that the gateway sums up in whole Wh
    source: str = "ct"
    #: net: a net-consumption CT; total: a total-consumption CT; eim: no CT; none: nothing
    consumption: str = "net"
    has_battery: bool = False
    inverters: int = 0
    peak_kwp: float | None = 5.0
    harms: tuple[Harm, ...] = ()
    #: gateways after the first one: (from which day on, its id)
    replaced: tuple[tuple[int, int], ...] = ()
    #: how long after the last sample it is rolled up
    later_s: int = 600
    keep_days: int | None = None  #: samples older than this are pruned
    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.start_s = int(self.start.timestamp())
        self.end_s = self.start_s + self.days * DAY_S
        self._sample()
        if self.inverters:
            self._report()
        for harm in self.harms:
            harm(self)
        for table, rows in self.rows.items():
            # Of two at one instant the first was stored.
            first: dict[Any, Row] = {}
            for row in sorted(rows, key=lambda row: row["at"]):
                names = ("gateway_id", "at", "measurement", "phase", "serial")
                first.setdefault(tuple(row.get(name) for name in names), row)
            self.rows[table] = list(first.values())

    # -- chance
    def below(self, limit: int) -> int:
        """A number from 0 on; only random() is the same in every version of Python."""
        return int(self._random.random() * limit)

    def any_of(self, *choices: Any) -> Any:
        return choices[self.below(len(choices))]

    def span_s(self, least_min: int, most_min: int) -> tuple[int, int]:
        """Some time within the days, off the grid of the polls."""
        over_s = 60 * (least_min + self.below(most_min - least_min + 1))
        begin_s = self.start_s + 7 * STEP_S + self.below(self.days * DAY_S - over_s - 20 * STEP_S)
        return begin_s, begin_s + over_s

    # -- what is true
    def _sample(self) -> None:
        names = [f"L{number + 1}" for number in range(self.phases)] if self.phases > 1 else []
        names = ["total", *names]
        counters = {(name, what): 4_000_000_000 + 7_000_000 * number
                    for name in names
                    for number, what in enumerate(("made", "standby", "bought", "sold", "in",
                                                   "out", "used"))}  # fmt: skip
        charge = 0
        for at_s in range(self.start_s, self.end_s + 1, STEP_S):
            hour = at_s % DAY_S / 3600
            powers: dict[str, list[int]] = {}
            for name in names[1:] or names:
                sun = max(0, int(4_200 * (1 - ((hour - 11.5) / 6.5) ** 2)))
                made = sun * (40 + self.below(61)) // 100 // self.phases
                used = (250 + self.below(200) + (1_500 if self.below(9) == 0 else 0)
                        + (900 if 17 <= hour < 21 else 0)) // self.phases  # fmt: skip
                store = 0
                if self.has_battery and made > used and charge < 500:
                    store, charge = used - made, charge + 1
                elif self.has_battery and made < used and charge > 0:
                    store, charge = used - made, charge - 1
                powers[name] = [made, used, store]
            if names[1:]:
                powers["total"] = [sum(each) for each in zip(*powers.values(), strict=True)]
            for name in names:
                made, used, store = powers[name]
                net = used - made - store
                for what, power_w in (
                    ("made", made), ("standby", 6 if made == 0 else 0), ("bought", net),
                    ("sold", -net), ("in", -store), ("out", store), ("used", used),
                ):  # fmt: skip
                    counters[name, what] += max(0, power_w) * 250 // 3
                self._poll(at_s, name, powers[name], net, counters)

    def _poll(self, at_s: int, phase: str, powers: list[int], net: int, counters: dict[tuple[str, str], int]) -> None:
        made, used, store = (float(power_w) for power_w in powers)

        def wh(what: str) -> float:
            return counters[phase, what] / 1000

        key = {"gateway_id": self._gateway_at(at_s), "at": at_s, "phase": phase}
        age_s = 1 if self.source == "ct" else None
        self.rows["production_samples"].append(
            key | {"power_w": made, "reading_age_s": age_s, "source": self.source,
                   "energy_lifetime_wh": wh("made") if self.source == "ct"
                   else float(counters[phase, "made"] // 1000)}
        )  # fmt: skip
        pairs = [("production", made, "made", "standby")] if self.source == "ct" else []
        if self.consumption == "net":
            pairs.append(("net-consumption", float(net), "bought", "sold"))
        elif self.consumption == "total":
            pairs.append(("total-consumption", used, "used", "standby"))
        if self.has_battery:
            pairs.append(("storage", store, "out", "in"))
        for measurement, power_w, delivered, received in pairs:
            self.rows["meter_readings"].append(
                key | {"measurement": measurement, "power_w": power_w, "reading_age_s": 1,
                       "delivered_wh": wh(delivered), "received_wh": wh(received)}
            )  # fmt: skip
        if self.consumption == "none":
            return
        by_ct = self.consumption == "net"
        total_wh = counters[phase, "made"] + counters[phase, "bought"] - counters[phase, "sold"]
        self.rows["consumption_samples"] += [
            key | {"measurement": "total-consumption", "power_w": used, "reading_age_s": age_s,
                   "energy_lifetime_wh": total_wh / 1000 if by_ct else wh("used"),
                   "source": {"net": "derived", "total": "ct"}.get(self.consumption, "eim")},
            key | {"measurement": "net-consumption", "power_w": float(net),
                   "reading_age_s": age_s, "source": {"net": "ct"}.get(self.consumption, "eim"),
                   "energy_lifetime_wh": wh("bought") - wh("sold") if by_ct else None},
        ]  # fmt: skip

    def _gateway_at(self, at_s: int) -> int:
        day = (at_s - self.start_s) // DAY_S
        return max((new for since, new in self.replaced if since <= day), default=1)

    def _report(self) -> None:
        """Each inverter reports by day: most have a counter, each third only intervals."""
        counted = [700_000_000 + 13_000_000 * number for number in range(self.inverters)]
        for at_s in range(self.start_s, self.end_s + 1, 3 * STEP_S):
            hour = at_s % DAY_S / 3600
            sun = max(0, int(290 * (1 - ((hour - 11.5) / 6.5) ** 2)))
            for number in range(self.inverters):
                power_w = sun * (50 + self.below(51)) // 100
                if power_w < 5:
                    continue
                counted[number] += power_w * 250
                key = {"gateway_id": self._gateway_at(at_s), "at": at_s + 7 * number,
                       "serial": f"1220{number:02d}", "power_w": float(power_w)}  # fmt: skip
                has_counter = number % 3 < 2
                self.rows["inverter_samples"].append(
                    key | {"energy_lifetime_wh": counted[number] / 1000 if has_counter else None,
                           "energy_interval_wh": None if number % 2 else power_w / 4,
                           "interval_s": None if number % 2 else 900}
                )  # fmt: skip

    # -- what is done to it
    def among(self, table: str, since_s: int, until_s: int, **like: Any) -> Iterator[Row]:
        """Rows after an instant and before another."""
        for row in self.rows[table]:
            if since_s < row["at"] < until_s and all(row[k] == v for k, v in like.items()):
                yield row

    def drop(self, table: str, since_s: int, until_s: int, **like: Any) -> None:
        gone = {id(row) for row in self.among(table, since_s, until_s, **like)}
        self.rows[table] = [row for row in self.rows[table] if id(row) not in gone]

    @property
    def phase_names(self) -> list[str]:
        return sorted({row["phase"] for row in self.rows["production_samples"]})

    @property
    def now_s(self) -> int:
        return self.end_s + self.later_s


POLLED = ("production_samples", "consumption_samples", "meter_readings")
HOURS, DAYS = 60, 1440


def outages(count: int, most_min: int) -> Harm:
    def harm(site: Spoilt) -> None:
        for _ in range(count):
            since_s, until_s = site.span_s(16, most_min)
            for table in POLLED:
                site.drop(table, since_s, until_s)

    return harm


def silent(measurement: str, least_min: int, most_min: int) -> Harm:
    """A meter gives nothing; production's comes from its CT then or is not to be had."""

    def harm(site: Spoilt) -> None:
        since_s, until_s = site.span_s(least_min, most_min)
        site.drop("meter_readings", since_s, until_s, measurement=measurement)
        if measurement == "production" and site.below(2):
            site.drop("production_samples", since_s, until_s)

    return harm


def gone(measurement: str, day: int) -> Harm:
    """A meter speaks no more from a day on."""

    def harm(site: Spoilt) -> None:
        since_s = site.start_s + day * DAY_S + 30_000
        site.drop("meter_readings", since_s, site.end_s + 1, measurement=measurement)

    return harm


def begins(measurement: str, day: int) -> Harm:
    """A meter speaks only from a day on."""

    def harm(site: Spoilt) -> None:
        until_s = site.start_s + day * DAY_S + 47_000
        site.drop("meter_readings", 0, until_s, measurement=measurement)

    return harm


def changed(change: Callable[[float], float], least_min: int = 1, most_min: int = 0, count: int = 1) -> Harm:
    """A counter is not what it was, for a while or, where no time is given, for good."""

    def harm(site: Spoilt) -> None:
        for _ in range(count):
            since_s, until_s = site.span_s(least_min, most_min or 3)
            until_s = until_s if most_min else site.end_s + 1
            phase = site.any_of(*site.phase_names)
            tables = ["production_samples"]
            tables += ["meter_readings"] if site.rows["meter_readings"] else []
            table = site.any_of(*tables)
            columns, like = ["energy_lifetime_wh"], {"phase": phase}
            if table == "meter_readings":
                columns = [site.any_of("delivered_wh", "received_wh")]
                names = sorted({row["measurement"] for row in site.rows[table]})
                like["measurement"] = site.any_of(*names)
            for row in site.among(table, since_s, until_s, **like):
                for column in columns:
                    row[column] = round(change(row[column]), 3)

    return harm


def half(wh: float) -> float:
    return wh * 0.5


def zero(wh: float) -> float:
    return 0.0 * wh


def spike(wh: float) -> float:
    return wh + 900_000


def jump(wh: float) -> float:
    return wh + 70_000


def reset(wh: float) -> float:
    return max(0.0, wh - 3_980_000)


def small_fall(wh: float) -> float:
    return wh - 3


def stalls(table: str, least_min: int, most_min: int, **like: Any) -> Harm:
    """Counters stand still and then catch up."""

    def harm(site: Spoilt) -> None:
        since_s, until_s = site.span_s(least_min, most_min)
        phase = site.any_of(*site.phase_names)
        first: Row | None = None
        for row in site.among(table, since_s, until_s, phase=phase, **like):
            first = first or dict(row)
            for column in ("energy_lifetime_wh", "delivered_wh", "received_wh"):
                if column in row:
                    row[column] = first[column]

    return harm


def wraps(day: int) -> Harm:
    """The counters of single inverters, and their sum, begin anew at 2^32 J."""

    def harm(site: Spoilt) -> None:
        since_s = site.start_s + day * DAY_S + 40_000
        for row in site.among("production_samples", since_s, site.end_s + 1):
            row["energy_lifetime_wh"] -= WRAP_MWH // 1000
        for row in site.among("inverter_samples", since_s, site.end_s + 1, serial="122000"):
            row["energy_lifetime_wh"] += 500_000 - WRAP_MWH / 1000
        for row in site.among("inverter_samples", 0, since_s + 1, serial="122000"):
            row["energy_lifetime_wh"] += 500_000

    return harm


def sources(*changes: tuple[float, float, str, float]) -> Harm:
    """From one day to another production has another source, which counts otherwise."""

    def harm(site: Spoilt) -> None:
        for since, until, source, offset_wh in changes:
            since_s, until_s = (int(site.start_s + day * DAY_S) for day in (since, until))
            for row in site.among("production_samples", since_s, until_s):
                row["source"] = source
                row["energy_lifetime_wh"] = float(int(row["energy_lifetime_wh"] + offset_wh))

    return harm


def powers(table: str, power_w: float | None, most_min: int, **like: Any) -> Harm:
    """What no site has, or nothing, is reported as power."""

    def harm(site: Spoilt) -> None:
        since_s, until_s = site.span_s(6, most_min)
        for row in site.among(table, since_s, until_s, **like):
            row["power_w"] = power_w

    return harm


def frozen(minutes: int) -> Harm:
    """The gateway repeats a reading, whose age grows."""

    def harm(site: Spoilt) -> None:
        since_s, until_s = site.span_s(minutes, minutes + 1)
        for table in POLLED:
            first: dict[Any, Row] = {}
            for row in site.among(table, since_s, until_s):
                before = first.setdefault((row.get("measurement"), row["phase"]), dict(row))
                for name in COLUMNS[table]:
                    row[name] = before[name]
                if row["reading_age_s"] is not None:
                    row["reading_age_s"] += row["at"] - before["at"]

    return harm


def ahead(by_s: int, least_min: int, most_min: int) -> Harm:
    """The gateway's clock is ahead, or behind."""

    def harm(site: Spoilt) -> None:
        since_s, until_s = site.span_s(least_min, most_min)
        for table in POLLED:
            for row in site.among(table, since_s, until_s):
                if row["reading_age_s"] is not None:
                    row["reading_age_s"] -= by_s

    return harm


def booted(off_min: int, wrong_min: int) -> Harm:
    """A machine was off, and believed for some polls that no time had passed."""

    def harm(site: Spoilt) -> None:
        since_s, _ = site.span_s(off_min + wrong_min, off_min + wrong_min + 1)
        off_s, wrong_s = 60 * off_min, 60 * wrong_min
        for table in POLLED:
            site.drop(table, since_s, since_s + off_s)
            for row in site.among(table, since_s, since_s + off_s + wrong_s):
                row["at"] += 11 - off_s
                if row["reading_age_s"] is not None:
                    row["reading_age_s"] -= off_s

    return harm


def clock_off(by_s: int, minutes: int) -> Harm:
    """Our own clock was set wrong for a while."""

    def harm(site: Spoilt) -> None:
        since_s, until_s = site.span_s(minutes, minutes + 1)
        for table in POLLED:
            for row in site.among(table, since_s, until_s):
                row["at"] += by_s
                if row["reading_age_s"] is not None:
                    row["reading_age_s"] += by_s

    return harm


def no_clock(site: Spoilt) -> None:
    """The first polls are of 1970, and some reports of inverters of the year 2040."""
    for table in POLLED:
        for row in site.among(table, 0, site.start_s + 1_000):
            row["at"] -= site.start_s - 500
    for number, row in enumerate(site.rows["inverter_samples"][:3]):
        row["at"] = 2_208_988_800 + 900 * number


def odd_reports(site: Spoilt) -> None:
    """Inverters that fall silent, start anew, dip, and report what none can make."""
    for number, row in enumerate(site.rows["inverter_samples"]):
        day = (row["at"] - site.start_s) / DAY_S
        if row["serial"] == "122001" and day > 4.5:
            row["energy_lifetime_wh"] -= 710_000
        if row["serial"] == "122003" and number % 97 == 0:
            row["energy_lifetime_wh"] -= 9_000
        if number % 211 == 0:
            row["power_w"] = 4_294_967_292.0
        if number % 173 == 0:
            row["energy_interval_wh"] = 65_535.0
    for serial, since, until in (("122004", 2.2, 5.4), ("122000", 1.4, 2.7), ("122002", 3, 9)):
        since_s, until_s = (int(site.start_s + day * DAY_S) for day in (since, until))
        site.drop("inverter_samples", since_s, until_s, serial=serial)


def inactive(measurement: str, minutes: int) -> Harm:
    """The production CT is reported inactive: no power and no counter in its sample."""

    def harm(site: Spoilt) -> None:
        since_s, until_s = site.span_s(minutes, minutes + 1)
        for row in site.among("production_samples", since_s, until_s):
            row["power_w"] = row["energy_lifetime_wh"] = None
        for row in site.among("meter_readings", since_s, until_s, measurement=measurement):
            row["delivered_wh"] = row["received_wh"] = 0.0

    return harm


def everything(count: int) -> Harm:
    """As it comes."""
    harms = (
        outages(1, 40), outages(1, 300), outages(1, 2000), silent("net-consumption", 20, 1500),
        silent("production", 20, 1500), changed(half, 1, 200), changed(zero, 1, 40),
        changed(spike, 1, 200), changed(reset), changed(jump), changed(small_fall),
        stalls("production_samples", 20, 300),
        stalls("meter_readings", 20, 300, measurement="net-consumption"),
    )  # fmt: skip

    def harm(site: Spoilt) -> None:
        for _ in range(count):
            site.any_of(*harms)(site)

    return harm


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


SPOILT: dict[str, Callable[[], Spoilt]] = {
    "outages": lambda: Spoilt(
        1, phases=3, days=6, harms=(
            outages(4, 40), outages(2, 300), outages(1, 2000), silent("net-consumption", 20, 1500),
            silent("production", 20, 1500),
        )),
    "erroneous reads": lambda: Spoilt(
        2, phases=2, peak_kwp=None, harms=(
            changed(half, 1, 200, 4), changed(zero, 1, 300, 4), changed(spike, 1, 200, 4),
        )),
    "resets and jumps": lambda: Spoilt(
        3, phases=2, days=9, zone="Asia/Kathmandu", harms=(
            changed(reset, count=4), changed(jump, count=4), changed(small_fall, count=5),
        )),
    "stalls": lambda: Spoilt(
        4, zone="America/New_York", start=_utc(2026, 3, 5), harms=(
            stalls("production_samples", 20, 115), stalls("production_samples", 130, 600),
            stalls("meter_readings", 30, 115, measurement="net-consumption"),
            stalls("meter_readings", 200, 1500, measurement="net-consumption"),
            stalls("meter_readings", 200, 1500, measurement="production"),
        )),
    "a stall of nine days": lambda: Spoilt(
        5, source="v1", consumption="none", days=12, harms=(
            stalls("production_samples", 9 * DAYS, 9 * DAYS + 300),
        )),
    "wraps": lambda: Spoilt(
        6, source="v1", consumption="none", inverters=3, later_s=9 * DAY_S,
        harms=(wraps(3), outages(2, 300), changed(zero, 5, 40, 2), wraps(5))),
    "sources that change": lambda: Spoilt(
        7, days=9, harms=(
            sources((1.0, 2.3, "v1", 12_000), (2.3, 2.304, "inverters", -90_000),
                    (3.0, 3.004, "eim", 0), (4.4, 5.1, "inverters", -1_000_000),
                    (5.1, 5.5, "html", 0), (6.0, 6.02, "v1", 50_000)),
            silent("net-consumption", 100, 400), changed(half, 1, 100, 2),
        )),
    "net power without counters": lambda: Spoilt(
        8, consumption="total", phases=2, peak_kwp=None, harms=(
            silent("total-consumption", 100, 900), silent("production", 100, 900),
            powers("consumption_samples", -299_500.0, 30, measurement="net-consumption"),
            powers("production_samples", 300_000.0, 30), powers("production_samples", None, 200),
            powers("consumption_samples", 4e9, 30), stalls("production_samples", 150, 600),
            outages(3, 200),
        )),
    "consumption from elsewhere": lambda: Spoilt(
        9, consumption="eim", days=10, harms=(
            outages(2, 300), stalls("consumption_samples", 30, 300), changed(half, 1, 90, 2),
        )),
    "a net meter that comes and goes": lambda: Spoilt(
        10, days=12, harms=(
            begins("net-consumption", 1), gone("net-consumption", 3), outages(1, 90),
            changed(small_fall, count=2),
        )),
    "a battery": lambda: Spoilt(
        11, has_battery=True, zone="Australia/Lord_Howe", start=_utc(2026, 4, 1), phases=2,
        days=7, harms=(
            silent("storage", 100, 900), stalls("meter_readings", 200, 500, measurement="storage"),
            changed(reset, count=3), outages(2, 200), silent("net-consumption", 20, 600),
            inactive("production", 240), powers("production_samples", 99_000.0, 30),
        )),
    "reports of inverters": lambda: Spoilt(
        12, inverters=7, days=9, harms=(odd_reports, wraps(6), outages(1, 300)),
        later_s=3 * DAY_S),
    "clocks set wrong": lambda: Spoilt(
        13, inverters=1, harms=(
            no_clock, booted(300, 20), booted(90, 12), clock_off(-3 * 365 * DAY_S, 100),
            clock_off(2 * DAY_S, 60), clock_off(2 * 365 * DAY_S, 30), frozen(200),
            ahead(3_600 * 5, 200, 900), ahead(DAY_S + 900, 900, 2000),
            ahead(-40 * DAY_S, 100, 500), ahead(400 * DAY_S, 100, 500),
        )),
    "a gateway that was replaced": lambda: Spoilt(
        14, replaced=((3, 2), (6, 3)), inverters=2, days=9, phases=2,
        harms=(everything(8), changed(reset, count=2))),
    "pruned": lambda: Spoilt(
        15, phases=2, days=12, inverters=3, keep_days=5, peak_kwp=None,
        harms=(everything(12), odd_reports)),
}  # fmt: skip
