"""Shows the values along the row or the column under the crosshair, of all images in view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject

from app.views.profile_view import Profile

if TYPE_CHECKING:
    from app.presenters.grid import GridPresenter
    from app.session import Session
    from app.views.image_grid import ImageGrid
    from app.views.profile_view import ProfileView


class ProfilePresenter(QObject):
    """Reads the images again whenever the crosshair or what is in view changes.

    Parameters
    ----------
    session
        Whose crosshair it is.
    grid, images
        The images, and what fills them.
    view
        Where the curves go.
    """

    def __init__(
        self, session: Session, grid: ImageGrid, images: GridPresenter, view: ProfileView, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._grid = grid
        self._view = view
        session.view.crosshair_changed.connect(self.refresh)
        images.refreshed.connect(self.refresh)
        view.direction_chosen.connect(self.refresh)

    def refresh(self) -> None:
        """Show the profiles of what is in view."""
        crosshair = self._session.view.crosshair
        if crosshair is None:
            self._view.set_profiles(None, [])
            return
        x, y = crosshair
        is_row = self._view.direction == "row"
        profiles = []
        for key in self._grid:
            panel = self._grid.panel(key)
            image = panel.well.image
            if image is not None and x < image.shape[1] and y < image.shape[0]:
                values = np.asarray(image[y] if is_row else image[:, x], np.float64)
                profiles.append(Profile(panel.title(), values, panel.spec.is_reference, key == "zero-filled"))
        self._view.set_profiles(x if is_row else y, profiles)
