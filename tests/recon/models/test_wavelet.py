"""The wavelet transform is orthogonal, the solver finds the minimum, and the image gains by it."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise

import pytest
import torch

from recon import masks, models
from recon.errors import ModelError
from recon.fourier import centre_crop, fft2c, ifft2c
from recon.io import cfl
from recon.masks import MaskSpec
from recon.models.wavelet import WaveletParameters, WaveletSolver, WaveletTransform, scaling_filter, shorten
from recon.operator import NormalOperator
from recon.phantom import PhantomSpec, coil_maps, slice_kspace

pywt = pytest.importorskip("pywt")


def random_complex(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def energy(values):
    return float(values.abs().square().sum())


@pytest.mark.parametrize("name", ["db1", "db2", "db4", "sym4", "coif1", "db10"])
def test_the_transform_is_orthogonal(name):
    transform = WaveletTransform(scaling_filter(name), 2)
    image = random_complex(2, 48, 64)
    coarse, details = transform.forward(image)
    assert coarse.shape == (2, 12, 16)
    assert [tuple(detail.shape) for detail in details] == [(2, 3, 24, 32), (2, 3, 12, 16)]
    # Perfect reconstruction, Parseval's equation, and the adjoint.
    torch.testing.assert_close(transform.inverse(coarse, details), image, atol=1e-5, rtol=0)
    assert energy(coarse) + sum(energy(detail) for detail in details) == pytest.approx(energy(image), rel=1e-5)
    other = random_complex(2, 48, 64, seed=1)
    other_coarse, other_details = transform.forward(other)
    product = torch.vdot(coarse.flatten(), other_coarse.flatten())
    for own, theirs in zip(details, other_details, strict=True):
        product = product + torch.vdot(own.flatten(), theirs.flatten())
    torch.testing.assert_close(product, torch.vdot(image.flatten(), other.flatten()), rtol=1e-4, atol=1e-2)


def test_the_coefficients_are_those_of_pywavelets():
    image = random_complex(1, 32, 32)
    # PyWavelets begins a period one sample later.
    coarse, (details,) = WaveletTransform(scaling_filter("db4"), 1).forward(image.roll((1, 1), (-2, -1)))
    theirs = pywt.dwt2(image[0].numpy(), "db4", mode="periodization")
    ours = [coarse[0], details[0, 1], details[0, 0], details[0, 2]]  # its horizontal details change along y
    for own, reference in zip(ours, (theirs[0], *theirs[1]), strict=True):
        # Which of them is called the first, and the sign of a detail, is a matter of taste.
        assert sorted(own.abs().flatten().tolist()) == pytest.approx(sorted(abs(reference).flatten()), abs=1e-4)


def test_smooth_images_have_small_details():
    y, x = torch.meshgrid(torch.linspace(0, 6.2832, 65)[:-1], torch.linspace(0, 6.2832, 65)[:-1], indexing="ij")
    image = torch.complex(torch.cos(y), torch.sin(x))[None]
    _, details = WaveletTransform(scaling_filter("db4"), 1).forward(image)
    assert energy(details[0]) < 1e-6 * energy(image)


def test_shortening_is_the_proximal_operator_of_the_absolute_value():
    values, limit = random_complex(200), 0.7
    short = shorten(values, limit)

    def cost(candidate):
        return 0.5 * (candidate - values).abs().square() + limit * candidate.abs()

    for seed in range(1, 6):
        assert bool((cost(short) <= cost(short + 0.05 * random_complex(200, seed=seed)) + 1e-6).all())
    assert bool((short[values.abs() <= limit] == 0).all())
    assert bool(shorten(torch.zeros(2, dtype=torch.complex64), 0.0).isfinite().all())


def objective(estimate, normal, aligned, transform, lambda_):
    """½‖y − A x‖² + λ‖Ψ x‖₁ without shifts, less ½‖y‖², which does not depend on x, on the grid of the wavelets."""
    image = centre_crop(estimate, aligned.shape[-2:])
    data = torch.real((image.conj() * (0.5 * normal(image) - aligned)).sum())
    coarse, details = transform.forward(estimate)
    return float(data + lambda_ * sum(part.abs().sum() for part in (coarse, *details)))


@pytest.mark.parametrize("size", [(32, 40), (37, 45)])
def test_the_solver_reaches_the_minimum(size):
    mask = torch.zeros(1, size[1], dtype=torch.bool)
    mask[:, ::2] = mask[:, 16:26] = True
    maps = torch.ones(1, 1, *size, dtype=torch.complex64)
    aligned = ifft2c(fft2c(random_complex(1, *size)) * mask)
    values = WaveletParameters(lambda_=0.3, is_shifted=False, n_levels=2)
    normal, transform = NormalOperator(mask, maps), WaveletTransform(scaling_filter("db2"), 2)
    solver = WaveletSolver(normal, aligned, scaling_filter("db2"), values)

    def cost(estimate):
        return objective(estimate, normal, aligned, transform, values.lambda_)

    changes = [float(solver.step()) for _ in range(60)]
    best = solver._estimate
    least = cost(best)
    assert least < cost(transform.pad(aligned))
    assert changes[-1] < 0.1 * changes[0]
    # A fixed point of the proximal gradient step is the minimum of a convex function; nothing nearby is lower.
    for seed in range(4):
        assert cost(best + 0.01 * random_complex(*best.shape, seed=seed)) > least


@pytest.fixture(scope="module")
def scan():
    spec = PhantomSpec(n_coils=4, matrix=(64, 60), n_slices=1, noise=0.002)
    full = torch.from_numpy(slice_kspace(spec, 0))[None]
    maps = torch.from_numpy(coil_maps(spec)).to(torch.complex64)[None]
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    mask = torch.from_numpy(masks.make(MaskSpec("random", acceleration=3, center_fraction=0.2, seed=1), (64, 60)).mask)
    reference = (maps.conj() * ifft2c(full)).sum(1, keepdim=True)
    return full * mask, mask, maps, reference


def error(image, reference):
    return float(torch.linalg.vector_norm(image - reference) / torch.linalg.vector_norm(reference))


def test_a_phantom_gains(scan):
    measured, mask, maps, reference = scan
    zero_filled = ifft2c(measured)
    model = models.create("cs-wavelet", 4, n_iterations=20)
    with torch.inference_mode():
        stages = list(model.stages(zero_filled, measured, mask, maps))
        again = model(zero_filled, measured, mask, maps)
        louder = model(1000 * zero_filled, 1000 * measured, mask, maps)
    assert [stage.path for stage in stages] == [*(("iterate", number) for number in range(5, 20, 5)), ("final",)]
    assert all(a.progress < b.progress for a, b in pairwise(stages))
    image = stages[-1].image
    assert image.shape == (1, 1, 64, 60)
    assert error(image, reference) < 0.7 * error((maps.conj() * zero_filled).sum(1, keepdim=True), reference)
    assert torch.equal(again, image)
    # λ is a share of the brightness: the unit of the data does not matter.
    torch.testing.assert_close(louder / 1000, image, rtol=1e-3, atol=1e-3 * float(image.abs().max()))


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
@pytest.mark.parametrize(("weight", "before"), [(0.01, 0.02), (0.05, 0.06)])
def test_bart_finds_the_same_minimum_and_moves_along_the_data_once_more(tmp_path, weight, before):
    spec = PhantomSpec(n_coils=4, matrix=(64, 64), n_slices=1, noise=0.002)
    maps = torch.from_numpy(coil_maps(spec)).to(torch.complex64)[None]
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    mask = torch.from_numpy(masks.make(MaskSpec("random", acceleration=3, center_fraction=0.2, seed=1), (64, 64)).mask)
    measured = torch.from_numpy(slice_kspace(spec, 0))[None] * mask
    for name, values in (("kspace", measured), ("maps", maps)):
        cfl.write(tmp_path / name, values[0].permute(1, 2, 0)[None].numpy())
    command = f"pics -d0 -n -S -i 150 -R W:7:0:{weight} --wavelet haar kspace maps image"
    subprocess.run(["bart", *command.split()], cwd=tmp_path, check=True)
    theirs = torch.from_numpy(cfl.read(tmp_path / "image").reshape(1, 1, 64, 64))
    values = {"lambda_": weight, "wavelet": "db1", "is_shifted": False, "n_iterations": 150, "tolerance": 0.0}
    ours = models.create("cs-wavelet", 4, **values)(ifft2c(measured), measured, mask, maps)
    step = 0.95 * (maps.conj() * ifft2c(measured - mask * fft2c(maps * ours))).sum(1, keepdim=True)
    assert error(ours + step, theirs) < 5e-3 < error(ours, theirs) < before


def test_one_coil_takes_no_maps_and_several_do(scan):
    measured, mask, _, _ = scan
    one = measured[:, :1]
    image = models.create("cs-wavelet", 1, n_iterations=5)(ifft2c(one), one, mask)
    assert image.shape == (1, 1, 64, 60)
    with pytest.raises(ModelError, match="needs sensitivity maps"):
        models.create("cs-wavelet", 4)(ifft2c(measured), measured, mask)


def test_no_weight_on_full_data_returns_the_image(scan):
    _, _, maps, reference = scan
    full = fft2c(maps * reference)
    mask = torch.ones(1, 60, dtype=torch.bool)
    image = models.create("cs-wavelet", 4, lambda_=0.0, n_iterations=3)(ifft2c(full), full, mask, maps)
    assert error(image, reference) < 1e-3


@pytest.mark.parametrize("size", [(9, 11), (16, 17)])
def test_images_smaller_than_a_filter(size):
    kspace, mask = random_complex(1, 1, *size), torch.ones(1, size[1], dtype=torch.bool)
    image = models.create("cs-wavelet", 1, wavelet="db10", n_iterations=3)(ifft2c(kspace), kspace, mask)
    assert image.shape == (1, 1, *size)
    assert bool(image.isfinite().all())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lambda_": -1.0}, "lambda is -1.0"),
        ({"n_iterations": 0}, "n_iterations is 0"),
        ({"tolerance": 1.0}, "tolerance is 1.0"),
        ({"n_levels": 0}, "n_levels is 0"),
        ({"wavelet": "db99"}, "no wavelet 'db99'"),
        ({"wavelet": "bior2.2"}, "not orthogonal"),
        ({"wavelet": "db20"}, "has 40 taps"),
    ],
)
def test_impossible_parameters_are_refused(values, sentence):
    with pytest.raises(ModelError, match=sentence):
        models.create("cs-wavelet", 1, **values)
