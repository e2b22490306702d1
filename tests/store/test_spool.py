"""Polls wait in a file that survives whatever stops the process."""

import errno
import json
import os
import shutil
import tracemalloc
import zlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from logger.errors import CollectorRunningError, SettingsError
from logger.readings import InverterSample, Poll
from logger.simulator.site import Shape
from logger.store.affected import Affected
from logger.store.file_lock import PlaceLock
from logger.store.lines import LONGEST_LINE_BYTES, decode, encode
from logger.store.poll_file import BLOCK_BYTES, RESERVED_BYTES, PollFile
from logger.store.spool import Spool, spool_path, waiting_files
from tests.conftest import Benches
from tests.sample_data import utc


def polls(count: int) -> list[Poll]:
    start = utc(2026, 6, 1)
    return [Poll(gateway_serial="1", polled_at=start + timedelta(minutes=n), took_s=0.5) for n in range(count)]


@pytest.mark.parametrize("cts", ["storage", "total", "none"])
def test_a_poll_comes_back_as_it_went_in(bench: Benches, cts: str) -> None:
    roof = bench(cts=cts, shape=Shape(phases=3, battery=cts == "storage"))
    roof.simulation.fault("clock_skew")
    poll = roof.poll(roof.gateway())
    assert poll.info is not None
    assert poll.events
    assert decode(encode(poll)) == poll


def test_what_waits_is_there_after_a_restart_in_order(tmp_path: Path) -> None:
    first = Spool(tmp_path, "roof")
    for poll in polls(5):
        first.append(poll)
    again = Spool(tmp_path, "roof")
    assert list(again.waiting()) == polls(5)
    assert again.oldest() == polls(1)[0].polled_at
    again.clear()
    assert list(again.waiting()) == []
    assert again.oldest() is None


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_torn_last_line_costs_that_poll_alone(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path, "roof")
    for poll in polls(3):
        spool.append(poll)
    path = tmp_path / "spool" / "roof.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    again = Spool(tmp_path, "roof")
    again.append(polls(4)[3])
    assert list(again.waiting()) == [*polls(2), polls(4)[3]]


def test_a_damaged_line_costs_that_poll_alone_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path, "roof")
    for poll in polls(3):
        spool.append(poll)
    path = tmp_path / "spool" / "roof.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"took_s", b"took_x") + lines[2])
    assert list(spool.waiting()) == [polls(3)[0], polls(3)[2]]
    assert "line 2 is damaged" in caplog.text


def test_a_full_spool_keeps_the_newest_thins_the_oldest_and_logs_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, "roof", largest_bytes=20 * len(encode(polls(1)[0])))
    for poll in polls(100):
        spool.append(poll)
    kept = list(spool.waiting())
    assert kept[-1] == polls(100)[-1]
    assert 10 <= len(kept) <= 20
    assert [poll.polled_at for poll in kept] == sorted(poll.polled_at for poll in kept)
    assert "is full" in caplog.text


def test_a_state_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="state_dir"):
        Spool(tmp_path / "file", "roof")


OLD_LINES = (Path(__file__).parent.parent / "data/spool/lines-before-msgspec.jsonl").read_bytes()


@pytest.mark.parametrize("line", OLD_LINES.splitlines(), ids=range(6))
def test_lines_of_older_versions_are_read_whole(line: bytes) -> None:
    poll = decode(line)
    assert poll is not None
    checksum, _, text = encode(poll).partition(b" ")
    assert int(checksum, 16) == zlib.crc32(text.rstrip())
    # What they had is all there; instants end in Z now, and there are fields that they lacked.
    written = json.loads(text.replace(b'Z"', b'+00:00"'))
    assert {name: written[name] for name in json.loads(line[9:])} == json.loads(line[9:])


def test_a_broken_character_costs_no_poll() -> None:
    (poll,) = polls(1)
    poll = replace(poll, gateway_serial="12\ud80034")
    assert decode(encode(poll)) == replace(poll, gateway_serial="12?34")


def test_a_number_too_large_for_any_database_waits_like_any_other() -> None:
    (poll,) = polls(1)
    poll = replace(poll, inverters=(InverterSample(reported_at=poll.polled_at, serial="1", interval_s=10**30),))
    assert decode(encode(poll)) == poll


def test_a_full_disk_gives_up_as_much_of_the_room_that_was_reserved_as_a_line_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, "roof", failing=(failing := Affected()))
    reserve = tmp_path / "spool" / "reserve"
    assert reserve.stat().st_size == RESERVED_BYTES
    assert reserve.stat().st_blocks * 512 >= RESERVED_BYTES  # Not a hole.
    write = PollFile._write

    def full(self: PollFile, line: bytes) -> None:
        if reserve.stat().st_size + self.path.stat().st_size + len(line) > RESERVED_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, line)

    monkeypatch.setattr(PollFile, "_write", full)
    for number, poll in enumerate(polls(100), start=1):
        spool.append(poll)
        assert not failing.remove("roof")
        used = sum(len(encode(poll)) for poll in polls(number))
        assert 0 <= RESERVED_BYTES - reserve.stat().st_size - used < BLOCK_BYTES
    assert list(Spool(tmp_path, "roof").waiting()) == polls(100)


@pytest.mark.parametrize("what", ["file", "folder", "a folder in its place", "a pipe in its place"])
def test_a_spool_that_is_removed_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str) -> None:
    spool = Spool(tmp_path, "roof")
    three = polls(3)
    spool.append(three[0])
    if what == "folder":
        shutil.rmtree(spool.path.parent)
    else:
        spool.path.unlink()
    if what == "a folder in its place":
        spool.path.mkdir()
    elif what == "a pipe in its place":
        os.mkfifo(spool.path)
        spool.path.with_name("reserve").unlink()
        os.mkfifo(spool.path.with_name("reserve"))
    assert list(spool.waiting()) == []
    spool.append(three[1])
    assert "made anew" in caplog.text
    assert list(spool.waiting()) == [three[1]]
    spool.clear()
    spool.path.unlink()
    assert spool.oldest() is None
    spool.append(three[2])
    assert list(Spool(tmp_path / "other", "roof").waiting()) == []
    assert list(spool.waiting()) == [three[2]]


def test_what_is_no_file_is_moved_out_of_the_way_at_a_start(tmp_path: Path) -> None:
    spool_path(tmp_path, "roof").mkdir(parents=True)
    spool = Spool(tmp_path, "roof")
    spool.claim()
    spool.append(polls(1)[0])
    assert list(spool.waiting()) == polls(1)
    spool.close()


def test_a_line_of_any_length_is_not_held_in_memory_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "roof")
    spool.path.write_bytes(b"x" * 6 * LONGEST_LINE_BYTES + b"\n" + encode(polls(1)[0]))
    tracemalloc.start()
    assert list(spool.waiting()) == polls(1)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4 * LONGEST_LINE_BYTES


def test_polls_that_are_refused_without_end_fill_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logger.store.spool.LARGEST_REFUSED_BYTES", 5000)
    spool = Spool(tmp_path, "roof")
    for _ in range(20):
        spool.set_aside(polls(1)[0])
    assert spool.path.with_suffix(".refused").stat().st_size < 10_000


@pytest.mark.parametrize("count", [1, 4])
def test_a_spool_that_is_removed_while_polls_are_stored_loses_none_that_come_then(tmp_path: Path, count: int) -> None:
    spool = Spool(tmp_path, "roof")
    before, after = polls(3), polls(3 + count)[3:]
    for poll in before:
        spool.append(poll)
    assert list(spool.waiting()) == before
    spool.path.unlink()
    for poll in after:
        spool.append(poll)
    spool.clear()
    assert list(spool.waiting()) == after


def test_a_poll_that_waits_lies_in_memory_and_after_a_time_on_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "roof", keep_after_s=300)
    six = polls(6)
    for poll in six[:5]:
        spool.append(poll)
    assert spool.path.stat().st_size == 0
    assert list(Spool(tmp_path, "roof").waiting()) == six[:5]  # As after kill -9.
    spool.append(six[5])
    on_disk, *in_memory = waiting_files(tmp_path, "roof")
    assert [decode(line) for line in on_disk.read_bytes().splitlines()] == six
    assert not any(path.exists() for path in in_memory)
    assert list(spool.waiting()) == six


def test_a_clean_stop_leaves_nothing_in_memory(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "roof", keep_after_s=300)
    spool.append(polls(1)[0])
    spool.close()
    on_disk, *in_memory = waiting_files(tmp_path, "roof")
    assert [decode(line) for line in on_disk.read_bytes().splitlines()] == polls(1)
    assert not any(path.parent.exists() for path in in_memory)


def test_polls_wait_in_memory_also_once_another_gateway_has_removed_the_empty_folder(tmp_path: Path) -> None:
    spools = [Spool(tmp_path, name, keep_after_s=300) for name in ("roof", "barn")]
    for spool in spools:
        spool.append(polls(1)[0])
        assert list(spool.waiting()) == polls(1)
        spool.clear()
    spools[1].close()
    assert not any(path.parent.exists() for path in waiting_files(tmp_path, "barn")[1:])
    spools[0].append(polls(2)[1])
    assert spools[0].path.stat().st_size == 0
    assert list(Spool(tmp_path, "roof").waiting()) == polls(2)[1:]


def test_what_comes_while_others_are_stored_waits_on_through_kill_9(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "roof", keep_after_s=900)
    five = polls(5)
    for poll in five[:3]:
        spool.append(poll)
    assert list(spool.waiting()) == five[:3]
    for poll in five[3:]:
        spool.append(poll)
    spool.clear()
    assert list(Spool(tmp_path, "roof").waiting()) == five[3:]
    assert spool.oldest() == five[3].polled_at


@pytest.mark.parametrize("obstacle", ["none", "file", "somebody else's", "link"])
def test_without_room_in_memory_polls_wait_on_the_disk_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    state, memory = tmp_path / "state", waiting_files(tmp_path / "state", "roof")[1]
    if obstacle == "none":
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "nowhere"))
    elif obstacle == "file":
        memory.parent.write_text("")
    else:
        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs" / "roof.jsonl").write_text("theirs")
        memory.parent.symlink_to("theirs") if obstacle == "link" else (tmp_path / "theirs").rename(memory.parent)
    spool = Spool(state, "roof", keep_after_s=900)
    spool.append(polls(1)[0])
    assert [decode(line) for line in spool.path.read_bytes().splitlines()] == polls(1)
    assert list(spool.waiting()) == polls(1)
    spool.clear()
    spool.close()
    assert list(Spool(state, "roof").waiting()) == []
    if memory.parent.is_dir():
        assert memory.read_text() == "theirs"


def test_while_no_file_can_be_written_all_gateways_together_take_so_much_memory_and_log_that_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_file: PollFile, _line: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    caplog.set_level("INFO")
    monkeypatch.setattr("logger.store.spool.ALL_IN_MEMORY_BYTES", 1000 * 20 * len(encode(polls(1)[0])))
    failing = Affected()
    spools = [Spool(tmp_path, name, of=1000, failing=failing) for name in ("roof", "barn")]
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(PollFile, "append", full)
        for spool in spools:
            for poll in polls(500):
                spool.append(poll)
            kept = list(spool.waiting())
            assert 10 <= len(kept) <= 20
            assert kept[-8:] == polls(500)[-8:]
    for spool in spools:
        spool.keep()
    assert [record.getMessage() for record in caplog.records] == [
        f"polls wait in memory: {tmp_path / 'spool'} can't be written: No space left on device",
        "more polls wait than memory has room for: of the older half every other one is dropped",
        f"{tmp_path / 'spool'} can be written again",
    ]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_gateways_of_a_state_directory_share_one_open_file_and_none_is_taken_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_files()
    spools = [Spool(tmp_path, f"roof {number}") for number in range(5)]
    for spool in spools:
        spool.claim()
        spool.claim()
    assert open_files() == before + 1
    with pytest.raises(CollectorRunningError, match="state_dir"):
        Spool(tmp_path, "roof 3").claim()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(PlaceLock, "_opened", {})  # Another process opens the file anew.
        with pytest.raises(CollectorRunningError, match="state_dir"):
            Spool(tmp_path, "roof 2").claim()
        Spool(tmp_path, "roof 5").claim()
    for spool in spools:
        spool.close()
    assert open_files() == before + 1  # That of the other process.
    Spool(tmp_path, "roof 2").claim()
