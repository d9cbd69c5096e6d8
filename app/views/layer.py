"""An image on its way to the screen: from floats to colours, and from voxels to the pixels of a well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QImage

from app.views import levels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NEAREST_FROM_SCALE = 6.0
"""From this many screen pixels per voxel on, voxels are shown as squares: smoothing would invent detail."""


@dataclass(frozen=True, eq=False)
class Wipe:
    """What lies over the left part of all images.

    Attributes
    ----------
    image
        An image ``(y, x)``.
    title
        Its name.
    share
        Where it ends, as a share of the width of a well.
    """

    image: NDArray[np.float32]
    title: str
    share: float


class Layer:
    """One image in colours and in device pixels, both kept until something changes."""

    def __init__(self) -> None:
        self._quantiser = levels.Quantiser()
        self._buffer: NDArray[np.uint32] | None = None
        self._picture: QImage | None = None
        self._shown: QImage | None = None
        self._shown_key: tuple[float, ...] = ()
        self._is_stale = True

    def invalidate(self) -> None:
        """Say that image, limits or colours are others now."""
        self._is_stale = True

    def fill(self, image: NDArray[np.float32], limits: levels.Limits, table: NDArray[np.uint32]) -> QImage:
        """Return an image in colours; the QImage looks into our buffer, which is filled anew after `invalidate`."""
        if self._is_stale or self._picture is None:
            colours = self._quantiser.colour(self._quantiser.grey(image, *limits), table)
            if self._picture is None or colours is not self._buffer:
                height, width = colours.shape
                self._buffer = colours
                self._picture = QImage(colours.data, width, height, 4 * width, QImage.Format.Format_RGB32)
            self._is_stale = False
            self._shown = None
        return self._picture

    def scaled(self, part: QRect, width: int, height: int, ratio: float) -> QImage:
        """Return a part of what was filled in, in so many device pixels.

        Scaling beforehand averages when it makes smaller, so that fine structure does not turn into moiré. It also
        spares the painter's own scaling, which hands strips to threads and waits for them: while a reconstruction
        keeps all cores busy, that is several times slower.
        """
        picture = self._picture
        assert picture is not None
        key = (part.left(), part.top(), part.width(), part.height(), width, height, ratio)
        if self._shown is None or self._shown_key != key:
            whole = part.width() == picture.width() and part.height() == picture.height()
            is_smooth = width / part.width() < _NEAREST_FROM_SCALE * ratio
            mode = Qt.TransformationMode.SmoothTransformation if is_smooth else Qt.TransformationMode.FastTransformation
            source = picture if whole else picture.copy(part)
            self._shown = source.scaled(width, height, Qt.AspectRatioMode.IgnoreAspectRatio, mode)
            self._shown.setDevicePixelRatio(ratio)
            self._shown_key = key
        return self._shown
