"""What is seen of a slice before any model: its mask, zero-filled image, k-space, and thumbnails of series.

Everything is read in worker threads; of several waiting requests of a kind only the newest runs, so a fast wheel
never queues up work.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.coil_images import CoilImages
from app.job import Worker
from app.messages import explain, problem_of
from recon.errors import FileError, MRIError
from recon.request import Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from app.engine import Preview
    from recon.data import Series
    from recon.masks import SamplingMask

log = logging.getLogger(__name__)

N_CACHED = 48
# The wheel's next clicks, nearest first.
_NEIGHBOURS = (1, -1, 2, -2)


class Previews(QObject):
    """Reads previews of the current slice and its neighbours, and keeps the last ones."""

    mask_changed = Signal()
    preview_changed = Signal(int)
    kspace_changed = Signal(object)
    thumbnail_changed = Signal(object)
    failed = Signal(object, str, str)
    told = Signal(object)

    def __init__(self, engine: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._worker = Worker(self)
        # Pictures for the list must not stand in the way of the slice that the user waits for.
        self._thumbnailer = Worker(self)
        self.coils = CoilImages(engine, self._worker, self)
        self._cache: OrderedDict[Any, Preview] = OrderedDict()
        self._made: tuple[Any, Preview] | None = None
        self._series: Series | None = None
        self._index = 0
        self._request: Request | None = None
        self._has_phase = False
        self._problem: tuple[Any, str] = (None, "")
        self.mask: SamplingMask | None = None
        self.mask_problem = ""
        self.is_drawing = False
        """Whether the mask is of an earlier request, and the present one's is on its way."""
        self.thumbnails: dict[Series, NDArray[np.float32]] = {}

    def stop(self) -> None:
        """End the threads."""
        self.coils.stop()
        self._worker.stop()
        self._thumbnailer.stop()

    # ---------------------------------------------------------------- what is looked at

    def look(self, series: Series | None, index: int, request: Request) -> None:
        """Show a slice under a request: the mask is drawn again only when it changes."""
        # A preview depends on the sampling alone, so it is shared by all models.
        request = Request("zero-filled", request.mask, grid=request.grid, device="cpu", noise=request.noise)
        is_new_mask = series is not self._series or request != self._request
        self._series, self._index, self._request = series, index, request
        self.coils.look(series, index, request)
        if series is None:
            return
        if is_new_mask:
            self._worker.discard("neighbour")
            self._submit_mask(series, request)
        self._submit_preview()

    def want_phase(self, is_wanted: bool) -> None:
        """Read phases along with the images, which takes longer, or no longer."""
        if is_wanted != self._has_phase:
            self._has_phase = is_wanted
            if self._series is not None:
                self._submit_preview()

    @property
    def current(self) -> Preview | None:
        """Preview of the slice that is looked at; None until it is read."""
        return self._cache.get(self._key(self._index))

    @property
    def problem(self) -> str:
        """Why the slice that is looked at has no preview; empty while it may still come."""
        key, text = self._problem
        return text if key == self._key(self._index) else ""

    def forget(self, series: Series) -> None:
        """Drop what is kept of a series."""
        self.thumbnails.pop(series, None)
        for key in [key for key in self._cache if key[0] is series]:
            del self._cache[key]
        self._made = None
        self.coils.forget(series)
        if self._series is series:
            self._series = None

    def _key(self, index: int) -> Any:
        request = self._request
        sampling = None if request is None else (request.mask, request.grid, request.noise)
        return self._series, index, sampling, self._has_phase

    # ---------------------------------------------------------------- mask

    def _submit_mask(self, series: Series, request: Request) -> None:
        self.is_drawing = True
        self._worker.submit(
            "mask",
            partial(self._engine.sampling_mask, series, request),
            partial(self._take_mask, series, request),
            partial(self._miss_mask, series, request),
            urgent=True,
        )

    def _take_mask(self, series: Series, request: Request, mask: SamplingMask) -> None:
        if series is self._series and request == self._request:
            self.mask, self.mask_problem, self.is_drawing = mask, "", False
            self.mask_changed.emit()

    def _miss_mask(self, series: Series, request: Request, error: BaseException, details: str) -> None:
        if series is self._series and request == self._request:
            self.mask, self.mask_problem, self.is_drawing = None, str(error), False
            self.mask_changed.emit()
            if not isinstance(error, MRIError):
                self.failed.emit(error, details, "drawing the mask")

    # ---------------------------------------------------------------- image

    def _submit_preview(self) -> None:
        if self.current is not None:
            self._show()
        else:
            self._read("preview", self._index, urgent=True)

    def _read(self, name: str, index: int, *, urgent: bool = False) -> None:
        key = self._key(index)
        if key in self._cache or self._request is None or self._series is None:
            return
        request = replace(self._request, phase=self._has_phase)
        self._worker.submit(
            name,
            partial(self._make, key, self._series, index, request),
            partial(self._take_preview, key),
            partial(self._miss_preview, key),
            urgent=urgent,
        )

    def _make(self, key: Any, series: Series, index: int, request: Request) -> Preview:
        """Read a slice, in the thread; one that a task before this one read, as its neighbour, is not read again."""
        made = self._made
        if made is None or made[0] != key:
            made = self._made = key, self._engine.preview(series, index, request)
        return made[1]

    def _take_preview(self, key: Any, preview: Preview) -> None:
        self._cache[key] = preview
        while len(self._cache) > N_CACHED:
            self._cache.popitem(last=False)
        if key == self._key(self._index):
            self._show()

    def _miss_preview(self, key: Any, error: BaseException, details: str) -> None:
        if key != self._key(self._index):
            return
        self._problem = key, problem_of(error) if isinstance(error, FileError) else str(error)
        # A mask that cannot be drawn is said beside the mask already.
        if str(error) != self.mask_problem:
            doing = f"reading slice {self._index + 1} of {self._series.n_slices}" if self._series else "reading a slice"
            self.told.emit(replace(explain(error, details, doing, "cpu"), topic="slice"))
        self.preview_changed.emit(self._index)

    def _show(self) -> None:
        self.preview_changed.emit(self._index)
        assert self._series is not None
        for distance in _NEIGHBOURS:
            if 0 <= self._index + distance < self._series.n_slices:
                self._read(f"neighbour {distance}", self._index + distance)

    # ---------------------------------------------------------------- k-space and thumbnails

    def want_kspace(self) -> None:
        """Read the k-space of the slice that is looked at; `kspace_changed` brings it."""
        if self._series is not None:
            self._worker.submit(
                "kspace",
                partial(self._engine.kspace, self._series, self._index),
                self.kspace_changed.emit,
                # The slice itself cannot be read either, and that is said already.
                lambda error, details: log.debug("no k-space: %s\n%s", error, details),
            )

    def want_thumbnail(self, series: Series) -> None:
        """Make the small picture of a series; `thumbnail_changed` brings it."""
        self._thumbnailer.submit(
            f"thumbnail {id(series)}",
            partial(self._engine.thumbnail, series),
            partial(self._take_thumbnail, series),
            # A picture that cannot be made is no news: opening the slice says why.
            lambda error, details: log.debug("no thumbnail: %s\n%s", error, details),
        )

    def _take_thumbnail(self, series: Series, image: NDArray[np.float32]) -> None:
        self.thumbnails[series] = image
        self.thumbnail_changed.emit(series)
