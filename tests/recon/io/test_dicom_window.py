"""The window that a DICOM header names, in the values of the images that are shown."""

from pathlib import Path

import numpy as np
import pytest

import recon
from recon.io.dicom import read
from recon.preview import stored_window
from recon.simulate import SimulationSpec


def test_the_stored_window_is_in_the_values_that_are_shown(write_dicom, tmp_path):
    pixels = np.random.default_rng(0).integers(100, 1000, (32, 32)).astype(np.uint16)
    said = {"RescaleSlope": 0.5, "RescaleIntercept": 10, "WindowCenter": 200, "WindowWidth": 300}
    write_dicom(tmp_path / "a" / "0.dcm", pixels, **said)
    (series,) = read(tmp_path / "a", SimulationSpec(n_coils=1, noise=0.0)).series
    assert stored_window(series, 0) == (50.0, 350.0)
    # What is reconstructed has the scale of the images that k-space was simulated from; several coils shade it.
    assert series.source.reference(0) == pytest.approx(0.5 * pixels + 10, rel=1e-3)
    (series,) = read(tmp_path / "a", SimulationSpec(n_coils=8, noise=0.0)).series
    assert np.mean(series.source.reference(0)) == pytest.approx(np.mean(0.5 * pixels + 10), rel=0.1)
    for name, changes in (
        ("none", {"WindowCenter": None, "WindowWidth": None}),
        ("empty", {"WindowWidth": 0}),
        ("inverted", {"PhotometricInterpretation": "MONOCHROME1"}),
    ):
        write_dicom(tmp_path / name / "0.dcm", pixels, **said | changes)
        assert stored_window(read(tmp_path / name).series[0], 0) is None, name


def test_other_files_have_no_window():
    series = recon.open_study(Path(__file__).parents[2] / "data" / "real_brain_2ch_gre.h5").series[0]
    assert stored_window(series, 0) is None
