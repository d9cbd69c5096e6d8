"""A session with a small in-memory scan and an engine whose pace a test decides, and hands to work its window."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recon.data import Geometry, Series, Study
from recon.errors import ModelError, RequestError
from recon.masks import SamplingMask, make
from recon.models.parameters import Parameter
from recon.simulate import SimulationSpec
from recon.stage import Stage


class MemorySource:
    """Slices of a disc whose size depends on the slice."""

    def __init__(self, n_coils, size):
        self.n_coils, self.size = n_coils, size

    def image(self, index):
        rows, columns = self.size
        y, x = np.mgrid[:rows, :columns]
        radius = np.hypot(y - rows / 2, x - columns / 2)
        return ((radius < rows * (0.3 + 0.02 * index)) * (1.0 + 0.1 * index)).astype(np.float32)

    def kspace(self, index):
        spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(self.image(index)), norm="ortho"))
        return np.stack([spectrum / np.sqrt(self.n_coils)] * self.n_coils).astype(np.complex64)

    def reference(self, index):
        return self.image(index)


def make_series(n_slices=5, n_coils=2, size=(48, 40), name="disc.h5", **changes):
    values = {
        "path": Path("/nowhere") / name,
        "title": name.removesuffix(".h5"),
        "kind": "fastmri",
        "n_slices": n_slices,
        "n_coils": n_coils,
        "matrix": size,
        "recon_size": size,
        "source": MemorySource(n_coils, size),
        "has_reference": True,
        "geometry": Geometry(flip_rows=True),
    }
    return Series(**values | changes)


def make_card(name, title, group, needs_training=False, weights=(), **changes):
    values = {
        "name": name, "title": title, "group": group, "summary": f"{title} in a test.", "paper": f"On {title}",
        "needs_training": needs_training, "needs_maps": False, "any_coils": False, "problem": "", "source": "",
        "requires_program": "", "weights": weights, "available": bool(weights) or not needs_training, "parameters": {},
        "data_consistency": "hard", "is_paper_size": True,
    } | changes  # fmt: skip
    return SimpleNamespace(parameters_for=lambda *_: values["parameters"], **values)


def make_weights(n_coils, name="pcrnn-s-2coil", is_bundled=True):
    score = {"scan": "a_head", "mask": "random", "acceleration": 4.0, "psnr": {"mean": 31.26}}
    story = {"accelerations": [4.0, 8.0], "scores": [score | {"zero_filled_psnr": {"mean": 25.2}}], "limits": "Heads."}
    story["parameters"] = {}
    path = Path(f"/nowhere/{name}.safetensors")
    return SimpleNamespace(n_coils=n_coils, story=story, path=path, is_bundled=is_bundled, n_parameters=1234567)


CARDS = [
    make_card("zero-filled", "Zero-filled", "Classical"),
    make_card("cs-tv", "CS-TV", "Classical", needs_maps=True, parameters={"lambda_": 0.01}),
    make_card("pcrnn-s", "PC-RNN-S", "PC-RNN", True, (make_weights(2),), parameters={"modules": ("4x", "2x")}),
    make_card("oucr", "OUCR", "OUCR", True, parameters={"modules": ("oc", "uc")}),
]
PARAMETERS = (
    Parameter("lambda_", "number", 0.01, help="Weight of the total variation."),
    Parameter("n_iterations", "whole", 100, help="Iterations at most."),
    Parameter("prior", "choice", "tv", ("tv", "wavelet"), help="What is sparse."),
    Parameter("is_isotropic", "switch", True, help="Treat both directions as one."),
    Parameter("rank", "whole", None, (), True, "Left empty, the method chooses."),
)


def phase_of(image):
    """A phase that goes once around from left to right."""
    return np.broadcast_to(np.linspace(-np.pi, np.pi, image.shape[1], dtype=np.float32), image.shape)


class FakeEngine:
    """Does what app.engine does without files, torch or a network; `gate`, `n_free`, `error` decide how a run goes."""

    def __init__(self):
        self.series = {"disc.h5": make_series()}
        self.gate = threading.Event()
        self.gate.set()
        self.n_free = 0
        self.error = None
        self.n_closed = 0
        self.saved = []
        self.unfit = ("", "")
        self.coil_by_coil = set()
        self.notes = {}
        self.preview_calls = []
        self.windows = {}
        self.preview_delay_s = 0.0

    def warm_up(self):
        return ("auto", "cpu", "cuda:0")

    def list_models(self):
        return CARDS

    def find_model(self, cards, name):
        return next((card for card in cards if card.name == {"pcrnn": "pcrnn-s"}.get(name, name)), None)

    def announced_modules(self, card):
        return tuple(card.parameters.get("modules", ()))

    def parameters_of(self, card):
        return PARAMETERS if card.name == "cs-tv" else ()

    def check_parameters(self, card, overrides):
        if overrides.get("lambda_", 1) <= 0:
            raise ModelError(f"the solver is wrong: lambda_ is {overrides['lambda_']}, it must be above 0.")

    def is_coil_by_coil(self, card, series, request):
        return card.name in self.coil_by_coil

    def size_note(self, card, series, request):
        return self.notes.get((card.name, "size"), "")

    def memory_note(self, card, series, request):
        return self.notes.get((card.name, "memory"), "")

    def model_problem(self, card, series, request, mask=None):
        if mask is not None and (card.name, request.mask.kind) == self.unfit:
            return f"{card.title} needs other samples."
        return "" if card.available else f"{card.title} has no weights yet."

    def open_study(self, path, simulation=None):
        if self.error is not None:
            raise self.error
        series = self.series[Path(path).name]
        if not series.has_kspace:
            spec = simulation or SimulationSpec()
            series = replace(series, simulation=spec, n_coils=spec.n_coils, notes=(spec.note,))
        return Study(Path(path), series.title, (series,))

    def demo_scans(self):
        return [Path("/nowhere/disc.h5")]

    def demo_phantom(self):
        self.series["phantom.h5"] = make_series(name="phantom.h5")
        return Path("/nowhere/phantom.h5")

    def sampling_mask(self, series, request):
        if series.acquired_mask is not None:
            return SamplingMask(series.acquired_mask, 4)
        return make(request.mask, series.recon_size, filename=series.name)

    def preview(self, series, index, request):
        self.preview_calls.append(index)
        time.sleep(self.preview_delay_s)
        reference = series.source.reference(index) if series.has_reference else None
        image = series.source.image(index) * np.float32(0.8)
        return SimpleNamespace(
            index=index, zero_filled=image, reference=reference, mask=self.sampling_mask(series, request),
            zero_filled_phase=phase_of(image) if request.phase else None,
            reference_phase=phase_of(reference) if request.phase and reference is not None else None,
            scores=None if reference is None else {"psnr": 20.0, "ssim": 0.5, "nmse": 0.1},
            window=self.windows.get((series.name, index)),
        )  # fmt: skip

    def kspace(self, series, index):
        return series.source.kspace(index)

    def thumbnail(self, series):
        return series.source.image(0)

    def Scorer(self, series, indices):
        return FakeScorer(series, indices)

    def Run(self, series, request):
        return FakeRun(self, series, request)


class FakeScorer:
    """Scores by progress, relative to the brightest of its slices."""

    def __init__(self, series, indices):
        self.data_range = float(max(series.source.reference(index).max() for index in indices))
        self._has_reference = series.has_reference

    def __call__(self, stage):
        if not self._has_reference:
            return None
        return {"psnr": 30.0 + stage.progress, "ssim": 0.9, "nmse": 0.01}


class FakeRun:
    """Two modules of two iterations for each slice; waits at the gate before each stage after the free ones."""

    def __init__(self, engine, series, request):
        self.engine, self.series, self.request = engine, series, request
        self.reconstruction = None

    def stream(self):
        done = []
        if self.request.model == "cs-tv":
            paths = [("zero-filled",), *(("iterate", number) for number in (20, 40, 60, 80, 100)), ("final",)]
        elif self.request.model == "zero-filled":
            paths = [("zero-filled",), ("final",)]
        else:
            paths = [("zero-filled",), ("4x", 1), ("4x", 2), ("2x", 1), ("2x", 2), ("final",)]
        total = len(self.request.slices) * len(paths)
        count = 0
        try:
            for index in self.request.slices:
                for path in paths:
                    assert count < self.engine.n_free or self.engine.gate.wait(20)
                    if self.engine.error is not None and path == ("4x", 1):
                        raise self.engine.error
                    count += 1
                    image = self.series.source.image(index) * np.float32(0.8 + 0.2 * count / total)
                    is_final = path == ("final",)
                    done += [index] * is_final
                    yield Stage(
                        str(path[0]),
                        path,
                        image,
                        is_final,
                        index,
                        count / total,
                        phase_of(image),
                        0.0 if path == ("zero-filled",) else 0.125,
                    )
        finally:
            self.engine.n_closed += 1
            if done:
                self.reconstruction = FakeReconstruction(self.engine, self.series, done)
                if self.request.model == "cs-tv":
                    weight = self.request.overrides.get("lambda_", 0.001)
                    self.reconstruction.parameters = {"lambda_": weight, "tolerance": 1e-6}
                    self.reconstruction.parameter_origins = {"lambda_": "fastMRI's table: AXT1"}
                    self.reconstruction.parameter_text = f"lambda {weight} (fastMRI's table: AXT1), tolerance 1e-06"


class FakeReconstruction:
    def __init__(self, engine, series, indices):
        self.engine = engine
        self.indices = tuple(indices)
        volume = np.stack([series.source.image(index) for index in indices])
        self.final = self.zero_filled = volume
        self.stages = {}
        self.left_out, self.parameters, self.parameter_origins, self.parameter_text = {}, {}, {}, ""
        self.warnings = (*series.notes, "half of the coils were silent.")
        self.metrics = self.zero_filled_metrics = {
            key: {"volume": 31.0, "slices": [31.0] * len(indices)} for key in ("psnr", "ssim", "nmse")
        }

    def free_name(self, folder):
        return "free"

    def without_phase(self):
        return self

    def save(self, folder, formats, *, stages=False, name=None, slice_index=None, problems=None):
        if self.engine.error is not None:
            problems.append(self.engine.error)
            if len(formats) == 1:
                return []
        self.engine.saved.append((folder, list(formats), stages, slice_index))
        return [folder / "disc.pcrnn.dcm", folder / "disc.pcrnn.json"]


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def session(qapp, engine, tmp_path):
    from app.session import Session

    session = Session(tmp_path / "config" / "settings.json", engine)
    session.seen = []
    session.message.connect(session.seen.append)
    yield session
    engine.gate.set()
    session.close()


@pytest.fixture
def opened(session, qtbot):
    """Give the session with the disc open and its middle slice read."""
    session.start()
    session.open("/nowhere/disc.h5")
    qtbot.waitUntil(lambda: session.preview is not None and session.mask is not None and bool(session.models))
    return session


@pytest.fixture
def window(opened, qtbot):
    """Give the main window on the open session."""
    from PySide6.QtTest import QTest

    from app.main_window import MainWindow

    window = MainWindow(opened)
    qtbot.addWidget(window)
    window.show()
    QTest.qWaitForWindowActive(window)  # until then its keys do nothing
    window.grid_presenter.flush()
    return window


@pytest.fixture
def new_series():
    """Give the function that makes in-memory series."""
    return make_series


@pytest.fixture
def impossible():
    """Give an error of ours."""
    return RequestError("this cannot be done; do something else.")


@pytest.fixture
def child():
    """Give the function that finds a widget by its name."""
    from PySide6.QtWidgets import QWidget

    def child(window, name):
        found = window.findChild(QWidget, name)
        assert found is not None, name
        return found

    return child


@pytest.fixture
def click():
    """Give the function that clicks on a widget, in its middle unless told otherwise."""
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    def click(widget, where=None):
        where = widget.rect().center() if where is None else where
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, where)

    return click


@pytest.fixture
def press(window):
    """Give the function that presses a key in the window; what it changes is shown."""
    from PySide6.QtTest import QTest

    def press(key):
        QTest.keyClick(window, key)
        window.grid_presenter.flush()
        window.stage_presenter.flush()

    return press


@pytest.fixture
def reconstruct(child, click):
    """Give the function that reconstructs the slice that the window shows, and waits for it."""

    def reconstruct(window, qtbot):
        with qtbot.waitSignal(window.session.job_finished, timeout=30_000):
            click(child(window, "reconstructButton"))
        window.grid_presenter.flush()
        window.stage_presenter.flush()

    return reconstruct


@pytest.fixture
def write_events():
    """Give the function that lets a training run in a folder tell of these events."""
    from app.training.events import EVENTS

    def write_events(folder, *events):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / EVENTS).open("a") as file:
            file.writelines(json.dumps(event) + "\n" for event in events)

    return write_events
