"""All checks, one after the other: what one of them can't look at keeps no other from looking."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from logger.doctor import configuration, gateways, machine, measurements, owners, storage, visit
from logger.doctor.findings import Finding, error
from logger.doctor.installation import Installation
from logger.doctor.visit import Visit
from logger.errors import guarded
from logger.service.machine import Machine
from logger.service.state import look
from logger.settings import GatewaySettings, Settings, places


def unheard(_finding: Finding) -> None:
    """Let an examination go on without a word."""


#: what starts the collector where no service is installed
START = "envoylog run"


def examine(
    here: Installation,
    tell: Callable[[Finding], None] = unheard,
    *,
    with_more_pages: bool = False,
    system: Machine | None = None,
) -> tuple[list[Finding], list[Visit]]:
    """Return all findings in their order, and the visits to the gateways that they come from.

    ``tell`` hears each finding at once, for a silent gateway takes its time; ``system`` is the machine that the service
    is on, where it is not this one.
    """
    found: dict[Finding, None] = {}  # What two checks see is said once.
    visits: list[Visit] = []
    for finding in _all(here, visits, with_more_pages, system or Machine()):
        if finding not in found:
            found[finding] = None
            tell(finding)
    return list(found), visits


def _all(here: Installation, visits: list[Visit], with_more_pages: bool, system: Machine) -> Iterator[Finding]:
    yield from _checked("configuration", lambda: configuration.examine(here))
    yield from _checked("program", lambda: machine.examine(here))
    state = look(system)
    yield from _checked("service", lambda: [machine.service(here, state, system)])
    if (loaded := here.settings) is None:
        return
    if here.config_path is not None or "database_url" in loaded.origins:
        yield from _checked("owners", lambda: owners.examine(here, loaded))
        yield from _checked("database", lambda: storage.examine(here, loaded))
    for gateway in loaded.gateways:
        yield from _checked("gateway", partial(_visited, here, loaded, gateway, visits, with_more_pages))
    if loaded.gateways:
        start = (state.to_type if places.is_system(here.config_path) else None) or START
        yield from _checked("last poll", lambda: measurements.examine(here, loaded, start))


def _visited(
    here: Installation, loaded: Settings, gateway: GatewaySettings, visits: list[Visit], with_more_pages: bool
) -> Iterator[Finding]:
    if here.hidden:
        paid = visit.glance(gateway, clock=here.clock)
    else:
        paid = visit.pay(loaded, gateway, here.environ, clock=here.clock, with_more_pages=with_more_pages)
    visits.append(paid)
    yield from gateways.examine(here, loaded, paid)


def _checked(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield what a check finds; a bug in it is a finding too."""
    found: list[Finding] = []

    def work() -> None:
        found.extend(check())

    def report(problem: Exception) -> None:
        found.append(_unexpected(name, problem))

    guarded(work, report)
    yield from found


def _unexpected(name: str, problem: Exception) -> Finding:
    return error(name, f"This could not be looked at: {type(problem).__name__}: {problem}.", "please report this")
