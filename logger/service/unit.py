"""The unit's text: one template, with the real path of the program, and what this machine's systemd understands."""

import re
import string
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from logger import __version__
from logger.errors import ServiceError, SettingsError
from logger.service.machine import Machine
from logger.service.state import CONFIG, NAME
from logger.settings import places, urls

#: where systemd hands secrets to the service, and where their files lie, for root alone
CREDENTIALS = f"/run/credentials/{NAME}"
CREDENTIALS_KEPT = f"{places.SYSTEM_CONFIG_DIR}/credentials"
DATABASE = f"{places.SYSTEM_STATE_DIR}/db"
#: what the unit hides from the service
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named, not written to
#: Pauses before a restart grow from 2 s to 5 min; systemd knows these words since version 254.
PAUSES = "RestartSec=2\nRestartSteps=8\nRestartMaxDelaySec=5min\n"
PAUSES_SINCE = 254
PAUSE = "# Pauses grow where systemd is 254 or newer: RestartSteps=, RestartMaxDelaySec=\nRestartSec=10\n"


def text(machine: Machine, executable: str) -> str:
    """Return the unit that starts this program on this machine."""
    template = string.Template(files("logger.service").joinpath(NAME).read_text(encoding="utf-8"))
    return template.substitute(
        version=__version__,
        executable=_escaped(executable),
        pauses=PAUSES if _systemd_version(machine) >= PAUSES_SINCE else PAUSE,
        credentials="".join(f"LoadCredential={name}:{CREDENTIALS_KEPT}/{name}\n" for name in credentials(machine)),
        writable="".join(f"ReadWritePaths={_escaped(str(folder))}\n" for folder in folders(machine)),
    )


def folders(machine: Machine) -> list[Path]:
    """Return where the configuration has the service write, beside its own folder.

    Raises:
        SettingsError: it is what no service may write to.
    """
    table, base = configuration(machine), places.SYSTEM_CONFIG_DIR
    found = []
    if isinstance(url := table.get("database_url"), str) and (file := urls.file_of(urls.absolute(url, base))):
        found.append(file.parent)
    if isinstance(state := table.get("state_dir"), str):
        found.append(places.anchored(state, base))
    if isinstance(pages := table.get("pages"), dict) and isinstance(directory := pages.get("directory"), str):
        found.append(places.anchored(directory, base))
    for folder in found:
        if any(folder.is_relative_to(hidden) for hidden in HIDDEN):
            raise SettingsError(f"{CONFIG} has the service write to {folder}, which it does not see; use {DATABASE}.")
    return [folder for folder in dict.fromkeys(found) if not folder.is_relative_to(places.SYSTEM_STATE_DIR)]


def credentials(machine: Machine) -> list[str]:
    """Return the names of the secrets that the configuration takes from systemd.

    Raises:
        ServiceError: the file of one is missing, with which no service would start.
    """
    kept = machine.path(CREDENTIALS_KEPT)
    names = [path.name for path in secret_files(machine) if str(path.parent) == CREDENTIALS]
    for name in names:
        if not (kept / name).is_file():
            raise ServiceError(
                f"The configuration takes {name} from systemd, but {CREDENTIALS_KEPT}/{name} is missing; write it."
            )
    return names


def configuration(machine: Machine) -> dict[str, Any]:
    """Return the service's configuration as it is written; empty where there is none yet.

    Raises:
        SettingsError: it can't be read.
    """
    try:
        return tomllib.loads(machine.path(CONFIG).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise SettingsError(f"{CONFIG} is not for this user; put sudo before the command.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The configuration {CONFIG} can't be read ({error}); correct it first.") from error


def secret_files(machine: Machine) -> list[Path]:
    """Return the files with secrets that the service's configuration names, each once."""
    table = configuration(machine)
    listed = [each for key in ("gateways", "notify") if isinstance(own := table.get(key), list) for each in own]
    named = [
        Path(CONFIG).parent / each[key]
        for each in [*listed, table.get("healthcheck")]
        for key in ("token_file", "password_file", "url_file")
        if isinstance(each, dict) and isinstance(each.get(key), str)
    ]
    return list(dict.fromkeys(named))


def _systemd_version(machine: Machine) -> int:
    """Return the version of this machine's systemd; the newest where that can't be told."""
    found = re.match(r"systemd (\d+)", machine.ask("systemctl", "--version").text)
    return int(found[1]) if found else PAUSES_SINCE


def _escaped(path: str) -> str:
    """Return a path as systemd reads it in a command line (systemd.service(5))."""
    plain = path.replace("%", "%%").replace("$", "$$")
    return (
        plain if re.fullmatch(r"[\w%$./+@:-]+", plain) else '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
