"""A result to export: two slices of noise around a disc, as a network with three modules would leave them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import recon
from recon import masks
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
