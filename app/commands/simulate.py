"""Make a fastMRI-style raw data file from magnitude images: DICOM, NIfTI, NPY or PNG.

Coils, phase and noise are simulated, and the file says so. Images of one size become the slices of one volume, in the
order in which they are named; of a file of several volumes, those of the first. Phase encodes run along the columns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.output import count, write_json, write_line
from app.progress import Progress
from recon.io.images import read_images

if TYPE_CHECKING:
    import argparse

    from recon.io.images import Images


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
    from recon import simulate

    spec = simulate.SimulationSpec(
        n_coils=arguments.coils, phase=arguments.phase, noise=arguments.noise, seed=arguments.seed
    )
    with Progress.of(arguments) as progress:
        progress.update("reading", 0.0)
        images = [_read(path) for path in arguments.images]
        simulate.write(arguments.out, images, spec, progress.update)
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
    if images.part:
        sys.stderr.write(
            f"mri-workstation: {path}: holds several volumes, and the first is taken ({images.part}); extract another "
            "one, as `fslroi` does, to take that.\n"
        )
    if images.n_empty:
        sys.stderr.write(f"mri-workstation: {path}: left out {count(images.n_empty, 'empty slice')}.\n")
    return images
