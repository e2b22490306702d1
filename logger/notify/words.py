"""A notification, or several, as a message."""

from collections.abc import Sequence
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from logger.notify.delivery import Message
from logger.notify.outbox import Notification
from logger.notify.sources import local
from logger.settings.notify import KINDS

#: of more, the first are named
NAMED = 40


def message(waiting: Sequence[Notification], zone: ZoneInfo, *, out_since: datetime | None, lost: int) -> Message:
    """Return what a receiver gets: of one notification, or of all that wait.

    ``out_since``: the receiver took nothing since then; ``lost`` is how many were given up meanwhile.
    """
    lines = [f"{local(own.noticed_at, zone)}\n{own.gateway}: {own.detail}." for own in waiting[:NAMED]]
    if len(waiting) > NAMED:
        lines.append(f"And {len(waiting) - NAMED} more; look at: envoylog status")
    if out_since is not None:
        lines.append(
            f"This receiver took nothing since {local(out_since, zone)}: what was to be told meanwhile is here."
        )
    if lost:
        lines.append(f"{lost} more could not be kept, or waited for longer than a day.")
    return Message(title(waiting), "\n\n".join(lines))


def title(waiting: Sequence[Notification]) -> str:
    """Return the title of a message."""
    if len(waiting) == 1:
        own = waiting[0]
        what = "a panel is well again" if " is no longer " in own.detail else KINDS[own.kind]
        if own.kind == "monthly_page":
            what = f"{date.fromisoformat(f'{own.subject}-01'):%B %Y}"
        return f"{own.gateway}: {what}"
    return f"envoylog: {len(waiting)} notifications"


def is_quiet(now: datetime, hours: tuple[time, time] | None, zone: ZoneInfo) -> bool:
    """Return whether it is a time of day in which nothing is to be sent; it may reach over midnight."""
    if hours is None:
        return False
    (since, until), at = hours, now.astimezone(zone).time()
    return since <= at < until if since < until else at >= since or at < until
