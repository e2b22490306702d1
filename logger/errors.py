"""Everything that can go wrong, and the exit code it ends with.

::

    LoggerError                         (1)
    ├── UsageError                      (2)
    ├── SettingsError                   (3)
    │   └── CollectorRunningError
    ├── GatewayError                    (5)
    │   ├── GatewayUnreachableError
    │   │   └── NotReadyError
    │   ├── EndpointMissingError, EndpointRefusedError, NotAskedError
    │   ├── MalformedDocumentError
    │   ├── GatewayReplacedError        (3)
    │   └── AuthenticationError         (4)
    │       ├── CertificateChangedError
    │       └── TokenError
    │           └── TokenExpiredError
    ├── StoreError                      (6)
    │   └── SchemaOutdatedError, StoreAwayError (StoreBusyError), StoreDamagedError, RowRefusedError, ReadOnlyError
    ├── ServiceError                    (1)
    ├── NoDataError                     (7)
    └── CheckFailedError                (8)

A message is one sentence about what happened, and one about what to do. The command line prints it and leaves with
``exit_code``. What no one foresaw goes through ``guarded``.
"""

from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
Reported = TypeVar("Reported")


class LoggerError(Exception):
    """Something went wrong that a sentence explains to the user."""

    exit_code = 1


class UsageError(LoggerError):
    """The command's arguments contradict each other or name something unknown."""

    exit_code = 2


class SettingsError(LoggerError):
    """The configuration can't be used; names the file and the key."""

    exit_code = 3


class CollectorRunningError(SettingsError):
    """Another process collects into this database or from this gateway."""


class GatewayError(LoggerError):
    """The gateway did not give what was asked for."""

    exit_code = 5


class GatewayUnreachableError(GatewayError):
    """No answer at all: wait for the next slot."""


class NotReadyError(GatewayUnreachableError):
    """The gateway is there but this page did not come: other pages still may."""


class EndpointMissingError(GatewayError):
    """This gateway has no such page: ask again tomorrow."""


class EndpointRefusedError(GatewayError):
    """This page is not for this user or firmware, while others are."""


class NotAskedError(GatewayError):
    """This page is left alone for a while: it was missing, refused, or did harm; names which."""


class MalformedDocumentError(GatewayError):
    """The answer is not what this page should contain (cut, HTML, empty)."""


class GatewayReplacedError(GatewayError):
    """Another gateway answers at the configured address, or one that has another name already."""

    exit_code = 3


class AuthenticationError(GatewayError):
    """The gateway or Enlighten refused our credentials."""

    exit_code = 4


class CertificateChangedError(AuthenticationError):
    """The certificate is not the pinned one: nothing was sent."""


class TokenError(AuthenticationError):
    """The token is missing, unreadable, of another gateway, or refused."""


class TokenExpiredError(TokenError):
    """The token's time is over."""


class StoreError(LoggerError):
    """The database can't be opened, read or written."""

    exit_code = 6


class SchemaOutdatedError(StoreError):
    """The database has another schema version than this program."""


class StoreAwayError(StoreError):
    """The database is down, locked or full: polls wait until it is back."""


class StoreBusyError(StoreAwayError):
    """Another program holds what was to be written: it will not for ever."""


class StoreDamagedError(StoreError):
    """The database's file is damaged: a backup is needed."""


class RowRefusedError(StoreError):
    """The database takes other rows, but not this one."""


class ReadOnlyError(StoreError):
    """The database may only be read here, and something was to be written."""


class ServiceError(LoggerError):
    """The systemd service can't be installed, started or removed."""


class NoDataError(LoggerError):
    """Nothing in the range that was asked for; the message names what there is."""

    exit_code = 7


class CheckFailedError(LoggerError):
    """A check found something that is not right."""

    exit_code = 8


def guarded(work: Callable[[], Result], report: Callable[[Exception], Reported]) -> Result | Reported:
    """Return what a piece of work returns, or what ``report`` makes of the bug that it has.

    The only place where every exception is caught: a bug in one piece must not end years of
    logging, and no traceback reaches a user.
    """
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - see above
        return report(error)
