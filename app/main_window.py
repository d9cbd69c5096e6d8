"""The main window: builds the panes and connects them to the session; nothing else."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, QTimer, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QMainWindow,
    QMessageBox,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.actions import Actions
from app.finder import Finder
from app.panes import Panes
from app.presenters.coils import CoilPresenter
from app.presenters.grid import GridPresenter
from app.presenters.profile import ProfilePresenter
from app.presenters.recipe import RecipePresenter
from app.presenters.region import RegionPresenter
from app.presenters.stages import StagePresenter
from app.presenters.status import StatusPresenter
from app.sending_desk import SendingDesk
from app.session_desk import SessionDesk
from app.statistics_desk import StatisticsDesk
from app.training.desk import TrainingDesk
from app.views.banner import Banner
from app.views.coils_view import CoilsView
from app.views.header_view import HeaderView
from app.views.image_grid import ImageGrid
from app.views.kspace_view import KSpaceView
from app.views.level_bar import LevelBar
from app.views.log_view import Handler, LogView
from app.views.mask_preview import MaskPreview
from app.views.metrics_table import MetricsTable
from app.views.profile_view import ProfileView
from app.views.recipe_panel import RecipePanel
from app.views.region_table import RegionTable
from app.views.score_pane import ScorePane
from app.views.stage_scrubber import StageScrubber
from app.views.start_page import StartPage
from app.views.statistics_view import StatisticsView
from app.views.study_browser import StudyBrowser
from app.views.training_monitor import TrainingMonitor

if TYPE_CHECKING:
    from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QShowEvent

    from app.session import Session

TITLE = "MRI workstation"
# After the window is shown; the program itself starts its session earlier.
START_MS = 300
_SCANS = "Scans, sessions (*.h5 *.hdf5 *.mrd *.cfl *.npy *.dcm *.ima *.nii *.nii.gz *.mriws.json);;All files (*)"


class MainWindow(QMainWindow):
    """Start page, or studies and recipe on the left, images in the middle, tables below."""

    session: Session
    grid: ImageGrid
    training_desk: TrainingDesk
    sending_desk: SendingDesk
    session_desk: SessionDesk
    statistics_desk: StatisticsDesk
    finder: Finder

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName("mainWindow")
        self.setWindowTitle(TITLE)
        self.setAcceptDrops(True)
        self.setDockNestingEnabled(True)
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        theme.apply(application, session.settings.theme)
        self._is_viewing: bool | None = None
        self._starter = QTimer(self, singleShot=True, interval=START_MS)
        self._starter.timeout.connect(session.start)
        self._log_handler = Handler()
        logging.getLogger("app").addHandler(self._log_handler)
        logging.getLogger("recon").addHandler(self._log_handler)
        self._make_views()
        self._lay_out()
        self._make_panes()
        self.grid_presenter = GridPresenter(session, self.grid, self)
        self.status = StatusPresenter(session, self.statusBar(), self.level_bar, self.grid, self.grid_presenter, self)
        self.commands = Actions(self)
        self.commands.fill(self, self._panes_menu())
        self._connect()
        self.resize(1280, 800)
        self._show_page()

    # ---------------------------------------------------------------- construction

    def _make_views(self) -> None:
        self.start_page = StartPage()
        self.banner = Banner()
        self.grid = ImageGrid()
        self.level_bar = LevelBar()
        self.scrubber = StageScrubber()
        self.browser = StudyBrowser()
        self.mask_preview = MaskPreview()
        self.recipe = RecipePanel(self.mask_preview)
        self.metrics = MetricsTable()
        self.region = RegionTable()
        self.profile = ProfileView()
        self.statistics = StatisticsView()
        self.scores = ScorePane(self.metrics, self.statistics)
        self.kspace = KSpaceView()
        self.coils = CoilsView()
        self.header = HeaderView()
        self.log_view = LogView()
        self.training = TrainingMonitor()

    def _lay_out(self) -> None:
        viewer = QWidget()
        column = QVBoxLayout(viewer)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.level_bar)
        column.addWidget(self.grid, 1)
        column.addWidget(self.scrubber)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.start_page)
        self.pages.addWidget(viewer)
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.banner)
        column.addWidget(self.pages, 1)
        self.setCentralWidget(centre)

    def _make_panes(self) -> None:
        views = {
            "studies": self.browser, "recipe": self.recipe, "metrics": self.scores, "kspace": self.kspace,
            "header": self.header, "region": self.region, "profile": self.profile, "coils": self.coils,
            "training": self.training, "log": self.log_view,
        }  # fmt: skip
        self.panes: Panes = Panes(self, views)
        self.docks = self.panes.docks

    def _panes_menu(self) -> Any:
        menu = self.createPopupMenu() or self.menuBar().addMenu("Panes")
        menu.setTitle("Panes")
        menu.addSeparator()
        menu.addAction("Reset layout").triggered.connect(self.reset_layout)
        return menu

    def _connect(self) -> None:
        session = self.session
        self.region_presenter = RegionPresenter(session, self.grid, self.grid_presenter, self.region, self)
        self.profile_presenter = ProfilePresenter(session, self.grid, self.grid_presenter, self.profile, self)
        self.coil_presenter = CoilPresenter(session, self.grid, self.kspace, self.coils, self)
        self.stage_presenter = StagePresenter(session, self.scrubber, self.metrics, self)
        self.recipe_presenter = RecipePresenter(session, self.recipe, self.mask_preview, self)
        self.training_desk = TrainingDesk(self, self.status.labels["training"])
        self.sending_desk = SendingDesk(self)
        self.session_desk = SessionDesk(self)
        self.statistics_desk = StatisticsDesk(self)
        self.finder = Finder(self)
        self._log_handler.bridge.line.connect(self.log_view.add)
        self.banner.acted.connect(self._act)
        self.banner.details_wanted.connect(self.show_details)
        # What the last run met says nothing about the one that starts now; the next of a queue takes nothing away.
        session.reconstructing.begun.connect(self.banner.clear)
        session.message.connect(self.banner.show_message)
        session.preview_changed.connect(
            lambda _: self.banner.withdraw("slice") if session.preview is not None else None
        )
        session.studies_changed.connect(self._show_studies)
        session.studies_changed.connect(self._show_page)
        session.series_changed.connect(self._show_series)
        pictures = session.previews.thumbnails
        session.thumbnail_changed.connect(lambda series: self.browser.set_thumbnail(series, pictures[series]))
        self.browser.chosen.connect(session.select)
        self.browser.close_wanted.connect(session.close_study)
        self.start_page.demo_wanted.connect(session.open_demo)
        self.start_page.open_file_wanted.connect(self.ask_files)
        self.start_page.open_folder_wanted.connect(self.ask_folder)
        self.start_page.paths_chosen.connect(session.open)
        session.opening_changed.connect(self._show_opening)
        session.settings_changed.connect(self._apply_settings)
        self.recipe.sampling.mask_file_wanted.connect(self.ask_mask)
        self.recipe.model.train_wanted.connect(self.ask_training)
        self.level_bar.sliceRequested.connect(lambda index: session.select(index=index))
        self.level_bar.presetChosen.connect(session.apply_preset)
        self.level_bar.componentChosen.connect(session.view.show_component)
        self.level_bar.zoomToFitRequested.connect(self.zoom)
        self.grid.contextMenuRequested.connect(self._open_menu)
        self.grid.regionDrawn.connect(self._show_region)
        self.docks["kspace"].visibilityChanged.connect(self.coil_presenter.see_kspace)
        self.docks["coils"].visibilityChanged.connect(self.coil_presenter.see_coils)
        self._apply_settings()
        self.browser.set_studies(session.studies)
        for series, image in pictures.items():
            self.browser.set_thumbnail(series, image)
        self._show_series()

    # ---------------------------------------------------------------- what is shown

    def _show_page(self) -> None:
        is_viewing = bool(self.session.studies)
        self.pages.setCurrentIndex(1 if is_viewing else 0)
        for page in self.pages.children():
            # Only the page in sight decides how small the window may become.
            if isinstance(page, QWidget):
                is_shown = page is self.pages.currentWidget()
                policy = QSizePolicy.Policy.Preferred if is_shown else QSizePolicy.Policy.Ignored
                page.setSizePolicy(policy, policy)
        if is_viewing != self._is_viewing:
            self._is_viewing = is_viewing
            if is_viewing:
                self.panes.show_all(self.session.settings.layout)
            else:
                self.panes.hide_all()
            self.statusBar().setVisible(is_viewing)
            # Neither page starts with a ring around the control that happens to be first.
            self.pages.setFocus()
        if self.session.training.is_running:
            self.training_desk.show_pane()

    def reset_layout(self) -> None:
        """Put every pane back to where it was on the first day."""
        session = self.session
        hidden = () if session.training.is_running else ("training",)
        self.panes.reset(hidden if session.studies else tuple(self.docks))

    def _show_studies(self) -> None:
        self.browser.set_studies(self.session.studies)
        self.browser.set_current(self.session.series)

    def _show_series(self) -> None:
        self.browser.set_current(self.session.series)
        self.header.set_series(self.session.series)
        # Files may be named after patients: the title of a window is read by everybody in the room.
        self.setWindowTitle(TITLE)

    def _show_opening(self) -> None:
        self.start_page.set_opening([path.name for path in self.session.opening])

    def _apply_settings(self) -> None:
        settings = self.session.settings
        application = QApplication.instance()
        if isinstance(application, QApplication) and theme.choice() != settings.theme:
            theme.apply(application, settings.theme)
        self.start_page.set_recent(settings.recent)

    def _show_region(self, region: Any) -> None:
        # Who draws one wants to read it, also where the pane was closed or lies under another (Qt calls that visible).
        if region is not None and not self.panes.is_seen("region"):
            self.panes.show("region")

    def zoom(self, factor: float | None = None) -> None:
        """Magnify all images, or show them whole again."""
        if factor is None:
            self.grid.zoom_to_fit()
        else:
            self.grid.zoom_by(factor)
        self.status.refresh()

    def _open_menu(self, _key: str, position: Any) -> None:
        menu = self.commands.menu(
            (
                "fit", "level-matched", "level-auto", "level-full", "errorRow", "layout", "compare", "crosshair",
                "invert", "export", "send",
            ),
            self,
        )  # fmt: skip
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(position)

    # ---------------------------------------------------------------- what is asked

    def ask_files(self) -> None:
        """Ask for files and open them."""
        names, _ = QFileDialog.getOpenFileNames(self, "Open scans", self.last_folder(), _SCANS)
        if names:
            self.session.open(names)

    def ask_folder(self) -> None:
        """Ask for a folder and open it."""
        name = QFileDialog.getExistingDirectory(self, "Open a folder of scans", self.last_folder())
        if name:
            self.session.open([name])

    def ask_mask(self) -> None:
        """Ask for a sampling pattern."""
        name, _ = QFileDialog.getOpenFileName(
            self, "Open a sampling pattern", self.last_folder(), "NumPy arrays (*.npy)"
        )
        if not name or not self.session.set_request(kind=f"file:{name}"):
            self.recipe_presenter.refresh()

    def ask_export(self) -> None:
        """Ask what to export."""
        from app.dialogs.export import ExportDialog

        results = [result for result in self.session.results if result.reconstruction is not None]
        dialog = ExportDialog(results, self.session.result, self.session.settings.export_folder, self)
        dialog.export_wanted.connect(
            lambda folder, formats, stages, phase, result: self.session.exports.write(
                folder, formats, stages=stages, phase=phase, result=result
            )
        )
        self._open(dialog)

    def ask_settings(self, page: str = "General", **proposed: Any) -> None:
        """Show the settings, some with other values that the user may save."""
        from app.dialogs.settings import SettingsDialog

        models = [(card.name, card.title) for card in self.session.models if card.needs_training]
        dialog = SettingsDialog(self.session.settings, models, page, self, self.session.devices)
        dialog.propose(**proposed)
        dialog.saved.connect(lambda values: self.session.change_settings(**values))
        dialog.training_wanted.connect(self.training_desk.start)
        dialog.hindrance = lambda: self.session.training.hindrance
        self._open(dialog)

    def ask_training(self, model: str = "") -> None:
        """Show the page that starts a training, of a model or of the one trained last."""
        self.ask_settings("Training", **({"training_model": model} if model else {}))

    def choose_model(self) -> None:
        """Open the list of models."""
        self.panes.show("recipe")
        self.recipe.choose_model()

    def show_shortcuts(self) -> None:
        """Show keys and gestures."""
        from app.dialogs.shortcuts import ShortcutsDialog

        self._open(ShortcutsDialog(self))

    def show_about(self) -> None:
        """Show what this is."""
        from app.dialogs.about import AboutDialog

        self._open(AboutDialog(self))

    def show_log(self) -> None:
        """Bring the log to the front."""
        self.panes.show("log")

    def show_details(self, details: str) -> None:
        """Write a traceback into the log and show it there, ready to be copied."""
        self.log_view.add(details.rstrip())
        self.panes.show("log")

    def close_current_study(self) -> None:
        """Close the study that is shown."""
        series = self.session.series
        for study in list(self.session.studies):
            if series in study.series:
                self.session.close_study(study)

    def _open(self, dialog: Any) -> None:
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def last_folder(self) -> str:
        """Return where dialogs start to look for scans and sessions."""
        recent = self.session.settings.recent
        return str(Path(recent[0]).parent) if recent else str(Path.home())

    def _act(self, action: str, target: str) -> None:
        if action == "use-cpu":
            self.session.use_cpu(target)
        elif action == "show-training":
            self.training_desk.show_pane()
        elif action == "open-folder":
            QDesktopServices.openUrl(QUrl.fromLocalFile(target))

    # ---------------------------------------------------------------- events

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        event.acceptProposedAction()
        self.session.open([url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()])

    def sizeHint(self) -> QSize:
        """Size on a small screen."""
        return QSize(1280, 800)

    def showEvent(self, event: QShowEvent) -> None:
        """Start a session that nobody has started, when the window has been seen."""
        super().showEvent(event)
        self._starter.start()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask only when work would be lost; then end the threads."""
        if (self.session.is_running or self.session.sending.is_running) and not self._may_close():
            event.ignore()
            return
        if self.session.studies:
            state = self.panes.state
            if state != self.session.settings.layout:
                self.session.change_settings(layout=state)
        self._starter.stop()
        self.training_desk.close()
        self.session.close()
        for name in ("app", "recon"):
            logging.getLogger(name).removeHandler(self._log_handler)
        super().closeEvent(event)

    def _may_close(self) -> bool:
        n_waiting = len(self.session.queue.waiting)
        running = "A reconstruction is running. Stop it" if self.session.is_running else "Images are being sent. Stop"
        if n_waiting:
            running = f"A reconstruction is running and {n_waiting} more wait{'s' * (n_waiting == 1)}. Stop them"
        answer = QMessageBox.question(self, TITLE, f"{running} and quit?")
        return answer == QMessageBox.StandardButton.Yes
