"""What ``envoylog panels`` shows: a bar, the state and what to do of each panel, in lines of 80."""

from collections.abc import Iterator, Sequence

import click

from logger.exports import screen
from logger.reports.panels import Panel

#: A bar of this length is what is usual.
BAR = 20
COLORS = {"fine": "green", "weak": "yellow", "shaded": "yellow", "dead": "red", "silent": "red"}


def lines(panels: Sequence[Panel], *, for_installer: bool = False) -> Iterator[str]:
    """Yield the panels by gateway and array; what to do below those that are not fine."""
    by_array: dict[tuple[str, str | None], list[Panel]] = {}
    for panel in panels:
        by_array.setdefault((panel.gateway, panel.array), []).append(panel)
    width = max((len(_name(panel)) for panel in panels), default=0)
    for (gateway, array), of_array in by_array.items():
        yield click.style(f"{gateway}, array {array}" if array else gateway, bold=True)
        for panel in of_array:
            share = "" if panel.relative_pct is None else f"{panel.relative_pct:.0f} %"
            state = click.style(panel.state or "unknown", fg=COLORS.get(panel.state or ""))
            energy = f"{screen.kwh(panel.energy_kwh)} in 14 days"
            yield f"  {_name(panel):{width}} {_bar(panel)} {share:>5}  {energy:>22}  {state}"
            if panel.advice is not None:
                yield from screen.wrapped("", _why(panel, for_installer=for_installer))
    yield ""
    yield from screen.wrapped("", "100 %: as much as is usual beside its neighbours, over the last 14 bright days.")


def _name(panel: Panel) -> str:
    return panel.name or panel.serial


def _bar(panel: Panel) -> str:
    """Return how much of what is usual a panel makes, as a bar."""
    known = None if panel.relative_pct is None else panel.relative_pct / 100
    share = {"dead": 0.0, "silent": 0.0, "removed": 0.0}.get(panel.state or "", known)
    if share is None:
        return " " * BAR
    filled = min(BAR, max(0, round(share * BAR)))
    return "█" * filled + "░" * (BAR - filled)


def _why(panel: Panel, *, for_installer: bool) -> str:
    """Return since when a panel is not fine, what that cost, and what to do."""
    lost = f", {screen.kwh(panel.lost_kwh)} less than its neighbours" if panel.lost_kwh else ""
    since = f"{panel.state} since {screen.day(panel.since)}{lost}"
    if not for_installer:
        return f"{since}: {panel.advice}"
    made, peers = screen.kwh(panel.energy_kwh), screen.kwh(panel.peers_median_kwh)
    return f"serial {panel.serial}, {since}; in the last 14 days {made} beside {peers} of its neighbours"
