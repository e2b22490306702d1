"""Files that hold secrets: read only where nobody else can read them, and written so."""

import errno
import os
import stat
import struct
from pathlib import Path
from typing import IO

from logger.errors import SettingsError
from logger.settings.places import inherit_owner, make_folder

#: an access control list of Linux: a version, then entries of tag, rights and the user's or group's number
_ACL = "system.posix_acl_access"
_HEAD, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 16, 32
#: characters: a token has some hundreds, and stands in a page of some thousands
LONGEST_SECRET = 100_000
#: Only root and the service's user get into the folders here; files belong to root.
_CREDENTIALS = Path("/run/credentials")


def is_there(path: Path) -> bool:
    """Return whether there is a file with a secret.

    Raises:
        SettingsError: this user may not look.
    """
    try:
        path.stat()
    except PermissionError as error:
        raise SettingsError(f"The secret file {path} is another user's; run the command as that user.") from error
    except OSError:
        return False
    return True


def open_file(path: Path) -> IO[str]:
    """Open a small file of text, and wait for nobody: a pipe in its place could keep a thread for ever.

    OSError: it is not there, not for this user, or no file.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no file")
    return file


def read_secret(path: Path, *, waits: bool = False) -> str:
    """Return the secret that a file holds, without surrounding white space; ``waits`` for who writes into a pipe.

    Raises:
        SettingsError: missing, or readable by others than its owner and this process.
    """
    try:
        with path.open(encoding="utf-8") if waits else open_file(path) as file:
            if is_open_to_others(file.fileno(), path):
                owner = f"chown {os.geteuid()} {path} && " if os.fstat(file.fileno()).st_uid != os.geteuid() else ""
                raise SettingsError(f"{path} holds a secret but others can read it; run: {owner}chmod 600 {path}")
            return file.read(LONGEST_SECRET).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SettingsError(f"The secret file {path} can't be read ({reason}); check its path and owner.") from error


def is_open_to_others(file: int, path: Path) -> bool:
    """Return whether somebody else than its owner and this process may use an open file.

    systemd gives a service its credentials by an access control list: the files belong to root, and their mode shows
    the most that anybody on the list may, which looks like the right of a group.
    """
    found = os.fstat(file)
    if not found.st_mode & 0o077:
        return False
    try:
        raw = os.getxattr(file, _ACL)
    except OSError:
        return True  # There is no list: the mode is all there is.
    entries = list(_ENTRY.iter_unpack(raw[_HEAD.size :]))
    most = next((rights for tag, rights, _ in entries if tag == _MASK), 7)
    ours = {0, found.st_uid, os.geteuid()}
    is_credential = os.geteuid() == 0 and path.is_relative_to(_CREDENTIALS)
    for tag, rights, number in entries:
        if tag == _OTHER and rights:
            return True
        if tag in {_GROUP_OBJ, _GROUP} and rights & most:
            return True
        if tag == _USER and rights & most and number not in ours and not is_credential:
            return True
    return False


def write_secret(path: Path, secret: str) -> None:
    """Write a file that only its owner can read, in one step; what root writes is the folder's owner's.

    OSError: it can't be written.
    """
    make_folder(path.parent, 0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(secret + "\n")
            out.flush()
            os.fsync(out.fileno())  # A power cut must not leave an empty secret.
        inherit_owner(temporary)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
