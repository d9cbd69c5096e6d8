"""One measurement, in a process of its own; see `app.bench`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from app.bench import MEASUREMENTS
from app.bench.opening import write_volume

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """Run one measurement in this process, or write the volume of another."""
    if words[0] == "write-volume":
        write_volume(Path(words[1]), int(words[2]))
        return 0
    rows = MEASUREMENTS[words[0]](quick="--quick" in words)
    sys.stdout.write(json.dumps([asdict(row) for row in rows]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
