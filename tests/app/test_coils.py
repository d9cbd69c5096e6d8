"""The pane of coils in a real window, on real scans: with a real mouse, wheel and keys."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app import engine, theme
from app.main_window import MainWindow
from app.session import Session
from app.views.coil_montage import Arrangement, percent
from recon import fourier, phantom, pipeline, sampling

ROOT = Path(__file__).resolve().parent.parent.parent
HEAD = ROOT / "resources" / "demo" / "real_brain_16ch_gre.h5"
SMALL = ROOT / "tests" / "data" / "real_brain_2ch_gre.h5"
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
ALT, CONTROL = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ControlModifier
LONG = 30_000


class Paced:
    """The real engine; notes what is asked of coils, and holds maps back while its gate is shut."""

    def __init__(self):
        self.asked = []
        self.gate = threading.Event()
        self.gate.set()

    def __getattr__(self, name):
        return getattr(engine, name)

    def coil_images(self, series, index):
        self.asked.append(("images", series.name, index))
        return engine.coil_images(series, index)

    def coil_maps(self, series, index, request):
        self.asked.append(("maps", series.name, index))
        assert self.gate.wait(30)
        return engine.coil_maps(series, index, request)


def impossible(*_):
    raise OSError("network is down")


@pytest.fixture
def paced():
    paced = Paced()
    yield paced
    paced.gate.set()


@pytest.fixture
def start(qtbot, paced, tmp_path):
    """Give the function that opens a window on a file, with the pane behind another as on the first day."""

    def start(path):
        session = Session(tmp_path / "config" / "settings.json", paced)
        window = MainWindow(session)
        qtbot.addWidget(window)
        window.show()
        QTest.qWaitForWindowActive(window)
        session.start()
        open_scan(session, path)
        return window

    def open_scan(session, path):
        session.open(path)
        qtbot.waitUntil(lambda: session.series is not None and session.series.path == path, timeout=LONG)
        qtbot.waitUntil(lambda: session.preview is not None and session.mask is not None, timeout=LONG)

    start.also = open_scan
    return start


@pytest.fixture
def show(start, qtbot):
    """Give the function that opens a window on a file and shows its coils by the key."""

    def show(path):
        window = start(path)
        QTest.keyClick(window, Qt.Key.Key_O)
        wait(qtbot, window)
        return window

    return show


@pytest.fixture
def volume(tmp_path):
    """Give a scan of three slices, four coils and an odd size."""
    spec = phantom.PhantomSpec(n_slices=3, n_coils=4, matrix=(63, 51), fov_mm=(240.0, 200.0))
    return phantom.write(tmp_path / "volume.h5", spec)


def wait(qtbot, window):
    qtbot.waitUntil(lambda: window.coils.tiles() is not None, timeout=LONG)
    QApplication.processEvents()


def choose(window, kind=None, part=None):
    if kind is not None:
        QTest.mouseClick(window.coils.kind_choice.button(kind), LEFT)
    if part is not None and window.coils.phase.isChecked() != bool(part):
        QTest.mouseClick(window.coils.phase, LEFT, pos=QPoint(8, window.coils.phase.height() // 2))


def centre_of(window, coil):
    return window.coils.well.place_of(coil).center().toPoint()


def turn(widget, notches, modifiers=Qt.KeyboardModifier.NoModifier):
    where = QPointF(widget.rect().center())
    QApplication.sendEvent(
        widget,
        QWheelEvent(
            where, widget.mapToGlobal(where), QPoint(), QPoint(0, 120 * notches), Qt.MouseButton.NoButton, modifiers,
            Qt.ScrollPhase.NoScrollPhase, False,
        ),
    )  # fmt: skip


def hover(widget, where):
    where = QPointF(where)
    none = Qt.MouseButton.NoButton
    event = QMouseEvent(
        QMouseEvent.Type.MouseMove, where, widget.mapToGlobal(where), none, none, Qt.KeyboardModifier.NoModifier
    )
    QApplication.sendEvent(widget, event)


# ---------------------------------------------------------------- what is shown


@pytest.mark.parametrize("is_flipped", [False, True])
def test_each_tile_is_the_image_of_its_coil_as_the_grid_shows_it(show, volume, is_flipped):
    window = show(volume if is_flipped else HEAD)
    series, well = window.session.series, window.coils.well
    images = fourier.ifft2c(series.read(window.session.slice_index).kspace).abs().numpy()
    n_coils = len(images)
    assert window.coils.tiles().shape == images.shape
    grid_well = window.grid.panel("zero-filled").well
    assert grid_well.is_flipped == is_flipped
    whole = grid_well.target()
    assert well.place_of(0).height() / well.place_of(0).width() == pytest.approx(whole.height() / whole.width())
    for coil, image in enumerate(images):
        place = well.place_of(coil)
        # The same place of the picture shows the same voxel, here and in the grid.
        for across, down in ((0.1, 0.2), (0.8, 0.6)):
            pixel = well.pixel_at(QPointF(place.x() + across * place.width(), place.y() + down * place.height()))
            spot = well.spot_at(*pixel)
            assert spot.coil == coil
            x, y = grid_well.pixel_at(QPointF(whole.x() + across * whole.width(), whole.y() + down * whole.height()))
            assert abs(spot.x - x) <= 1 and abs(spot.y - y) <= 1
            assert well.value_at(*pixel) == pytest.approx(image[spot.y, spot.x], rel=1e-3)
    # In reading order.
    centres = [well.place_of(coil).center() for coil in range(n_coils)]
    order = sorted(range(n_coils), key=lambda coil: (round(centres[coil].y()), centres[coil].x()))
    assert order == list(range(n_coils))


def test_one_window_holds_for_all_coils_and_phases_have_none(show):
    window = show(HEAD)
    well, tiles = window.coils.well, window.coils.tiles()
    low, high = well.limits
    assert low == 0 and high == pytest.approx(np.percentile(tiles, 99.8))
    dark, bright = (window.coils._preview.shares.index(f(window.coils._preview.shares)) for f in (min, max))
    assert shown_brightness(well, bright) > 2 * shown_brightness(well, dark)
    QTest.mousePress(well, RIGHT, pos=well.rect().center())
    QTest.mouseMove(well, well.rect().center() + QPoint(60, 0))
    QTest.mouseRelease(well, RIGHT, pos=well.rect().center() + QPoint(60, 0))
    assert well.limits[1] > high
    QTest.mouseDClick(well, RIGHT, pos=well.rect().center())
    assert well.limits == (low, high)
    # The colours of phases go around, and have no window.
    choose(window, part=1)
    images = fourier.ifft2c(window.session.series.read(0).kspace)
    np.testing.assert_allclose(np.exp(1j * window.coils.tiles()), np.exp(1j * images.angle().numpy()), atol=1e-2)
    first, second = well.place_of(0), well.place_of(1)
    between = QPoint(round((first.right() + second.left()) / 2), round(first.center().y()))
    colour = well.grab().toImage().pixelColor(between)
    assert max(colour.red(), colour.green(), colour.blue()) < 60
    before = well.limits
    QTest.mousePress(well, RIGHT, pos=well.rect().center())
    QTest.mouseMove(well, well.rect().center() + QPoint(60, 0))
    QTest.mouseRelease(well, RIGHT, pos=well.rect().center() + QPoint(60, 0))
    assert well.limits == before  # angles have no window


def shown_brightness(well, coil):
    picture, place = well.grab().toImage(), well.place_of(coil)
    points = [(x, y) for x in range(20, 80, 4) for y in range(40, 75, 4)]
    return np.mean(
        [picture.pixelColor(int(place.x() + x / 100 * place.width()), int(place.y() + y / 100 * place.height())).red()
         for x, y in points]
    )  # fmt: skip


def test_maps_are_those_that_the_pipeline_estimates(show, qtbot):
    window = show(SMALL)
    choose(window, kind=1)
    assert window.coils.well.message.startswith("Estimating")
    wait(qtbot, window)
    session = window.session
    mask = torch.from_numpy(sampling.sampling_mask(session.series, session.request).mask)
    truth = pipeline.prepare(session.series.read(0).kspace, mask, maps="espirit").maps[0]
    np.testing.assert_allclose(window.coils.tiles(), truth.abs().numpy(), atol=1e-5)
    assert window.coils.well.limits == (0, 1)
    assert window.coils.about.texts()[0] == "ESPIRiT"
    # Another mask, other maps; the images are of all that was measured and stay.
    session.set_request(acceleration=8.0)
    assert window.coils.tiles() is None
    wait(qtbot, window)
    assert not np.allclose(window.coils.tiles(), truth.abs().numpy(), atol=1e-3)


@pytest.mark.parametrize("case", ["one coil", "no lines"])
def test_where_there_are_no_maps_a_sentence_says_why(start, qtbot, tmp_path, case):
    n_coils = 1 if case == "one coil" else 2
    spec = phantom.PhantomSpec(n_slices=1, n_coils=n_coils, matrix=(64, 64))
    window = start(phantom.write(tmp_path / "scan.h5", spec))
    if case == "no lines":
        window.session.set_request(kind="equispaced", center_fraction=0.02)
    QTest.keyClick(window, Qt.Key.Key_O)
    wait(qtbot, window)
    assert len(window.coils.tiles()) == n_coils
    choose(window, kind=1)
    words = "The scan has one coil" if n_coils == 1 else "Sensitivity maps need at least 4 fully sampled lines"
    qtbot.waitUntil(lambda: window.coils.well.message.startswith(words), timeout=LONG)
    assert window.coils.tiles() is None
    choose(window, kind=0)
    wait(qtbot, window)


def test_what_was_not_measured_or_is_made_up_is_said(start, qtbot, tmp_path):
    undersampled = tmp_path / "undersampled.h5"
    shutil.copy(SMALL, undersampled)
    with h5py.File(undersampled, "r+") as file:
        kspace = file["kspace"][()]
        lines = (np.arange(128) % 3 == 0) | (abs(np.arange(128) - 64) < 8)
        file["kspace"][...] = kspace * lines
        file["mask"] = lines.astype(np.uint8)
        del file["reconstruction_rss"]
    np.save(tmp_path / "image.npy", np.hypot(*np.mgrid[-20:20, -24:24]).astype(np.float32) + 1)
    window = start(SMALL)
    QTest.keyClick(window, Qt.Key.Key_O)
    for path, words, hint in (
        (SMALL, "Fully sampled", "whatever the mask"),
        (undersampled, "Zero-filled", "counts as zero"),
        (tmp_path / "image.npy", "Simulated", "are simulated"),
    ):
        start.also(window.session, path)
        qtbot.waitUntil(lambda words=words: window.coils.about.texts()[0] == words, timeout=LONG)
        assert hint in window.coils.about.toolTip()
        images = fourier.ifft2c(window.session.series.read(0).kspace).abs().numpy()
        np.testing.assert_allclose(window.coils.tiles(), images, rtol=1e-4, atol=1e-4 * images.max())


def test_a_coil_without_signal_is_marked_and_every_share_is_told(show, volume):
    with h5py.File(volume, "r+") as file:
        file["kspace"][:, 2] = 0
    window = show(volume)
    window.docks["coils"].setFloating(True)
    window.docks["coils"].resize(700, 600)
    QApplication.processEvents()
    well = window.coils.well
    warning = QColor(theme.DARK.warning)

    def n_marked(coil):
        picture, place = well.grab().toImage(), well.place_of(coil).toRect()
        return sum(
            picture.pixelColor(x, y) == warning
            for x in range(place.left(), place.right()) for y in range(place.top(), place.bottom())
        )  # fmt: skip

    assert [n_marked(coil) > 100 for coil in range(4)] == [False, False, True, False]
    QTest.mouseClick(well, LEFT, pos=centre_of(window, 2))
    assert well.accessibleDescription() == "coil 3 of 4, 0 % of the energy, no signal"
    window.docks["coils"].setFloating(False)


# ---------------------------------------------------------------- which coil


def test_a_click_chooses_the_coil_for_both_panes_and_so_does_the_wheel(show, qtbot):
    window = show(HEAD)
    coils, kspace, well = window.coils, window.kspace, window.coils.well
    qtbot.waitUntil(lambda: kspace.coil_slider.maximum() == 15, timeout=LONG)
    QTest.mouseClick(well, LEFT, pos=centre_of(window, 6))
    assert (well.coil, kspace.coil(), kspace.coil_number.text()) == (6, 6, "7 / 16")
    edge = well.place_of(6).toAlignedRect().topLeft() + QPoint(1, 12)
    assert well.grab().toImage().pixelColor(edge) == QColor(theme.colours().well_accent)
    turn(well, 2, ALT)
    assert (well.coil, kspace.coil()) == (8, 8)
    turn(kspace.well, -1, ALT)
    assert (well.coil, kspace.coil()) == (7, 7)
    turn(window.grid.panel("zero-filled").well, 100, ALT)
    assert (well.coil, kspace.coil()) == (15, 15)
    well.setFocus()
    QTest.keyClick(well, Qt.Key.Key_Left, CONTROL)
    QTest.keyClick(well, Qt.Key.Key_Up, CONTROL)
    assert well.coil == kspace.coil() == 14 - well.arrangement.n_columns
    # Between tiles lies nothing, and beside them nothing is chosen.
    QTest.mouseClick(well, LEFT, pos=QPoint(well.width() // 2, 0))
    assert well.coil == 14 - well.arrangement.n_columns
    assert coils.tiles() is not None


def test_the_coil_is_kept_where_k_space_is_seen_later_and_bounded_by_the_scan(show, start, qtbot):
    window = show(HEAD)
    window.docks["kspace"].close()
    QTest.mouseClick(window.coils.well, LEFT, pos=centre_of(window, 13))
    window.kspace.set_kspace(None)
    window.docks["kspace"].show()
    qtbot.waitUntil(lambda: window.kspace.coil_number.text() == "14 / 16", timeout=LONG)
    start.also(window.session, SMALL)
    wait(qtbot, window)
    qtbot.waitUntil(lambda: window.kspace.coil_number.text() == "2 / 2", timeout=LONG)
    assert window.coils.well.coil == window.session.view.coil == 1
    window.session.select(window.session.studies[0].series[0])
    assert window.coils.tiles() is None  # the images of the other scan are gone at once
    wait(qtbot, window)
    assert len(window.coils.tiles()) == 16


def test_the_pointer_reads_a_value_and_a_double_click_enlarges(show):
    window = show(HEAD)
    well = window.coils.well
    where = centre_of(window, 9)
    hover(well, where)
    spot = well.spot_at(*well.pixel_at(QPointF(where)))
    image = fourier.ifft2c(window.session.series.read(0).kspace)[9].abs().numpy()
    value = float(image[spot.y, spot.x])
    words = well._note.split()
    assert words[:2] == ["coil", "10,"] and f"({spot.x}, {spot.y})" in well._note
    assert float(words[-1]) == pytest.approx(value, rel=1e-2)
    QApplication.sendEvent(well, QMouseEvent(QMouseEvent.Type.Leave, QPointF(), QPointF(), LEFT, LEFT, CONTROL))
    assert well._note == ""
    # A double click lets a coil fill the pane, and shows all again; a right click is no menu.
    small = well.place_of(5).height()
    QTest.mouseClick(well, LEFT, pos=centre_of(window, 5))
    QTest.mouseDClick(well, LEFT, pos=centre_of(window, 5))
    large = well.place_of(5)
    assert large.height() > 1.8 * small
    assert abs(large.center().x() - well.width() / 2) < 3 and well.rect().contains(large.center().toPoint())
    QTest.mouseDClick(well, LEFT, pos=centre_of(window, 5))
    assert well.place_of(5).height() == small
    QTest.mouseClick(well, RIGHT)
    QTest.qWait(QApplication.doubleClickInterval() // 2)
    assert QApplication.activePopupWidget() is None


# ---------------------------------------------------------------- what is read, and when


def test_a_pane_that_nobody_sees_reads_nothing(start, paced, volume, qtbot):
    window = start(volume)
    session = window.session

    def turn_slice(index):
        session.select(index=index)
        qtbot.waitUntil(lambda: session.preview is not None and session.previews._worker.is_idle, timeout=LONG)

    turn_slice(0)
    assert paced.asked == []
    QTest.keyClick(window, Qt.Key.Key_O)
    wait(qtbot, window)
    assert paced.asked == [("images", "volume.h5", 0)]
    turn_slice(1)
    qtbot.waitUntil(lambda: len(paced.asked) == 2, timeout=LONG)
    QTest.keyClick(window, Qt.Key.Key_O)
    assert window.docks["coils"].isHidden()
    turn_slice(2)
    # Under another pane it is as unseen as when it is closed.
    QTest.keyClick(window, Qt.Key.Key_O)
    qtbot.waitUntil(lambda: len(paced.asked) == 3, timeout=LONG)
    wait(qtbot, window)
    window.docks["header"].raise_()
    turn_slice(0)
    assert paced.asked == [("images", "volume.h5", index) for index in (0, 1, 2)]


def test_turning_slices_shows_the_coils_of_the_slice_in_view(show, qtbot, volume):
    window = show(volume)
    session, well = window.session, window.coils.well
    for notches in (1, -1, -1):
        turn(well, notches)
        images = fourier.ifft2c(session.series.read(session.slice_index).kspace).abs().numpy()
        qtbot.waitUntil(lambda images=images: np.allclose(window.coils.tiles(), images, rtol=1e-3), timeout=LONG)


def test_images_need_no_mask_that_can_be_drawn(show, qtbot, volume, tmp_path):
    np.save(tmp_path / "mask.npy", np.ones(3, bool))
    window = show(volume)
    session = window.session
    session.set_request(kind=f"file:{tmp_path / 'mask.npy'}")
    qtbot.waitUntil(lambda: bool(session.problem), timeout=LONG)
    for index in (2, 0):
        session.select(index=index)
        images = fourier.ifft2c(session.series.read(index).kspace).abs().numpy()
        qtbot.waitUntil(
            lambda images=images: (
                window.coils.tiles() is not None and np.allclose(window.coils.tiles(), images, rtol=1e-3)
            ),
            timeout=LONG,
        )


def test_coils_that_could_not_be_read_are_tried_again(start, paced, qtbot, volume):
    window, read = start(volume), paced.coil_images
    paced.coil_images = impossible
    QTest.keyClick(window, Qt.Key.Key_O)
    qtbot.waitUntil(lambda: window.coils.well.message == "Not read: network is down", timeout=LONG)
    paced.coil_images = read
    for _ in range(2):
        QTest.keyClick(window, Qt.Key.Key_O)
    wait(qtbot, window)


def test_maps_that_are_late_are_never_shown_for_another_slice_or_scan(show, start, paced, qtbot, volume):
    window = show(volume)
    session, coils = window.session, window.coils
    choose(window, kind=1)
    wait(qtbot, window)
    session.set_request(acceleration=3.0)
    assert coils.tiles() is None and coils.well.message.startswith("Estimating")
    wait(qtbot, window)
    choose(window, kind=0)
    session.select(index=0)
    wait(qtbot, window)
    seen = []
    set_preview = coils.set_preview
    coils.set_preview = lambda preview, *words: (seen.append(preview), set_preview(preview, *words))
    paced.gate.clear()
    paced.asked.clear()
    choose(window, kind=1)
    qtbot.waitUntil(lambda: ("maps", "volume.h5", 0) in paced.asked, timeout=LONG)
    session.select(index=2)
    assert coils.tiles() is None and coils.well.message.startswith("Estimating")
    paced.gate.set()
    wait(qtbot, window)
    assert len(seen) == 1
    truth = engine.coil_maps(session.series, 2, session.previews._request)
    np.testing.assert_allclose(coils.tiles(), truth.magnitude, atol=1e-5)
    # Another scan, while maps of the first are on their way: those are never seen.
    paced.gate.clear()
    session.select(index=1)
    assert coils.tiles() is None  # though maps of another slice stood there
    qtbot.waitUntil(lambda: ("maps", "volume.h5", 1) in paced.asked, timeout=LONG)
    start.also(session, SMALL)
    assert coils.tiles() is None
    paced.gate.set()
    wait(qtbot, window)
    assert len(seen) == 2 and len(coils.tiles()) == 2
    # A choice that is taken back is no other picture, either.
    paced.gate.clear()
    session.set_request(acceleration=2.0)
    choose(window, kind=0)
    wait(qtbot, window)
    paced.gate.set()
    qtbot.waitUntil(lambda: session.previews.coils._estimator.is_idle, timeout=LONG)
    QApplication.processEvents()
    np.testing.assert_allclose(
        coils.tiles(), fourier.ifft2c(session.series.read(0).kspace).abs().numpy(), rtol=1e-3, atol=1e-9
    )


def test_a_slice_that_cannot_be_read_takes_the_picture_away(start, qtbot, volume):
    with h5py.File(volume, "r+") as file:
        file["kspace"][2, 0, 3, 3] = np.nan
        del file["reconstruction_rss"]
    window = start(volume)
    QTest.keyClick(window, Qt.Key.Key_O)
    wait(qtbot, window)
    window.session.select(index=2)
    qtbot.waitUntil(lambda: "NaN" in window.coils.well.message and window.coils.tiles() is None, timeout=LONG)
    assert window.coils.well.message.startswith("Slice 3 holds")


def test_closing_the_study_leaves_an_empty_pane(show, qtbot):
    window = show(SMALL)
    window.close_current_study()
    assert window.coils.tiles() is None
    assert window.session.previews.coils.current is None


# ---------------------------------------------------------------- the arrangement alone


@pytest.mark.parametrize("n_tiles", [1, 2, 7, 16, 31, 64])
@pytest.mark.parametrize("room", [(390, 120), (240, 600), (900, 900), (30, 20)])
def test_tiles_are_as_large_as_the_room_allows(n_tiles, room):
    tile, aspect = (5, 7), 1.5
    found = Arrangement.fitting(n_tiles, tile, aspect, room)

    def scale(n_columns):
        n_rows = -(-n_tiles // n_columns)
        return min(
            (room[0] - 2 * (n_columns - 1)) / (n_columns * tile[1]), (room[1] - 2 * (n_rows - 1)) / (n_rows * 5 * 1.5)
        )

    assert scale(found.n_columns) >= max(scale(n) for n in range(1, n_tiles + 1)) - 1e-5
    tiles = np.arange(n_tiles, dtype=np.float32)[:, None, None] * np.ones((1, *tile), np.float32)
    picture = found.picture(tiles, is_flipped=False)
    assert picture.shape == found.shape
    for y, x in np.ndindex(picture.shape):
        at = found.at(x, y)
        assert np.isnan(picture[y, x]) if at is None else picture[y, x] == at[0]


def test_a_square_array_in_a_square_pane_is_a_square():
    assert Arrangement.fitting(16, (64, 64), 1.0, (500, 500)).n_columns == 4
    assert Arrangement.fitting(4, (64, 64), 1.0, (390, 100)).n_columns == 4


def test_shares_are_short():
    assert [percent(share) for share in (0, 0.0004, 0.062, 0.0996, 0.5, 1)] == [
        "0 %", "< 0.1 %", "6.2 %", "10 %", "50 %", "100 %",
    ]  # fmt: skip
