"""Total variation finds the minimum of its objective, as BART does, whatever the size, scale and mask."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from recon import interruption, models
from recon.coils import root_sum_of_squares
from recon.data import Header
from recon.errors import ModelError
from recon.fourier import fft2c, ifft2c
from recon.io import open_study
from recon.masks import MaskSpec, make
from recon.models.iterative import as_real
from recon.models.regularization import choose_lambda
from recon.models.scaling import bart_scale
from recon.models.total_variation import (
    TotalVariationSolver,
    gradient,
    gradient_adjoint,
    laplacian,
)
from recon.operator import Encoding, NormalOperator
from recon.phantom import PhantomSpec, coil_maps, slice_kspace, write
from recon.pipeline import Plan
from recon.request import Request


def random_complex(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def make_scan(size=(64, 60), n_coils=5, kind="lines", seed=0):
    """Return maps, undersampled k-space, mask and truth of a phantom: what a method gets, and what it should find."""
    spec = PhantomSpec(n_slices=1, n_coils=n_coils, matrix=size, noise=0.02)
    sensitivities = torch.from_numpy(coil_maps(spec)).to(torch.complex64)[None]
    maps = sensitivities / root_sum_of_squares(sensitivities, dim=1)[:, None]
    full = torch.from_numpy(slice_kspace(spec, 0))[None]
    if kind == "lines":
        mask = torch.from_numpy(make(MaskSpec("random", 3, seed=seed), size).mask)
    else:
        mask = torch.rand(size, generator=torch.Generator().manual_seed(seed)) < 0.35
        mask[size[0] // 2 - 6 : size[0] // 2 + 6, size[1] // 2 - 6 : size[1] // 2 + 6] = True
    return maps, full * mask, mask, (maps.conj() * ifft2c(full)).sum(1, keepdim=True)


def solve(scan, **parameters):
    maps, kspace, mask, _ = scan
    model = models.create("cs-tv", kspace.shape[1], **parameters)
    return list(model.stages(ifft2c(kspace), kspace, mask, maps))


def error(image, truth):
    return float(torch.linalg.vector_norm(image - truth) / torch.linalg.vector_norm(truth))


def objective(image, scan, lambda_):
    """½‖y/s − A x/s‖² + λ‖∇x/s‖₂,₁, written down once more, in double precision, as the definition reads."""
    maps, kspace, mask, _ = scan
    scale = bart_scale(kspace, mask)
    image, data = (image[:, 0] / scale[:, 0]).to(torch.complex128), (kspace / scale).to(torch.complex128)
    residual = Encoding(mask, maps.to(torch.complex128)).forward(image) - data
    steps = torch.stack([torch.roll(image, -1, dim) - image for dim in (-2, -1)])
    return float(0.5 * residual.abs().square().sum() + lambda_ * steps.abs().square().sum(0).sqrt().sum())


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (5, 2)])
def test_gradient_has_its_adjoint_and_the_eigenvalues_of_its_square(size):
    image, vectors = random_complex(2, *size), random_complex(2, 2, *size, seed=1)
    forward, backward = torch.empty(2, 2, size[0], 2 * size[1]), torch.empty(2, size[0], 2 * size[1])
    gradient(as_real(image), forward)
    gradient_adjoint(torch.view_as_real(vectors).flatten(-2), backward)
    left, right = (forward * torch.view_as_real(vectors).flatten(-2)).sum(), (backward * as_real(image)).sum()
    torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-4)
    gradient_adjoint(forward, backward)
    in_fourier_space = torch.fft.ifft2(torch.fft.fft2(image) * laplacian(image))
    torch.testing.assert_close(backward, as_real(in_fourier_space), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["lines", "points"])
@pytest.mark.parametrize("size", [(24, 20), (13, 17)])
def test_the_fast_normal_operator_is_the_normal_operator(kind, size):
    maps, _, mask, _ = make_scan((64, 60), 5, kind)
    maps, mask = maps[..., : size[0], : size[1]], mask[..., : size[0], : size[1]]
    image = random_complex(2, *size)
    maps = torch.cat([maps, 2 * maps.flip(1)])
    for batch_mask in (mask, torch.stack([mask, mask.roll(1, -1)])[:, None]):
        wanted = Encoding(batch_mask, maps).normal(image)
        found = NormalOperator(batch_mask, maps)(image)
        assert error(found, wanted) < 2e-4
    bound = NormalOperator(mask, maps).norm_bound.flatten()
    torch.testing.assert_close(bound[1], 4 * bound[0])


def test_golden_bart(vectors):
    golden = np.load(vectors / "bart_cs.npz")
    mask = torch.from_numpy(golden["mask"])[None] > 0
    full = torch.from_numpy(golden["kspace_full"])[None]
    maps = torch.from_numpy(golden["sens_r15"])[None]
    truth = golden["rss_full"]

    def psnr(image):
        return 10 * np.log10(truth.max() ** 2 / np.mean((image - truth) ** 2))

    gains = []
    for lambda_ in (0.05, 0.01):
        found = solve((maps, full * mask, mask, None), lambda_=lambda_)[-1].image[0, 0].abs().numpy()
        bart = golden[f"pics_S_TV_{lambda_}"]
        assert np.linalg.norm(found - bart) < 0.1 * np.linalg.norm(bart)
        gains.append(psnr(found) - psnr(bart))
    assert abs(gains[0]) < 0.5
    # At the smaller λ BART's limit of 200 stops it well before the minimum; the minimum is closer to the truth.
    assert -0.5 < gains[1] < 2.0


@pytest.mark.parametrize("kind", ["lines", "points"])
@pytest.mark.parametrize("lambda_", [0.05, 0.001])
def test_the_objective_falls_to_its_minimum(kind, lambda_):
    scan = make_scan((40, 36), 4, kind)
    stages = solve(scan, lambda_=lambda_)
    values = [objective(stage.image, scan, lambda_) for stage in stages]
    assert all(after <= 1.001 * before for before, after in pairwise(values))
    best = solve(scan, lambda_=lambda_, tolerance=0.0, n_iterations=600)[-1].image
    least = objective(best, scan, lambda_)
    start = objective(torch.zeros_like(best), scan, lambda_)
    assert -1e-5 * start < values[-1] - least < 5e-4 * (start - least)
    # No small change of the long run's image does better: it is the minimum and not just a place to rest.
    for seed in range(3):
        change = 1e-3 * best.abs().mean() * random_complex(*best.shape, seed=seed)
        assert objective(best + change, scan, lambda_) > least


def test_the_solver_knows_its_objective():
    maps, kspace, mask, _ = scan = make_scan()
    scale = bart_scale(kspace, mask)
    aligned = (maps.conj() * ifft2c(kspace)).sum(1) / scale[:, 0]
    solver = TotalVariationSolver(NormalOperator(mask, maps), aligned, 0.02)
    for _ in range(7):
        solver.step()
    wanted = objective((solver.image * scale[:, 0])[:, None], scan, 0.02)
    energy = 0.5 * float((kspace / scale).abs().square().sum())
    assert float(solver.objective()) + energy == pytest.approx(wanted, rel=1e-3)


def test_without_weight_it_is_least_squares():
    maps, kspace, mask, _ = scan = make_scan((32, 30), 8, "points")
    least_squares = models.create("cg-sense", 8, lambda_=0.0, tolerance=1e-5, n_iterations=300)
    wanted = least_squares(ifft2c(kspace), kspace, mask, maps)
    assert error(wanted, (maps.conj() * ifft2c(kspace)).sum(1, keepdim=True)) > 0.05
    for lambda_ in (0.0, 1e-6):
        found = solve(scan, lambda_=lambda_, tolerance=0.0, n_iterations=400)[-1].image
        assert error(found, wanted) < 0.02


@pytest.mark.parametrize("factor", [1e-5, 300.0])
def test_the_scale_of_the_data_is_the_scale_of_the_image(factor):
    maps, kspace, mask, truth = make_scan()
    # Without the stop rule, which rounding can delay by one look at the objective.
    steps = {"lambda_": 0.02, "tolerance": 0.0, "n_iterations": 200}
    found = solve((maps, kspace, mask, truth), **steps)[-1].image
    scaled = solve((maps, factor * kspace, mask, truth), **steps)[-1].image
    torch.testing.assert_close(scaled / factor, found, rtol=0, atol=1e-4 * float(found.abs().max()))


@pytest.mark.parametrize(
    ("size", "n_coils", "kind"), [((64, 60), 5, "lines"), ((64, 60), 5, "points"), ((67, 61), 4, "lines")]
)
def test_it_beats_zero_filling(size, n_coils, kind):
    maps, kspace, mask, truth = make_scan(size, n_coils, kind)
    zero_filled = (maps.conj() * ifft2c(kspace)).sum(1, keepdim=True)
    found = solve((maps, kspace, mask, truth))[-1].image
    assert found.shape == truth.shape
    assert error(found, truth) < 0.8 * error(zero_filled, truth)


def test_a_batch_is_its_entries():
    one, other = make_scan(seed=0), make_scan(seed=0)
    other = (other[0].flip(-2), 10 * fft2c(ifft2c(other[1]).flip(-2)) * other[2], other[2], None)
    both = (torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]]), one[2], None)
    found = solve(both, lambda_=0.02, tolerance=0.0, n_iterations=20)[-1].image
    for entry, scan in enumerate((one, other)):
        alone = solve(scan, lambda_=0.02, tolerance=0.0, n_iterations=20)[-1].image
        assert error(found[entry], alone[0]) < 1e-3


def test_one_coil_needs_no_maps_and_several_do():
    _, kspace, mask, _ = make_scan(n_coils=1)
    found = solve((None, kspace, mask, None))[-1].image
    ones = solve((torch.ones_like(kspace), kspace, mask, None))[-1].image
    torch.testing.assert_close(found, ones)
    assert 0 < error(found, ifft2c(kspace)) < 1
    _, kspace, mask, _ = make_scan(n_coils=3)
    with pytest.raises(ModelError, match="CS-TV needs sensitivity maps for the 3 coils"):
        solve((None, kspace, mask, None))


def test_empty_maps_and_empty_data_give_an_empty_image():
    maps, kspace, mask, _ = make_scan()
    partly = maps * (torch.arange(60) > 20)
    assert bool(solve((partly, kspace, mask, None))[-1].image.isfinite().all())
    for scan in ((0 * maps, kspace, mask, None), (maps, 0 * kspace, mask, None)):
        assert float(solve(scan)[-1].image.abs().max()) == 0


def test_stages_come_in_order_and_say_how_far_they_are():
    maps, kspace, mask, _ = make_scan()
    stages = solve((maps, kspace, mask, None), tolerance=0.0, n_iterations=23)
    assert [stage.path for stage in stages] == [("iterate", n) for n in (5, 10, 15, 20)] + [("final",)]
    assert [stage.is_final for stage in stages] == [False] * 4 + [True]
    assert [stage.progress for stage in stages] == pytest.approx([5 / 23, 10 / 23, 15 / 23, 20 / 23, 1])
    images = [stage.image for stage in stages]
    assert all(image.shape == (1, 1, 64, 60) and image.dtype == torch.complex64 for image in images)
    # A stage is a picture of its moment: the solver goes on in other memory.
    assert not any(torch.equal(one, other) for one, other in pairwise(images))
    assert len(stages) == models.create("cs-tv", 5, n_iterations=23).n_stages


def test_closing_ends_it_and_a_wish_to_stop_is_heard_after_one_iteration():
    maps, kspace, mask, _ = make_scan()
    model = models.create("cs-tv", 5)
    with closing(model.stages(ifft2c(kspace), kspace, mask, maps)) as stream:
        assert next(stream).path == ("iterate", 5)
    assert next(stream, None) is None
    with interruption.watching(lambda: True), closing(model.stages(ifft2c(kspace), kspace, mask, maps)) as stream:
        assert next(stream).path == ("iterate", 1)


def test_lambda_follows_the_scan_unless_it_is_set():
    assert choose_lambda("CORPDFS_FBK", 15, 4.0).value == 0.001
    assert choose_lambda("CORPDFS_FBK", 15, 7.6).value == 0.01
    assert choose_lambda("corpd_fbk", 1, 8.0).value == 0.1
    assert choose_lambda("AXFLAIR", 1, 8.0).value == 0.001
    assert choose_lambda(None, 4, 4.0).value == choose_lambda("a knee", 4, 8.0).value == 0.01
    left, set_by_user = models.create("cs-tv"), models.create("cs-tv", lambda_=0.05)
    for model in (left, set_by_user):
        model.meet_scan("AXT1", 16, 3.9)
    assert (left.parameters_.lambda_, set_by_user.parameters_.lambda_) == (0.001, 0.05)


def test_the_pipeline_hands_the_contrast_over(tmp_path):
    series = open_study(write(tmp_path / "p.h5", PhantomSpec(n_slices=1, n_coils=2, matrix=(32, 32)))).series[0]
    known = replace(series, header=Header(acquisition="AXT1PRE"))
    request = Request(model="cs-tv", mask=MaskSpec("random", 4, center_fraction=0.2))
    set_by_user = replace(request, overrides={"lambda_": 0.05})
    for scan, asked, value, origin in (
        (known, request, 0.001, "fastMRI's table: AXT1PRE, an array, 4x"),
        (replace(series, header=Header()), request, 0.01, "the default: the scan is not in fastMRI's table"),
        (known, set_by_user, 0.05, "set by the user"),
    ):
        plan = Plan(scan, asked)
        assert plan.model.parameters_.lambda_ == value
        assert plan.parameters == {"lambda_": value, "n_iterations": 200, "tolerance": 1e-6}
        assert plan.parameter_origins == {"lambda_": origin}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lambda_": -0.1}, "lambda is -0.1"),
        ({"lambda_": float("nan")}, "lambda is nan"),
        ({"n_iterations": 0, "tolerance": 1.0}, "at least one is needed; tolerance is 1.0"),
    ],
)
def test_impossible_parameters_are_named(values, words):
    with pytest.raises(ModelError, match=words):
        models.create("cs-tv", **values)
