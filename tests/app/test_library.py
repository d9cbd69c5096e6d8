"""Studies that are opened while they are open: they stay with their results unless their files changed."""

import os

import pytest

from recon.simulate import SimulationSpec


def finish(session, qtbot):
    with qtbot.waitSignal(session.job_finished, timeout=30_000):
        assert session.reconstruct()


@pytest.fixture
def on_disk(session, qtbot, tmp_path, engine, new_series):
    """Give the session with a file open that is there, and a result of it."""
    file = tmp_path / "disc.h5"
    file.write_bytes(b"disc" * 100)
    session.start()
    session.open(file)
    qtbot.waitUntil(lambda: session.preview is not None and session.mask is not None and bool(session.models))
    finish(session, qtbot)
    engine.series["disc.h5"] = new_series()
    return session


def open_again(session, qtbot, *arguments):
    session.open(session.studies[0].path, *arguments)
    qtbot.waitUntil(lambda: not session.opening)


def test_a_file_that_is_open_keeps_its_results_and_comes_into_view(on_disk, engine, new_series, qtbot):
    study, result = on_disk.studies[0], on_disk.result
    on_disk.select(index=4)
    engine.gate.clear()
    on_disk.set_request(model="cs-tv")
    assert on_disk.reconstruct("volume") and on_disk.reconstruct()
    open_again(on_disk, qtbot)
    assert on_disk.studies == [study] and on_disk.results[0] is result and on_disk.slice_index == 4
    assert on_disk.is_running and len(on_disk.queue.waiting) == 1
    with qtbot.waitSignal(on_disk.job_finished, timeout=9000):
        engine.gate.set()
    qtbot.waitUntil(lambda: not on_disk.is_running)
    assert [len(item.finished) for item in on_disk.results] == [1, 5, 1]
    engine.series["other.h5"] = new_series(name="other.h5")
    on_disk.open("/nowhere/other.h5")
    qtbot.waitUntil(lambda: on_disk.series.title == "other")
    open_again(on_disk, qtbot)
    assert on_disk.series is study.series[0] and on_disk.result is on_disk.results[-1]
    assert on_disk.seen == []


def test_what_is_opened_twice_at_once_is_open(session, qtbot, tmp_path, engine, new_series):
    for name in ("disc.h5", "other.h5"):
        engine.series[name] = new_series(name=name)
    session.start()
    # The worker is busy with the first, so that both of the second wait.
    for name in ("disc.h5", "other.h5", "other.h5"):
        session.open(tmp_path / name)
    qtbot.waitUntil(lambda: not session.opening)
    assert [study.path.name for study in session.studies] == ["disc.h5", "other.h5"]


def test_a_file_that_changed_is_read_again_and_says_that_its_results_went(on_disk, engine, qtbot):
    on_disk.studies[0].path.write_bytes(b"disk" * 100)
    open_again(on_disk, qtbot)
    assert on_disk.studies[0].series == (engine.series["disc.h5"],) and on_disk.series is engine.series["disc.h5"]
    assert on_disk.results == []
    assert [message.text for message in on_disk.seen] == [
        "disc.h5 changed since it was opened; 1 result of what it was is gone."
    ]
    # From now on it is what it is.
    finish(on_disk, qtbot)
    open_again(on_disk, qtbot)
    assert len(on_disk.results) == 1


@pytest.mark.parametrize("is_written", [False, True])
def test_a_folder_is_known_by_when_its_files_were_written(session, engine, new_series, qtbot, tmp_path, is_written):
    folder = tmp_path / "disc.h5"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(b"image")
    session.open(folder)
    qtbot.waitUntil(lambda: session.series is not None)
    before = session.studies[0]
    engine.series["disc.h5"] = new_series()
    if is_written:
        os.utime(folder / "1.dcm", (0, 0))
    open_again(session, qtbot)
    assert (session.studies == [before]) is not is_written


def test_simulated_kspace_stays_as_it_is_until_it_is_simulated_anew(on_disk, engine, new_series, qtbot):
    images = on_disk.studies[0].path.with_name("images.nii")
    images.write_bytes(b"images")
    engine.series["images.nii"] = new_series(name="images.nii", kind="nifti")
    on_disk.close_study(on_disk.studies[0])
    on_disk.open(images, SimulationSpec(n_coils=8))
    qtbot.waitUntil(lambda: on_disk.series is not None and on_disk.preview is not None and on_disk.mask is not None)
    finish(on_disk, qtbot)
    open_again(on_disk, qtbot)
    assert on_disk.series.n_coils == 8 and len(on_disk.results) == 1
    n_said = len(on_disk.seen)
    assert on_disk.simulate(SimulationSpec(n_coils=4))
    qtbot.waitUntil(lambda: not on_disk.opening)
    assert on_disk.series.n_coils == 4 and on_disk.results == []
    assert {message.level for message in on_disk.seen[n_said:]} == {"info"}
