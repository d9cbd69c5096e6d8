"""GRAPPA fills regular patterns, keeps what was measured, and says what it cannot fill."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon import masks, models
from recon.coils import root_sum_of_squares
from recon.errors import ModelError
from recon.fourier import fft2c, ifft2c
from recon.masks import MaskSpec
from recon.models.grappa import GrappaParameters, geometries
from recon.phantom import PhantomSpec, slice_kspace


@pytest.fixture(scope="module")
def scan():
    spec = PhantomSpec(n_coils=8, matrix=(128, 120), n_slices=1, noise=0.003)
    return torch.from_numpy(slice_kspace(spec, 0))[None]


def lines(kind, n_columns, **values):
    return masks.make(MaskSpec(kind, seed=3, **values), (n_columns, n_columns)).mask


def psnr(image, reference):
    return float(10 * torch.log10(reference.max() ** 2 / (image - reference).square().mean()))


@pytest.mark.parametrize(("acceleration", "at_least"), [(2, 40.0), (3, 34.0)])
@pytest.mark.parametrize("kind", ["equispaced", "magic"])
def test_a_phantom_is_rebuilt(scan, kind, acceleration, at_least):
    mask = torch.from_numpy(lines(kind, 120, acceleration=acceleration, center_fraction=0.2))
    measured = scan * mask
    reference = root_sum_of_squares(ifft2c(scan), dim=1)
    zero_filled = ifft2c(measured)
    image = models.create("grappa", 8)(zero_filled, measured, mask)
    assert image.shape == scan.shape
    assert image.dtype == torch.complex64
    score = psnr(root_sum_of_squares(image, dim=1), reference)
    assert score > at_least
    assert score > psnr(root_sum_of_squares(zero_filled, dim=1), reference) + 10
    # Every measured sample is still there.
    torch.testing.assert_close(fft2c(image) * mask, measured, atol=1e-5 * float(scan.abs().max()), rtol=0)


@pytest.mark.parametrize("regularization", [1e-2, 1e-30])
def test_the_fit_is_the_same_however_often_threads_were_set(scan, regularization):
    mask = torch.from_numpy(lines("equispaced", 120, acceleration=3, center_fraction=0.2))
    measured = scan * mask
    grappa = models.create("grappa", 8, regularization=regularization)
    before = grappa(ifft2c(measured), measured, mask)
    assert before.isfinite().all()
    n_threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            after = grappa(ifft2c(measured), measured, mask)
            torch.testing.assert_close(after, before, atol=1e-4 * float(before.abs().max()), rtol=0)
    finally:
        torch.set_num_threads(n_threads)


def test_a_fraction_pattern_is_filled_from_its_few_geometries(scan):
    mask = lines("equispaced-fraction", 120, acceleration=2.5, center_fraction=0.2)
    steps = np.diff(np.flatnonzero(mask[0]))
    assert len(set(steps[steps > 1])) > 1
    assert len(geometries(mask[0], 24)) < (~mask).sum()
    measured = scan * torch.from_numpy(mask)
    image = models.create("grappa", 8)(ifft2c(measured), measured, torch.from_numpy(mask))
    assert psnr(root_sum_of_squares(image, dim=1), root_sum_of_squares(ifft2c(scan), dim=1)) > 32


@pytest.mark.parametrize("size", [(40, 48), (33, 45)])
def test_exact_where_the_coils_are_shifts_of_each_other(size):
    """A coil of constant magnitude and linear phase shifts k-space by a column: the missing ones stand next door."""
    object_ = torch.randn(2, *size, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    full = torch.stack([object_, object_.roll(1, -1), object_.roll(-1, -1)], dim=1)
    mask = torch.zeros(1, size[1], dtype=torch.bool)
    mask[:, 1::2] = True
    mask[:, size[1] // 2 - 6 : size[1] // 2 + 6] = True
    measured = full * mask
    model = models.create("grappa", 3, regularization=1e-7)
    filled = fft2c(model(ifft2c(measured), measured, mask))
    first, last = np.flatnonzero(mask[0])[[0, -1]]
    torch.testing.assert_close(filled[..., first : last + 1], full[..., first : last + 1], atol=2e-3, rtol=0)
    # Nothing is invented beyond the last measured column.
    assert float(filled[..., :first].abs().max()) < 1e-5


def test_entries_of_a_batch_do_not_see_each_other():
    kspace = torch.randn(2, 4, 32, 40, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(2, 1, 1, 40, dtype=torch.bool)
    mask[0, ..., ::2] = mask[1, ..., 1::3] = mask[..., 12:28] = True
    model = models.create("grappa", 4)
    both = model(ifft2c(kspace * mask), kspace * mask, mask)
    for index in range(2):
        measured = kspace[index : index + 1] * mask[index]
        alone = model(ifft2c(measured), measured, mask[index, 0])
        torch.testing.assert_close(both[index : index + 1], alone, atol=1e-5, rtol=1e-4)


def test_a_full_mask_returns_the_data_and_zero_coils_stay_zero():
    kspace = torch.randn(1, 3, 24, 20, dtype=torch.complex64, generator=torch.Generator().manual_seed(2))
    full = torch.ones(1, 20, dtype=torch.bool)
    model = models.create("grappa", 3)
    torch.testing.assert_close(model(ifft2c(kspace), kspace, full), ifft2c(kspace))
    kspace[:, 2] = 0
    mask = full.clone()
    mask[:, [1, 3, 15, 17]] = False
    image = model(ifft2c(kspace * mask), kspace * mask, mask)
    assert bool(image.isfinite().all())
    assert float(image[:, 2].abs().max()) == 0


def test_geometries_are_the_nearest_columns_and_fit_into_the_calibration_lines():
    sampled = np.zeros(30, bool)
    sampled[0::3] = sampled[9:22] = True
    found = geometries(sampled, 24)
    assert found[-4, -1, 2, 5] == [4]
    assert found[-5, -2, 1, 4] == [5]
    assert found[-1, 2, 5] == [1]  # the edge has one neighbour on its left
    assert all(28 not in columns for columns in found.values())  # beyond the last measured column
    narrow = geometries(sampled, 8)
    assert all(geometry[-1] - geometry[0] <= 4 for geometry in narrow)
    assert narrow[-1, 2] == [1, 4, 25]


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (
            lines("random", 96, acceleration=4),
            r"regularly spaced columns, the mask has steps of \d+ to \d+.*“Equispaced lines” \(equispaced\)",
        ),
        (lines("gaussian-2d", 96, acceleration=4), "whole columns of k-space, the mask has single points"),
        (np.arange(96)[None] % 4 == 1, "needs calibration lines.*has none; raise the centre fraction"),
        (np.abs(np.arange(96)[None] - 48) < 8, "measured columns all over k-space"),
        ((np.arange(96)[None] % 8 == 0) | (np.abs(np.arange(96)[None] - 48) < 3), "needs at least 9 calibration lines"),
    ],
    ids=["random", "points", "no calibration", "centre alone", "too few lines"],
)
def test_what_it_cannot_fill_is_named(mask, sentence):
    kspace = torch.ones(1, 2, 96, 96, dtype=torch.complex64)
    with pytest.raises(ModelError, match=sentence):
        models.create("grappa", 2)(kspace, kspace, torch.from_numpy(mask))


def test_one_coil_is_declined():
    kspace = torch.ones(1, 1, 16, 16, dtype=torch.complex64)
    with pytest.raises(ModelError, match="needs several coils"):
        models.create("grappa", 1)(kspace, kspace, torch.ones(1, 16, dtype=torch.bool))


@pytest.mark.parametrize("values", [{"n_rows": 4}, {"n_columns": 3}, {"n_columns": 0}, {"regularization": 0.0}])
def test_impossible_parameters_are_refused(values):
    with pytest.raises(ModelError, match=next(iter(values))):
        GrappaParameters(**values)


@pytest.mark.parametrize(("n_y", "n_rows", "n_available"), [(128, 65, 64), (63, 65, 63), (4, 5, 4)])
def test_a_kernel_of_more_rows_than_there_are_says_so(scan, n_y, n_rows, n_available):
    mask = torch.from_numpy(lines("equispaced", 120, acceleration=2, center_fraction=0.2))
    measured = scan[..., :n_y, :] * mask
    most = n_available - 1 + n_available % 2
    with pytest.raises(ModelError, match=rf"has {n_rows} rows, .* have {n_available}; set n_rows to {most} or less"):
        models.create("grappa", 8, n_rows=n_rows)(ifft2c(measured), measured, mask)
    assert models.create("grappa", 8, n_rows=most)(ifft2c(measured), measured, mask).isfinite().all()


def test_weights_that_its_calibration_lines_do_not_determine_are_doubted(scan):
    reference = root_sum_of_squares(ifft2c(scan), dim=1)
    for acceleration, fraction, is_doubted in ((2, 0.05, False), (4, 0.1, False), (8, 0.1, True)):
        mask = torch.from_numpy(lines("equispaced", 120, acceleration=acceleration, center_fraction=fraction))
        zero_filled = ifft2c(scan * mask)
        grappa = models.create("grappa", 8)
        image, before = (
            root_sum_of_squares(one, dim=1) for one in (grappa(zero_filled, scan * mask, mask), zero_filled)
        )
        assert any("are too few for this acceleration" in note for note in grappa.notes) == is_doubted
        assert (psnr(image, reference) < psnr(before, reference)) == is_doubted
