"""Magnitude images, as k-space is simulated from them: DICOM, NIfTI, NPY, PNG and other pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recon import npy
from recon.errors import FileError, needs_package
from recon.io import nifti
from recon.io.simulated import SMALLEST_SIDE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.data import Series

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
NIFTI = nifti.ENDINGS
ARRAYS = (".npy",)
_N_NAMED = 5
"""Volumes of one file that a message names."""

_EXPECTED = "magnitude images as DICOM, NIfTI (.nii, .nii.gz), NPY or PNG were expected"


@dataclass(frozen=True, eq=False)
class Images:
    """Slices from one path, and what is known of their size.

    Attributes
    ----------
    path
        File or folder.
    slices
        float32 ``(slices, y, x)``.
    pixel_spacing_mm
        Of rows, then of columns; None where the file does not say.
    thickness_mm
        Of a slice; None where the file does not say.
    n_empty
        Slices without any signal, which were left out.
    is_result
        See `recon.data.Series`.
    part
        Which of the file's volumes it is, where it holds several.
    """

    path: Path
    slices: NDArray[np.float32]
    pixel_spacing_mm: tuple[float, float] | None = None
    thickness_mm: float | None = None
    n_empty: int = 0
    is_result: bool = False
    part: str = ""

    @property
    def name(self) -> str:
        """What a file that is made of them says that they are."""
        return f"{self.path.name} ({self.part})" if self.part else self.path.name


def read_images(path: Path) -> Images:
    """Read the slices of a file or folder; of a file of several volumes, those of the first.

    Raises
    ------
    FileError
        If it holds no magnitude images that can be used.
    MissingPackageError
        If the Python package that reads its format is not installed.
    """
    if not path.exists():
        raise FileError(path, "there is no such file or folder; check the spelling.")
    name = path.name.lower()
    if name.endswith(ARRAYS):
        images = Images(path, _volume(path, npy.load(path, "images", f"{_EXPECTED}.")))
    elif name.endswith(PICTURES):
        images = Images(path, _volume(path, _load_picture(path)))
    else:
        images = _load_study(path)
    return _without_empty(images)


def read_series(series: Series) -> Images:
    """Read the images behind a series of magnitude images; see `read_images`."""
    # The reader's own simulation is for viewing; here the pixels themselves are wanted.
    source: Any = series.source
    geometry = series.geometry
    images = Images(
        series.path,
        _volume(series.path, source.volume()),
        None if geometry.spacing_is_assumed else geometry.pixel_spacing_mm,
        None if geometry.thickness_is_assumed else geometry.slice_thickness_mm,
        is_result=series.is_result,
    )
    return _without_empty(images)


def _without_empty(images: Images) -> Images:
    if not np.isfinite(images.slices).all():
        raise FileError(images.path, "the images hold NaN or infinity; finite values were expected.")
    is_empty = images.slices.max(axis=(1, 2)) <= 0
    if is_empty.all():
        raise FileError(images.path, "the images are empty: no value is above 0.")
    return replace(images, slices=images.slices[~is_empty], n_empty=int(is_empty.sum())) if is_empty.any() else images


def _volume(path: Path, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind == "c":
        raise FileError(path, f"holds complex values, as raw data does, which needs no simulation; {_EXPECTED}.")
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or 0 in array.shape:
        raise FileError(path, f"holds an array of shape {array.shape}; (y, x) or (slices, y, x) was expected.")
    if min(array.shape[1:]) < SMALLEST_SIDE:
        raise FileError(
            path,
            f"its images have {array.shape[1]} × {array.shape[2]} pixels; at least {SMALLEST_SIDE} × {SMALLEST_SIDE} "
            "are needed.",
        )
    if array.dtype.kind not in "buif":
        raise FileError(path, f"holds {array.dtype} values; numbers were expected.")
    return np.maximum(array.astype(np.float32), 0.0)


def _load_picture(path: Path) -> NDArray[Any]:
    with needs_package():
        from PIL import Image, UnidentifiedImageError
    try:
        with Image.open(path) as picture:
            if picture.mode in ("L", "I", "F", "1") or picture.mode.startswith("I;16"):
                return np.asarray(picture)
            # Many programs save what is grey in three equal channels.
            colours = np.asarray(picture.convert("RGB"))
            if (colours != colours[..., :1]).any():
                raise FileError(path, f"is a colour picture ({picture.mode}); {_EXPECTED}, in grey.")
            return colours[..., 0]
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise FileError(path, f"is no picture that can be read ({error}); {_EXPECTED}.") from None


def _load_study(path: Path) -> Images:
    import recon

    study = recon.open_study(path)
    found = [series for series in study.series if not series.has_kspace]
    if not found:
        raise FileError(path, f"holds raw data, which needs no simulation; {_EXPECTED}.")
    if len(found) > 1 and path.is_dir():
        titles = [series.title for series in found]
        # Of many the first and the last tell what they are.
        named = ", ".join(titles if len(titles) <= _N_NAMED else [titles[0], "…", titles[-1]])
        raise FileError(path, f"holds {len(found)} volumes ({named}); name the files of one, or extract it.")
    part = (found[0].part or found[0].title) if len(found) > 1 else ""
    return replace(read_series(found[0]), path=path, part=part)
