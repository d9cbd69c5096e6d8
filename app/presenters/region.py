"""Shows the region in all images, and what is measured in it in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from app.views.component import Component
from app.views.region_table import RegionRow

if TYPE_CHECKING:
    from app.presenters.grid import GridPresenter
    from app.session import Session
    from app.views.image_grid import ImageGrid
    from app.views.region import Region
    from app.views.region_table import RegionTable
    from recon.data import Geometry


class RegionPresenter(QObject):
    """Measures again whenever the region or what is in view changes.

    Parameters
    ----------
    session
        Whose region it is.
    grid, images
        The images, and what fills them.
    table
        Where the numbers go.
    """

    def __init__(
        self,
        session: Session,
        grid: ImageGrid,
        images: GridPresenter,
        table: RegionTable,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._grid = grid
        self._table = table
        grid.regionDrawn.connect(session.view.set_region)
        session.view.region_changed.connect(self._show)
        images.refreshed.connect(self.measure)
        self._show()

    def _show(self) -> None:
        self._grid.set_region(self._session.view.region)
        self.measure()

    def measure(self) -> None:
        """Measure what is in view."""
        region, series = self._session.view.region, self._session.series
        if region is None or series is None:
            self._table.set_rows("", [])
            return
        truth = [self._grid.panel(key).well.image for key in self._grid if self._grid.panel(key).spec.is_reference]
        is_phase = self._session.view.component is Component.PHASE
        rows = []
        for key in self._grid:
            panel = self._grid.panel(key)
            if panel.well.image is not None:
                against = None if panel.spec.is_reference or not truth else truth[0]
                measures = region.measure(panel.well.image, against, is_phase=is_phase)
                rows.append(RegionRow(panel.title(), measures))
        self._table.set_rows(_words(region, series.geometry), rows, "rad" if is_phase else "")


def _words(region: Region, geometry: Geometry) -> str:
    """Such as ``12 × 10 voxels, 11.2 × 9.4 mm, at 30, 52``; without millimetres where the spacing is assumed."""
    width, height = region.size
    rows_mm, columns_mm = geometry.pixel_spacing_mm
    size_mm = "" if geometry.spacing_is_assumed else f"{width * columns_mm:.3g} × {height * rows_mm:.3g} mm, "
    return f"{width} × {height} voxels, {size_mm}at {region.left}, {region.top}"
