"""What is said of odd data: dead coils, references of another scale, at any scale of the data."""

import json
from dataclasses import replace

import h5py
import pytest

import recon
from recon import phantom
from recon.plausibility import findings

SPEC = phantom.PhantomSpec(n_slices=2, n_coils=4, matrix=(48, 40), fov_mm=(240.0, 200.0))


@pytest.fixture
def scan(tmp_path):
    """Give the series of a phantom after something was done to its file."""

    def make(change=lambda _file: None):
        path = phantom.write(tmp_path / "scan.h5", SPEC)
        with h5py.File(path, "r+") as file:
            change(file)
        return recon.open_study(path).series[0]

    return make


def scaled(name, factor):
    def change(file):
        file[name][...] = file[name][...] * factor

    return change


def test_nothing_is_said_of_good_data(scan):
    assert findings(scan().read(0)) == []


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e9])
def test_the_scale_of_the_data_is_not_odd(scan, scale):
    slice_ = scan().read(0)
    assert findings(replace(slice_, kspace=slice_.kspace * scale, reference=slice_.reference * scale)) == []
    assert findings(replace(slice_, kspace=slice_.kspace * scale, reference=None)) == []


def test_dead_coils_are_counted_and_named_in_the_result(scan):
    def kill(file):
        for coil in (1, 3):
            file["kspace"][:, coil] = 0

    result = recon.run(scan(kill), recon.Request("zero-filled"))
    assert "2 of 4 coils measured nothing (counted from 0: 1, 3)." in result.warnings


@pytest.mark.parametrize("factor", [1e4, 1e-4])
def test_a_reference_of_another_scale_is_named_in_the_result(scan, factor):
    result = recon.run(scan(scaled("reconstruction_rss", factor)), recon.Request("zero-filled", slices=(1,)))
    (said,) = [warning for warning in result.warnings if "reference" in warning]
    assert said.startswith(f"the reference is {factor:.3g} times as bright")


@pytest.mark.parametrize("factor", [0, -1])
def test_a_reference_that_is_nowhere_above_zero_costs_the_scores_alone(scan, factor, tmp_path):
    result = recon.run(scan(scaled("reconstruction_rss", factor)), recon.Request("zero-filled"))
    assert any("there are no scores. Delete it" in warning for warning in result.warnings)
    *_, record = result.save(tmp_path / "out", recon.result.FORMATS)
    stored = json.loads(record.read_text())
    assert stored["metrics"] is None and stored["zero_filled_metrics"] is None
    assert result.final.any()


def test_no_real_scan_is_odd(shared_data):
    for path in sorted((shared_data / "kspace").glob("*.h5")):
        for series in recon.open_study(path).series:
            assert findings(series.read(0)) == [], path
    for folder in ("siemens_t1_mprage_sag", "philips_enhanced_epi"):
        series = recon.open_study(shared_data / "dicom" / folder).series[0]
        assert findings(series.read(series.n_slices // 2)) == [], folder


def test_a_large_array_says_that_it_was_compressed(tmp_path):
    spec = replace(SPEC, n_slices=1, n_coils=36)
    series = recon.open_study(phantom.write(tmp_path / "array.h5", spec)).series[0]
    request = recon.Request("pcrnn-s", device="cpu")
    words = recon.pipeline.Plan(series, request).warnings
    assert any("it took 32 virtual coils, to which the 36 were compressed, one by one" in one for one in words)
    assert any(
        "it took the 36 coils one by one" in one
        for one in recon.pipeline.Plan(series, replace(request, coils=36)).warnings
    )
