"""Previews of a validation slice as PNG: zero-filled, output and reference side by side, in one window of grey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PANELS = ("zero_filled", "image", "target")
TITLE = "zero-filled | output | reference"
FOLDER = "previews"
_GAP = 2
# The brightest voxels are few and tell little; without them the rest has more contrast.
_PERCENTILE = 99.7


def write(
    folder: Path, step: int, zero_filled: NDArray[np.float32], image: NDArray[np.float32], target: NDArray[np.float32]
) -> str:
    """Write a preview into a run folder; returns its path within that.

    Parameters
    ----------
    folder
        The run folder.
    step
        Names the file.
    zero_filled, image, target
        ``(y, x)`` magnitudes on one scale; the reference sets the window.
    """
    from PIL import Image

    white = float(np.percentile(target, _PERCENTILE)) or 1.0
    gap = np.full((target.shape[0], _GAP), white, dtype=np.float32)
    panels = np.concatenate([zero_filled, gap, image, gap, target], axis=1)
    grey = np.nan_to_num(255 * panels / white, posinf=255).clip(0, 255).astype(np.uint8)
    name = f"{FOLDER}/step_{step:07d}.png"
    (folder / FOLDER).mkdir(exist_ok=True)
    part = folder / FOLDER / ".preview.part"
    with part.open("wb") as file:
        Image.fromarray(grey).save(file, format="png")
    part.replace(folder / name)
    return name
