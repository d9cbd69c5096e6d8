"""What bad input gets: one clear sentence that names the file, and never anything else."""

from __future__ import annotations

import io
import os
import shutil
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

import recon
from recon.errors import FileError, MRIError
from recon.io.check import check_kspace


def refused(path, *words, read=False):
    """Assert that a file is refused with a message that names it and holds the words."""
    with pytest.raises(FileError) as caught:
        study = recon.open_study(path)
        if read:
            for series in study.series:
                for index in range(series.n_slices):
                    series.read(index)
    message = str(caught.value)
    assert str(path) in message
    assert not [word for word in words if word not in message], message
    assert "\n" not in message and len(message) < 600 + len(str(path))
    return message


# ---- not HDF5 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty (0 bytes)"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "JPEG"),
        (b"PK\x03\x04" + bytes(50), "ZIP"),
        (b"\x1f\x8b" + bytes(50), "gzip"),
        (bytes(344) + b"n+1\0" + bytes(8), "NIfTI"),
        ("Grüße, this is a text file\n".encode() * 200, "is text"),
        (b"x" * 4095 + "ü".encode(), "is text"),
        (np.random.default_rng(0).bytes(5000), "unknown format"),
        (b"\x89HDF\r\n", "unknown format"),
    ],
)
def test_file_of_another_kind_is_named(tmp_path, content, words) -> None:
    path = tmp_path / "file.h5"
    path.write_bytes(content)
    refused(path, words, "fastMRI HDF5", "expected")


def test_nothing_there(tmp_path) -> None:
    refused(tmp_path / "missing.h5", "no such file")
    refused(tmp_path / "file\0.h5", "cannot be opened")
    refused(tmp_path / ("x" * 400), "cannot be opened")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refused(loop, "cannot be opened")
    for nothing in ("", None, 3):
        with pytest.raises(FileError, match="no path"):
            recon.open_study(nothing)


def test_pipe_is_refused_and_not_waited_for(tmp_path) -> None:
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)
    refused(pipe, "pipe")


def test_folder_without_anything_to_open(tmp_path) -> None:
    refused(tmp_path, "empty folder")
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path, "one file", "notes.txt", "is text")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["image"] = np.ones(3)
    refused(tmp_path, "2 files", "other.h5", "kspace")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(write, noise, tmp_path) -> None:
    path = write(kspace=noise(1, 2, 8, 8))
    path.chmod(0)
    refused(path, "permission")
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    refused(folder, "permissions")


def test_denied_permission_is_told_from_damage(write, noise, monkeypatch) -> None:
    """The same as above for who runs the tests as root."""
    path = write(kspace=noise(1, 2, 8, 8))

    def denied(*arguments, **keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(h5py, "File", denied)
    refused(path, "permission denied")
    monkeypatch.setattr(Path, "open", denied)
    refused(path, "permission denied")


def test_file_that_is_being_written(write, noise, monkeypatch) -> None:
    path = write(kspace=noise(1, 2, 8, 8))

    def locked(*arguments, **keywords):
        raise BlockingIOError(11, "unable to lock file, errno = 11, error message = 'Resource temporarily unavailable'")

    monkeypatch.setattr(h5py, "File", locked)
    refused(path, "locked", "another program")


# ---- HDF5 of another kind ---------------------------------------------------------------------------------------


def test_missing_kspace_names_what_is_there(write) -> None:
    refused(write(image=np.ones(3), other=np.ones(3)), "no dataset `kspace`", "`image`, `other`")
    refused(write("empty.h5"), "no dataset `kspace`", "empty")
    refused(write("result.h5", reconstruction=np.ones((1, 4, 4))), "result that was exported")
    with h5py.File(write("raw.h5"), "r+") as file:
        file["dataset/data"] = np.ones(3)
        path = Path(file.filename)
    refused(path, "ISMRMRD")


@pytest.mark.parametrize(
    ("kspace", "words"),
    [
        (np.ones((2, 3, 8, 8)), "float64"),
        (np.ones((2, 3, 8, 8, 2), np.float32), "Join the real and imaginary parts"),
        (np.ones((2, 3, 8, 8), np.int16), "int16"),
        (np.array([b"text"]), "|S4"),
        (np.ones((8, 8), np.complex64), "2 axes"),
        (np.ones(8, np.complex64), "1 axes"),
        (np.ones((1, 2, 3, 4, 5), np.complex64), "5 axes"),
        (np.complex64(3), "0 axes"),
        (np.ones((0, 3, 8, 8), np.complex64), "empty"),
        (np.ones((2, 0, 8, 8), np.complex64), "empty"),
        (np.ones((2, 8, 0), np.complex64), "empty"),
        (h5py.Empty("c8"), "axes"),
    ],
)
def test_kspace_that_is_none(write, kspace, words) -> None:
    refused(write(kspace=kspace), "`kspace`", words, "expected")


def test_group_in_the_place_of_kspace(write) -> None:
    with h5py.File(write(), "r+") as file:
        file.create_group("kspace")
        path = Path(file.filename)
    refused(path, "`kspace` is not a dataset")


def test_data_elsewhere_are_not_followed(write, noise, tmp_path) -> None:
    """A file from a stranger must not make us read other files, whatever trick it uses."""
    target = write("target.h5", kspace=noise(1, 2, 8, 8))
    raw = tmp_path / "raw.bin"
    raw.write_bytes(noise(1, 2, 8, 8).tobytes())
    layout = h5py.VirtualLayout((1, 2, 8, 8), "c8")
    layout[...] = h5py.VirtualSource(str(target), "kspace", (1, 2, 8, 8))
    tricks = {
        "external link": lambda file: file.__setitem__("kspace", h5py.ExternalLink(str(target), "/kspace")),
        "dangling link": lambda file: file.__setitem__("kspace", h5py.ExternalLink("gone.h5", "/kspace")),
        "soft link": lambda file: file.__setitem__("kspace", h5py.SoftLink("/elsewhere")),
        "virtual": lambda file: file.create_virtual_dataset("kspace", layout),
        "external storage": lambda file: file.create_dataset(
            "kspace", (1, 2, 8, 8), "c8", external=[(str(raw), 0, 1024)]
        ),
    }
    for name, trick in tricks.items():
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            trick(file)
        refused(path, "`kspace`", "elsewhere")


def test_links_beside_the_kspace_are_not_followed(write, noise) -> None:
    image = np.ones((1, 8, 8), np.float32)
    target = write("target.h5", reconstruction_rss=image, mask=np.eye(8)[:1], ismrmrd_header="<a/>")
    path = write(kspace=noise(1, 2, 8, 8))
    with h5py.File(path, "r+") as file:
        for name in ("reconstruction_rss", "ismrmrd_header"):
            file[name] = h5py.ExternalLink(str(target), f"/{name}")
    (series,) = recon.open_study(path).series
    assert series.reference[0].max() > 1  # the computed one
    assert any("header cannot be read" in note for note in series.notes)
    with h5py.File(path, "r+") as file:
        file["mask"] = h5py.ExternalLink(str(target), "/mask")
    refused(path, "mask")


def test_size_that_is_only_claimed_is_refused_before_memory_is_asked_for(tmp_path) -> None:
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", (1000, 64, 4096, 4096), "c8", chunks=(1, 1, 64, 64))
    refused(path, "claims", "ever written")


def test_slice_larger_than_the_memory(write, noise, monkeypatch) -> None:
    (series,) = recon.open_study(write(kspace=noise(1, 2, 8, 8))).series

    def no_memory(*arguments, **keywords):
        raise MemoryError

    monkeypatch.setattr(np, "empty", no_memory)
    with pytest.raises(FileError, match="memory"):
        series.read(0)


@pytest.mark.parametrize("shape", [(7,), (9,), (4, 8), (8, 4), (2, 8, 8), (0,), (8, 8, 1000)])
def test_mask_of_the_wrong_size(write, noise, shape) -> None:
    refused(write(kspace=noise(1, 2, 16, 8), mask=np.ones(shape)), "mask", "expected")


@pytest.mark.parametrize(
    "mask", [np.zeros(8), np.full(8, np.nan), np.array([b"a"] * 8), np.ones(8, "c8"), h5py.Empty("f4")]
)
def test_mask_that_is_none(write, noise, mask) -> None:
    refused(write(kspace=noise(1, 2, 16, 8), mask=mask), "mask")


# ---- values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, complex(0, np.nan)])
def test_values_that_are_not_finite_are_counted(write, noise, value) -> None:
    kspace = noise(3, 2, 16, 16)
    kspace[1, 0, 3, 4:7] = value
    path = write(kspace=kspace)
    refused(path, "slice 1 (counted from 0) holds", "3 of 512 samples", "NaN", read=True)
    (series,) = recon.open_study(path).series
    assert series.read(0).kspace.shape == (2, 16, 16)  # the other slices can be read


def test_slice_of_zeros(write, noise) -> None:
    kspace = noise(3, 2, 16, 16)
    kspace[1] = 0
    refused(write(kspace=kspace), "slice 1 (counted from 0)", "all zero", read=True)
    refused(write("nothing.h5", kspace=0 * kspace), "slice 0", "all zero", read=True)


def test_values_beyond_single_precision(write, noise) -> None:
    refused(write(kspace=noise(1, 2, 8, 8).astype(complex) * 1e60), "NaN or infinite", read=True)


def test_values_whose_image_overflows(write, noise) -> None:
    kspace = noise(2, 2, 8, 8)
    kspace[1, 0, 3, 3] = 1e37
    refused(write(kspace=kspace), "slice 1", "so large that its image overflows", read=True)


def test_reference_that_is_not_finite(write, noise) -> None:
    image = np.ones((2, 8, 8), np.float32)
    image[1, 2, 3] = np.nan
    refused(write(kspace=noise(2, 2, 8, 8), reconstruction_rss=image), "slice 1", "reconstruction_rss", read=True)


def test_check_of_any_source(write, noise) -> None:
    (series,) = recon.open_study(write(kspace=noise(1, 2, 8, 8))).series
    good = noise(2, 8, 8)
    assert check_kspace(good, series, 0) is good
    read_only = good.copy()
    read_only.flags.writeable = False
    for other in (good.astype(np.complex128), np.asfortranarray(good), good[:, ::-1], read_only):
        checked = check_kspace(other, series, 0)
        assert checked.dtype == np.complex64 and checked.flags.c_contiguous and checked.flags.writeable
        np.testing.assert_array_equal(checked, other)
    for scale in (1e-12, 1e12, 1e-30, 2e18):  # their sum of squares vanishes or overflows at the last two
        np.testing.assert_array_equal(check_kspace(good * np.float32(scale), series, 0), good * np.float32(scale))
    for bad in (good[:1], good[..., :4], good[None], good.real):
        with pytest.raises(FileError, match="expected"):
            check_kspace(bad, series, 0)


def test_slice_that_does_not_exist(write, noise) -> None:
    (series,) = recon.open_study(write(kspace=noise(2, 2, 8, 8))).series
    for index in (2, -3, 10**9):
        with pytest.raises(MRIError, match="slices 0 to 1"):
            series.read(index)


# ---- damage -----------------------------------------------------------------------------------------------------


def test_truncated_file(write, noise, tmp_path) -> None:
    whole = write(kspace=noise(4, 2, 64, 64)).read_bytes()
    for part in (0.02, 0.3, 0.9, 0.999):
        path = tmp_path / "cut.h5"
        path.write_bytes(whole[: int(len(whole) * part)])
        refused(path, "truncated", "copy or download", read=True)


def test_file_that_vanishes_or_shrinks_after_opening(write, noise) -> None:
    path = write(kspace=noise(4, 2, 64, 64))
    (series,) = recon.open_study(path).series
    os.truncate(path, 4000)
    with pytest.raises(FileError, match="was changed since it was opened; open it again"):
        series.read(3)
    path.unlink()
    with pytest.raises(FileError, match=f"{path.name}: is not there; bring it back"):
        series.read(3)


def test_file_that_is_replaced_by_another_after_opening(write, noise) -> None:
    path = write(kspace=noise(4, 2, 16, 16))
    (series,) = recon.open_study(path).series
    # Even one of the same size: one volume must not be made of the slices of two.
    write(kspace=noise(4, 2, 16, 16, seed=1), reconstruction_rss=np.ones((4, 16, 16)))
    for read in (series.read, series.source.reference):
        with pytest.raises(FileError, match="was changed since it was opened; open it again"):
            read(3)


def test_heap_that_would_send_the_library_in_circles(real_brain, tmp_path) -> None:
    """One byte among the texts: the size of an object, or the length of a text that lies there."""
    content = real_brain.read_bytes()
    heap = content.index(b"GCOL")
    text = content.index(struct.pack("<Q", heap))
    for position, value in (
        (heap + 8, 0),
        (heap + 8 + 5, 1),
        (heap + 16 + 8, 111),
        (heap + 16 + 12, 9),
        (text - 1, 200),
    ):
        damaged_content = bytearray(content)
        assert damaged_content[position] != value or position == heap + 8
        damaged_content[position] = value
        if position == heap + 8:
            damaged_content[position : position + 8] = bytes(8)
        path = tmp_path / "heap.h5"
        path.write_bytes(damaged_content)
        refused(path, "damaged", "texts")


def test_number_type_that_would_send_the_library_astray(tmp_path) -> None:
    strange = h5py.h5t.IEEE_F32LE.copy()
    strange.set_ebias(100)
    kind = h5py.h5t.create(h5py.h5t.COMPOUND, 8)
    kind.insert(b"r", 0, strange)
    kind.insert(b"i", 4, h5py.h5t.IEEE_F32LE)
    path = tmp_path / "type.h5"
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((1, 2, 8, 8))
        dataset = h5py.h5d.create(file.id, b"kspace", kind, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones((1, 2, 8, 8), np.complex64), kind)
    refused(path, "`kspace`", "number type")


def test_header_of_absurd_length(write, noise) -> None:
    path = write(kspace=noise(1, 2, 8, 8), ismrmrd_header="<a/>")
    with h5py.File(path) as file:
        first = file["ismrmrd_header"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[first : first + 16] = b"\xf0" * 16  # length and address: memory must not be asked for
    path.write_bytes(content)
    (series,) = recon.open_study(path).series
    assert any("MiB long" in note for note in series.notes)


def damaged(content, rng):
    """Flip some bytes, most of them where the structure is, overwrite a stretch, or cut the file."""
    data = bytearray(content)
    kind = rng.integers(4)
    if kind == 0:
        return bytes(data[: rng.integers(1, len(data))])
    if kind == 1:
        start = int(rng.integers(len(data)))
        stretch = rng.bytes(int(rng.integers(1, 2000)))
        data[start : start + len(stretch)] = stretch
        return bytes(data[: len(content)])
    limit = len(data) if kind == 2 else min(4096, len(data))
    for position in rng.integers(0, limit, size=int(rng.integers(1, 40))):
        data[position] = int(rng.integers(256))
    return bytes(data)


def small_files(real_brain, noise, header):
    """Contents to damage: a real scan, and small files in which more of the bytes are structure."""
    yield real_brain.read_bytes()
    for keywords in ({}, {"chunks": (1, 2, 16, 12), "compression": "gzip", "shuffle": True, "fletcher32": True}):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file.create_dataset("kspace", data=noise(2, 2, 16, 12), **keywords)
            file.create_dataset("reconstruction_rss", data=np.ones((2, 12, 12), np.float32))
            file["ismrmrd_header"] = header()
            file["mask"] = np.ones(12)
            file.attrs["acquisition"] = "AXT2"
            file.attrs["max"] = 1.0
        yield buffer.getvalue()


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_either_work_or_say_what_is_wrong(real_brain, noise, header, tmp_path, seed) -> None:
    contents = list(small_files(real_brain, noise, header))
    rng = np.random.default_rng([2024, seed])
    outcomes = {"works": 0, "refused": 0}
    for turn in range(120):
        path = tmp_path / "damaged.h5"
        path.write_bytes(damaged(contents[turn % len(contents)], rng))
        try:
            for series in recon.open_study(path).series:
                for index in range(series.n_slices):
                    slice_ = series.read(index)
                    assert slice_.kspace.isfinite().all()
            outcomes["works"] += 1
        except MRIError as error:
            assert str(path) in str(error)
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 5, outcomes


def test_real_scan_survives_copying(real_brain, tmp_path) -> None:
    """The other half of the tests above: what is not damaged opens."""
    path = Path(shutil.copy(real_brain, tmp_path / "copy.h5"))
    assert recon.open_study(path).series[0].read(0).kspace.abs().max() > 0
