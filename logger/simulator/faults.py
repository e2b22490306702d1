"""What can go wrong with a simulated gateway, on request and for a time."""

from dataclasses import dataclass

from logger.errors import UsageError

#: fault -> what it does, for the help page
KINDS = {
    "outage": "closes connections without an answer",
    "slow": "waits ARG seconds before each answer (default 3)",
    "drip": "sends the body one byte each ARG seconds (default 1)",
    "unauthorized": "answers 401 although the credentials are right",
    "server_error": "answers 503",
    "cut": "cuts JSON in the middle",
    "html": "answers pages with HTML and 200",
    "null": "nulls and text where numbers should be",
    "inactive": "activeCount 0 and wrong readings of the production meter",
    "copy_net": "total-consumption copies net-consumption",
    "late_today": "whToday is reset a quarter hour late",
    "clock_skew": "the gateway's clock runs ARG seconds ahead (default 300)",
    "dip": "the production counter shows half of its value",
    "spike": "the production counter shows ARG kWh more (default 900)",
    "reset": "lifetime counters start again at 0, from then on",
    "wrap": "the inverter total passes 2^32 J at that moment",
    "lost_channel": "one storage channel goes to zero and takes half of the total along (in ARG of the minutes)",
    "frozen": "the meters' readings stand still",
    "duplicate": "each inverter is listed twice",
    "new_serial": "another gateway answers, from then on",
    "firmware": "reports firmware ARG (default 8.3.5289), from then on",
    "meter_off": "the consumption CT is disabled",
    "weak_inverter": "inverter number ARG (default 1) makes a fifth less, from then on",
    "lost_inverter": "the last inverter is gone",
    "refused": "answers 401 for the page ARG, whatever the credentials",
    "silent_battery": "battery number ARG (default 1) is heard of no more",
    "odd_battery": "text, null and impossible numbers in the pages of batteries",
    "stale_acb": "the AC Batteries' numbers stand still and go on to look alive",
    "grid_lost": "the grid fails: batteries carry the house, as far as they can",
    "generator": "the house runs on its generator, on a grid of its own",
}
#: These happen to the house rather than to what its gateway shows.
OUTAGES = {"grid_lost", "generator"}
#: These are of houses with batteries.
OF_BATTERIES = OUTAGES | {"silent_battery", "odd_battery", "stale_acb"}
#: These do not end by themselves.
LASTING = {"reset", "new_serial", "firmware", "wrap", "weak_inverter"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; times are seconds since the simulation's start."""

    kind: str
    since_s: float = 0.0
    until_s: float = float("inf")
    argument: str = ""

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Return the fault of ``KIND[=ARG][@SINCE[+DURATION]]``, times in simulated seconds.

        Raises:
            UsageError: no such fault, or no numbers.
        """
        what, _, when = text.partition("@")
        kind, _, argument = what.partition("=")
        if kind not in KINDS:
            raise UsageError(f"There is no fault {kind!r}; known: {', '.join(sorted(KINDS))}.")
        try:
            since, _, lasts = when.partition("+")
            since_s, lasts_s = float(since or 0), float(lasts or "inf")
        except ValueError as error:
            raise UsageError(f"fault {text!r}: write KIND[=ARG][@SINCE[+DURATION]].") from error
        return cls(kind, since_s, since_s + lasts_s, argument)

    def number(self, default: float) -> float:
        """Return the argument as a number."""
        return float(self.argument) if self.argument else default

    def holds(self, at_s: float) -> bool:
        """Return whether the fault is there this many seconds after the simulation's start."""
        return self.since_s <= at_s and (self.kind in LASTING or at_s < self.until_s)
