"""Results to export: two slices of noise around a disc, or of whatever a test wants written as DICOM."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pydicom
import pytest

import recon
from recon import masks
from recon.data import Geometry, Header, Series
from recon.export import dicom
from recon.result import Reconstruction


@pytest.fixture
def result(tmp_path_factory):
    """Make a Reconstruction of two slices, 48 rows by 40 columns, with stages 4x, 2x (two iterations each), refine."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("raw") / "brain.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = (rng.standard_normal((2, 3, 48, 40)) + 1j * rng.standard_normal((2, 3, 48, 40))).astype("c8")
    (series,) = recon.open_study(path).series
    request = recon.Request(model="pcrnn-s", mask=recon.MaskSpec("equispaced-fraction", 4, seed=1))
    y, x = np.linspace(-1, 1, 48)[:, None], np.linspace(-1, 1, 40)[None]
    disc = 3e-4 * ((y**2 + x**2 < 0.6) + 0.5 * (y < -0.2) * (y**2 + x**2 < 0.6))
    reference = np.stack([disc, 0.8 * disc]).astype(np.float32)
    noise = rng.standard_normal(reference.shape)

    def image(level):
        return np.abs(reference + level * 1e-4 * noise).astype(np.float32)

    paths = (("4x", 1), ("4x", 2), ("2x", 1), ("2x", 2), ("refine",))
    return Reconstruction(
        series=series,
        request=request,
        indices=(0, 1),
        final=image(0.1),
        zero_filled=image(1.0),
        reference=reference,
        mask=masks.make(request.mask, (48, 40)),
        stages={" · ".join(map(str, path)): image(0.9 - 0.15 * n) for n, path in enumerate(paths)},
        stage_paths=paths,
        seconds=1.5,
        warnings=("a warning",),
        versions={"mri-workstation": "0"},
    )


@pytest.fixture
def brain_header():
    """Header of a brain as a fastMRI file has it."""
    return Header(
        acquisition="AXFLAIR",
        protocol="AX FLAIR",
        sequence_type="TurboSpinEcho",
        vendor="SIEMENS",
        scanner="Aera",
        institution="Somewhere General",
        field_strength_t=1.494,
        frequency_hz=63646088.0,
        repetition_time_ms=9000.0,
        echo_time_ms=81.0,
        inversion_time_ms=2500.0,
        flip_angle_deg=150.0,
        echo_train_length=16,
        patient_position="HFS",
        patient_id="0123456789abcdef",
        encoded_matrix=(640, 320, 1),
        recon_matrix=(320, 260, 1),
        encoded_fov_mm=(440.0, 220.0, 7.5),
        recon_fov_mm=(220.0, 178.75, 5.0),
    )


@pytest.fixture
def raw_series(brain_header):
    """Make a series as the fastMRI reader does; nothing of it is read."""

    def make(header=brain_header, n_slices=3, size=(20, 16), name="file_brain_AXFLAIR_200_6002447.h5", **changes):
        values = {
            "path": Path("/data") / name,
            "title": name,
            "kind": "fastmri",
            "n_slices": n_slices,
            "n_coils": 4,
            "matrix": (size[0] * 2, size[1]),
            "recon_size": size,
            "source": None,
            "has_reference": True,
            "header": header,
            "geometry": Geometry((0.6875, 0.5), 5.0, flip_rows=True),
        }
        return Series(**(values | changes))

    return make


@pytest.fixture
def result_of():
    """Make a Reconstruction of a series, of noise unless told otherwise."""

    def make(series, final=None, *, request=None, indices=None, **changes):
        indices = tuple(range(series.n_slices)) if indices is None else indices
        request = request or recon.Request(model="pcrnn-s", mask=recon.MaskSpec("random", acceleration=4, seed=7))
        if final is None:
            rng = np.random.default_rng(0)
            final = rng.random((len(indices), *series.recon_size), np.float32) * 3e-4
        mask = masks.make(
            replace(request.mask, kind="random") if "file:" in request.mask.kind else request.mask, (320, 320), "f"
        )
        values = {
            "series": series,
            "request": request,
            "indices": indices,
            "final": np.asarray(final, np.float32),
            "zero_filled": np.asarray(final, np.float32),
            "reference": None,
            "mask": mask,
            "weights_sha256": "ab" * 32,
            "versions": {"mri-workstation": recon.__version__, "torch": "2.13.0"},
        }
        return Reconstruction(**(values | changes))

    return make


@pytest.fixture
def export():
    """Write a result as DICOM; gives the files and what stands in them."""

    def write(result, folder, **keywords):
        files = dicom.write(result, folder, **keywords)
        return files, [pydicom.dcmread(file) for file in files]

    return write


@pytest.fixture
def assert_valid():
    """Run the validator of Debian's dicom3tools over files: it must find neither errors nor anything to warn of."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")

    def check(files):
        for file in files:
            done = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True)
            complaints = [
                line for line in (done.stdout + done.stderr).splitlines() if "Error" in line or "Warning" in line
            ]
            assert not complaints, "\n".join(complaints)
            assert done.returncode == 0
        done = subprocess.run(["dcentvfy", *map(str, files)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stdout + done.stderr

    return check
