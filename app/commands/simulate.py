"""Make a fastMRI-style raw data file from magnitude images: DICOM, NIfTI, NPY or PNG.

Coils, phase and noise are simulated, and the file says so. Images of one size become the slices of one volume, in the
order in which they are named. Phase encodes run along the columns."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.output import count, write_json, write_line
from app.progress import Progress
from recon.errors import ExportError, FileError, RequestError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recon.simulate import SimulationSpec

_EXPECTED = "magnitude images as DICOM, NIfTI (.nii, .nii.gz), NPY or PNG were expected"


@dataclass(frozen=True, eq=False)
class Images:
    """Slices from one path, and what is known of their size.

    Attributes
    ----------
    slices
        float32 ``(slices, y, x)``.
    pixel_spacing_mm
        Of rows, then of columns; None where the file does not say.
    thickness_mm
        Of a slice; None where the file does not say.
    flip_rows
        True where row 0 is the bottom of the picture.
    """

    slices: NDArray[np.float32]
    pixel_spacing_mm: tuple[float, float] | None = None
    thickness_mm: float | None = None
    flip_rows: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", type=Path, help="image file, or folder of one DICOM series"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.h5", help="file to write")
    parser.add_argument("--coils", type=int, default=4, metavar="N", help="number of coils (default: 4)")
    parser.add_argument(
        "--phase",
        type=float,
        nargs="?",
        const=1.0,
        default=1.0,
        metavar="STRENGTH",
        help="0 none, 1 a spin echo (default), 3 a gradient echo near the sinuses",
    )
    parser.add_argument(
        "--noise", type=float, default=0.005, metavar="SIGMA", help="share of the image maximum (default: 0.005)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--json", action="store_true", help="write JSON to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Simulate and write."""
    from recon.simulate import SimulationSpec

    spec = SimulationSpec(n_coils=arguments.coils, phase=arguments.phase, noise=arguments.noise, seed=arguments.seed)
    with Progress(enabled=False if arguments.quiet else None) as progress:
        progress.update("reading", 0.0)
        images = [read_images(path) for path in arguments.images]
        check_sizes(arguments.images, images)
        write(arguments.out, arguments.images, images, spec, progress)
    n_slices, (n_y, n_x) = sum(len(item.slices) for item in images), images[0].slices.shape[1:]
    if arguments.json:
        shape = [n_slices, spec.n_coils, n_y, n_x]
        write_json({"file": str(arguments.out), "shape": shape, "simulation": spec.to_dict()})
    elif not arguments.quiet:
        size = f"{count(n_slices, 'slice')}, {count(spec.n_coils, 'coil')}, {n_y} × {n_x}"
        write_line(f"{arguments.out}: {size}; {spec.sentence}")
    return 0


def read_images(path: Path) -> Images:
    """Read the slices of a file or folder.

    Raises
    ------
    FileError
        If it holds no magnitude images that can be used.
    """
    if not path.exists():
        raise FileError(path, "there is no such file or folder; check the spelling.")
    name = path.name.lower()
    if name.endswith(".npy"):
        images = Images(_volume(path, _load_npy(path)))
    elif name.endswith((".png", ".jpg", ".jpeg", ".tif", ".tiff")):
        images = Images(_volume(path, _load_picture(path)))
    elif name.endswith((".nii", ".nii.gz")):
        images = _load_nifti(path)
    else:
        images = _load_dicom(path)
    if not np.isfinite(images.slices).all():
        raise FileError(path, "the images hold NaN or infinity; finite values were expected.")
    empty = [index for index, image in enumerate(images.slices) if not image.max() > 0]
    if len(empty) == len(images.slices):
        raise FileError(path, "the images are empty: no value is above 0.")
    if empty:
        sys.stderr.write(f"mri-workstation: {path}: left out {count(len(empty), 'empty slice')}.\n")
        keep = np.setdiff1d(np.arange(len(images.slices)), empty)
        images = replace(images, slices=images.slices[keep])
    return images


def _volume(path: Path, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or 0 in array.shape:
        raise FileError(path, f"holds an array of shape {array.shape}; (y, x) or (slices, y, x) was expected.")
    if min(array.shape[1:]) < 16:
        raise FileError(
            path, f"its images have {array.shape[1]} × {array.shape[2]} pixels; at least 16 × 16 are needed."
        )
    if array.dtype.kind == "c":
        array = np.abs(array)
    if array.dtype.kind not in "buif":
        raise FileError(path, f"holds {array.dtype} values; numbers were expected.")
    return np.maximum(array.astype(np.float32), 0.0)


def _load_npy(path: Path) -> NDArray[Any]:
    try:
        # An array of objects is a pickle, and nothing from a stranger is unpickled.
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise FileError(path, f"is no NPY array of numbers ({error}); {_EXPECTED}.") from None


def _load_picture(path: Path) -> NDArray[Any]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise FileError(path, "needs the package Pillow; install it with `pip install pillow`.") from None
    try:
        with Image.open(path) as picture:
            is_grey = picture.mode in ("L", "I", "F", "1") or picture.mode.startswith("I;16")
            return np.asarray(picture if is_grey else picture.convert("L"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise FileError(path, f"is no picture that can be read ({error}); {_EXPECTED}.") from None


def _load_nifti(path: Path) -> Images:
    try:
        import nibabel
    except ImportError:
        raise FileError(path, "needs the package nibabel; install it with `pip install nibabel`.") from None
    try:
        image: Any = nibabel.load(path)
        array = np.asarray(image.dataobj)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise FileError(path, f"is no NIfTI image that can be read ({error}); {_EXPECTED}.") from None
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise FileError(path, f"holds an array of shape {array.shape}; one volume (x, y, slices) was expected.")
    # NIfTI counts columns first and rows upwards.
    spacing = [float(size) for size in image.header.get_zooms()[:3]]
    return Images(_volume(path, array.transpose(2, 1, 0)), (spacing[1], spacing[0]), spacing[2], flip_rows=True)


def _load_dicom(path: Path) -> Images:
    import recon

    study = recon.open_study(path)
    found = [series for series in study.series if not series.has_kspace]
    if not found:
        raise FileError(path, f"holds raw data, which needs no simulation; {_EXPECTED}.")
    if len(found) > 1:
        titles = ", ".join(series.title for series in found[:5])
        raise FileError(path, f"holds {len(found)} series ({titles}); name the files of one.")
    series = found[0]
    # The reader's own simulation is for viewing; here the pixels themselves are wanted.
    source: Any = series.source
    slices = np.stack([np.asarray(source.image(index), np.float32) for index in range(series.n_slices)])
    return Images(_volume(path, slices), series.geometry.pixel_spacing_mm, series.geometry.slice_thickness_mm)


def check_sizes(paths: Sequence[Path], images: Sequence[Images]) -> None:
    """Raise RequestError unless all images have the size of the first."""
    wanted = images[0].slices.shape[1:]
    for path, item in zip(paths, images, strict=True):
        have = item.slices.shape[1:]
        if have != wanted:
            raise RequestError(
                f"{path} has {have[0]} × {have[1]} pixels and {paths[0]} has {wanted[0]} × {wanted[1]}; "
                "the slices of a volume have one size. Simulate them one by one."
            )


def write(out: Path, paths: Sequence[Path], images: Sequence[Images], spec: SimulationSpec, progress: Progress) -> None:
    """Write the volume, under a temporary name until it is whole.

    Parameters
    ----------
    out
        File to write.
    paths
        Where the images come from; their names go into the file.
    images
        What they hold.
    spec
        How k-space is made.
    progress
        Shows how far it is.

    Raises
    ------
    ExportError
        If the file cannot be written.
    """
    import h5py
    import torch

    from recon.export.atomic import atomic_file
    from recon.simulate import simulate_slice

    if any(path.exists() and out.exists() and path.samefile(out) for path in paths):
        raise ExportError(f"{out}: is one of the images; choose another name for the result.")
    volume = np.concatenate([item.slices for item in images])
    n_slices, n_y, n_x = volume.shape
    with atomic_file(out) as temporary, h5py.File(temporary, "w") as file:
        kspace = file.create_dataset("kspace", (n_slices, spec.n_coils, n_y, n_x), np.complex64)
        rss = file.create_dataset("reconstruction_rss", (n_slices, n_y, n_x), np.float32)
        for index in range(n_slices):
            samples, reference = simulate_slice(torch.from_numpy(volume[index]), spec, str(index))
            kspace[index], rss[index] = samples.numpy(), reference.numpy()
            progress.update(f"slice {index}", (index + 1) / n_slices)
        stored = rss[()]
        file["ismrmrd_header"] = _header_xml(volume.shape, images[0], spec).encode()
        names = ", ".join(path.name for path in paths)
        file.attrs.update(
            acquisition="SIMULATED",
            patient_id=out.stem,
            max=float(stored.max()),
            norm=float(np.linalg.norm(stored)),
            source=f"simulated from {names if len(names) <= 200 else count(len(paths), 'image')}",
            sampling="FULL",
            flip_rows=images[0].flip_rows,
            simulation=spec.to_json(),
        )


def _header_xml(shape: tuple[int, ...], images: Images, spec: SimulationSpec) -> str:
    n_slices, n_y, n_x = shape
    row_mm, column_mm = images.pixel_spacing_mm or (1.0, 1.0)
    space = (
        f"<matrixSize><x>{n_y}</x><y>{n_x}</y><z>1</z></matrixSize><fieldOfView_mm><x>{n_y * row_mm:g}</x>"
        f"<y>{n_x * column_mm:g}</y><z>{images.thickness_mm or 5.0:g}</z></fieldOfView_mm>"
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">'
        "<acquisitionSystemInformation><systemVendor>mri-workstation</systemVendor>"
        f"<systemModel>simulated k-space</systemModel><receiverChannels>{spec.n_coils}</receiverChannels>"
        "</acquisitionSystemInformation><experimentalConditions><H1resonanceFrequency_Hz>0</H1resonanceFrequency_Hz>"
        f"</experimentalConditions><encoding><encodedSpace>{space}</encodedSpace><reconSpace>{space}</reconSpace>"
        "<encodingLimits><kspace_encoding_step_1><minimum>0</minimum>"
        f"<maximum>{n_x - 1}</maximum><center>{n_x // 2}</center></kspace_encoding_step_1><slice><minimum>0</minimum>"
        f"<maximum>{n_slices - 1}</maximum><center>0</center></slice></encodingLimits>"
        "<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>\n"
    )
