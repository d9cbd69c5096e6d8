"""The demo study: two real scans that come with the program, and a phantom that is generated on first use."""

from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from app.folders import cache_folder
from recon.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable

SCANS = ("derived_brain_4ch.h5", "real_brain_16ch_gre.h5")
PHANTOM = "analytic_brain_phantom.h5"

DESCRIPTIONS = {
    "derived_brain_4ch.h5": "real human brain, T2, 4 coils (k-space derived from complex coil images)",
    "real_brain_16ch_gre.h5": "real human brain, 3 T gradient echo, 16 coils (raw data)",
    PHANTOM: "analytic phantom, simulated: 10 slices, 8 coils",
}


def bundled_folder() -> Path:
    """Return the folder with the scans that come with the program."""
    return Path(str(importlib.resources.files("resources") / "demo"))


def demo_paths(progress: Callable[[float], None] | None = None) -> list[Path]:
    """Return the files of the demo study; the first call generates the phantom, which takes a few seconds.

    Parameters
    ----------
    progress
        Called with the share of the phantom that is done, while it is generated.

    Raises
    ------
    FileError
        If a scan is missing from the installation.
    ExportError
        If the phantom cannot be written to the user's cache folder.
    """
    folder = bundled_folder()
    paths = [folder / name for name in SCANS]
    for path in paths:
        if not path.is_file():
            raise FileError(path, "the demo scan is missing from the installation; install the program again.")
    return [*paths, phantom_path(progress)]


def phantom_path(progress: Callable[[float], None] | None = None, folder: Path | None = None) -> Path:
    """Return the phantom's file in the cache (or another folder), generating it where it is not there yet."""
    path = (folder or cache_folder() / "demo") / PHANTOM
    if not _is_current(path):
        from recon import phantom

        phantom.write(path, progress=progress)
    return path


def _is_current(path: Path) -> bool:
    """True when a file holds the phantom that this version of the program would write."""
    import h5py

    from recon import phantom

    if not path.is_file():
        return False
    try:
        with h5py.File(path, "r") as file:
            spec = phantom.PhantomSpec()
            shape = (spec.n_slices, spec.n_coils, *spec.matrix)
            return file.attrs.get("version") == phantom.VERSION and file["kspace"].shape == shape
    except (OSError, KeyError):
        return False  # whatever lies there is replaced


def write(folder: Path, progress: Callable[[float], None] | None = None) -> list[Path]:
    """Copy the demo study into a folder, with the page that says where it comes from.

    Raises
    ------
    ExportError
        If the folder cannot be written; no half-written file is left.
    """
    from recon.export.atomic import atomic_file

    sources = [*demo_paths(progress), bundled_folder() / "README.md"]
    written = []
    for source in sources:
        target = folder / source.name
        with atomic_file(target) as temporary:
            shutil.copyfile(source, temporary)
        written.append(target)
    return written
