"""Where files that can be made again live, by the rules of the operating system."""

from __future__ import annotations

import os
from pathlib import Path

APPLICATION = "mri-workstation"


def cache_folder() -> Path:
    """Return the folder for files that can be made again."""
    try:
        import platformdirs
    except ImportError:
        # A bare Python on a training machine may lack platformdirs; there, the rules of Linux are right.
        base = os.environ.get("XDG_CACHE_HOME")
        return (Path(base) if base else Path.home() / ".cache") / APPLICATION
    return Path(platformdirs.user_cache_dir(APPLICATION, appauthor=False))
