"""Exports appear whole or not at all."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recon.errors import ExportError
from recon.export.atomic import atomic_file, atomic_folder, describe


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "folder" / "result.h5"
    with atomic_file(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".h5"
        temporary.write_bytes(b"all of it")
        assert not target.exists()
    assert target.read_bytes() == b"all of it"
    assert names(target.parent) == ["result.h5"]


@pytest.mark.parametrize("failure", [ValueError("a bug"), KeyboardInterrupt(), ExportError("known")])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    target = tmp_path / "result.h5"
    target.write_bytes(b"old")
    with pytest.raises(type(failure)), atomic_file(target) as temporary:
        temporary.write_bytes(b"half")
        raise failure
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["result.h5"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.EDQUOT, "quota"),
    ],
)
@pytest.mark.parametrize("manager", [atomic_file, atomic_folder])
def test_system_errors_become_sentences(tmp_path, manager, number, words):
    target = tmp_path / "result"
    with pytest.raises(ExportError, match=words) as caught, manager(target):
        raise OSError(number, os.strerror(number))
    assert str(target) in str(caught.value)
    assert names(tmp_path) == []


def test_hdf5_hides_the_full_disk_in_a_runtime_error(tmp_path):
    hidden = RuntimeError("Can't decrement id ref count (file write failed: errno = 28, error message = 'No space')")
    with pytest.raises(ExportError, match="disk is full"), atomic_file(tmp_path / "a.h5"):
        raise hidden
    with pytest.raises(RuntimeError, match="a bug"), atomic_file(tmp_path / "a.h5"):
        raise RuntimeError("a bug")


def test_unknown_system_errors_say_what_the_system_said():
    assert "the moon is in the way" in str(describe("a.h5", OSError("the moon is in the way")))
    error = OSError(errno.ENOENT, os.strerror(errno.ENOENT), "/proc/a")
    assert str(describe("/proc/a/b", error)) == (
        "/proc/a/b: could not be written: the system says: No such file or directory; choose another folder."
    )


@pytest.mark.parametrize("manager", [atomic_file, atomic_folder])
def test_a_file_on_the_way_is_named(tmp_path, manager):
    (tmp_path / "blocker").write_text("a file")
    with (
        pytest.raises(ExportError, match=r"is a file, not a folder|is in the way"),
        manager(tmp_path / "blocker" / "out"),
    ):
        pytest.fail("the block must not run")
    assert names(tmp_path) == ["blocker"]


def test_file_does_not_replace_a_folder_nor_a_folder_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ExportError, match="in the way"), atomic_file(tmp_path / "folder"):
        pytest.fail("the block must not run")
    with pytest.raises(ExportError, match="in the way"), atomic_folder(tmp_path / "file"):
        pytest.fail("the block must not run")
    assert (tmp_path / "file").read_text() == "mine"


def test_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "series"
    for generation in ("first", "second"):
        with atomic_folder(target, replaces="slice_*.dcm") as temporary:
            (temporary / f"slice_{generation}.dcm").write_text(generation)
            if generation == "second":
                assert names(target) == ["slice_first.dcm"]
        assert names(target) == [f"slice_{generation}.dcm"]
    assert names(tmp_path) == ["series"]


def test_folder_failure_keeps_the_old_one(tmp_path):
    target = tmp_path / "series"
    with atomic_folder(target) as temporary:
        (temporary / "old").write_text("old")
    with pytest.raises(ExportError), atomic_folder(target) as temporary:
        (temporary / "new").write_text("new")
        raise OSError(errno.ENOSPC, "full")
    assert names(target) == ["old"]
    assert names(tmp_path) == ["series"]


def test_folder_of_other_files_is_left_alone(tmp_path):
    target = tmp_path / "home"
    target.mkdir()
    (target / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match=r"thesis\.tex"), atomic_folder(target, replaces="slice_*.dcm"):
        pytest.fail("the block must not run")
    assert (target / "thesis.tex").read_text() == "years of work"


def test_empty_and_littered_folders_are_replaced(tmp_path):
    for name in ("empty", "littered"):
        (tmp_path / name).mkdir()
    (tmp_path / "littered" / ".DS_Store").write_text("")
    for name in ("empty", "littered"):
        with atomic_folder(tmp_path / name, replaces="slice_*.dcm") as temporary:
            (temporary / "slice_1.dcm").write_text("1")
        assert names(tmp_path / name) == ["slice_1.dcm"]


def test_a_folder_filled_meanwhile_is_left_alone(tmp_path):
    target = tmp_path / "series"
    with pytest.raises(ExportError, match=r"notes\.txt"), atomic_folder(target, replaces="slice_*.dcm") as temporary:
        (temporary / "slice_1.dcm").write_text("1")
        target.mkdir()
        (target / "notes.txt").write_text("mine")
    assert names(tmp_path) == ["series"]
    assert names(target) == ["notes.txt"]


def test_a_failed_rename_brings_the_old_folder_back(tmp_path, monkeypatch):
    target = tmp_path / "series"
    target.mkdir()
    (target / "slice_old.dcm").write_text("old")
    rename = Path.replace

    def fails_for_the_new_one(self, destination):
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, "bad sector")
        return rename(self, destination)

    monkeypatch.setattr(Path, "replace", fails_for_the_new_one)
    with pytest.raises(ExportError, match="disk reports an error"), atomic_folder(target, "slice_*") as temporary:
        (temporary / "slice_new.dcm").write_text("new")
    assert names(target) == ["slice_old.dcm"]
    assert names(tmp_path) == ["series"]


def test_links_are_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "result.h5").write_text("old")
    (tmp_path / "link.h5").symlink_to(tmp_path / "disk" / "result.h5")
    with atomic_file(tmp_path / "link.h5") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.h5").is_symlink()
    assert (tmp_path / "disk" / "result.h5").read_text() == "new"


def test_long_names_fit(tmp_path):
    target = tmp_path / ("ß" * 110 + ".PC-RNN.h5")
    with atomic_file(target) as temporary:
        temporary.write_text("x")
    assert names(tmp_path) == [target.name]


KILLED = """
import os, signal, sys
from pathlib import Path
from recon.export.atomic import atomic_file, atomic_folder
with atomic_file(Path(sys.argv[1])) as file, atomic_folder(Path(sys.argv[2])) as folder:
    file.write_text("half")
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_goes_with_the_next_one(tmp_path):
    file, folder = tmp_path / "scan.zero-filled.h5", tmp_path / "scan.dcm"
    ended = subprocess.run([sys.executable, "-c", KILLED, file, folder], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    left = names(tmp_path)
    assert len(left) == 2 and all(".partial" in name for name in left)
    with atomic_file(tmp_path / "scan.h5") as temporary:  # another file says nothing of these
        temporary.write_text("other")
    assert names(tmp_path) == sorted([*left, "scan.h5"])
    with pytest.raises(ExportError), atomic_file(file):
        raise ExportError("failed again")
    assert names(tmp_path) == sorted([*left, "scan.h5"])
    with atomic_file(file) as temporary:
        temporary.write_text("whole")
    with atomic_folder(folder) as temporary:
        (temporary / "whole").write_text("whole")
    assert names(tmp_path) == ["scan.dcm", "scan.h5", "scan.zero-filled.h5"]


def test_writers_that_live_or_may_live_elsewhere_keep_what_they_write(tmp_path):
    target = tmp_path / "scan.h5"
    with atomic_file(target) as mine:
        mine.write_text("half")
        machine, pid = re.fullmatch(r"\.scan\.(\w{8})-(\d+)-\w{8}\.partial\.h5", mine.name).groups()
        assert int(pid) == os.getpid()
        elsewhere = "0" * 8 if machine != "0" * 8 else "1" * 8
        fresh, stale = (tmp_path / f".scan.{elsewhere}-{2**22 + 1}-{word * 8}.partial.h5" for word in "ab")
        unknown = tmp_path / ".scan.12345678.partial.h5"
        for path in (fresh, stale, unknown):
            path.write_text("half")
        os.utime(stale, (time.time() - 2 * 86400,) * 2)
        with atomic_file(target) as temporary:
            temporary.write_text("whole")
        assert names(tmp_path) == sorted([mine.name, fresh.name, unknown.name, "scan.h5"])
    assert names(tmp_path) == sorted([fresh.name, unknown.name, "scan.h5"])
