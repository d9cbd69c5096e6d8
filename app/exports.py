"""Writes results to files in a thread, and tells the user where they went."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from recon.batch import explain
from recon.errors import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.results import Result
    from app.session import Session
    from recon.result import Reconstruction


class Exports(QObject):
    """Exports the results of a session.

    Parameters
    ----------
    session
        Whose results, and who tells the user.
    file
        Queues work for a thread: key, work, what takes the result, what was going on.

    Signals
    -------
    written
        The files of an export.
    """

    written = Signal(object)

    def __init__(
        self, session: Session, file: Callable[[str, Callable[[], Any], Callable[[Any], None], str], None]
    ) -> None:
        super().__init__(session)
        self._session = session
        self._file = file

    def write(
        self,
        folder: Path | str,
        formats: Iterable[str],
        *,
        stages: bool = False,
        phase: bool = False,
        result: Result | None = None,
    ) -> bool:
        """Write a result, in pictures its slice in view; `written` brings the files.

        Parameters
        ----------
        folder
            Where the files go.
        formats
            Some of `recon.result.FORMATS`.
        stages
            Write the stages too, where the format can hold them.
        phase
            Write the phase too.
        result
            The result; None takes the current one.

        Returns
        -------
        started
            False when there is nothing to export; a message says so.
        """
        session = self._session
        result = session.result if result is None else result
        if result is None or result.reconstruction is None:
            session.say("warning", "There is no finished result to export; reconstruct a slice first.")
            return False
        folder = Path(folder).expanduser().absolute()
        session.say("info", f"Exporting to {folder} …")
        shown = session.slice_index if result.series is session.series else None
        work = partial(_save, result.reconstruction, folder, list(formats), shown, stages=stages, phase=phase)
        self._file(f"export {result.number}", work, partial(self._take_files, folder), "exporting")
        return True

    def _take_files(self, folder: Path, outcome: tuple[list[Path], list[Exception]]) -> None:
        files, problems = outcome
        self._session.change_settings(export_folder=str(folder))
        names = ", ".join(path.name for path in files)
        text = " ".join([f"Exported to {folder}: {names}", *(f"· {explain(error)[0]}" for error in problems)])
        level = "warning" if problems else "success"
        self._session.say(level, text, action="open-folder", target=str(folder))
        self.written.emit(files)


def _save(
    result: Reconstruction, folder: Path, formats: list[str], shown: int | None, *, stages: bool, phase: bool
) -> tuple[list[Path], list[Exception]]:
    """Write a result beside those of other recipes: nobody is asked here whether they may go.

    Returns
    -------
    The files, and why some formats could not be written.
    """
    if not phase:
        # The window always has it, for the eye.
        result = result.without_phase()
    problems: list[Exception] = []
    name = result.free_name(folder)
    files = result.save(folder, formats, stages=stages, name=name, slice_index=shown, problems=problems)
    if not files:
        raise together(problems)
    return files, problems
