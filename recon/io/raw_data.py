"""Raw data in HDF5: the fastMRI layout or ISMRMRD, whichever a file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.errors import FileError
from recon.io import fastmri, hdf5, ismrmrd

if TYPE_CHECKING:
    from pathlib import Path

    from recon.data import Study


def read(path: Path) -> Study:
    """Open a file of raw data; no slice is read.

    Raises
    ------
    FileError
        If it is damaged, or holds no k-space that can be used.
    """
    return ismrmrd.read(path) if ismrmrd.is_ismrmrd(path) else fastmri.read(path)


def is_result(path: Path) -> bool:
    """Return True for a reconstruction that this program exported as HDF5; False also where nothing can be read."""
    try:
        with hdf5.opened(path) as file:
            return "reconstruction" in file and "kspace" not in file
    except FileError:
        return False
