"""What every test starts from: settings of its own, an offscreen Qt, the shared data, and a look for leaks after it."""

from __future__ import annotations

import faulthandler
import gc
import itertools
import logging
import os
import re
import socket
import sys
import tempfile
import threading
import weakref
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent

# Before Qt, torch or matplotlib read them. Two threads at most: the images are small, and the machine may be busy. One
# where tests run side by side, whatever the first process left for the others: threads that wait for a core spin.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_NUM_THREADS", "2")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["QT_API"] = "pyside6"
os.environ["PYQTGRAPH_QT_LIB"] = "PySide6"

_USER_FOLDERS = "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real scans that lies beside the checkout; tests that need it are skipped elsewhere."""
    return _beside("data")


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Folder with golden vectors that lies beside the checkout; tests that need it are skipped elsewhere."""
    return _beside("vectors")


def _beside(name: str) -> Path:
    folder = ROOT.parent / "shared" / name
    if not folder.is_dir():
        pytest.skip(f"shared/{name} does not lie beside the checkout")
    return folder


@pytest.fixture(scope="session")
def cache_folder() -> Iterator[Path]:
    """Cache of this run: what takes long to make, such as the demo phantom, is made once."""
    with tempfile.TemporaryDirectory(prefix="mri-workstation-cache-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session", autouse=True)
def home_of_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what a fixture of a module or of the session runs away from the user, too."""
    home = tmp_path_factory.mktemp("fixtures")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("HOME", *_USER_FOLDERS):
            patch.setenv(variable, str(home))
        yield


@pytest.fixture(autouse=True)
def user_folders(tmp_path_factory: pytest.TempPathFactory, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a home with no settings, no recent files and no weights in it; nothing of the user is touched."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_folder))
    for variable in _USER_FOLDERS:
        monkeypatch.setenv(variable, str(home / variable.removeprefix("XDG_").removesuffix("_HOME").lower()))
    return home


@pytest.fixture(autouse=True)
def log_levels() -> Iterator[None]:
    """Undo what a command that ran in this process made of the loggers: `--quiet` would silence all later tests.

    Before the test, for what a fixture of its module ran; and after it.
    """
    loggers = [logging.getLogger(name) for name in ("app", "recon", "training")]
    for logger in loggers:
        logger.setLevel(logging.NOTSET)
    yield
    for logger in loggers:
        logger.setLevel(logging.NOTSET)


@cache
def _set_aside(_file: str) -> None:
    """Leave what was there before a file's tests of the window out of the collections that follow each of them.

    Else they go through all that torch, Qt and others keep for ever, which takes longer than most of the tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def leaks_no_widget_or_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test of the window that leaves a top-level widget or a running thread behind.

    A leaked widget is a leaked series with its images; a running thread takes the process down when Qt ends.
    """
    if not {"qtbot", "qapp", "qtmodeltester"} & set(request.fixturenames):
        yield
        return
    from PySide6.QtCore import QCoreApplication, QEvent, QThread, QThreadPool
    from PySide6.QtWidgets import QApplication

    application = request.getfixturevalue("qapp")
    _set_aside(request.node.nodeid.partition("::")[0])
    before = {id(widget) for widget in QApplication.topLevelWidgets()}
    started: weakref.WeakSet[QThread] = weakref.WeakSet()
    start = QThread.start

    def noted_start(thread: QThread, *arguments: Any) -> None:
        started.add(thread)
        start(thread, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QThread, "start", noted_start)
        yield

    # A thread that was told to stop may be in its last step, and a closed widget in Qt's queue.
    running = [repr(thread) for thread in list(started) if not thread.wait(5000)]
    if not QThreadPool.globalInstance().waitForDone(5000):
        running.append("a worker of the global QThreadPool")
    for _ in range(2):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        application.processEvents()
        gc.collect()
    widgets = [
        f"{type(widget).__name__} {widget.objectName()!r} {widget.windowTitle()!r}"
        for widget in QApplication.topLevelWidgets()
        if id(widget) not in before and widget.parent() is None
    ]
    assert not running, f"threads still run after the test: {', '.join(running)}"
    assert not widgets, f"top-level widgets outlive the test: {', '.join(widgets)}"


def pytest_unconfigure(config: pytest.Config) -> None:
    """End a run that does not end by itself after its last test, and show where it waits.

    Python waits at its end for every process it started; one that does not hear of it would hold the run for ever.
    """
    faulthandler.dump_traceback_later(120, exit=True, file=sys.__stderr__)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Save what the window looked like when a test failed, before its widgets are closed."""
    report = yield
    if report.when == "call" and report.failed and "PySide6.QtWidgets" in sys.modules:
        for path in _screenshots(re.sub(r"[^\w.-]+", "_", item.nodeid)):
            report.sections.append(("screenshot", str(path)))
    return report


def _screenshots(stem: str) -> list[Path]:
    from PySide6.QtWidgets import QApplication

    if QApplication.instance() is None:
        return []
    folder = ROOT / "output" / "failures"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, widget in enumerate(widget for widget in QApplication.topLevelWidgets() if widget.isVisible()):
        path = folder / f"{stem}.{number}.png"
        if widget.grab().save(str(path)):
            paths.append(path)
    return paths


@dataclass(eq=False)
class PACS:
    """A storage service in this process, on a free port of this computer.

    Attributes
    ----------
    destination
        Where it is, as the program is told.
    received
        The data set of each instance, byte for byte, by its identity; in the order in which they came.
    callers
        AE titles of those who asked for an association.
    """

    destination: str
    received: dict[str, bytes]
    callers: list[str]


@pytest.fixture
def start_pacs() -> Iterator[Callable[..., PACS]]:
    """Start a PACS; ``answer`` gets the number of an instance, from 1, and its event, and gives the status."""
    from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt

    servers = []

    def start(
        answer: Callable[[int, Any], Any] = lambda *_: 0,
        syntaxes: Sequence[str] = (),
        classes: tuple[str, ...] = ("1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.4"),
        callers: tuple[str, ...] = (),
        title: str = "PACS",
    ) -> PACS:
        entity = AE(title)
        entity.require_called_aet = True
        entity.require_calling_aet = list(callers)
        for sop_class in classes:
            entity.add_supported_context(sop_class, list(syntaxes) or ALL_TRANSFER_SYNTAXES)
        received: dict[str, bytes] = {}
        known: list[str] = []
        count = itertools.count(1)

        def store(event: Any) -> Any:
            status = answer(next(count), event)
            if status in (0x0000, 0xB000):
                received[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
            return status

        handlers = [
            (evt.EVT_C_STORE, store),
            (evt.EVT_REQUESTED, lambda event: known.append(event.assoc.requestor.primitive.calling_ae_title)),
        ]
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        servers.append(server)
        return PACS(f"PACS@127.0.0.1:{server.server_address[1]}", received, known)

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture
def silent_pacs() -> Iterator[str]:
    """Give a destination that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"PACS@127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def no_pacs() -> Iterator[str]:
    """Give a destination where nothing listens; its port is kept, so that nobody else listens there meanwhile."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield f"PACS@127.0.0.1:{kept.getsockname()[1]}"


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """Give a destination whose name is never found, for as long as the test runs, and the names that were looked up."""
    look_up, end, asked = socket.getaddrinfo, threading.Event(), []

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "slow.invalid":
            asked.append(host)
            end.wait(60)
            raise socket.gaierror
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield "PACS@slow.invalid:104", asked
    end.set()


@pytest.fixture
def write_instances() -> Callable[..., list[Path]]:
    """Write small MR images into a folder; ``changes`` are elements of all of them."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def write(folder: Path, n: int = 3, syntax: str = ExplicitVRLittleEndian, **changes: Any) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for number in range(n):
            dataset = Dataset()
            dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
            dataset.SOPInstanceUID = generate_uid(prefix=None)
            dataset.PatientName, dataset.PatientID, dataset.Modality = "Doe^Jane", "4711", "MR"
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
            dataset.Rows = dataset.Columns = 16
            dataset.BitsAllocated = dataset.BitsStored = 16
            dataset.HighBit, dataset.PixelRepresentation, dataset.InstanceNumber = 15, 0, number + 1
            dataset.PixelData = bytes([number]) * 512
            dataset["PixelData"].VR = "OW"
            for keyword, value in changes.items():
                setattr(dataset, keyword, value)
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = syntax
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            files.append(folder / f"image_{number + 1:03d}.dcm")
            dataset.save_as(files[-1], enforce_file_format=True)
        return files

    return write
