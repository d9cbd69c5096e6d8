"""CG-SENSE solves its equations and undoes aliasing."""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise

import pytest
import torch

from recon import models
from recon.coils import root_sum_of_squares
from recon.errors import ModelError
from recon.fourier import ifft2c
from recon.masks import MaskSpec, make
from recon.operator import Encoding
from recon.phantom import PhantomSpec, coil_maps, slice_kspace


def make_scan(size=(48, 44), n_coils=6, kind="lines", noise=0.01):
    spec = PhantomSpec(n_slices=1, n_coils=n_coils, matrix=size, noise=noise)
    sensitivities = torch.from_numpy(coil_maps(spec)).to(torch.complex64)[None]
    maps = sensitivities / root_sum_of_squares(sensitivities, dim=1)[:, None]
    full = torch.from_numpy(slice_kspace(spec, 0))[None]
    mask = torch.from_numpy(make(MaskSpec("random", 2, seed=0), size).mask)
    if kind == "points":
        mask = torch.rand(size, generator=torch.Generator().manual_seed(0)) < 0.5
    return maps, full * mask, mask, (maps.conj() * ifft2c(full)).sum(1, keepdim=True)


def solve(scan, **parameters):
    maps, kspace, mask, _ = scan
    return list(models.create("cg-sense", kspace.shape[1], **parameters).stages(ifft2c(kspace), kspace, mask, maps))


def error(image, truth):
    return float(torch.linalg.vector_norm(image - truth) / torch.linalg.vector_norm(truth))


@pytest.mark.parametrize("kind", ["lines", "points"])
@pytest.mark.parametrize("size", [(48, 44), (31, 37)])
def test_it_solves_the_normal_equations(kind, size):
    maps, kspace, mask, _ = scan = make_scan(size, kind=kind)
    image = solve(scan, lambda_=0.05, tolerance=1e-5, n_iterations=200)[-1].image[:, 0]
    encoding = Encoding(mask, maps)
    wanted = encoding.adjoint(kspace)
    assert error(encoding.normal(image) + 0.05 * image, wanted) < 1e-3


def test_every_iterate_comes_closer():
    scan = make_scan()
    exact = solve(scan, tolerance=1e-6, n_iterations=300)[-1].image
    errors = [error(stage.image, exact) for stage in solve(scan, n_iterations=40, tolerance=0.0)]
    assert all(after < before for before, after in pairwise(errors))
    assert errors[-1] < 0.05


def test_full_sampling_is_solved_in_one_iteration():
    maps, _, _, truth = make_scan(noise=0)
    mask = torch.ones(1, 44, dtype=torch.bool)
    kspace = Encoding(mask, maps).forward(truth[:, 0])
    stages = solve((maps, kspace, mask, None), lambda_=0.0)
    assert [stage.path for stage in stages] == [("final",)]
    assert error(stages[-1].image, truth) < 1e-3


@pytest.mark.parametrize("kind", ["lines", "points"])
def test_it_beats_zero_filling(kind):
    scan = make_scan(kind=kind)
    maps, kspace, _, truth = scan
    zero_filled = (maps.conj() * ifft2c(kspace)).sum(1, keepdim=True)
    found = solve(scan)[-1].image
    assert found.shape == truth.shape
    assert error(found, truth) < 0.8 * error(zero_filled, truth)


@pytest.mark.parametrize("factor", [1e-6, 1e4])
def test_the_scale_of_the_data_is_the_scale_of_the_image(factor):
    maps, kspace, mask, _ = make_scan()
    found = solve((maps, kspace, mask, None))[-1].image
    scaled = solve((maps, factor * kspace, mask, None))[-1].image
    torch.testing.assert_close(scaled / factor, found, rtol=0, atol=1e-4 * float(found.abs().max()))


def test_an_empty_entry_stays_empty_and_disturbs_nobody():
    maps, kspace, mask, _ = make_scan()
    alone = solve((maps, kspace, mask, None), tolerance=0.0, n_iterations=12)[-1].image
    both = (torch.cat([maps, maps]), torch.cat([kspace, 0 * kspace]), mask, None)
    found = solve(both, tolerance=0.0, n_iterations=12)[-1].image
    assert error(found[:1], alone) < 1e-4
    assert float(found[1].abs().max()) == 0


def test_stages_and_closing():
    scan = make_scan()
    stages = solve(scan, tolerance=0.0, n_iterations=12)
    assert [stage.path for stage in stages] == [("iterate", 5), ("iterate", 10), ("final",)]
    assert [stage.progress for stage in stages] == pytest.approx([5 / 12, 10 / 12, 1])
    assert len({stage.image.data_ptr() for stage in stages}) == 3
    maps, kspace, mask, _ = scan
    with closing(models.create("cg-sense", 6).stages(ifft2c(kspace), kspace, mask, maps)) as stream:
        assert next(stream).path == ("iterate", 5)
    assert next(stream, None) is None


def test_one_coil_needs_no_maps_and_several_do():
    _, kspace, mask, _ = make_scan(n_coils=1)
    found = solve((None, kspace, mask, None), lambda_=0.0)[-1].image
    assert error(found, ifft2c(kspace)) < 1e-4  # the least-squares image of one coil is the zero-filled one
    _, kspace, mask, _ = make_scan(n_coils=2)
    with pytest.raises(ModelError, match="CG-SENSE needs sensitivity maps for the 2 coils"):
        solve((None, kspace, mask, None))


def test_impossible_parameters_are_named():
    with pytest.raises(ModelError, match=r"CG-SENSE: lambda is -1.*n_iterations is 0.*tolerance is 2"):
        models.create("cg-sense", lambda_=-1.0, n_iterations=0, tolerance=2.0)
