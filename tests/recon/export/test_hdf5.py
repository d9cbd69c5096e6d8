"""HDF5 out: what is written can be read back by anyone, and says how it was made."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

import recon
from recon.errors import ExportError, FileError
from recon.export import hdf5
from recon.simulate import SimulationSpec


def test_round_trip(result, tmp_path) -> None:
    path = hdf5.write(result, tmp_path / "out" / "a.zero-filled.h5")
    with h5py.File(path) as file:
        assert set(file) == {"reconstruction", "mask", "record", "origin"}
        assert file["reconstruction"].dtype == np.float32
        np.testing.assert_array_equal(file["reconstruction"], result.final)
        np.testing.assert_array_equal(file["mask"], result.mask.mask)
        attributes = dict(file.attrs)
    assert attributes["model"] == "pcrnn-s" and attributes["mask"] == "equispaced-fraction"
    assert attributes["acceleration"] == pytest.approx(result.mask.acceleration)
    assert recon.Request.from_json(attributes["request"]) == result.request
    assert json.loads(attributes["versions"]) == result.versions
    assert json.loads(attributes["metrics"])["psnr"]["volume"] == pytest.approx(result.metrics["psnr"]["volume"])
    assert attributes["simulated"] == "no" and "Research use only" in attributes["notice"]
    assert list(attributes["slices"]) == [0, 1] and attributes["warnings"] == "a warning"


def test_stages_are_in_order_and_titled(result, tmp_path) -> None:
    path = hdf5.write(result, tmp_path / "a.h5", stages=True)
    with h5py.File(path) as file:
        names = list(file["stages"])
        assert names == ["00_zero-filled", "01_4x_1", "02_4x_2", "03_2x_1", "04_2x_2", "05_refine"]
        titles = [file["stages"][name].attrs["title"] for name in names]
        assert titles == ["zero-filled", *result.stages]
        np.testing.assert_array_equal(file["stages/00_zero-filled"], result.zero_filled)
        for name, volume in zip(names[1:], result.stages.values(), strict=True):
            assert file["stages"][name].dtype == np.float32
            np.testing.assert_array_equal(file["stages"][name], volume)
        assert json.loads(file["stages/02_4x_2"].attrs["path"]) == ["4x", 2]


def test_simulated_data_say_so_and_scanned_masks_too(result, tmp_path) -> None:
    spec = SimulationSpec()
    series = replace(result.series, simulation=spec, acquired_mask=result.mask.mask)
    path = hdf5.write(replace(result, series=series, reference=None), tmp_path / "a.h5")
    with h5py.File(path) as file:
        assert spec.sentence in file.attrs["simulated"]
        assert "scanner" in file.attrs["mask"]
        assert "metrics" not in file.attrs


def test_exporting_twice_gives_the_same_bytes(result, tmp_path) -> None:
    paths = [hdf5.write(result, tmp_path / name, stages=True) for name in ("a.h5", "b.h5")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_export_is_not_mistaken_for_raw_data(result, tmp_path) -> None:
    with pytest.raises(FileError, match="result that was exported"):
        recon.open_study(hdf5.write(result, tmp_path / "a.h5"))


def test_failure_leaves_the_old_file(result, tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")

    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(ExportError, match="disk is full"):
        hdf5.write(result, path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
