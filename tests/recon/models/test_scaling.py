"""The scale of compressed sensing is the one that BART prints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon.models.scaling import bart_scale, sampled_centre


def test_golden_value(vectors):
    golden = np.load(vectors / "bart_cs.npz")
    mask = torch.from_numpy(golden["mask"]) > 0
    kspace = torch.from_numpy(golden["kspace_full"]) * mask
    assert float(bart_scale(kspace, mask[None])) == pytest.approx(1780.975464, rel=1e-6)
    # A mask of points with the same samples makes the same block.
    assert float(bart_scale(kspace, mask.expand(96, 96))) == pytest.approx(1780.975464, rel=1e-6)


def test_every_batch_entry_has_its_own_scale_and_its_own_mask():
    kspace = torch.randn(2, 3, 40, 36, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    kspace[1] *= 50
    lines = torch.zeros(2, 1, 1, 36, dtype=torch.bool)
    lines[0, ..., 14:22] = lines[1, ..., 10:26] = True
    both = bart_scale(kspace * lines, lines)
    assert both.shape == (2, 1, 1, 1)
    for index in range(2):
        alone = bart_scale(kspace[index] * lines[index, 0], lines[index, 0])
        assert float(alone) == pytest.approx(float(both[index]))
        assert float(bart_scale(7 * kspace[index] * lines[index, 0], lines[index, 0])) == pytest.approx(
            7 * float(both[index]), rel=1e-5
        )


def test_the_block_grows_to_the_first_missing_sample_and_no_further():
    mask = torch.zeros(60, 50, dtype=torch.bool)
    mask[24:36, 16:34] = True
    assert sampled_centre(mask) == (slice(24, 36), slice(16, 34))
    assert sampled_centre(torch.ones(60, 50, dtype=torch.bool)) == (slice(14, 46), slice(9, 41))
    mask[30, 26] = False
    rows, columns = sampled_centre(mask)
    assert mask[rows, columns].all()


def test_without_calibration_or_signal_there_is_still_a_scale():
    kspace = torch.randn(1, 20, 24, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 24, dtype=torch.bool)
    mask[:, ::4] = True
    assert not mask[0, 11]
    assert float(bart_scale(kspace * mask, mask)) > 0
    assert float(bart_scale(torch.zeros_like(kspace), mask)) == 1
