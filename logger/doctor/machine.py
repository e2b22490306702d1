"""The machine: the program and where it is found, the clock, the disks."""

import ctypes
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from logger import __version__
from logger.clock import here, utc_now
from logger.doctor.findings import Finding, Level, error, ok, warning
from logger.doctor.installation import Installation, nearest
from logger.service.machine import Machine
from logger.service.state import State, environment, is_gone
from logger.settings import places

#: extra -> the module that it brings, and what for
EXTRAS = {
    "parquet": ("pyarrow", "Parquet files"),
    "ods": ("odf", "OpenDocument sheets"),
    "notify": ("apprise", "notifications"),
    "fleet": ("distributed", "Dask clusters"),
}
#: adjtimex(2) returns this while nothing sets the clock.
TIME_ERROR = 5
#: No clock that is right shows an earlier year.
EARLIEST_YEAR = 2026
#: With less room than this polls are lost soon, or a year does not fit.
LEAST_ROOM_BYTES = 20e6
LITTLE_ROOM_BYTES = 500e6
#: Files of these are gone after a restart, or not to be trusted with a database.
IN_MEMORY = {"tmpfs", "ramfs"}
OVER_THE_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs"}


def examine(_here: Installation) -> Iterator[Finding]:
    """Yield what there is to say of the program and the clock."""
    yield from program()
    yield from clock()


def program() -> Iterator[Finding]:
    """Yield which program this is, and whether it is the one that the shell finds."""
    own = Path(sys.executable).parent / "envoylog"
    on_path = shutil.which("envoylog")
    yield ok("program", f"envoylog {__version__}, Python {platform.python_version()}, {own}.")
    if on_path is None:
        text = "The command envoylog is not on your PATH."
        to_do = f"sudo ln -s {own} /usr/local/bin/envoylog" if own.exists() else f"type {sys.executable} -m logger"
        yield warning("PATH", text, to_do)
    elif own.exists() and not is_same(Path(on_path), own):
        text = f"`envoylog` on your PATH is {on_path}, another one than this."
        yield warning("PATH", text, f"remove one of the two, or type {own}")
    missing = [extra for extra, (module, _) in EXTRAS.items() if importlib.util.find_spec(module) is None]
    words = ", ".join(f"{extra} ({EXTRAS[extra][1]})" for extra in missing)
    yield ok("extras", f"Not installed: {words}; nothing else needs them." if words else "All are installed.")


def is_same(script: Path, own: Path) -> bool:
    """Return whether a command is our own program, a link to it, or a small script that starts it."""
    try:
        if script.resolve() == own.resolve():
            return True
        return script.stat().st_size < 4096 and str(own.parent) in script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def clock() -> Iterator[Finding]:
    """Yield whether something keeps this machine's clock right."""
    if utc_now().year < EARLIEST_YEAR:
        text = f"This machine's clock shows {here(utc_now()):%Y-%m-%d %H:%M}, which can't be."
        yield error("clock", text, "sudo timedatectl set-ntp true")
        return
    synchronised = is_synchronised()
    if synchronised is False:
        text = "Nothing keeps this machine's clock right: the kernel says that it is not synchronised."
        yield warning("clock", text, "sudo timedatectl set-ntp true")
    else:
        known = "set by the network" if synchronised else "whether the network sets it is not shown here"
        yield ok("clock", f"{here(utc_now()):%Y-%m-%d %H:%M %Z}, {known}.")


def is_synchronised() -> bool | None:
    """Return whether the kernel's clock is kept right by NTP or its like; None where it does not say."""
    library = ctypes.CDLL(None, use_errno=True)
    try:
        # A struct timex of zeros asks, and changes nothing; it is smaller than this everywhere.
        state = library.adjtimex(ctypes.create_string_buffer(512))
    except AttributeError:
        return None
    return None if state < 0 else state != TIME_ERROR


def service(here: Installation, state: State, system: Machine) -> Finding:
    """Return how the service is, if it is this configuration's."""
    if not state.installed:
        return ok("service", f"It is {state.in_words}.")
    is_ours = places.is_system(here.config_path)
    whose = "" if is_ours else f" It reads {places.system_config()}, not this configuration."
    text = f"It is {state.in_words}.{whose}"
    own = Path(sys.executable).parent / "envoylog"
    if is_ours and state.executable and state.to_type is None and not is_same(Path(state.executable), own):
        to_do = f"type {state.executable}, or install the service anew: sudo envoylog service install"
        return warning("service", f"It runs {state.executable}, another program than this, {own}.", to_do)
    if is_ours and state.running:
        own_variables = environment(system)
        if other := [name for name, value in sorted(own_variables.items()) if here.environ.get(name) != value]:
            to_do = "write that into the configuration instead, and take it out of: systemctl cat envoylog"
            return warning("service", f"Its unit sets {', '.join(other)}, which other commands do not see.", to_do)
    if state.to_type is None:
        return ok("service", text)
    is_broken = state.executable is not None and is_gone(system.path(state.executable))
    failed = is_ours and (state.failing or state.running is False or is_broken)
    return Finding("service", Level.ERROR if failed else Level.WARNING, text, state.to_type)


def room(what: str, path: Path) -> Iterator[Finding]:
    """Yield how much room a folder's disk has, and whether it is one that keeps."""
    there = nearest(path)
    try:
        disk = os.statvfs(there)
    except OSError as problem:
        yield error("disk", f"{what}: {there} can't be looked at ({problem.strerror}).", "look at the disk")
        return
    free_bytes = disk.f_bavail * disk.f_frsize
    if disk.f_flag & os.ST_RDONLY:
        text = f"{what}: the disk of {there} can only be read, as Linux does with an SD card or disk that fails."
        yield error("disk", text, "sudo dmesg | grep -i -E 'error|read-only', and replace the card")
        return
    if disk.f_files and not disk.f_favail:
        to_do = "make room: sudo du --inodes -xS / | sort -n | tail"
        yield error("disk", f"{what}: the disk of {there} takes no more files.", to_do)
        return
    kind = filesystem(there)
    if kind in IN_MEMORY:
        text = f"{what}: {there} is in memory ({kind}) and gone after a restart."
        yield warning("disk", text, "choose another place for it in the configuration")
    if kind in OVER_THE_NETWORK and what == "database":
        text = f"{what}: {there} is on a network share ({kind}), where SQLite can lose what it wrote."
        yield warning("disk", text, "keep it on a local disk, and copy it: envoylog db backup")
    if free_bytes < LEAST_ROOM_BYTES:
        yield error("disk", f"{what}: the disk of {there} is full.", f"make room: du -xh {there} | sort -h | tail")
    elif free_bytes < LITTLE_ROOM_BYTES:
        text = f"{what}: the disk of {there} has {free_bytes / 1e6:.0f} MB left."
        yield warning("disk", text, f"make room: du -xh {there} | sort -h | tail")
    else:
        yield ok("disk", f"{what}: {free_bytes / 1e9:.1f} GB free at {there}.")


def filesystem(path: Path) -> str | None:
    """Return the kind of file system that a path lies on; None where the kernel does not show it."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    mounts = [(fields[1], fields[2]) for line in lines if len(fields := line.split()) > 2]
    real = os.path.realpath(path)
    over = [(point, kind) for point, kind in mounts if real == point or real.startswith(point.rstrip("/") + "/")]
    return max(over, key=lambda mount: len(mount[0]))[1] if over else None
