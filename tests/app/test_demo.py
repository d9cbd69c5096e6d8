"""The demo study opens without a network and says what it is."""

import hashlib
import os
import stat

import pytest

import recon
from app import demo
from recon.errors import ExportError, FileError


def test_study_is_two_real_scans_and_a_phantom():
    shares = []
    paths = demo.demo_paths(shares.append)
    assert [path.name for path in paths] == [*demo.SCANS, demo.PHANTOM]
    assert set(demo.DESCRIPTIONS) == {path.name for path in paths}
    for path in paths:
        series = recon.open_study(path).series[0]
        assert series.has_reference
        assert series.header.source
        assert series.header.licence
        assert series.read(0).kspace.abs().max() > 0
    assert "simulated" in recon.open_study(paths[-1]).series[0].header.source


def test_phantom_is_made_once():
    path = demo.phantom_path()
    before = path.stat().st_mtime_ns
    assert demo.phantom_path() == path
    assert path.stat().st_mtime_ns == before


def test_damaged_phantom_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_is_current", lambda path: path.is_file() and path.stat().st_size > 1000)
    monkeypatch.setattr(recon.phantom, "write", lambda path, **_: path.write_bytes(b"x" * 2000))
    (tmp_path / demo.PHANTOM).write_bytes(b"half a phantom")
    assert demo.phantom_path(folder=tmp_path).stat().st_size == 2000


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all"])
def test_file_that_is_no_phantom_is_recognised(tmp_path, content):
    path = tmp_path / demo.PHANTOM
    assert not demo._is_current(path)
    path.write_bytes(content)
    assert not demo._is_current(path)


def test_phantom_of_other_settings_is_recognised(tmp_path):
    path = recon.phantom.write(tmp_path / demo.PHANTOM, recon.phantom.PhantomSpec(n_slices=1, matrix=(32, 32)))
    assert not demo._is_current(path)


def test_copy_has_all_files_and_their_provenance(tmp_path):
    written = demo.write(tmp_path / "demo")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == sorted(path.name for path in written)
    text = (tmp_path / "demo" / "README.md").read_text()
    for path in written[:-1]:
        assert path.name in text
    for name in demo.SCANS:
        copied, source = (
            hashlib.sha256((folder / name).read_bytes()) for folder in (tmp_path / "demo", demo.bundled_folder())
        )
        assert copied.digest() == source.digest()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(ExportError, match="permission"):
        demo.write(tmp_path / "demo")


def test_file_in_the_way_of_the_folder_is_named(tmp_path):
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(ExportError, match="demo"):
        demo.write(tmp_path / "demo")


def test_missing_scan_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "bundled_folder", lambda: tmp_path)
    with pytest.raises(FileError, match="install the program again"):
        demo.demo_paths()
