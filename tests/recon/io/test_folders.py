"""Odd folders: each is refused in a sentence, quickly, and what is odd inside a good one is passed over."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

import recon
from recon.errors import FileError, MissingPackageError
from recon.io import folders
from recon.io.images import read_images

linux = pytest.mark.skipif(platform.system() != "Linux", reason="these folders are Linux's")


def names(folder):
    return [str(path.relative_to(folder)) for path in folders.files(folder)]


def test_files_of_a_tree_in_the_order_of_their_names(tmp_path):
    for name in ("b/2", "b/1", "a/3", "c", "0", ".hidden", "a/.hidden", ".git/4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    (tmp_path / "also c").symlink_to(tmp_path / "c")
    os.mkfifo(tmp_path / "pipe")
    assert names(tmp_path) == ["0", "also c", "c", "a/3", "b/1", "b/2"]


def test_a_scan_that_is_a_link_to_nothing_is_declined(write, noise, tmp_path):
    path = write("a.h5", kspace=noise(1, 16, 16))
    for name in ("gone.h5", "notes.txt", ".hidden.h5"):
        (tmp_path / name).symlink_to("/nowhere/x.h5")
    study = recon.open_study(tmp_path)
    assert [series.path for series in study.series] == [path]
    [declined] = study.declined
    assert declined.path == tmp_path / "gone.h5"
    assert declined.reason.startswith("is a link to /nowhere/x.h5, which is not there;")
    path.unlink()
    with pytest.raises(
        FileError, match=r"holds 2 files and nothing that can be opened \(gone.h5 is a link to /nowhere"
    ):
        recon.open_study(tmp_path)


@linux
@pytest.mark.parametrize("folder", ["/proc", "/proc/self", "/proc/self/../1", "/sys", "/sys/kernel"])
def test_the_systems_own_folders_are_refused(folder):
    with pytest.raises(FileError, match="belongs to the operating system"):
        recon.open_study(folder)


@linux
def test_the_systems_own_folders_inside_others_are_passed_over(write, noise, tmp_path, monkeypatch):
    (tmp_path / "the system's").mkdir()
    (tmp_path / "the system's" / "kmsg").write_text("without end")
    path = write("a.h5", kspace=noise(1, 16, 16))
    table = tmp_path.parent / "mountinfo"
    place = str(tmp_path.resolve() / "the system's").replace(" ", r"\040")
    table.write_text(f"22 27 0:21 / / rw - ext4 disk rw\n23 22 0:22 / {place} rw,relatime shared:1 - proc proc rw\n")
    monkeypatch.setattr(folders, "_MOUNTS", table)
    assert names(tmp_path) == ["a.h5"]
    assert [series.path for series in recon.open_study(tmp_path).series] == [path]
    with pytest.raises(FileError, match="belongs to the operating system"):
        recon.open_study(tmp_path / "the system's")


def test_a_folder_of_far_too_many_files_is_refused_before_one_is_opened(tmp_path, monkeypatch):
    for number in range(4):
        (tmp_path / str(number)).write_text("x")
    monkeypatch.setattr(folders, "MAX_FILES", 3)
    monkeypatch.setattr("recon.io.sniff", lambda path: pytest.fail(f"{path} was opened"))
    with pytest.raises(FileError, match="more than 3 files; open the folder of one study"):
        recon.open_study(tmp_path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "is an empty folder"),
        (lambda path: path.symlink_to(path), "cannot be opened"),
        (lambda path: path.symlink_to("missing"), "is a link to missing, which is not there; bring that file back"),
        (lambda path: os.mkfifo(path), "device, pipe or socket"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: (path / "inside").mkdir(parents=True), "is an empty folder"),
        (lambda path: path.write_text("x") and (path / "below"), "is text"),
    ],
)
def test_odd_places_are_refused_in_a_sentence(tmp_path, make, words):
    make(tmp_path / "odd")
    with pytest.raises(FileError, match=words):
        recon.open_study(tmp_path / "odd")


@pytest.mark.parametrize("path", ["", "\0", "a" * 5000, "/dev/null", b"\xff".decode(errors="surrogateescape"), 3, None])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(FileError):
        recon.open_study(path)


def test_a_name_that_is_no_text_is_no_obstacle(write, noise, tmp_path):
    odd = tmp_path / b"caf\xe9".decode(errors="surrogateescape")
    odd.mkdir()
    write("a.h5", kspace=noise(1, 16, 16)).rename(odd / "a.h5")
    assert recon.open_study(odd).series[0].n_slices == 1


# ---- a bare Python ----------------------------------------------------------------------------------------------


@pytest.fixture
def without(monkeypatch):
    """Make a package as good as not installed, for modules that may have been imported with it."""

    def hide(package):
        for name in [*sys.modules]:
            if name.split(".")[0] == package or name.startswith(("recon.io.dicom", "recon.export.")):
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
        for parent in ("recon.io", "recon.export"):  # an attribute of the parent would be found instead of the module
            for child in [
                name for name in vars(sys.modules.get(parent, recon)) if name.startswith(("dicom", "figure"))
            ]:
                monkeypatch.delattr(sys.modules[parent], child)

    return hide


def test_dicom_without_pydicom_says_what_to_install(tmp_path, write, noise, without):
    image = tmp_path / "image.dcm"
    image.write_bytes(bytes(128) + b"DICM" + bytes(64))
    without("pydicom")
    for path in (image, tmp_path):
        with pytest.raises(MissingPackageError, match=r"needs the Python package pydicom.*`pip install pydicom`"):
            recon.open_study(path)
    write("a.h5", kspace=noise(1, 16, 16))
    study = recon.open_study(tmp_path)
    assert len(study.series) == 1
    assert "pydicom" in study.declined[0].reason


@pytest.mark.parametrize(("name", "module", "package"), [("a.png", "PIL", "pillow"), ("a.nii", "nibabel", "nibabel")])
def test_images_without_their_package_say_what_to_install(tmp_path, without, name, module, package):
    (tmp_path / name).write_bytes(bytes(344) + b"n+1\0" + bytes(8))
    without(module)
    with pytest.raises(MissingPackageError, match=rf"needs the Python package {package}.*`pip install {package}`"):
        read_images(tmp_path / name)


@pytest.mark.parametrize(("format_", "package"), [("png", "matplotlib"), ("dicom", "pydicom"), ("hdf5", "h5py")])
def test_export_without_its_package_says_what_to_install(write, noise, tmp_path, without, format_, package):
    result = recon.run(
        recon.open_study(write("a.h5", kspace=noise(1, 16, 16))).series[0], recon.Request(model="zero-filled")
    )
    _ = result.metrics  # the reference is read from HDF5
    without(package)
    with pytest.raises(MissingPackageError, match=rf"needs the Python package {package}.*`pip install {package}`"):
        result.save(tmp_path / "out", formats=[format_])
    assert not any(Path(tmp_path).glob("out/*"))


def test_earlier_results_beside_a_scan_are_no_scans(write, noise, tmp_path):
    scan = write("a.h5", kspace=noise(1, 32, 32))
    result = recon.run(recon.open_study(scan).series[0], recon.Request(model="zero-filled"))
    result.save(tmp_path / "results", formats=["dicom", "nifti", "hdf5"])
    study = recon.open_study(tmp_path)
    assert [series.path for series in study.series] == [scan]
    reasons = [item.reason for item in study.declined]
    assert sum("is a result that this program exported, not a measured image" in reason for reason in reasons) == 2
    # By their own name they open, and say what they are.
    results = recon.open_study(tmp_path / "results").series
    assert {series.kind for series in results} == {"dicom", "nifti"} and all(series.is_result for series in results)
    assert all("a reconstruction, not a measured image" in " ".join(series.notes) for series in results)
