"""How the service is: installed, running, since when, and the command to type. Needs no rights, changes nothing."""

import re
from dataclasses import dataclass
from pathlib import Path

from logger.clock import in_words
from logger.service.machine import Machine
from logger.settings import places

NAME = "envoylog.service"
USER = "envoylog"
CONFIG = str(places.system_config())
#: where units lie, the first that has one wins
UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
UNIT = f"{UNIT_FOLDERS[0]}/{NAME}"
PROPERTIES = "ActiveState,SubState,UnitFileState,NRestarts,ActiveEnterTimestampMonotonic,StatusText,Result,Environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How the service is."""

    installed: bool
    running: bool | None  #: None: systemd does not run here
    enabled: bool = False  #: starts at boot
    failing: bool = False  #: it ended by itself and is started again and again
    running_for_s: int | None = None
    restarts: int = 0  #: since somebody last started it
    said: str = ""  #: what it last told systemd
    unit: Path | None = None
    executable: str | None = None  #: what the unit starts
    user: str | None = None  #: None: one that systemd makes up at each start
    in_words: str = ""
    to_type: str | None = None  #: the command to type next; None where all is well


def look(machine: Machine | None = None) -> State:
    """Return how the service is."""
    machine = machine or Machine()
    unit = next((path for path in (machine.path(f"{folder}/{NAME}") for folder in UNIT_FOLDERS) if path.exists()), None)
    if unit is None:
        return State(
            installed=False,
            running=False if machine.runs_systemd else None,
            in_words="not installed: nothing collects unless you run `envoylog run`",
            to_type=_as_root("envoylog service install", machine),
        )
    text = unit.read_text(encoding="utf-8", errors="replace")
    found = _shown(machine) if machine.runs_systemd else {}
    state = State(
        installed=True,
        running=found["ActiveState"] in {"active", "reloading", "deactivating"} if found else None,
        enabled=found.get("UnitFileState") == "enabled" if found else is_enabled(machine),
        failing=found.get("SubState") == "auto-restart" or found.get("ActiveState") == "failed",
        running_for_s=_running_for_s(found, machine),
        restarts=int(found.get("NRestarts") or 0),
        said=found.get("StatusText", ""),
        unit=unit,
        executable=_of_unit(text, r"^ExecStart=(?:\S*?)(/\S+)"),
        user=_of_unit(text, r"^User=(\S+)"),
    )
    words, to_type = _in_words(state, machine)
    return State(**{name: getattr(state, name) for name in State.__slots__} | {"in_words": words, "to_type": to_type})


def is_enabled(machine: Machine) -> bool:
    """Return whether the service starts at boot, by the link that says so."""
    return machine.path(f"/etc/systemd/system/multi-user.target.wants/{NAME}").is_symlink()


def environment(machine: Machine) -> dict[str, str]:
    """Return what the unit, and what was added to it, puts into the service's environment."""
    words = re.findall(r'(?:[^\s"]|"(?:\\.|[^"])*")+', _shown(machine).get("Environment", ""))
    pairs = (word.replace('"', "").partition("=") for word in words)
    return {name: value for name, _, value in pairs if name.startswith("ENVOYLOG_")}


def _shown(machine: Machine) -> dict[str, str]:
    """Return the service's properties; empty where systemd does not tell."""
    answer = machine.ask("systemctl", "show", NAME, f"--property={PROPERTIES}", patience_s=10)
    pairs = (line.partition("=") for line in answer.text.splitlines() if "=" in line)
    shown = {name: value for name, _, value in pairs}
    return shown if not answer.code and "ActiveState" in shown else {}


def _running_for_s(found: dict[str, str], machine: Machine) -> int | None:
    if found.get("ActiveState") != "active" or not (entered := int(found.get("ActiveEnterTimestampMonotonic") or 0)):
        return None
    return max(0, round(machine.passed_s() - entered / 1e6))


def _of_unit(text: str, pattern: str) -> str | None:
    found = re.search(pattern, text, flags=re.MULTILINE)
    return found[1] if found else None


def _in_words(state: State, machine: Machine) -> tuple[str, str | None]:
    """Return a state in words, and the command to type next."""
    log = "journalctl -u envoylog -n 20"
    if state.executable and is_gone(machine.path(state.executable)):
        return f"broken: {state.executable} is gone", _as_root("envoylog service install", machine)
    if state.running is None:
        return "installed; systemd does not run here, so it starts at the next boot", None
    if state.failing:
        return f"failing: it ended by itself and is started again ({state.restarts + 1} times)", _as_root(log, machine)
    if not state.running and is_gone(machine.path(CONFIG)):
        return f"not running: there is no {CONFIG} yet", _as_root("envoylog setup --service", machine)
    if not state.running:
        return "stopped", _as_root(f"systemctl {'start' if state.enabled else 'enable --now'} envoylog", machine)
    words = f"running for {in_words(state.running_for_s or 0)}"
    if not state.enabled:
        return f"{words}, but it will not start at boot", _as_root("systemctl enable envoylog", machine)
    return words, None


def is_gone(path: Path) -> bool:
    """Whether a file is surely not there, rather than one that we may not see."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _as_root(command: str, machine: Machine) -> str:
    """Return a command as who asked has to type it: root by sudo is a user."""
    return command if machine.is_root and not machine.environ.get("SUDO_USER") else f"sudo {command}"
