"""The questions of ``envoylog setup``, in their order: where the gateways are, who they are, a token, and what is kept.

Nothing is asked that a gateway tells, and nothing is written before everything was tried.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from logger.clock import Clock, time_zone
from logger.errors import CertificateChangedError, CheckFailedError, SettingsError, UsageError
from logger.gateway import words
from logger.gateway.credentials import Tokens
from logger.gateway.probe import Found
from logger.gateway.tls import Pins
from logger.settings import GatewaySettings, Settings, write_secret
from logger.setup.access import Access, Account, Door, password_path
from logger.setup.draft import Draft
from logger.setup.finding import Finder, Place, existing
from logger.setup.person import Person, Wishes, until_right
from logger.setup.trial import Trial

#: What a gateway is called unless somebody says otherwise.
NAMES = ("roof", "roof2", "roof3")
LOCAL_TIME = Path("/etc/localtime")
#: Of the whole configuration, what is taken over from another one.
CADENCE = ("poll_every_s", "inverters_every_s", "commit_every_s", "keep_samples_days")
_DEFAULTS = GatewaySettings(name="", host="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A gateway that is to be logged, and what of it is kept beside the configuration."""

    name: str
    fingerprint: str | None  #: to be pinned
    access: Access


class Dialogue:
    """Leads through the setup of one configuration."""

    def __init__(self, draft: Draft, wishes: Wishes, person: Person, environ: Mapping[str, str], clock: Clock) -> None:
        self.draft, self.wishes, self.person = draft, wishes, person
        self._environ, self._clock = environ, clock
        self._names = list(wishes.names)  # that no gateway has yet
        self._accounts: list[Account] = []  # that gave a token just now
        self.chosen: list[Chosen] = []
        #: where it is kept when accounts were asked
        self.account_dir = draft.loaded.state_dir
        self._former: Settings | None = None

    @property
    def state_dir(self) -> Path:
        """Where tokens and pins lie."""
        return self.draft.loaded.state_dir

    @property
    def _known_dir(self) -> Path:
        """Where the tokens and pins of what is configured lie by now."""
        return self._former.state_dir if self._former else self.state_dir

    def take_over(self, former: Settings, server_url: str | None) -> None:
        """Begin with the gateways, tokens, pins and cadence of another configuration, and its database on a server.

        SettingsError: it can't be used here.
        """
        self._former = former
        for gateway in former.gateways:
            values: dict[str, Any] = {
                key: value
                for key in ("host", "serial", "time_zone", "peak_power_kwp", "grid_meter", "tls", "mdns", "livedata")
                if (value := getattr(gateway, key)) != getattr(_DEFAULTS, key)
            }
            if gateway.panel_names:
                values["panel_names"] = dict(gateway.panel_names)
            if gateway.arrays:
                arrays = (asdict(array) for array in gateway.arrays)
                values["arrays"] = [
                    {
                        key: list(value) if key == "inverters" else value
                        for key, value in array.items()
                        if value is not None
                    }
                    for array in arrays
                ]
            if gateway.username and gateway.has_password:
                file = password_path(self.state_dir, gateway.name)
                values |= {"username": gateway.username, "password_file": str(file)}
            self.draft.set(gateway.name, values)
        self.draft.set_top({
            key: getattr(former, key) for key in CADENCE if key in former.origins
        })  # fmt: skip
        if server_url is not None:
            self.draft.set_database(server_url)
        self.draft.loaded = replace(self.draft.loaded, gateways=former.gateways)

    def run(self) -> None:
        """Ask everything; ``keep`` writes it.

        Raises:
            LoggerError: nobody is asked and something is wrong; names it and what to do.
        """
        configured = self.draft.loaded.gateways
        if self.draft.before:
            self.person.say(f"The configuration is {self.draft.path}; only what you change here will change in it.")
        if self.wishes.database_url:
            self.draft.set_database(self.wishes.database_url)
        named = [gateway for gateway in configured if gateway.name in self._names]
        finder = Finder(self.person, self.wishes, self._environ)
        if named and len(named) == len(self._names) and not self.wishes.hosts:
            places = finder.known_places(named)
        else:
            places = finder.places(configured)
        for place in places:
            if self.chosen and self.wishes.of_one:
                raise UsageError(f"{self.wishes.of_one} is of one gateway; name it with --name or --host.")
            self._set_up(place)
        if self._names:
            raise UsageError(f"--name {self._names[0]} is left over: there are fewer gateways than names.")

    def _set_up(self, place: Place) -> None:
        """Ask everything about one gateway, and try it."""
        known = existing(self.draft.loaded.gateways, place)
        name = known.name if known else until_right(self.person, lambda: self._named(place))
        if name in self._names:
            self._names.remove(name)
        if known is not None:
            self.person.say()
            self.person.say(f"{name}: {words.kind(place.info)}, at {place.host}.")
        self._trust(place.found, name)
        # As it will be read: the environment may hold secrets for it.
        new = (gateway for gateway in self.draft.checked().gateways if gateway.name == name)
        settings = replace(known or next(new), host=place.host)
        with Trial(place.found, settings, self._environ, self._clock) as trial:
            door = Door(trial, self.person, self.wishes, self._environ, self._clock)
            door.token_dir, door.account_dir, door.accounts = self._known_dir, self.account_dir, self._accounts
            access = door.open()
            if access.username and access.password:
                trial.settings = replace(trial.settings, username=access.username, password=access.password)
            described, profile = trial.describe(access.token)
        self._show(described)
        zone = self.wishes.time_zone
        if zone is None and not settings.time_zone and profile.info.time_zone is None:
            zone = until_right(self.person, self._asked_zone)
        self._set(name, known, place, access, zone)
        self.chosen.append(Chosen(name=name, fingerprint=place.found.fingerprint, access=access))

    def _named(self, place: Place) -> str:
        """Return the name of a gateway that is new to the configuration, and add it there.

        SettingsError: another one has the name or the address.
        """
        taken = {gateway.name for gateway in self.draft.loaded.gateways} | {chosen.name for chosen in self.chosen}
        default = next((name for name in NAMES if name not in taken), f"roof{len(taken) + 1}")
        name = self._names.pop(0) if self._names else self.person.ask("What do you call it?", "--name NAME", default)
        if name in taken:
            raise SettingsError(f"Another gateway is called {name!r} already; choose another name (--name).")
        self.draft.set(name, {"host": place.host, "serial": place.info.serial})
        return name

    def _trust(self, found: Found, name: str) -> None:
        """Show the certificate that will be pinned.

        Raises:
            CertificateChangedError: it is another one than the pinned or the expected one.
            CheckFailedError: somebody does not trust it.
        """
        shown, wanted = found.fingerprint, (self.wishes.fingerprint or "").replace(":", "").strip().lower()
        if wanted and wanted != shown:
            raise CertificateChangedError(
                f"{found.host} shows another certificate than --fingerprint says ({shown}); nothing was sent to it."
            )
        if shown is None:
            self.person.say("It answers by plain HTTP, as firmware below 7 does: it has no certificate.")
            return
        pinned = Pins(self._known_dir, name).read()
        if pinned is not None and pinned != shown:
            raise CertificateChangedError(
                f"{name} shows another certificate than the pinned one, so nothing was sent; if you know why "
                f"(firmware update, new gateway), run: envoylog trust accept {name}"
            )
        if pinned is None:
            self.person.say("Its certificate, SHA-256:")
            self.person.lines([f"  {line}" for line in grouped(shown)])
            self.person.say("It is pinned: nothing is ever sent to a gateway that shows another one.")
            if not wanted and not self.person.confirm("Trust it?"):
                raise CheckFailedError("The certificate is not trusted, so nothing was set up.")

    def _show(self, described: words.Description) -> None:
        for title, found in (("Recorded", described.recorded), ("Not recorded", described.missing)):
            if found:
                self.person.say(f"{title}:")
                self.person.rows(found)

    def _asked_zone(self) -> str:
        """Return the time zone of the site; the gateway does not tell it."""
        return time_zone(self.person.ask("Time zone of the site", "--time-zone ZONE", own_zone())).key

    def _set(self, name: str, known: GatewaySettings | None, place: Place, access: Access, zone: str | None) -> None:
        """Set in the draft what was asked."""
        file = access.password_file or (password_path(self.state_dir, name) if access.password else None)
        self.draft.set(
            name,
            {
                "host": place.host if known and known.host != place.host else None,
                "serial": place.info.serial if known and known.serial is None else None,
                "time_zone": zone,
                "peak_power_kwp": self.wishes.peak_power_kwp,
                "username": access.username,
                "password_file": str(file) if file else None,
            },
        )

    def keep(self) -> Settings:
        """Write the configuration, and keep tokens, passwords and pins; return the settings.

        Raises:
            SettingsError: a file can't be written.
        """
        loaded = self.draft.write()
        try:
            for each in self.chosen:
                self._keep(each, loaded)
            for gateway in self._former.gateways if self._former else ():
                if (password := gateway.read_password()) is not None:
                    write_secret(password_path(loaded.state_dir, gateway.name), password)
        except OSError as error:
            raise SettingsError(
                f"{error.filename} can't be written ({error.strerror}); make its folder writable or set state_dir."
            ) from error
        return loaded

    def _keep(self, each: Chosen, loaded: Settings) -> None:
        settings = next(gateway for gateway in loaded.gateways if gateway.name == each.name)
        pins, access = Pins(loaded.state_dir, each.name), each.access
        if each.fingerprint is not None and settings.tls == "pin" and pins.read() is None:
            pins.write(each.fingerprint)
        if access.token is not None and (access.is_new or self._former):
            if settings.token_file is not None:
                write_secret(settings.token_file, access.token.text)
            else:
                Tokens(settings, loaded.state_dir, self._environ, self._clock).keep(access.token)
        if access.password is not None:
            write_secret(password_path(loaded.state_dir, each.name), access.password)


def grouped(fingerprint: str) -> list[str]:
    """Return a fingerprint as people compare it: two lines of pairs."""
    pairs = [fingerprint[start : start + 2] for start in range(0, len(fingerprint), 2)]
    return [":".join(pairs[:16]), ":".join(pairs[16:])]


def own_zone() -> str:
    """Return this machine's time zone."""
    name = str(LOCAL_TIME.resolve()).partition("zoneinfo/")[2]
    return name or "UTC"
