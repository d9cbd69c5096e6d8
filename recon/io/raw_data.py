"""Raw data in HDF5: the fastMRI layout or ISMRMRD, whichever a file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.io import fastmri, ismrmrd

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
