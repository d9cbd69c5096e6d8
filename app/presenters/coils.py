"""Shows the measured data of the slice coil by coil: k-space of one, and images or sensitivity maps of all.

One coil is chosen for both panes. What a pane shows is read only while it is seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

if TYPE_CHECKING:
    from app.session import Session
    from app.views.coils_view import CoilsView
    from app.views.image_grid import ImageGrid
    from app.views.kspace_view import KSpaceView
    from recon.coil_preview import CoilPreview
    from recon.data import Series

READING = "Reading …"
ESTIMATING = "Estimating the sensitivity maps …"


class CoilPresenter(QObject):
    """Joins the session with the panes of k-space and coils.

    Parameters
    ----------
    session
        Whose slice it is.
    grid
        Where Alt and wheel turn the coil, too.
    kspace, coils
        The panes.
    """

    def __init__(
        self, session: Session, grid: ImageGrid, kspace: KSpaceView, coils: CoilsView, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._kspace = kspace
        self._coils = coils
        self._images = session.previews.coils
        self._sees_kspace = self._sees_coils = False
        grid.coilStep.connect(self.step)
        kspace.coilChanged.connect(session.view.set_coil)
        kspace.sliceStep.connect(session.step_slice)
        coils.coilChosen.connect(session.view.set_coil)
        coils.coilStep.connect(self.step)
        coils.sliceStep.connect(session.step_slice)
        coils.kindChosen.connect(self._choose_kind)
        session.view.coil_changed.connect(self._show_coil)
        session.series_changed.connect(self._change_series)
        # Not faster than slices stop changing; and coils need no mask that can be drawn.
        for signal in (session.preview_changed, session.mask_changed):
            signal.connect(self._read_coils)
        for signal in (session.preview_changed, session.series_changed):
            signal.connect(self._read_kspace)
        session.kspace_changed.connect(self._show_kspace)
        session.mask_changed.connect(lambda: kspace.set_mask(None if session.mask is None else session.mask.mask))
        self._images.left.connect(self._leave_slice)
        self._images.changed.connect(self._show_coils)
        self._change_series()

    def see_kspace(self, is_seen: bool) -> None:
        """Say whether somebody sees the k-space."""
        self._sees_kspace = is_seen
        self._read_kspace()

    def see_coils(self, is_seen: bool) -> None:
        """Say whether somebody sees the coils."""
        self._sees_coils = is_seen
        self._choose_kind()

    def step(self, by: int) -> None:
        """Go some coils on."""
        series = self._session.series
        if series is not None:
            self._session.view.set_coil(min(max(self._session.view.coil + by, 0), series.n_coils - 1))

    def _change_series(self) -> None:
        series = self._session.series
        self.step(0)
        self._coils.set_message(READING if series is not None else "no coils")
        if series is not None:
            rows_mm, columns_mm = series.geometry.pixel_spacing_mm
            aspect = rows_mm / columns_mm if columns_mm > 0 else 1.0
            self._coils.set_geometry(is_upside_down=series.geometry.flip_rows, pixel_aspect=aspect)

    # ---------------------------------------------------------------- k-space

    def _read_kspace(self, *_: Any) -> None:
        if self._sees_kspace and self._session.series is not None:
            self._session.previews.want_kspace()

    def _show_kspace(self, kspace: Any) -> None:
        self._kspace.set_kspace(kspace)
        # A pane that has seen no data yet knows of no other coil than the first.
        self._show_coil()

    def _show_coil(self) -> None:
        coil = self._session.view.coil
        if self._kspace.coil() != coil:
            self._kspace.set_coil(coil)
        self._coils.set_coil(coil)

    # ---------------------------------------------------------------- coils

    def _choose_kind(self) -> None:
        self._images.want(self._coils.kind if self._sees_coils else None)
        if self._images.current is None and self._session.series is not None:
            self._coils.set_message(ESTIMATING if self._coils.kind == "maps" else READING)
        self._read_coils()

    def _leave_slice(self) -> None:
        # Images stay until the next are read, a blink of an eye later; maps would stay too long.
        if self._coils.kind == "maps":
            self._coils.set_message(ESTIMATING)

    def _read_coils(self, *_: Any) -> None:
        self._images.read()

    def _show_coils(self) -> None:
        found = self._images.current
        if found is None:
            self._coils.set_message(self._images.problem)
        else:
            assert self._session.series is not None
            self._coils.set_preview(found, *_words(found, self._session.series, is_map=self._coils.kind == "maps"))
            self._show_coil()


def _words(found: CoilPreview, series: Series, *, is_map: bool) -> tuple[str, str]:
    """What the coils are made of, in few words and in sentences."""
    if is_map:
        short, long = "ESPIRiT", "Estimated from the fully sampled centre of the mask in the recipe, for all coils."
        if found.is_whitened:
            short, long = "Whitened", f"{long} The coils were pre-whitened with their noise."
    elif series.acquired_mask is None:
        short, long = "Fully sampled", "All samples of the scan, whatever the mask in the recipe."
    else:
        short, long = "Zero-filled", "The scan is undersampled: what was not measured counts as zero."
    if series.is_simulated:
        short, long = "Simulated", f"{long} The coils are simulated: the file holds images."
    return short, long
