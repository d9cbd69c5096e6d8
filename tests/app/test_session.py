"""The session alone drives everything: opening, recipe, jobs, results, export, settings."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.session import Session
from recon.data import Declined, Study
from recon.errors import DeviceError, ExportError, FileError
from recon.masks import MaskSpec
from recon.request import Request


def texts(session, level=None):
    return [message.text for message in session.seen if level in (None, message.level)]


def finish(session, qtbot, *arguments):
    with qtbot.waitSignal(session.job_finished, timeout=30_000) as blocker:
        assert session.reconstruct(*arguments)
    return blocker.args[0]


# ---------------------------------------------------------------- opening


def test_opening_shows_the_middle_slice_with_levels_of_the_reference(opened):
    assert opened.series.title == "disc"
    assert opened.slice_index == 2
    assert opened.preview.index == 2
    assert opened.view.preset == "matched"
    assert opened.view.levels == (0.0, pytest.approx(float(opened.preview.reference.max())))
    assert opened.settings.recent == ("/nowhere/disc.h5",)
    assert not opened.opening
    assert opened.seen == []


def test_thumbnails_arrive(opened, qtbot):
    qtbot.waitUntil(lambda: opened.series in opened.previews.thumbnails)


def test_a_bad_file_is_one_sentence_and_nothing_else(session, engine, qtbot):
    engine.error = FileError("bad.h5", "is no HDF5 file; choose another.")
    with qtbot.waitSignal(session.message, timeout=5000):
        session.open("/nowhere/bad.h5")
    assert texts(session) == ["bad.h5: is no HDF5 file; choose another."]
    assert session.seen[0].details == ""
    assert session.studies == []
    assert not session.opening
    assert session.settings.recent == ()


def test_an_unexpected_exception_brings_its_traceback(session, engine, qtbot):
    engine.error = KeyError("surprise")
    with qtbot.waitSignal(session.message, timeout=5000):
        session.open("/nowhere/bad.h5")
    assert "opening bad.h5" in texts(session, "error")[0]
    assert "Traceback" in session.seen[0].details


def test_the_demo_opens_its_scans_and_then_the_phantom(session, qtbot):
    session.open_demo()
    qtbot.waitUntil(lambda: len(session.studies) == 2)
    assert session.series.title == "disc"
    assert [study.title for study in session.studies] == ["disc", "phantom"]


def test_declined_files_are_one_message_with_all_reasons_in_its_details(session, engine, monkeypatch, qtbot):
    declined = tuple(Declined(Path(f"/nowhere/{name}.dcm"), f"{name} is a mosaic") for name in "abc")
    series = engine.series["disc.h5"]
    monkeypatch.setattr(engine, "open_study", lambda path, _simulation: Study(path, "mixed", (series,), declined))
    session.open("/nowhere/mixed")
    qtbot.waitUntil(lambda: session.series is series)
    assert texts(session, "warning") == ["Not opened: a.dcm: a is a mosaic (and 2 more)"]
    assert session.seen[0].details.splitlines() == [f"{name}.dcm: {name} is a mosaic" for name in "abc"]


def test_opening_a_file_again_replaces_it(opened, engine, new_series, qtbot):
    engine.series["disc.h5"] = fresh = new_series()
    opened.open("/nowhere/disc.h5")
    qtbot.waitUntil(lambda: opened.series is fresh)
    assert len(opened.studies) == 1


def test_closing_the_last_study_empties_the_session(opened, qtbot):
    finish(opened, qtbot)
    opened.close_study(opened.studies[0])
    assert opened.series is None
    assert opened.results == []
    assert opened.problem == "Open a study first."


# ---------------------------------------------------------------- slices and previews


def test_slices_stop_at_both_ends(opened):
    opened.step_slice(100)
    assert opened.slice_index == 4
    opened.step_slice(-100)
    assert opened.slice_index == 0


def test_neighbours_are_read_ahead(opened, engine, qtbot):
    qtbot.waitUntil(lambda: set(engine.preview_calls) == {0, 1, 2, 3, 4})
    opened.step_slice(1)
    assert opened.preview.index == 3


def test_a_fast_wheel_reads_the_last_slice_and_skips_most(session, engine, new_series, qtbot):
    engine.series["disc.h5"] = new_series(n_slices=200)
    engine.preview_delay_s = 0.02
    session.open("/nowhere/disc.h5")
    qtbot.waitUntil(lambda: session.preview is not None)
    engine.preview_calls.clear()
    for _ in range(60):
        session.step_slice(1)
    qtbot.waitUntil(lambda: session.preview is not None and session.preview.index == 160)
    assert len(engine.preview_calls) < 20


def test_a_neighbour_that_is_being_read_is_not_read_again_when_it_comes_into_view(opened, engine, qtbot):
    qtbot.waitUntil(lambda: set(engine.preview_calls) == {0, 1, 2, 3, 4})
    opened.set_request(kind="random")  # nothing of this pattern is kept
    engine.preview_calls.clear()
    engine.preview_delay_s = 0.2
    qtbot.waitUntil(lambda: 3 in engine.preview_calls)
    opened.select(index=3)
    qtbot.waitUntil(lambda: opened.preview is not None and opened.preview.index == 3)
    assert engine.preview_calls.count(3) == 1


# ---------------------------------------------------------------- request


def test_the_request_takes_fields_of_its_own_and_of_its_mask(opened, qtbot):
    assert opened.set_request(kind="random", acceleration=6, seed=3, model="zero-filled", device="cpu")
    assert opened.request.mask == MaskSpec("random", 6, seed=3)
    assert (opened.request.model, opened.request.device) == ("zero-filled", "cpu")
    assert opened.set_request(Request(model="zero-filled"), acceleration=8)
    assert opened.request == Request(model="zero-filled", mask=MaskSpec(acceleration=8))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"center_fraction": 0.3, "acceleration": 4}, "leaves no"),
        ({"kind": "spiral"}, "spiral"),
        ({"acceleration": 0.5}, "acceleration"),
        ({"seed": -1}, "seed"),
        ({"coils": 0}, "coils"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_impossible_requests_are_refused_and_disable_reconstruct(opened, changes, word):
    before = opened.request
    assert not opened.set_request(**changes)
    assert opened.request == before
    assert word in opened.problem
    assert not opened.reconstruct()
    assert word in texts(opened, "warning")[0]
    assert opened.set_request(acceleration=4)
    assert opened.problem == ""


def test_a_mask_that_does_not_fit_the_scan_is_said(opened, tmp_path, qtbot):
    file = tmp_path / "mask.npy"
    np.save(file, np.ones(17))
    assert opened.set_request(kind=f"file:{file}")
    qtbot.waitUntil(lambda: bool(opened.previews.mask_problem))
    assert str(file) in opened.problem
    assert opened.mask is None
    opened.set_request(kind="random")
    qtbot.waitUntil(lambda: opened.mask is not None)
    assert opened.problem == ""


def test_a_mask_that_the_method_cannot_use_is_said_before_it_starts(opened, engine, qtbot):
    engine.unfit = ("cs-tv", "random")
    assert opened.set_request(model="cs-tv", kind="random")
    qtbot.waitUntil(lambda: bool(opened.problem), timeout=20_000)
    assert opened.problem == "CS-TV needs other samples."
    assert not opened.reconstruct()
    assert opened.set_request(kind="equispaced")
    assert opened.problem == ""
    qtbot.waitUntil(lambda: not opened.previews.is_drawing, timeout=20_000)
    assert opened.problem == ""
    # What the user typed last matters more than what arrives meanwhile.
    assert not opened.set_request(kind="random", coils=0)
    opened.previews.mask_changed.emit()
    assert "coils" in opened.problem


def test_a_model_without_weights_says_so(opened):
    assert opened.set_request(model="oucr")
    assert opened.problem == "OUCR has no weights yet."


def test_the_mask_follows_the_request(opened, qtbot):
    opened.set_request(kind="equispaced", acceleration=8)
    qtbot.waitUntil(lambda: opened.mask is not None and opened.mask.acceleration > 5)


# ---------------------------------------------------------------- reconstruction


def test_a_slice_is_reconstructed_stage_by_stage(opened, qtbot):
    arrived = []
    opened.step_arrived.connect(lambda _index: arrived.append(opened.step.title))
    assert finish(opened, qtbot) == "done"
    assert arrived == ["zero-filled", "4x · 1", "4x · 2", "2x · 1", "2x · 2", "final"]
    assert opened.result.finished == (2,)
    assert opened.result.modules == ["4x", "2x"]
    assert opened.step.is_final
    assert not opened.is_running
    assert opened.seen == []


def test_scrubbing_goes_back_and_follows_again_at_the_end(opened, qtbot):
    finish(opened, qtbot)
    opened.set_position(2)
    assert opened.step.title == "4x · 2"
    opened.step_position(-1)
    assert opened.step.title == "4x · 1"
    opened.step_position(100)
    assert opened.position is None
    assert opened.step.is_final
    opened.step_position(-100)
    assert opened.step.title == "zero-filled"


def test_a_volume_of_a_solver_keeps_few_iterates_and_every_score(opened, qtbot):
    opened.set_request(model="cs-tv")
    finish(opened, qtbot, "volume")
    titles = ["zero-filled", *(f"iterate · {number}" for number in (20, 40, 60, 80, 100)), "final"]
    in_view = opened.slice_index
    for index, item in opened.result.slices.items():
        assert [step.title for step in item.steps] == titles
        assert all(step.scores is not None for step in item.steps)
        lacking = [step.title for step in item.steps if step.image is None]
        # The slice that he looks at keeps all; of the others the 1st, 2nd, 4th and last iterate stay.
        assert lacking == ([] if index == in_view else ["iterate · 60"])
    opened.set_position(3)
    assert opened.step.title == "iterate · 60"
    opened.select(index=1)
    assert opened.step.image is not None
    assert opened.result.slices[in_view].steps[3].image is None
    opened.set_position(2)
    for by, title in ((1, "iterate · 80"), (-1, "iterate · 40"), (-1, "iterate · 20")):
        opened.step_position(by)
        assert opened.step.title == title
    opened.set_position(3)
    assert opened.step.title in ("iterate · 40", "iterate · 80")


@pytest.mark.parametrize(("model", "slices"), [("cs-tv", None), ("pcrnn-s", "volume")])
def test_one_slice_of_a_solver_and_volumes_of_a_network_keep_everything(opened, qtbot, model, slices):
    opened.set_request(model=model)
    finish(opened, qtbot, slices)
    opened.select(index=0)
    assert all(step.image is not None for item in opened.result.slices.values() for step in item.steps)


def test_the_view_goes_along_with_a_volume_until_the_user_looks_elsewhere(opened, engine, qtbot):
    engine.gate.clear()
    assert opened.reconstruct("volume")
    assert opened.pending == (0, 1, 2, 3, 4)
    engine.gate.set()
    qtbot.waitUntil(lambda: not opened.is_running)
    assert opened.slice_index == 4
    engine.gate.clear()
    opened.reconstruct("volume")
    opened.select(index=3)
    engine.gate.set()
    qtbot.waitUntil(lambda: not opened.is_running)
    assert opened.slice_index == 3


def test_cancel_keeps_finished_slices(opened, engine, qtbot):
    engine.gate.clear()
    engine.n_free = 8
    opened.reconstruct("volume")
    qtbot.waitUntil(lambda: opened.result is not None and opened.result.finished == (0,))
    opened.cancel()
    with qtbot.waitSignal(opened.job_finished, timeout=5000) as blocker:
        engine.gate.set()
    assert blocker.args == ["partial"]
    assert opened.result.finished == (0,) and opened.result.title.endswith("· 1 of 5 slices")
    assert opened.result.slices.keys() == {0}
    assert texts(opened, "info")[0] == "Cancelled. 1 of 5 slices were finished and are kept."
    assert engine.n_closed == 1


def test_cancel_before_anything_is_finished_leaves_its_stages_in_view_and_no_result(opened, engine, qtbot):
    finish(opened, qtbot)
    before = opened.result
    engine.gate.clear()
    engine.n_free = 3
    opened.reconstruct()
    qtbot.waitUntil(lambda: opened.slice_result is not None and len(opened.slice_result.steps) == 3)
    opened.cancel()
    engine.gate.set()
    qtbot.waitUntil(lambda: not opened.is_running)
    assert texts(opened, "info")[-1] == "Cancelled."
    assert opened.results == [before]
    assert opened.result.title.endswith(" · cancelled")
    assert [step.module for step in opened.slice_result.steps][:3] == ["zero-filled", "4x", "4x"]
    assert opened.exports.write("/nowhere", ["hdf5"]) is False
    opened.select(index=4)
    assert opened.result is before
    opened.select(index=2)
    assert opened.result is before


def test_a_failed_run_leaves_the_result_before(opened, engine, qtbot):
    finish(opened, qtbot)
    first = opened.result
    engine.error = ValueError("odd")
    assert finish(opened, qtbot) == "failed"
    assert opened.result is first
    assert "reconstructing" in texts(opened, "error")[0]
    assert "Traceback" in opened.seen[-1].details


def test_out_of_memory_offers_the_cpu_which_then_works(opened, engine, qtbot):
    opened.set_request(device="cuda:0")
    engine.error = DeviceError("cuda:0 ran out of memory.", out_of_memory=True)
    assert finish(opened, qtbot) == "failed"
    assert opened.seen[-1].action == "use-cpu"
    engine.error = None
    with qtbot.waitSignal(opened.job_finished, timeout=10_000):
        opened.use_cpu()
    assert opened.result.request.device == "cpu"
    assert opened.result.finished == (2,)


def test_two_reconstructions_run_one_after_the_other(opened, engine, qtbot):
    engine.gate.clear()
    assert opened.reconstruct()
    opened.set_request(model="cs-tv")
    assert opened.problem == ""
    assert opened.reconstruct()
    assert len(opened.results) == 1
    engine.gate.set()
    qtbot.waitUntil(lambda: not opened.is_running)
    assert [result.finished for result in opened.results] == [(2,), (2,)]


def test_results_are_kept_in_order_and_up_to_a_number(opened, qtbot):
    opened.change_settings(n_results=3)
    for _ in range(5):
        finish(opened, qtbot)
    assert [result.number for result in opened.results] == [3, 4, 5]
    opened.step_result(-1)
    assert opened.result.number == 4
    opened.step_result(1)
    opened.step_result(1)
    assert opened.result.number == 3


def test_a_stored_result_brings_its_series_back(opened, engine, new_series, qtbot):
    finish(opened, qtbot)
    first = opened.result
    engine.series["other.h5"] = new_series(name="other.h5")
    opened.open("/nowhere/other.h5")
    qtbot.waitUntil(lambda: opened.series.title == "other")
    assert opened.result is None
    opened.show_result(first)
    assert opened.series is first.series
    assert opened.result is first


def test_a_result_without_the_slice_in_view_shows_its_nearest(opened, qtbot):
    with qtbot.waitSignal(opened.job_finished):
        assert opened.reconstruct((0, 3))
    opened.select(index=4)
    with qtbot.waitSignal(opened.job_finished):
        assert opened.reconstruct()
    assert (opened.slice_index, opened.result.number) == (4, 2)
    opened.step_result(-1)
    assert (opened.slice_index, opened.result.number) == (3, 1)


# ---------------------------------------------------------------- export, settings


def test_export_writes_in_the_background_and_says_where(opened, engine, qtbot, tmp_path):
    finish(opened, qtbot)
    with qtbot.waitSignal(opened.exports.written, timeout=5000):
        assert opened.export(tmp_path / "out", ["dicom"], stages=True)
    assert engine.saved == [(tmp_path / "out", ["dicom"], True, opened.slice_index)]
    assert opened.seen[-1].level == "success"
    assert opened.seen[-1].target == str(tmp_path / "out")
    assert opened.settings.export_folder == str(tmp_path / "out")


def test_a_full_disk_is_one_sentence(opened, engine, qtbot, tmp_path):
    finish(opened, qtbot)
    engine.error = ExportError("the disk is full; free some space.")
    opened.exports.write(tmp_path, ["dicom"])
    qtbot.waitUntil(lambda: bool(texts(opened, "error")), timeout=5000)
    assert texts(opened, "error") == ["The disk is full; free some space."]
    assert opened.seen[-1].details == ""


def test_a_format_that_cannot_be_exported_is_said_with_those_that_were(opened, engine, qtbot, tmp_path):
    finish(opened, qtbot)
    engine.error = ExportError("the slices are not evenly spaced.")
    with qtbot.waitSignal(opened.exports.written, timeout=5000):
        opened.exports.write(tmp_path, ["dicom", "nifti"])
    assert texts(opened, "warning") == [
        f"Exported to {tmp_path}: disc.pcrnn.dcm, disc.pcrnn.json · the slices are not evenly spaced."
    ]
    assert opened.seen[-1].action == "open-folder"


def test_closing_a_study_stops_its_reconstruction_and_forgets_its_results(opened, engine, qtbot):
    finish(opened, qtbot)
    engine.gate.clear()
    opened.reconstruct()
    with qtbot.waitSignal(opened.job_finished, timeout=10_000):
        opened.close_study(opened.studies[0])
        engine.gate.set()
    assert not opened.is_running
    assert opened.results == []


def test_a_file_opened_again_replaces_its_study_and_results(opened, qtbot, engine, new_series):
    finish(opened, qtbot)
    engine.series["disc.h5"] = new_series()
    opened.open("/nowhere/disc.h5")
    qtbot.waitUntil(lambda: opened.series is engine.series["disc.h5"], timeout=5000)
    assert len(opened.studies) == 1
    assert opened.results == []


def test_export_without_a_result_says_what_to_do(opened, tmp_path):
    assert not opened.export(tmp_path, ["dicom"])
    assert "reconstruct a slice first" in texts(opened, "warning")[0]


def test_settings_that_cannot_be_written_are_kept_for_the_session(session, tmp_path):
    (tmp_path / "config").write_text("a file where a folder should be")
    session.change_settings(theme="light")
    assert session.settings.theme == "light"
    assert "could not be written" in texts(session, "warning")[0]


def test_damaged_settings_are_said_once(qapp, engine, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text("{")
    session = Session(file, engine)
    seen = []
    session.message.connect(seen.append)
    session.start()
    session.start()
    session.close()
    assert len([message for message in seen if "damaged" in message.text]) == 1


def test_the_session_never_imports_torch_by_itself(tmp_path):
    import subprocess

    code = (
        "import sys, app.session, app.main_window, app.window, app.engine\n"
        "bad = {'torch', 'matplotlib', 'lightning', 'scipy', 'pydicom', 'h5py'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_device_and_precision_start_as_the_settings_say(qapp, engine, tmp_path):
    file = tmp_path / "settings.json"
    first = Session(file, engine)
    first.change_settings(device="cpu", precision="fp32")
    first.close()
    second = Session(file, engine)
    assert (second.request.device, second.request.precision) == ("cpu", "fp32")
    assert replace(second.request, device="auto", precision="auto") == Request()
    second.close()
