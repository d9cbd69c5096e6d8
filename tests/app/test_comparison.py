"""Results side by side: a column for each recipe over its error map, driven with real keys and a real mouse."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.comparison import N_MOST


@pytest.fixture
def run(window, qtbot, reconstruct):
    """Reconstruct the slice in view with a recipe."""

    def run(**recipe):
        assert window.session.set_request(**recipe), window.session.recipe.problem
        qtbot.waitUntil(lambda: not window.session.problem)
        reconstruct(window, qtbot)
        return window.session.result

    return run


def titles(window):
    return [window.grid.panel(key).title() for key in window.grid]


def scores(window):
    return [row.title for row in window.metrics._blocks[0][1]]


def image(window, key):
    return window.grid.panel(key).well.image


def test_methods_stand_side_by_side_with_their_errors_and_scores(window, run, press):
    first, second = run(model="pcrnn-s"), run(model="cs-tv")
    assert titles(window)[1:-1] == ["Iterate", "Final"]
    press(Qt.Key.Key_C)
    assert titles(window) == ["Zero-filled", "PC-RNN-S", "CS-TV, lambda 0.001", "Reference"]
    keys = list(window.grid)
    for key, result in zip(keys[1:3], (first, second), strict=True):
        final = result.slices[window.session.slice_index].final
        assert image(window, key) is final.image
        reference = window.session.preview.reference
        np.testing.assert_array_equal(window.grid.error_panel(key).well.image, np.abs(final.image - reference))
    assert window.grid.panel(keys[2]).header._is_marked and not window.grid.panel(keys[1]).header._is_marked
    assert scores(window) == ["Zero-filled", "PC-RNN-S", "CS-TV, lambda 0.001"]
    press(Qt.Key.Key_C)
    assert titles(window)[1:-1] == ["Iterate", "Final"] and scores(window) == ["Zero-filled", "Iterate", "Final"]


def test_a_run_is_watched_in_its_column_and_its_name_may_grow(window, run, press, engine, qtbot):
    run(model="pcrnn-s")
    press(Qt.Key.Key_C)
    engine.gate.clear()
    engine.n_free = 2
    assert window.session.set_request(model="cs-tv", overrides={"lambda_": 0.02})
    qtbot.waitUntil(lambda: not window.session.problem)
    QTest.keyClick(window, Qt.Key.Key_F5)
    qtbot.waitUntil(lambda: window.session.step is not None and window.session.step.module == "iterate")
    window.grid_presenter.flush()
    assert titles(window)[2] == "CS-TV, lambda 0.02 · iterate · 20"
    with qtbot.waitSignal(window.session.job_finished):
        engine.gate.set()
    window.grid_presenter.flush()
    assert titles(window)[1:3] == ["PC-RNN-S", "CS-TV, lambda 0.02"]
    assert all(image(window, key) is not None for key in window.grid)


@pytest.mark.parametrize("n_before", [0, 1])
def test_what_was_cancelled_stays_in_its_column_as_long_as_it_is_looked_at(window, run, press, engine, qtbot, n_before):
    for _ in range(n_before):
        run(model="pcrnn-s")
    engine.gate.clear()
    engine.n_free = 2
    assert window.session.set_request(model="cs-tv", overrides={"lambda_": 0.02})
    qtbot.waitUntil(lambda: not window.session.problem)
    QTest.keyClick(window, Qt.Key.Key_F5)
    qtbot.waitUntil(lambda: window.session.step is not None and window.session.step.module == "iterate")
    press(Qt.Key.Key_C)
    with qtbot.waitSignal(window.session.job_finished):
        QTest.keyClick(window, Qt.Key.Key_Escape)
        engine.gate.set()
    window.grid_presenter.flush()
    column = n_before + 1
    assert titles(window)[column] == "CS-TV, lambda 0.02 · iterate · 20"
    assert image(window, list(window.grid)[column]) is window.session.step.image
    press(Qt.Key.Key_Left)
    assert titles(window)[column] == "CS-TV, lambda 0.02 · zero-filled"
    press(Qt.Key.Key_Up)
    assert not [title for title in titles(window) if title.startswith("CS-TV")]
    assert window.commands.by_name["compare"].isEnabled() == bool(n_before)


def test_an_iteration_of_the_result_in_view_stands_beside_the_others(window, run, press):
    run(model="cs-tv")
    run(model="pcrnn-s")
    press(Qt.Key.Key_C)
    press(Qt.Key.Key_Left)
    assert titles(window)[1:3] == ["CS-TV, lambda 0.001", "PC-RNN-S · 2x · 2"]
    assert image(window, list(window.grid)[2]) is window.session.step.image


def test_of_a_long_name_in_a_narrow_window_what_tells_it_apart_and_the_iteration_are_read(window, run, press):
    run(model="pcrnn-s")
    for weight in (0.0123456, 0.0123457, 0.0123458):
        run(model="cs-tv", overrides={"lambda_": weight})
    press(Qt.Key.Key_C)
    window.resize(1280, 800)
    press(Qt.Key.Key_Left)
    headers = [window.grid.panel(key).header for key in window.grid][2:5]
    shown = [header.shown_title() for header in headers]
    assert headers[2].texts()[0] == "CS-TV, lambda 0.0123458 · iterate · 100" and "\u2026" in shown[2]
    assert [text[-5:] for text in shown[:2]] == ["23456", "23457"] and shown[2].endswith(" · iterate · 100")
    for header, text in zip(headers, shown, strict=True):
        assert header.fontMetrics().horizontalAdvance(text) <= header.width()
        assert text.startswith("CS") and header.toolTip().startswith(header.texts()[0])
    assert window.metrics.textElideMode() == window.region.textElideMode() == Qt.TextElideMode.ElideMiddle


def test_a_zero_filled_recipe_has_the_column_that_there_is(window, run, press, qtbot):
    zero_filled = run(model="zero-filled", kind="random", acceleration=4, seed=1)
    assert titles(window) == [*scores(window), "Reference"] == ["Zero-filled", "Reference"]
    network = run(model="pcrnn-s")
    press(Qt.Key.Key_C)
    assert titles(window) == [*scores(window), "Reference"] == ["Zero-filled", "PC-RNN-S", "Reference"]
    press(Qt.Key.Key_Comma)
    assert window.session.result is zero_filled and window.grid.panel("zero-filled").header._is_marked
    press(Qt.Key.Key_Period)
    assert window.session.result is network and not window.grid.panel("zero-filled").header._is_marked
    # Of another pattern it is another image.
    other = run(model="zero-filled", acceleration=8)
    press(Qt.Key.Key_Comma)
    assert titles(window)[:-1] == ["Zero-filled · 4×", "PC-RNN-S · 4×", "Zero-filled · 8×"]
    # What is enlarged stays so where its column and the first one become one.
    QTest.mouseDClick(window.grid.panel(window.grid.keys()[2]).well, Qt.MouseButton.LeftButton)
    window.grid_presenter.flush()
    assert window.session.result is other and window.grid.maximised() == "zero-filled"
    press(Qt.Key.Key_Comma)
    assert window.session.result is network and titles(window)[1] == "PC-RNN-S · 4×"
    assert window.grid.maximised() == window.grid.keys()[1]


def test_a_zero_filled_recipe_of_compressed_coils_is_an_image_of_its_own(window, run, press):
    run(model="zero-filled", coils=1)
    assert titles(window) == ["Zero-filled", "Final", "Reference"]
    press(Qt.Key.Key_C)
    assert len(titles(window)) == 3


def test_patterns_are_named_where_they_differ(window, run, press):
    run(model="pcrnn-s", kind="random", acceleration=4, seed=1)
    run(model="pcrnn-s", acceleration=8)
    press(Qt.Key.Key_C)
    assert titles(window)[:-1] == ["Zero-filled · 8×", "PC-RNN-S · 4×", "PC-RNN-S · 8×"]
    press(Qt.Key.Key_Comma)
    assert titles(window)[0] == "Zero-filled · 4×"  # of the result in view
    run(model="pcrnn-s", kind="equispaced")
    assert titles(window)[-2] == "PC-RNN-S · Equispaced lines 8×"
    run(model="pcrnn-s", seed=2)
    assert titles(window)[-3:-1] == ["#3 PC-RNN-S · Equispaced lines 8×", "#4 PC-RNN-S · Equispaced lines 8×"]


def test_a_pattern_that_gave_way_to_the_scanners_is_not_named(window, run, press, qtbot, new_series):
    acquired = np.arange(40)[None] % 2 == 0
    window.session._engine.series["other.h5"] = new_series(name="other.h5", acquired_mask=acquired, has_reference=False)
    window.session.open("/nowhere/other.h5")
    qtbot.waitUntil(lambda: window.session.series.title == "other" and window.session.preview is not None)
    run(model="pcrnn-s", acceleration=4)
    run(model="cs-tv", acceleration=8)
    again = run(model="pcrnn-s", acceleration=8)
    press(Qt.Key.Key_C)
    assert titles(window) == ["Zero-filled", "PC-RNN-S", "CS-TV, lambda 0.001"]
    assert image(window, list(window.grid)[1]) is again.slices[window.session.slice_index].final.image
    assert window.session.set_request(acceleration=6)
    press(Qt.Key.Key_X)
    assert titles(window)[0] == "Zero-filled"


def test_a_recipe_is_one_column_over_all_slices(window, run, press):
    run(model="pcrnn-s")
    window.session.step_slice(1)
    later = run(model="pcrnn-s")
    run(model="cs-tv")
    press(Qt.Key.Key_C)
    assert titles(window)[1:-1] == ["PC-RNN-S", "CS-TV, lambda 0.001"]
    key = list(window.grid)[1]
    assert image(window, key) is later.slices[window.session.slice_index].final.image
    QTest.keyClick(window, Qt.Key.Key_Down)
    press(Qt.Key.Key_X)
    assert titles(window)[1:-1] == ["PC-RNN-S", "CS-TV, lambda 0.001"]
    assert image(window, key) is not None
    assert window.grid.panel(list(window.grid)[2]).well.message == "Not reconstructed yet"


def test_another_name_of_a_model_is_no_other_recipe(window, run, press):
    for model in ("pcrnn", "cs-tv", "pcrnn-s"):
        run(model=model)
    press(Qt.Key.Key_C)
    assert titles(window)[1:-1] == ["PC-RNN-S", "CS-TV, lambda 0.001"]


def test_the_keyboard_stays_in_its_column_when_another_result_of_the_recipe_comes_into_view(window, run, press):
    run(model="pcrnn-s")
    window.session.step_slice(1)
    run(model="pcrnn-s")
    run(model="cs-tv")
    press(Qt.Key.Key_C)
    panel = window.grid.panel(list(window.grid)[1])
    hint = panel.header.toolTip()
    panel.well.setFocus()
    press(Qt.Key.Key_Down)
    assert panel.well.hasFocus() and window.grid.panel(list(window.grid)[1]) is panel
    assert "#1 · PC-RNN-S" in panel.header.toolTip() != hint


def test_an_enlarged_column_is_the_result_in_view_and_the_keys_change_it_in_place(window, run, press, qtbot):
    results = [run(model="pcrnn-s"), run(model="cs-tv")]
    press(Qt.Key.Key_C)
    keys = list(window.grid)
    QTest.mouseDClick(window.grid.panel(keys[1]).well, Qt.MouseButton.LeftButton)
    window.grid_presenter.flush()
    assert window.grid.maximised() == keys[1] and window.session.result is results[0]
    for key in (Qt.Key.Key_Period, Qt.Key.Key_B, Qt.Key.Key_B):
        before = window.session.result
        press(key)
        assert window.session.result is results[1 - results.index(before)]
        assert window.grid.maximised() == keys[1 + results.index(window.session.result)]
    # Reference and zero-filled may be enlarged, too, and stay.
    window.grid.maximise(keys[-1])
    press(Qt.Key.Key_Period)
    assert window.grid.maximised() == keys[-1]


def test_two_results_flicker_until_another_is_chosen(window, run, press, qtbot):
    session, action = window.session, window.commands.by_name["flicker"]
    run(model="pcrnn-s")
    assert not action.isEnabled()
    second, third = run(model="cs-tv"), run(model="cs-tv", overrides={"lambda_": 0.02})
    QTest.keyClick(window, Qt.Key.Key_B, Qt.KeyboardModifier.ShiftModifier)
    assert session.result is second and action.isChecked()
    for result in (third, second, third):
        with qtbot.waitSignal(session.result_changed, timeout=1000):
            pass
        assert session.result is result and action.isChecked()
    QTest.keyClick(window, Qt.Key.Key_B, Qt.KeyboardModifier.ShiftModifier)
    assert session.result is third and not action.isChecked()
    qtbot.wait(700)
    assert session.result is third
    # Any other way to a result ends it.
    for key in (Qt.Key.Key_Period, Qt.Key.Key_B):
        QTest.keyClick(window, Qt.Key.Key_B, Qt.KeyboardModifier.ShiftModifier)
        assert session.flicker.is_on and session.result is second
        press(key)
        assert not session.flicker.is_on and not action.isChecked()
        session.show_result(second)
        session.show_result(third)
    # A slice that only one of them has is not left for the other's.
    press(Qt.Key.Key_Up)
    assert not action.isEnabled() and session.slice_index == 3


def test_an_enlarged_column_follows_to_another_slice_and_an_empty_one_stays(window, run, press, qtbot):
    first = run(model="pcrnn-s")
    window.session.step_slice(1)
    second = run(model="cs-tv")
    press(Qt.Key.Key_C)
    keys = list(window.grid)[1:3]

    def enlarge(key):
        QTest.mouseDClick(window.grid.panel(key).well, Qt.MouseButton.LeftButton)
        window.grid_presenter.flush()

    enlarge(keys[1])
    press(Qt.Key.Key_B)
    qtbot.waitUntil(lambda: window.session.preview is not None)
    window.grid_presenter.flush()
    assert window.session.result is first and window.grid.maximised() == keys[0]
    press(Qt.Key.Key_B)
    enlarge(keys[1])
    enlarge(keys[0])
    assert window.session.result is second and window.grid.maximised() == keys[0]
    press(Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: window.session.preview is not None)
    window.grid_presenter.flush()
    assert window.grid.maximised() == keys[0] and image(window, keys[0]) is not None


def test_after_a_run_that_failed_there_is_no_result_before(window, run, press, engine):
    first = run(model="cs-tv")
    engine.error = ValueError("a fault")
    run(model="pcrnn-s")
    window.grid_presenter.flush()
    assert window.session.result is first and not window.commands.by_name["blink"].isEnabled()


def test_the_volume_is_compared_over_the_same_slices(window, run, press, qtbot):
    for model in ("pcrnn-s", "cs-tv"):
        assert window.session.set_request(model=model)
        qtbot.waitUntil(lambda: not window.session.problem)
        with qtbot.waitSignal(window.session.job_finished):
            window.session.reconstruct("volume")
    run(model="pcrnn-s", seed=9)
    press(Qt.Key.Key_Comma)
    press(Qt.Key.Key_C)
    (_, rows), (title, volume) = window.metrics._blocks
    assert len(rows) == 4 and title == "Volume"
    assert [row.title for row in volume] == ["#1 PC-RNN-S", "CS-TV, lambda 0.001"]


def test_a_column_outlives_the_first_result_of_its_recipe(window, run, press):
    window.session.change_settings(n_results=3)
    for model in ("pcrnn-s", "cs-tv", "cs-tv"):
        run(model=model)
    press(Qt.Key.Key_C)
    press(Qt.Key.Key_Comma)
    press(Qt.Key.Key_Comma)
    keys = list(window.grid)
    QTest.mouseDClick(window.grid.panel(keys[1]).well, Qt.MouseButton.LeftButton)
    for _ in range(2):
        latest = run(model="pcrnn-s")
        assert window.grid.maximised() == keys[1] and image(window, keys[1]) is latest.slices[2].final.image
    assert [result.number for result in window.session.results] == [3, 4, 5]


def test_scores_of_a_slice_are_relative_to_the_same_signal(window, run, press, qtbot):
    assert window.session.set_request(model="cs-tv")
    qtbot.waitUntil(lambda: not window.session.problem)
    with qtbot.waitSignal(window.session.job_finished):
        window.session.reconstruct("volume")
    window.session.select(index=0)
    alone = run(model="pcrnn-s")
    press(Qt.Key.Key_C)

    def shown():
        return {row.title: (row.psnr, row.ssim) for row in window.metrics._blocks[0][1]}

    ratio_db = 20 * np.log10(window.session.shelf.results[0].data_range / alone.data_range)
    volume, slice_ = (result.slices[0].final.scores["psnr"] for result in window.session.shelf.results)
    assert window.session.result is alone and ratio_db > 0.5
    assert shown()["PC-RNN-S"] == (slice_, 0.9)
    psnr, ssim = shown()["CS-TV, lambda 0.001"]
    assert psnr == pytest.approx(volume - ratio_db) and np.isnan(ssim)
    column = list(window.grid)[1]
    assert window.grid.panel(column).caption() == f"{psnr:.1f} dB"
    press(Qt.Key.Key_Comma)
    assert shown()["CS-TV, lambda 0.001"] == (volume, 0.9)
    assert shown()["PC-RNN-S"][0] == pytest.approx(slice_ + ratio_db)
    assert window.grid.panel(column).caption() == f"{volume:.1f} dB"


def test_more_recipes_than_a_screen_has_room_for(window, run, press):
    first = run(model="pcrnn-s", seed=0)
    for seed in range(1, N_MOST + 2):
        run(model="pcrnn-s", seed=seed)
    press(Qt.Key.Key_C)
    assert len(list(window.grid)) == N_MOST + 2
    window.session.show_result(first)
    window.grid_presenter.flush()
    assert titles(window)[1].startswith("#1 ") and len(list(window.grid)) == N_MOST + 2


def test_a_closed_study_takes_its_results_with_it(window, run, press):
    gone = [weakref.ref(run(model=model)) for model in ("pcrnn-s", "cs-tv")]
    press(Qt.Key.Key_C)
    press(Qt.Key.Key_B)
    window.close_current_study()
    window.grid_presenter.flush()
    window.stage_presenter.flush()
    gc.collect()
    assert [result() for result in gone] == [None, None]


def test_without_results_there_is_nothing_to_compare(window, run, press, qtbot, new_series):
    assert not window.commands.by_name["compare"].isEnabled()
    run(model="pcrnn-s")
    press(Qt.Key.Key_C)
    window.session._engine.series["other.h5"] = new_series(name="other.h5")
    window.session.open("/nowhere/other.h5")
    qtbot.waitUntil(lambda: window.session.series.title == "other" and window.session.preview is not None)
    window.grid_presenter.flush()
    assert titles(window) == ["Zero-filled", "Final", "Reference"]
