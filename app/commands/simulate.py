"""Make a fastMRI-style raw data file from magnitude images: DICOM, NIfTI, NPY or PNG.

Coils, phase and noise are simulated, and the file says so. Images of one size become the slices of one volume, in the
order in which they are named. Phase encodes run along the columns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.output import count, write_json, write_line
from app.progress import Progress
from recon.errors import ExportError, RequestError
from recon.io.images import read_images

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from recon.io.images import Images
    from recon.simulate import SimulationSpec


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
        images = [_read(path) for path in arguments.images]
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


def _read(path: Path) -> Images:
    images = read_images(path)
    if images.n_empty:
        sys.stderr.write(f"mri-workstation: {path}: left out {count(images.n_empty, 'empty slice')}.\n")
    return images


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
