"""What to type for this program, on this machine."""

import shutil
import sys
from pathlib import Path

#: where sudo looks
SUDO_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def command(*, is_full: bool = False) -> str:
    """Return what to type for this program: its name where the shell (or sudo, ``is_full``) finds it, else its path."""
    typed = Path(sys.argv[0])
    own = typed if typed.name == "envoylog" and typed.exists() else Path(sys.executable).parent / "envoylog"
    found = shutil.which("envoylog", path=SUDO_PATH if is_full else None)
    if found is not None and Path(found).resolve() == own.resolve():
        return "envoylog"
    return str(own.absolute() if is_full else own)


def for_own_gateway() -> tuple[str, str]:
    """Return the two commands that log one's own gateway: of a clone for good, else as oneself."""
    if (Path(__file__).parents[2] / "scripts" / "install").is_file():
        return "sudo scripts/install", "sudo envoylog setup --service"
    return f"{command()} setup", f"{command()} run"
