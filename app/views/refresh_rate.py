"""How many times a second the grid can show another slice, measured on the real widget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtWidgets import QApplication

from app.views.image_grid import ImageGrid, PanelSpec

if TYPE_CHECKING:
    from collections.abc import Callable


def measure_refresh(
    n_panes: int = 8, size: int = 320, seconds: float = 1.0, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Scroll cached slices through a grid and count what was painted.

    Parameters
    ----------
    n_panes
        Columns of the grid.
    size
        Voxels along each side of a slice.
    seconds
        How long to scroll.
    clock
        What time is; ``time.process_time`` leaves out what else the machine does.

    Returns
    -------
        Refreshes of all panes a second of that clock. A ``QApplication`` has to exist.
    """
    application = QApplication.instance()
    assert isinstance(application, QApplication), "measure_refresh needs a QApplication"
    generator = np.random.default_rng(0)
    slices = generator.random((11, size, size), dtype=np.float32)
    grid = ImageGrid()
    grid.resize(1600, 900)
    keys = [f"pane {number}" for number in range(n_panes)]
    grid.set_panels([PanelSpec(key, key) for key in keys])
    grid.set_levels(0.0, 1.0)
    for key in keys:
        grid.set_image(key, slices[0])
    grid.show()
    application.processEvents()
    try:
        n_refreshes = 0
        start = clock()
        while (elapsed := clock() - start) < seconds:
            for number, key in enumerate(keys):
                grid.set_image(key, slices[(n_refreshes + number) % len(slices)])
            # Paints all that is dirty, now: counting sets that Qt would merge into one paint would flatter us.
            grid.panel(keys[0]).well.repaint()
            application.processEvents()
            n_refreshes += 1
        return n_refreshes / elapsed
    finally:
        grid.close()
        grid.deleteLater()
