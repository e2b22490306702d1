"""How sure the figures of a page are, in sentences.

Walk: reports.certainty -> words -> here -> page.html
"""

from collections.abc import Iterator
from datetime import date

from logger.exports import language
from logger.exports.language import say
from logger.exports.page import words
from logger.reports.page import Page

#: At most this many reasons not to believe days are named.
MOST_DOUBTS = 3


def sentences(page: Page) -> Iterator[str]:
    """Yield how sure the figures are, a sentence each."""
    found = page.certainty
    if found.coverage_pct is not None:
        share = language.percent(found.coverage_pct)
        said = say("{share} of the time was measured; the counters also count what was not watched.", share=share)
        yield f"{said[:1].upper()}{said[1:]}"
    counts = found.counts
    whole = counts.get("final", 0)
    over = sum(count for status, count in counts.items() if status != "provisional")
    if over:
        how = "All {days} are complete." if whole == over > 1 else "{whole} of {days} are complete."
        yield say(how, days=words.days(over), whole=whole)
    if found.partial:
        yield say(
            "Incomplete, so that the day or what flowed in it is less sure: {days}.", days=words.spans(found.partial)
        )
    if found.missing:
        yield say("Nothing is known of {days}.", days=words.spans(found.missing))
    alike: dict[str, list[date]] = {}
    for of, detail in found.suspect.items():
        alike.setdefault(detail, []).append(of)
    for detail, same in list(alike.items())[:MOST_DOUBTS]:
        why = f"{detail.rstrip('.')}{'' if detail.endswith('?') else '.'}"
        yield say("Not to be believed, {days}: {why}", days=words.spans(same), why=why)
    if more := [of for same in list(alike.values())[MOST_DOUBTS:] for of in same]:
        yield say("Not to be believed either: {days}.", days=words.spans(more))
    if found.bridged_kwh:
        production = page.total.column("production_kwh")[0]
        bridged = words.text("bridged_kwh", found.bridged_kwh)
        if production:
            bridged += f" ({language.number(100 * found.bridged_kwh / production, '.1f')} %)"
        yield say(
            "{kwh} of what was made was counted over gaps: the sum is right, the hours are not known.", kwh=bridged
        )
    if found.inverters_kwh is not None and found.inverters_difference_pct is not None:
        off = found.inverters_difference_pct
        how = (
            "as much as the meter" if abs(off) < 0.05 else f"{{share}} % {'more' if off > 0 else 'less'} than the meter"
        )
        yield say(
            "The inverters themselves report {kwh}, {how}.",
            kwh=words.text("inverters_kwh", found.inverters_kwh),
            how=say(how, share=language.number(abs(off), ".1f")),
        )
    if page.is_running:
        yield say("The period runs: its figures grow.")
