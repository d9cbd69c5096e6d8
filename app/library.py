"""Library: the studies that are open, and those on their way."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PySide6.QtCore import QObject, Signal

from app.session_file import contents

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.job import Worker
    from recon.data import Series, Study
    from recon.simulate import SimulationSpec

    _Contents = tuple[int | None, str | None]


class Arrival(NamedTuple):
    """A study that was opened.

    Attributes
    ----------
    path
        What was asked for.
    study
        What it holds.
    replaced
        The same study as it was open before, `study` itself where it stays; or None.
    is_changed
        Whether the files of the one before were not these.
    is_shown
        Whether its first series should come into view.
    """

    path: Path
    study: Study
    replaced: Study | None
    is_changed: bool
    is_shown: bool


class Library(QObject):
    """Opens studies in a worker thread and keeps them in the order in which they came.

    Parameters
    ----------
    engine
        What opens files.
    worker
        Thread for it.

    Signals
    -------
    opening_changed
        A path joined or left `opening`.
    arrived
        An `Arrival`; it is in `studies` already.
    declined
        Study of which some or all files were not opened.
    missed
        Exception, traceback, and what was going on.
    """

    opening_changed = Signal()
    arrived = Signal(object)
    declined = Signal(object)
    missed = Signal(object, str, str)

    def __init__(self, engine: Any, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._worker = worker
        self.studies: list[Study] = []
        self.opening: list[Path] = []
        # What was in the files of each study when it was opened.
        self._contents: dict[Path, _Contents] = {}

    def open(
        self,
        paths: Iterable[Path | str] | Path | str,
        simulation: SimulationSpec | None = None,
        *,
        is_shown: bool = True,
    ) -> None:
        """Open files and folders; see `app.session.Session.open`."""
        items = [paths] if isinstance(paths, (str, Path)) else list(paths)
        for number, item in enumerate(items):
            path = Path(item).expanduser().absolute()
            if path not in self.opening:  # the worker does once what waits twice
                self.opening.append(path)
            self._worker.submit(
                f"open {path}",
                partial(self._read, path, simulation),
                partial(self._take, path, simulation, is_shown and number == 0),
                partial(self._miss, path),
            )
        self.opening_changed.emit()

    def remove(self, study: Study) -> None:
        """Forget a study."""
        self.studies = [item for item in self.studies if item is not study]
        self._contents.pop(study.path, None)

    def study_of(self, series: Series | None) -> Study | None:
        """Return the study that a series belongs to, or None."""
        return next((study for study in self.studies if series in study.series), None)

    def first_series(self) -> Series | None:
        """Return the first series of all, or None."""
        return next((series for study in self.studies for series in study.series), None)

    def _read(self, path: Path, simulation: SimulationSpec | None) -> tuple[Study, _Contents]:
        """Open a study, in the thread; a change while it is read counts as one after it."""
        found = contents(path, is_dated=True)
        return self._engine.open_study(path, simulation), found

    def _take(
        self,
        path: Path,
        simulation: SimulationSpec | None,
        is_shown: bool,
        read: tuple[Study, _Contents],
    ) -> None:
        self._opened(path)
        study, found = read
        if study.declined or not study.series:
            self.declined.emit(study)
        if not study.series:
            return
        places = [place for place, item in enumerate(self.studies) if item.path == study.path]
        replaced = self.studies[places[0]] if places else None
        is_changed = replaced is not None and (None in found or self._contents.get(study.path) != found)
        if replaced is None:
            self.studies.append(study)
        elif is_changed or simulation not in (None, simulation_of(replaced)):
            self.studies[places[0]] = study
        else:
            # Its results are of what is in the files: it stays, and they with it.
            study = replaced
        self._contents[study.path] = found
        self.arrived.emit(Arrival(path, study, replaced, is_changed, is_shown))

    def _miss(self, path: Path, error: BaseException, details: str) -> None:
        self._opened(path)
        self.missed.emit(error, details, f"opening {path.name}")

    def _opened(self, path: Path) -> None:
        if path in self.opening:
            self.opening.remove(path)
        self.opening_changed.emit()


def counterpart(series: Series | None, before: Study | None, after: Study) -> Series | None:
    """Return the series of a study read again that stands where a series stood before, or None."""
    if before is None or series not in before.series:
        return None
    place = before.series.index(series)
    found = after.series[place] if place < len(after.series) else None
    return found if found is not None and found.title == series.title else None


def can_simulate(series: Series | None) -> bool:
    """Tell whether the k-space of a series is simulated from its images as they are read, so that it can be anew."""
    return series is not None and series.is_simulated and not series.has_kspace


def simulation_of(study: Study) -> SimulationSpec | None:
    """Return how the k-space of a study is simulated from its images; None where it has its own."""
    return next((series.simulation for series in study.series if can_simulate(series)), None)
