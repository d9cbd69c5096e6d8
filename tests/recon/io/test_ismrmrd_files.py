"""ISMRMRD files as a whole: what bad ones get, what the command line makes of good ones, and what the official package
writes."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

import recon
from app.cli import main
from recon.errors import FileError
from recon.export import stored
from recon.io import hdf5
from recon.io.hdf5 import heaps


def refused(path, *words, read=False):
    """Assert that a file is refused with one sentence or two that name it and hold the words."""
    with pytest.raises(FileError) as caught:
        for series in recon.open_study(path).series:
            for index in range(series.n_slices if read else 0):
                series.read(index)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 600 + len(str(path))
    assert not [word for word in words if word not in message], message


# ---- the official package ---------------------------------------------------------------------------------------


def official(path, kspace, xml, **values):
    """Write k-space ``(slices, coils, y, x)`` with the package of the standard's authors."""
    with ismrmrd.Dataset(path, "dataset") as dataset:
        dataset.write_xml_header(xml)
        for number in np.random.default_rng(0).permutation(len(kspace) * kspace.shape[-1]).tolist():
            slice_, column = divmod(number, kspace.shape[-1])
            line = ismrmrd.Acquisition.from_array(np.ascontiguousarray(kspace[slice_][:, :, column]))
            line.center_sample, line.idx.slice, line.idx.kspace_encode_step_1 = kspace.shape[2] // 2, slice_, column
            line.position[:], line.read_dir[:] = (1, 2, 4 * slice_), (0, 1, 0)
            line.phase_dir[:], line.slice_dir[:] = (1, 0, 0), (0, 0, 1)
            for name, value in values.items():
                setattr(line, name, value)
            if column % 5 == 0:
                line.set_flag(ismrmrd.ACQ_IS_REVERSE)
                line.data[:] = line.data[:, ::-1].copy()
            dataset.append_acquisition(line)


def official_header(matrix, recon_size):
    xsd = ismrmrd.xsd

    def space(y, x):
        size = xsd.matrixSizeType(x=y, y=x, z=1)
        return xsd.encodingSpaceType(matrixSize=size, fieldOfView_mm=xsd.fieldOfViewMm(x=2.0 * y, y=3.0 * x, z=5.0))

    limit = xsd.limitType(minimum=0, maximum=matrix[1] - 1, center=matrix[1] // 2)
    encoding = xsd.encodingType(
        encodedSpace=space(*matrix),
        reconSpace=space(*recon_size),
        encodingLimits=xsd.encodingLimitsType(kspace_encoding_step_1=limit),
        trajectory=xsd.trajectoryType("cartesian"),
    )
    conditions = xsd.experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000)
    subject = xsd.subjectInformationType(patientName="Doe^Jane")
    header = xsd.ismrmrdHeader(experimentalConditions=conditions, encoding=[encoding], subjectInformation=subject)
    return ismrmrd.xsd.ToXML(header)


@pytest.mark.parametrize("matrix", [(64, 48), (33, 21)])
def test_what_the_official_package_writes_reads_the_same(tmp_path, noise, only, matrix) -> None:
    kspace = noise(3, 4, *matrix)
    official(tmp_path / "scan.h5", kspace, official_header(matrix, (32, 20)))
    series = only(recon.open_study(tmp_path / "scan.h5"))
    assert series.matrix == matrix and series.recon_size == (32, 20) and series.has_reference
    for index in range(3):
        np.testing.assert_array_equal(series.read(index).kspace.numpy(), kspace[index])
    assert series.geometry.pixel_spacing_mm == (2, 3)
    np.testing.assert_allclose(series.geometry.positions_mm[2], (1 - 30, 2 - 32, 8))
    assert "Doe" not in repr(series)


def test_what_we_take_for_the_layout_is_the_official_one(scan, write_raw) -> None:
    """The other way round: the file that the other tests write reads the same with the official package."""
    found, xml, kspace = scan
    with ismrmrd.Dataset(write_raw(found, xml), mode="r") as dataset:
        assert dataset.number_of_acquisitions() == 60
        line = dataset.read_acquisition(27)
        assert (line.idx.slice, line.idx.kspace_encode_step_1, line.center_sample) == (1, 7, 16)
        np.testing.assert_array_equal(line.data, kspace[1, :, :, 7])
        assert ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header()).encoding[0].encodedSpace.matrixSize.y == 20


# ---- the header -------------------------------------------------------------------------------------------------


def test_header_says_who_nobody_is(scan, write_raw, only) -> None:
    series = only(recon.open_study(write_raw(*scan[:2])))
    assert (series.header.protocol, series.header.patient_position) == ("flash", "HFS")
    assert (series.header.repetition_time_ms, series.header.echo_time_ms) == (500, 5)
    assert not [private for private in ("Doe", "4711", "45_98") if private in repr(series)]


@pytest.mark.parametrize(
    "xml", [None, b"no XML at all", b"<ismrmrdHeader><enc", b"", b"\xff\xfe", b"<!DOCTYPE a><a/>", b"<a/>"]
)
def test_scan_without_a_header_opens_with_a_note(scan, write_raw, only, xml) -> None:
    found, _, kspace = scan
    series = only(recon.open_study(write_raw(found, xml)))
    assert series.matrix == (32, 20) and series.geometry.spacing_is_assumed
    np.testing.assert_array_equal(series.read(1).kspace.numpy(), kspace[1])
    assert any("header cannot be read" in note for note in series.notes) == (xml != b"<a/>")
    assert any("no size of k-space" in note for note in series.notes)


@pytest.mark.parametrize("kind", ["fixed length", "chunked", "scalar"])
def test_headers_of_any_type(scan, write_raw, only, kind) -> None:
    found, xml, _ = scan
    path = write_raw(found, None)
    with h5py.File(path, "r+") as file:
        if kind == "fixed length":
            file["dataset/xml"] = np.array([xml.encode()])
        elif kind == "scalar":
            file["dataset/xml"] = xml
        else:
            file["dataset"].create_dataset("xml", (1,), h5py.string_dtype(), chunks=(1,), compression="gzip")[0] = xml
    assert only(recon.open_study(path)).header.protocol == "flash"


# ---- declined by name -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trajectory", "words"), [("radial", "radial"), ("spiral", "spiral"), ("goldenangle", "golden"), ("other", "other")]
)
def test_other_trajectories(scan, raw_header, write_raw, trajectory, words) -> None:
    path = write_raw(scan[0], raw_header((32, 20), trajectory=trajectory))
    refused(path, "trajectory is", words, "only Cartesian")


def test_echo_planar_scans(scan, readouts, raw_header, write_raw, noise, only) -> None:
    xml = raw_header((32, 20), trajectory="epi")
    found = [*readouts(noise(1, 2, 32, 20), 24, columns=[10, 10]), *scan[0]]
    refused(write_raw(found, xml, name="navigated.h5"), "echo-planar", "phase correction")
    for head, _ in scan[0][::2]:
        head["flags"] |= 1 << 21
    refused(write_raw(scan[0], xml, name="both_ways.h5"), "echo-planar")
    for head, _ in scan[0]:
        head["flags"] = 0
    assert only(recon.open_study(write_raw(scan[0], xml, name="one_way.h5"))).n_slices == 3


def test_trajectories_beside_the_samples(scan, write_raw, raw_header, only) -> None:
    def with_trajectories(path):
        with h5py.File(path, "r+") as file:
            table = file["dataset/data"][:]
            for row in table:
                row["traj"] = np.zeros(64, np.float32)
            file["dataset/data"][:] = table
        return path

    refused(with_trajectories(write_raw(scan[0], None, name="a.h5")), "not Cartesian")
    series = only(recon.open_study(with_trajectories(write_raw(*scan[:2], name="b.h5"))))
    assert any("trajectories, which are not used" in note for note in series.notes)


def changed(found, number, **values):
    head = found[number][0].copy()
    for name, value in values.items():
        head[name] = value
    return [*found[:number], (head, found[number][1]), *found[number + 1 :]]


def test_readouts_that_are_not_alike(scan, readouts, raw_header, write_raw, noise) -> None:
    found, xml, _ = scan
    shorter = readouts(noise(1, 2, 16, 20), columns=[3])
    refused(write_raw([*found, *shorter], xml, name="lengths.h5"), "different lengths (16, 32)")
    fewer = readouts(noise(1, 1, 32, 20), columns=[3])
    refused(write_raw([*found, *fewer], xml, name="coils.h5"), "changing numbers of coils (1, 2)")
    mask = np.zeros(16, np.uint64)
    mask[0] = 3
    refused(write_raw(changed(found, 7, channel_mask=mask), xml, name="mask.h5"), "channel mask varies")
    compressed = changed(found, 7, flags=1 << 52)
    refused(write_raw(compressed, xml, name="compressed.h5"), "compressed")


def test_readouts_beyond_the_matrix(scan, raw_header, write_raw) -> None:
    found = scan[0]
    refused(write_raw(found, raw_header((32, 16)), name="y.h5"), "phase encode 19", "has 16", "0 to 15")
    idx = found[7][0]["idx"].copy()
    idx["kspace_encode_step_2"] = 3
    refused(write_raw(changed(found, 7, idx=idx), raw_header((32, 20)), name="z.h5"), "partition 3")
    refused(write_raw(found, raw_header((32, 30000)), name="huge.h5"), "header is damaged")
    refused(write_raw(found, raw_header((30000, 20)), name="long.h5"), "header is damaged")
    idx["kspace_encode_step_2"] = 1
    deep = changed(found, 7, idx=idx)
    refused(write_raw(deep, raw_header((32, 20, 30000)), name="deep.h5"), "far more phase encodes")


def test_nothing_to_reconstruct(readouts, raw_header, write_raw, noise, tmp_path, write) -> None:
    xml = raw_header((32, 20))
    refused(write_raw([], xml, name="none.h5"), "no acquisitions")
    found = readouts(noise(1, 2, 32, 20), 19)
    refused(write_raw(found, xml, name="noise.h5"), "none of an image")
    for name, data in {"numbers": np.ones(3), "other": np.zeros(3, [("head", "<f4"), ("data", "<f4")])}.items():
        refused(write(f"{name}.h5", **{"dataset/data": data, "dataset/xml": "<a/>"}), "ISMRMRD")
    with h5py.File(write("link.h5"), "r+") as file:
        file.create_group("dataset")["data"] = h5py.ExternalLink("none.h5", "/dataset/data")
        path = Path(file.filename)
    refused(path, "ISMRMRD", "no dataset of this file")


@pytest.mark.parametrize("group", ["dataset", "/"])
def test_header_without_acquisitions(scan, write, group) -> None:
    path = write("header.h5", **{f"{group}/xml": scan[1]})
    refused(path, "ISMRMRD", "`dataset/xml`" if group == "dataset" else "`xml`", "no acquisitions")


def test_header_beside_the_group_of_its_acquisitions(scan, write_raw, only) -> None:
    path = write_raw(scan[0], None)
    with h5py.File(path, "a") as file:
        file["xml"] = scan[1]
    assert only(recon.open_study(path)).n_slices == 3


# ---- damage -----------------------------------------------------------------------------------------------------


def test_samples_that_are_not_numbers(scan, write_raw) -> None:
    found, xml, _ = scan
    found[25][1][1, 3:5] = np.nan
    path = write_raw(found, xml)
    refused(path, "slice 1 (counted from 0)", "2 of 1280 samples", "NaN", read=True)
    assert recon.open_study(path).series[0].read(0).kspace.isfinite().all()


def test_truncated_file(scan, write_raw, tmp_path) -> None:
    content = write_raw(*scan[:2]).read_bytes()
    for part in (0.02, 0.3, 0.9, 0.999):
        path = tmp_path / "cut.h5"
        path.write_bytes(content[: int(len(content) * part)])
        refused(path, "truncated", read=True)


def test_heaps_that_would_send_the_library_astray(scan, write_raw, tmp_path, monkeypatch) -> None:
    """Wrong sizes, numbers and addresses among the samples, one at a time."""
    content = write_raw(*scan[:2]).read_bytes()
    # The table follows the rows: a reference is 128 floats, the address of a heap that is there, and a small number.
    heap = content.index(b"GCOL")
    reference = content.index(struct.pack("<IQ", 128, heap))
    damage = {
        "length": (reference, struct.pack("<I", 2**31)),
        "shorter": (reference, struct.pack("<I", 126)),
        "address": (reference + 4, struct.pack("<Q", 2**62)),
        "outside": (reference + 4, struct.pack("<Q", 2**64 - 1)),
        "elsewhere": (reference + 4, struct.pack("<Q", heap + 8)),
        "number": (reference + 12, struct.pack("<I", 60000)),
        "nothing": (reference + 12, struct.pack("<I", 0)),
        "heap": (heap, b"GXOL"),
        "heap size": (heap + 8, struct.pack("<Q", 2**50)),
        "no size": (heap + 8, bytes(8)),
        "object size": (heap + 24, struct.pack("<Q", 2**40)),
        "object number": (heap + 16, struct.pack("<H", 2)),
    }
    path = tmp_path / "damaged.h5"
    for place, value in damage.values():
        path.write_bytes(content[:place] + value + content[place + len(value) :])
        refused(path, "damaged", read=True)


@pytest.mark.parametrize(
    ("place", "value"),
    [(8, struct.pack("<Q", 15)), (8, bytes(8)), (8, struct.pack("<Q", 2**50)), (24, struct.pack("<Q", 2**40))],
    ids=["smaller than itself", "no size", "huge", "object size"],
)
def test_damaged_heap_of_a_header_costs_the_header_alone(scan, write, noise, only, place, value) -> None:
    """Of a version that the check of all heaps does not know, so that reading the text comes upon it."""
    path = write("scan.h5", kspace=noise(1, 2, 16, 16))
    with h5py.File(path, "r+") as file:
        file.create_dataset("ismrmrd_header", (1,), h5py.vlen_dtype(bytes))[0] = scan[1]
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 4] = 9
    content[heap + place : heap + place + len(value)] = value
    path.write_bytes(content)
    series = only(recon.open_study(path))
    assert any("header cannot be read" in note for note in series.notes)
    with h5py.File(path) as file, pytest.raises(ValueError, match=r"not where it should be|damaged"):
        hdf5.text(file, "ismrmrd_header", path, 2**20)


DAMAGE = """
import sys
import numpy as np
import recon
from pathlib import Path
from recon.errors import MRIError

content, path, seed = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(seed)
outcomes = {"works": 0, "refused": 0}
for turn in range(150):
    data = bytearray(content)
    kind = turn % 3
    if kind == 0:
        start = int(rng.integers(len(data)))
        data[start : start + 300] = rng.bytes(300)
    else:
        places = rng.integers(0, len(data) if kind == 1 else 4096, size=int(rng.integers(1, 30)))
        for place in places:
            data[place] = int(rng.integers(256))
    path.write_bytes(data[: len(content)])
    try:
        for series in recon.open_study(path).series:
            for index in range(min(series.n_slices, 8)):
                assert series.read(index).kspace.isfinite().all()
        outcomes["works"] += 1
    except MRIError as error:
        assert str(path) in str(error), error
        outcomes["refused"] += 1
print(*outcomes.values())
"""


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bytes_neither_crash_nor_hang(readouts, raw_header, write_raw, noise, tmp_path, seed) -> None:
    """In a process of its own, because the library's crashes would be ours."""
    kspace = noise(3, 2, 6, 5)
    path = write_raw(readouts(kspace), raw_header((6, 5)), chunks=[(1,), (16,), (16,)][seed])
    command = [sys.executable, "-W", "error", "-c", DAMAGE, str(path), str(tmp_path / "damaged.h5"), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert min(map(int, done.stdout.split())) > 10, done.stdout


def test_slice_larger_than_the_memory(scan, write_raw, monkeypatch, only) -> None:
    series = only(recon.open_study(write_raw(*scan[:2])))

    def no_memory(*arguments, **keywords):
        raise MemoryError

    monkeypatch.setattr(np, "zeros", no_memory)
    with pytest.raises(FileError, match="memory"):
        series.read(0)


def test_disk_that_fails_while_it_is_read(scan, write_raw, monkeypatch, only) -> None:
    series = only(recon.open_study(write_raw(*scan[:2])))

    def failing(*arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(heaps.Samples, "read", failing)
    with pytest.raises(FileError, match="Input/output error"):
        series.read(0)


# ---- folders and the command line -------------------------------------------------------------------------------


def test_folder_with_mixtures(scan, readouts, raw_header, write_raw, write, noise, tmp_path) -> None:
    write("a.h5", kspace=noise(1, 2, 16, 16))
    write_raw(
        [line for n in range(2) for line in readouts(noise(1, 2, 32, 20), contrast=n)], raw_header((32, 20)), "b.h5"
    )
    bad = write_raw(scan[0], raw_header((32, 20), trajectory="spiral"), "c.h5")
    study = recon.open_study(tmp_path)
    assert [(series.kind, series.title) for series in study.series] == [
        ("fastmri", "a"), ("ismrmrd", "b · contrast 1"), ("ismrmrd", "b · contrast 2"),
    ]  # fmt: skip
    assert [(one.path, "spiral" in one.reason) for one in study.declined] == [(bad, True)]


def test_one_contrast_that_cannot_be_opened_does_not_stop_the_other(readouts, raw_header, write_raw, noise, only):
    kspace = noise(1, 2, 32, 20)
    found = [*readouts(kspace), *readouts(kspace, contrast=1), *readouts(kspace[:, :1], contrast=1, columns=[3])]
    study = recon.open_study(write_raw(found, raw_header((32, 20))))
    assert len(study.series) == 1
    assert study.declined[0].reason.startswith("contrast 2: has changing numbers of coils")


def test_info_and_reconstruct_on_the_command_line(scan, write_raw, tmp_path, capsys) -> None:
    path = write_raw(*scan[:2], name="scan.h5")
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "ismrmrd" in shown and "3 slices, 2 coils, 32 × 20" in shown and "position assumed" not in shown
    assert main(["info", "--json", "--check", str(path)]) == 0
    (described,) = json.loads(capsys.readouterr().out)
    assert described["series"][0]["problem"] is None and described["series"][0]["kind"] == "ismrmrd"
    command = ["reconstruct", str(path), "--model", "zero-filled", "--mask", "equispaced", "--acceleration", "2"]
    assert main([*command, "--format", "hdf5,dicom", "--device", "cpu", "--out", str(tmp_path / "out"), "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["metrics"]["psnr"]["volume"] > 0
    with h5py.File(tmp_path / "out" / "scan.zero-filled.h5") as file:
        assert file["reconstruction"].shape == (3, 32, 20)
    assert main(["info", str(tmp_path / "gone.h5")]) == 2


def test_evaluate_takes_each_contrast(readouts, raw_header, write_raw, noise, tmp_path, capsys) -> None:
    found = [line for n in range(2) for line in readouts(noise(2, 2, 32, 20, seed=n), contrast=n)]
    path = write_raw(found, raw_header((32, 20)), name="scan.h5")
    command = ["evaluate", str(path), "--model", "zero-filled", "--mask", "equispaced", "--acceleration", "2"]
    assert main([*command, "--device", "cpu", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    rows = (tmp_path / "out" / "scores.csv").read_text().splitlines()
    assert len([row for row in rows if "scan" in row]) >= 4


def test_result_finds_its_scan_again(readouts, raw_header, write_raw, noise, tmp_path) -> None:
    """Of two contrasts of one file, the one that it was made from."""
    found = [line for n in range(2) for line in readouts(noise(2, 2, 32, 20, seed=n), contrast=n)]
    series = recon.open_study(write_raw(found, raw_header((32, 20)), name="scan.h5")).series[1]
    result = recon.run(series, recon.Request("zero-filled", recon.MaskSpec("none"), device="cpu"))
    result.save(tmp_path / "out", formats=["hdf5"])
    again = stored.read(next((tmp_path / "out").glob("*.h5")))
    assert again.scan is not None and again.scan.title == "scan · contrast 2"
    np.testing.assert_array_equal(again.reference, result.reference)
