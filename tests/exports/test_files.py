"""What -o writes: a file that keeps what it was, or whatever the name leads to."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from logger.cli import run
from logger.errors import UsageError
from logger.exports import format_for, replacing
from tests.another_user import NOBODY, ROOT_ALONE, as_user


def write(path: Path, content: bytes = b"new") -> None:
    with replacing(path) as out:
        out.write(content)


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    write(tmp_path / "a.csv")
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o640


def test_a_file_keeps_its_mode_and_owner_and_links_lead_to_it(tmp_path: Path) -> None:
    path, link, absolute = tmp_path / "a.csv", tmp_path / "link", tmp_path / "deeper/link"
    path.write_bytes(b"much longer than what comes")
    path.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    before = path.stat()
    link.symlink_to("a.csv")
    absolute.parent.mkdir()
    absolute.symlink_to(link)
    for number, name in enumerate((path, link, absolute)):
        write(name, b"%d" % number)
        assert path.read_bytes() == b"%d" % number
        now = path.stat()
        assert (now.st_uid, now.st_gid, now.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert link.is_symlink()
    assert absolute.is_symlink()


def test_a_link_to_what_is_not_there_yet_makes_it_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "new.csv")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new.csv").read_bytes() == b"new"


def test_a_file_with_two_names_keeps_both(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"much longer than what comes")
    os.link(tmp_path / "a", tmp_path / "b")
    write(tmp_path / "a")
    assert (tmp_path / "b").read_bytes() == b"new"


def break_off(path: Path) -> None:
    with replacing(path) as out:
        out.write(b"half")
        out.write(b"%d" % (1 // 0))


def test_what_breaks_off_leaves_everything_as_it_was(tmp_path: Path) -> None:
    for names in (["a"], ["a", "b"]):
        (tmp_path / "a").write_bytes(b"old")
        for name in names[1:]:
            os.link(tmp_path / "a", tmp_path / name)
        with pytest.raises(ZeroDivisionError):
            break_off(tmp_path / "a")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(names, b"old")


def test_devices_and_pipes_are_written_into_and_stay(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write(pipe)
    reader.join(5)
    assert found == [b"new"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    link = tmp_path / "null.csv"
    link.symlink_to("/dev/null")
    for path in (Path("/dev/null"), link):
        write(path)
    assert stat.S_ISCHR(Path("/dev/null").lstat().st_mode)
    assert link.is_symlink()
    assert format_for(None, Path("/dev/null")) == format_for(None, pipe) == "table"
    with pytest.raises(UsageError, match="No space left"):
        write(Path("/dev/full"))


SAY = """
import sys
from pathlib import Path
from logger.exports.files import replacing
print("before")
with replacing(Path(sys.argv[1])) as out:
    out.write(b"within\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_our_own_output_goes_on_where_it_is_a_file(tmp_path: Path, name: str) -> None:
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", SAY, name], check=True, stdout=out)
    assert (tmp_path / "out").read_text() == "before\nwithin\nafter\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@ROOT_ALONE
def test_a_file_of_somebody_else_is_written_into_where_that_is_allowed(public_path: Path) -> None:
    path = public_path / "a.csv"
    path.write_bytes(b"much longer than what comes")
    os.chown(path, 0, NOBODY)
    path.chmod(0o664)
    inode = path.stat().st_ino
    with as_user(NOBODY):
        write(path)
    assert path.read_bytes() == b"new"
    assert (path.stat().st_uid, path.stat().st_ino, stat.S_IMODE(path.stat().st_mode)) == (0, inode, 0o664)
    path.chmod(0o644)
    with as_user(NOBODY), pytest.raises(UsageError, match="Permission denied"):
        write(path)
    with as_user(NOBODY), pytest.raises(UsageError, match="Permission denied"):
        write(public_path / "b.csv")


def test_a_directory_and_a_missing_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        write(tmp_path)
    with pytest.raises(UsageError, match=f"There is no directory {tmp_path}/none"):
        write(tmp_path / "none/a.csv")


@pytest.mark.parametrize(
    "words",
    [["report", "daily", "--format", "csv"], ["export", "polls"], ["sql", "datasette-metadata"]],
    ids=lambda words: words[0],
)
def test_a_dash_is_standard_output(
    sqlite_url: str, capsysbinary: pytest.CaptureFixture[bytes], words: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    answers = [
        (run(["--database-url", sqlite_url, *words, *more]), capsysbinary.readouterr()) for more in ([], ["-o", "-"])
    ]
    assert answers[0] == answers[1]
    assert not (tmp_path / "-").exists()
