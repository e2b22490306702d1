"""How a gateway of firmware 7 and newer lets us in: the token that it has, one that is pasted, or one of an account."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from logger.clock import Clock
from logger.errors import AuthenticationError, SettingsError, TokenError
from logger.gateway import words
from logger.gateway.credentials import Tokens
from logger.gateway.token import ENTREZ_URL, Token
from logger.settings import GatewaySettings, file_stem
from logger.setup.person import Person, Wishes, until_right
from logger.setup.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A token that the gateway took, and what of it is new."""

    token: Token | None  #: None where firmware asks for none
    is_new: bool = False
    username: str | None = None  #: of an account that renews it
    password: str | None = field(default=None, repr=False)  #: to be kept in a file of ours
    password_file: Path | None = None  #: one that the user has


@dataclass(frozen=True, slots=True)
class Account:
    """An account that gave a token, and whether its password is kept."""

    username: str
    password: str = field(repr=False)
    keeps: bool


class Door:
    """Finds a way in to one gateway."""

    def __init__(self, trial: Trial, person: Person, wishes: Wishes, environ: Mapping[str, str], clock: Clock) -> None:
        self.trial, self.person, self.wishes = trial, person, wishes
        self.settings: GatewaySettings = trial.settings
        self._environ, self.clock = environ, clock
        self.token_dir = Path()  #: the state directory that may have a token
        self.account_dir = Path()  #: where it is kept when accounts were asked
        self.accounts: list[Account] = []  #: that gave another gateway's token just now

    def open(self) -> Access:
        """Return a token that the gateway takes.

        Raises:
            AuthenticationError: nobody is asked, and what the command line gives is refused.
        """
        if not self.trial.info.has_web_tokens:
            self.person.say("Firmware below 7 asks for no token.")
            return self._of_local_user()
        if self.wishes.token_texts:
            return self._of_text(self._fitting_text())
        if username := self.wishes.username:
            if self._password is not None:
                return self._of_account(username)
            return until_right(self.person, lambda: self._of_account(username))
        if (own := self._own()) is not None:
            return own
        self.person.say("This firmware asks for a token. It is free, and an owner's lasts a year.")
        return until_right(self.person, self._asked)

    @property
    def _password(self) -> str | None:
        """The password that the command line or the environment has."""
        return self.wishes.password or self.settings.password

    def _own(self) -> Access | None:
        """Return the token that is at hand, if it still serves."""
        try:
            tokens = Tokens(self.settings, self.token_dir, self._environ, self.clock)
            if (token := tokens.stored()) is None:
                return None
            self.trial.takes(token)
        except (AuthenticationError, SettingsError) as error:
            self.person.say(f"The token at hand is of no use any more: {error}")
            return None
        self._say(token, renews=tokens.has_account)
        return Access(token=token)

    def _fitting_text(self) -> str:
        """Return the one of several tokens that is this gateway's."""
        for text in self.wishes.token_texts:
            try:
                if Token.parse(text).serial == self.trial.info.serial:
                    return text
            except TokenError:
                continue
        return self.wishes.token_texts[0]

    def _asked(self) -> Access:
        if self.accounts and self.person.confirm(f"Use the account {self.accounts[-1].username} for it too?"):
            return self._of_account(self.accounts[-1].username, self.accounts.pop())
        ways = [
            f"Paste one: sign in at {ENTREZ_URL}, choose your system and gateway, and copy it",
            "Fetch it with the e-mail and password of your Enlighten account (not with two-factor login)",
        ]
        if self.person.choose("How do you get it?", ways, "--token-file FILE or --username EMAIL") == 0:
            return self._of_text(self.person.paste("--token-file FILE"))
        return self._of_account(self.person.ask("E-mail of the account", "--username EMAIL"))

    def _of_text(self, text: str) -> Access:
        token = Token.parse(text)
        token.check(self.trial.info.serial, self.clock())
        self.trial.takes(token)
        self._say(token, renews=False)
        return Access(token=token, is_new=True)

    def _of_account(self, username: str, known: Account | None = None) -> Access:
        password = known.password if known else self._password
        password = password or self.person.secret("Its password (it is not shown)", "--password-file FILE")
        token = self.trial.fetch(self.account_dir, username, password)
        keeps = known.keeps if known else self.wishes.keep_password
        if keeps is None:
            self.person.say(
                "With the password kept in a file of yours alone, the token renews itself. Without it, you paste a new "
                "one or run this again before it ends."
            )
            keeps = self.person.confirm("Keep the password?", default=False)
        self.accounts.append(Account(username, password, keeps=keeps))
        self._say(token, renews=keeps)
        if not keeps:
            return Access(token=token, is_new=True)
        file = self.wishes.password_file
        return Access(
            token=token, is_new=True, username=username, password=None if file else password, password_file=file
        )

    def _of_local_user(self) -> Access:
        """Return the local user that the command line names; old firmware has users of its own otherwise."""
        if self.wishes.username is None:
            return Access(token=None)
        password = self._password or self.person.secret("Its password (it is not shown)", "--password-file FILE")
        file = self.wishes.password_file
        return Access(
            token=None, username=self.wishes.username, password=None if file else password, password_file=file
        )

    def _say(self, token: Token, *, renews: bool) -> None:
        first, *more = words.lifetime(token, self.clock(), renews=renews)
        self.person.say(f"The gateway takes the token: {first}.")
        for line in more:
            self.person.say(line)


def password_path(state_dir: Path, name: str) -> Path:
    """Return where a gateway's password is kept, if it is: among the secrets, where the collector may read it."""
    return state_dir / "passwords" / file_stem(name)
