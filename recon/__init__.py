"""Reconstruction of undersampled MRI: data, sampling, models, pipeline. Knows no Qt and no training.

The public names load on first use, so importing this package costs nothing: a window can be on the screen
before torch is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon.data import Geometry, Header, KSpaceSlice, Series, Study
    from recon.io import open_study
    from recon.masks import MaskSpec
    from recon.pipeline import reconstruct, run
    from recon.request import Request
    from recon.result import Reconstruction
    from recon.simulate import SimulationSpec
    from recon.stage import Stage

__version__ = "0.1.0"

_HOME = {
    "Geometry": "recon.data",
    "Header": "recon.data",
    "KSpaceSlice": "recon.data",
    "Series": "recon.data",
    "Study": "recon.data",
    "open_study": "recon.io",
    "MaskSpec": "recon.masks",
    "reconstruct": "recon.pipeline",
    "run": "recon.pipeline",
    "Request": "recon.request",
    "Reconstruction": "recon.result",
    "SimulationSpec": "recon.simulate",
    "Stage": "recon.stage",
}

__all__ = [
    "Geometry",
    "Header",
    "KSpaceSlice",
    "MaskSpec",
    "Reconstruction",
    "Request",
    "Series",
    "SimulationSpec",
    "Stage",
    "Study",
    "open_study",
    "reconstruct",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import the module that a public name lives in."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    # `import recon; recon.fourier` reads naturally, so the submodules answer too.
    try:
        return importlib.import_module(f"recon.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"recon.{name}":
            raise
        raise AttributeError(f"module 'recon' has no attribute {name!r}") from None
