"""Keeps a session in a file, and brings one back: its studies, its recipe, how it was looked at, and what was made."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from app import session_file
from app.job import Worker
from app.library import simulation_of
from app.output import count
from app.session_file import Place, Scan, StoredSession, ViewOptions
from app.views.component import Component
from app.views.region import Region
from app.viewstate import SWITCHES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.results import Result
    from app.session import Session
    from recon.data import Series, Study
    from recon.request import Request

# More of them are counted: a banner is read in one look.
_N_NAMED = 3


class Keeping(QObject):
    """Saves and opens the session files of a session.

    Parameters
    ----------
    session
        What is kept.
    file
        Queues work for a thread: key, work, what takes the result, what was going on.

    Signals
    -------
    changed
        Another file was opened, see `waiting`.
    levels_restored
        The window is back, which may be later than the rest: with the first image.
    restored
        A session is back; whoever shows images takes the zoom and centre of its `ViewOptions`.
    """

    changed = Signal()
    levels_restored = Signal()
    restored = Signal(object)

    def __init__(
        self, session: Session, file: Callable[[str, Callable[[], Any], Callable[[Any], None], str], None]
    ) -> None:
        super().__init__(session)
        self._session = session
        self._file = file
        # Of its own: who saves and closes the window must not lose the file to what is being opened.
        self._writer = Worker(self)
        self.path: Path | None = None
        """The file that was saved or opened last."""
        self._stored: tuple[Path, StoredSession] | None = None
        # Limits that wait for the first image: what an image brings with it decides which presets there are.
        self._view: tuple[Series, ViewOptions] | None = None
        self._results: list[tuple[Series, Request]] = []
        # Who tells that a path is no longer on its way does so before its study is there.
        self._settled = QTimer(self, singleShot=True, interval=0)
        self._settled.timeout.connect(self._restore)
        session.library.opening_changed.connect(self._look_for_studies)
        session.preview_changed.connect(self._take_levels)

    # ---------------------------------------------------------------- saving

    def save(self, path: Path | str, zoom: float = 1.0, centre: tuple[float, float] = (0.5, 0.5)) -> None:
        """Write the session to a file; what can be made again, such as the images of results, is not in it.

        Parameters
        ----------
        path
            The file; by its name it should be a session, see `session_file.is_session_file`.
        zoom, centre
            What part of the images is in view.
        """
        path = Path(path).expanduser().absolute()
        work = partial(session_file.write, self.stored(zoom, centre), path)
        self._writer.submit(
            "save session",
            work,
            lambda _: self._take_saved(path),
            lambda error, details: self._session.report(error, details, "saving the session"),
        )

    def stop(self) -> None:
        """End the thread, after what it is writing."""
        self._writer.stop()

    def stored(self, zoom: float = 1.0, centre: tuple[float, float] = (0.5, 0.5)) -> StoredSession:
        """Return what a file would hold."""
        session = self._session
        made = [(result.series, _recipe_of(result)) for result in session.results]
        # What was not made again since it was opened, or only waits, is work of the user's, too.
        made += [(item.series, item.request) for item in session.queue.waiting]
        places = [(self._place_of(series), request) for series, request in [*made, *self.waiting]]
        results = [(place, request) for place, request in places if place is not None and request is not None]
        return StoredSession(
            tuple(Scan(study.path, simulation_of(study)) for study in session.studies),
            self._place_of(session.series),
            session.slice_index,
            session.request,
            _options(session, zoom, centre),
            tuple(results),
        )

    def _take_saved(self, path: Path) -> None:
        self._note(path)
        self._session.say("success", f"Session saved: {path}", action="open-folder", target=str(path.parent))

    def _note(self, path: Path) -> None:
        self.path = path
        self._session.change_settings(recent=self._session.settings.with_recent(path).recent)

    def _place_of(self, series: Series | None) -> Place | None:
        for number, study in enumerate(self._session.studies):
            if series is not None and series in study.series:
                return Place(number, study.series.index(series), series.title)
        return None

    # ---------------------------------------------------------------- opening

    def open_sessions(self, paths: Iterable[Path | str]) -> list[Path | str]:
        """Open the session files among some paths, and return the other paths."""
        items = list(paths)
        sessions = [item for item in items if session_file.is_session_file(item)]
        if sessions:
            self.open(sessions[-1])
        if len(sessions) > 1:
            name = Path(sessions[-1]).name
            self._session.say("warning", f"One session file is opened at a time: of {len(sessions)}, {name}.")
        return [item for item in items if item not in sessions]

    def open(self, path: Path | str) -> None:
        """Open a session file beside what is open; one that cannot be used changes nothing, and a message says why."""
        path = Path(path).expanduser().absolute()
        work = partial(session_file.read, path)
        self._file("open session", work, partial(self._take, path), f"opening {path.name}")

    def _take(self, path: Path, stored: StoredSession) -> None:
        self._stored = (path, stored)
        for scan in stored.scans:
            if scan.state != "missing" and not self._stays(scan):
                self._session.library.open([scan.path], scan.simulation, is_shown=False)
        self._look_for_studies()

    def _stays(self, scan: Scan) -> bool:
        """Whether a scan is open, and as it was; or simulated otherwise, with results that would be lost."""
        study, session = self._study_of(scan), self._session
        if study is None:
            return False
        busy = {result.series for result in session.results} | {item.series for item in session.queue.waiting}
        return simulation_of(study) == scan.simulation or not busy.isdisjoint(study.series)

    def _study_of(self, scan: Scan) -> Study | None:
        return next((study for study in self._session.studies if study.path == scan.path), None)

    def _look_for_studies(self) -> None:
        if self._stored is not None:
            paths = {scan.path for scan in self._stored[1].scans}
            if not paths.intersection(self._session.opening):
                self._settled.start()

    def _restore(self) -> None:
        """Bring back the rest, as soon as all studies are there or known not to come."""
        session = self._session
        if self._stored is None:
            return
        (path, stored), self._stored = self._stored, None
        session.set_request(self._on_a_device(stored.request))
        series = self._series_at(stored, stored.shown)
        if series is not None:
            session.select(series, stored.slice_index)
            self._restore_view(series, stored.view)
        places = [(self._series_at(stored, place), request) for place, request in stored.results]
        fitting = [(series, _fitting(series, request)) for series, request in places if series is not None]
        self._results = [(series, self._on_a_device(request)) for series, request in fitting if request is not None]
        self._note(path)
        self._tell(path, stored)
        self.changed.emit()

    def _series_at(self, stored: StoredSession, place: Place | None) -> Series | None:
        """Return the series of a place; where its study was filled otherwise, that of the same title."""
        study = None if place is None else self._study_of(stored.scans[place.scan])
        if study is None or place is None:
            return None
        alike = [series for series in study.series if series.title == place.title]
        at = study.series[place.series] if place.series < len(study.series) else None
        return at if at in alike else next(iter(alike), None)

    def _restore_view(self, series: Series, options: ViewOptions) -> None:
        session, view = self._session, self._session.view
        rows, columns = series.recon_size
        view.clear_marks()
        if options.crosshair is not None and options.crosshair[0] < columns and options.crosshair[1] < rows:
            view.set_crosshair(*options.crosshair)
        if options.region is not None and options.region[2] <= columns and options.region[3] <= rows:
            view.set_region(Region(*options.region))
        view.set_error_gain(options.error_gain)
        view.set_wipe(options.wipe)
        if options.colours != view.colours:
            session.change_settings(colours=options.colours)
        view.take_options(
            Component(options.component),
            options.layout,  # type: ignore[arg-type]
            **{name: getattr(options, name) for name in SWITCHES},
        )
        self._view = (series, options)
        self._take_levels()
        self.restored.emit(options)

    def _take_levels(self, *_: Any) -> None:
        session = self._session
        if self._view is None or session.preview is None:
            return
        (series, options), self._view = self._view, None
        if series is session.series and options.levels:
            kept = {Component(name): limits for name, limits in options.levels.items()}
            session.view.take_levels(kept, options.preset)
            self.levels_restored.emit()

    def _tell(self, path: Path, stored: StoredSession) -> None:
        """Say in one sentence what is not as it was, and offer what is not there any more."""
        missing = [scan.path.name for scan in stored.scans if scan.state == "missing"]
        changed = [scan.path.name for scan in stored.scans if scan.state == "changed"]
        failed = [scan.path.name for scan in stored.scans if scan.state != "missing" and self._study_of(scan) is None]
        parts = [f"{_names(missing)} {'is' if len(missing) == 1 else 'are'} missing"] if missing else []
        parts += [f"{_names(changed)} changed since it was saved"] if changed else []
        parts += [f"{_names(failed)} could not be opened"] if failed else []
        others = [
            scan.path.name for scan in stored.scans
            if (study := self._study_of(scan)) is not None and simulation_of(study) != scan.simulation
        ]  # fmt: skip
        parts += [f"{_names(others)} stays as it is open, simulated otherwise"] if others else []
        rest = "; the rest is open" if len({*missing, *failed}) < len(stored.scans) and missing + failed else ""
        text = f"{path.name}: {' and '.join(parts)}{rest}." if parts else f"{path.name} is open."
        n_results = len(self.waiting)
        if n_results:
            text += f" It keeps {count(n_results, 'result')} as {'recipes' if n_results > 1 else 'a recipe'}."
        action = ("reconstruct-results", count(n_results, "result")) if n_results else ("", "")
        self._session.say("warning" if parts else "info", text, "", *action)

    # ---------------------------------------------------------------- results

    @property
    def waiting(self) -> list[tuple[Series, Request]]:
        """Series and recipe of the results of the file that are neither there nor on their way."""
        session = self._session
        there = [(result.series, _recipe_of(result)) for result in session.results]
        there += [(item.series, item.request) for item in session.queue.waiting]
        return [
            entry for entry in self._results
            if entry not in there and session.library.study_of(entry[0]) is not None
        ]  # fmt: skip

    def reconstruct(self) -> None:
        """Make the results that wait again, one after the other; what is cancelled meanwhile can be asked for again."""
        problems = [self._session.reconstructing.ask(series, request) for series, request in self.waiting]
        # Said at the end: the first start sweeps away what was said before it.
        if any(problems):
            self._session.say("warning", f"Not reconstructed: {' '.join(dict.fromkeys(filter(None, problems)))}")

    def _on_a_device(self, request: Request) -> Request:
        """Take the best device of this machine where the one of another is not there."""
        return request if request.device in self._session.devices else replace(request, device="auto")


def _options(session: Session, zoom: float, centre: tuple[float, float]) -> ViewOptions:
    view = session.view
    return ViewOptions(
        component=view.component.value,
        levels={component.value: limits for component, limits in view.kept_levels.items()},
        preset=view.preset,
        colours=view.colours,
        layout=view.layout,
        error_gain=view.error_gain,
        crosshair=view.crosshair,
        region=None if view.region is None else (*view.region,),
        wipe=view.wipe,
        zoom=zoom,
        centre=centre,
        **{name: getattr(view, name) for name in SWITCHES},
    )


def _recipe_of(result: Result) -> Request | None:
    """Return what makes a result again: its slices that are finished, and of one that runs all; None of no slice."""
    slices = result.request.slices if result.state == "running" else result.finished
    return replace(result.request, slices=slices) if slices else None


def _fitting(series: Series, request: Request) -> Request | None:
    """Return a recipe for the slices that a series has; None where it has none of them."""
    slices = tuple(index for index in request.slices or () if index < series.n_slices)
    return replace(request, slices=slices) if slices else None


def _names(names: list[str]) -> str:
    if len(names) > _N_NAMED:
        return f"{', '.join(names[:_N_NAMED])} and {len(names) - _N_NAMED} more"
    return " and ".join(", ".join(names).rsplit(", ", 1))
