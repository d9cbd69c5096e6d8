"""Export: what, in which formats, where. Says in place what is wrong before anything is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.dialogs.result_choice import ResultChoice
from app.views.fields import describe
from app.views.named import named
from recon.export import movie
from recon.export.privacy import said_of_the_patient

if TYPE_CHECKING:
    from app.results import Result
    from recon.data import Kind

_MOVIE = "Movie (GIF)"
# What the movies of a result show, by their kinds.
_MOVIES = {
    (): "needs iterations or several slices; this is one image",
    ("iterations",): "the iterations, from zero-filled to final; plays in a slide",
    ("slices",): "all slices in turn; plays in a slide",
    ("iterations", "slices"): "iterations of the slice in view, and all slices in turn",
}
FORMATS = (
    ("dicom", "DICOM series", "MR Image Storage, one file per slice; opens in every viewer"),
    ("dicom-anonymous", "DICOM series, anonymous", "pseudonyms for patient and study, dates moved"),
    ("hdf5", "HDF5", "float32 volume with the request that made it"),
    ("nifti", "NIfTI", "float32 volume with its position in space"),
    ("png", "PNG figure", "stages, error maps and scores of one slice, ready for a slide"),
    ("movie", _MOVIE, _MOVIES[()]),
    ("csv", "CSV", "scores and data residual of each slice and of the volume"),
)


class ExportDialog(QDialog):
    """Form of the export.

    Signals
    -------
    export_wanted
        Folder, formats, whether stages and the phase are wanted, and the result.
    """

    export_wanted = Signal(str, list, bool, bool, object)

    def __init__(
        self, results: list[Result], current: Result | None, folder: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("exportDialog")
        self.setWindowTitle("Export result")
        self.result_choice = named("exportResult", ResultChoice(results, current))
        self.formats: dict[str, QCheckBox] = {}
        boxes = QVBoxLayout()
        boxes.setSpacing(theme.SPACE)
        boxes.setContentsMargins(0, theme.SPACE, 0, 0)  # the first box on a line with the name at its left
        for key, text, hint in FORMATS:
            box = named(f"format-{key}", QCheckBox(f"{text}: {hint}"))
            box.toggled.connect(self._validate)
            self.formats[key] = box
            boxes.addWidget(box)
        self.stages = named("exportStages", QCheckBox("Write every iteration too (HDF5)"))
        boxes.addWidget(self.stages)
        self.phase = named("exportPhase", QCheckBox("Write the phase too (DICOM, HDF5, NIfTI)"))
        boxes.addWidget(self.phase)
        self.folder = named("exportFolder", QLineEdit(folder or str(Path.home() / "mri-workstation")))
        self.folder.textChanged.connect(self._validate)
        browse = QPushButton("Choose…")
        browse.clicked.connect(self._browse)
        describe(
            (self.result_choice, "Result", "Which result of this session is written"),
            (
                self.stages,
                "Write every iteration",
                "The HDF5 file then holds each stage beside the final image; of a solver that ran on several slices, "
                "the iterates that were kept",
            ),
            (
                self.phase,
                "Write the phase",
                "In radians: in the HDF5 file, as a DICOM series and a NIfTI file of its own",
            ),
            (self.folder, "Folder", "Where the files go; it is made where there is none"),
            (browse, "Choose the folder", "Choose the folder in a dialog"),
        )
        row = QHBoxLayout()
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        form = QFormLayout()
        form.setHorizontalSpacing(theme.MARGIN)
        form.setVerticalSpacing(theme.MARGIN)
        form.addRow("Result", self.result_choice)
        form.addRow("Formats", boxes)
        form.addRow("Folder", row)
        self.note = named("exportNote", QLabel(wordWrap=True))
        self.note.setProperty("muted", True)
        self.result_choice.currentIndexChanged.connect(self._follow_result)
        self.problem = named("exportProblem", QLabel(wordWrap=True))
        theme.dress(self.problem, colour="error")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.export_button = buttons.addButton("Export", QDialogButtonBox.ButtonRole.AcceptRole)
        self.export_button.setObjectName("exportButton")
        self.export_button.setProperty("primary", True)
        buttons.accepted.connect(self._export)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[2 * theme.MARGIN] * 4)
        layout.setSpacing(theme.MARGIN)
        layout.addLayout(form)
        layout.addWidget(self.note)
        layout.addWidget(self.problem)
        layout.addWidget(buttons)
        self.setMinimumWidth(600)
        self._names_a_patient: bool | None = None
        self._follow_result()

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Export to", self.folder.text())
        if chosen:
            self.folder.setText(chosen)

    def _problem(self) -> str:
        if not self._chosen():
            return "Choose at least one format."
        text = self.folder.text().strip()
        if not text:
            return "Choose a folder."
        folder = Path(text).expanduser()
        if folder.exists() and not folder.is_dir():
            return f"{folder} is a file; choose a folder."
        above = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        if not os.access(above, os.W_OK):
            return f"{above} cannot be written; choose another folder."
        return ""

    def _chosen(self) -> list[str]:
        return [key for key, box in self.formats.items() if box.isChecked() and box.isEnabled()]

    def _follow_result(self) -> None:
        result = self.result_choice.currentData()
        self._choose_dicom(result)
        done = None if result is None else result.reconstruction
        moving = () if done is None else movie.kinds(done)
        box = self.formats["movie"]
        box.setText(f"{_MOVIE}: {_MOVIES[moving]}")
        box.setEnabled(bool(moving))
        self._validate()

    def _choose_dicom(self, result: Result | None) -> None:
        """Tick the images without names where the source has some, which are given away by choice alone."""
        names_a_patient = result is not None and result.series.kind == "dicom"
        if names_a_patient != self._names_a_patient:
            self._names_a_patient = names_a_patient
            self.formats["dicom"].setChecked(not names_a_patient)
            self.formats["dicom-anonymous"].setChecked(names_a_patient)

    def _validate(self) -> None:
        problem = self._problem()
        self.problem.setText(problem)
        self.export_button.setEnabled(not problem and self.result_choice.count() > 0)
        self.stages.setEnabled(self.formats["hdf5"].isChecked())
        chosen = set(self._chosen())
        self.phase.setEnabled(bool(chosen - {"png", "csv", "movie"}))
        said = said_of_the_patient(kind_of(self.result_choice.currentData()), chosen)
        self.note.setText(f"Images are marked for research use only. {said}")

    def _export(self) -> None:
        wants_stages = self.stages.isEnabled() and self.stages.isChecked()
        wants_phase = self.phase.isEnabled() and self.phase.isChecked()
        folder = self.folder.text().strip()
        self.export_wanted.emit(folder, self._chosen(), wants_stages, wants_phase, self.result_choice.currentData())
        self.accept()


def kind_of(result: Result | None) -> Kind | None:
    """Kind of the series of a result, where there is one."""
    return None if result is None else result.series.kind
