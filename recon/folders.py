"""Where this program keeps what belongs to a user."""

from __future__ import annotations

import os
from pathlib import Path


def user_data() -> Path:
    """Return the folder of what is to last: installed weights, the key of pseudonyms."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "mri-workstation"
