"""Jobs and workers: what comes back, when they stop, what they close."""

import threading
import time

import pytest
from PySide6.QtCore import QThread

from app.job import Clock, Job, Worker
from recon.stage import Stage


class Stream:
    """Yields numbered stages; notes that it was closed, and which thread and mode it ran in."""

    def __init__(self, n_stages, gate=None, error_at=None):
        self.n_stages, self.gate, self.error_at = n_stages, gate, error_at
        self.is_closed = False
        self.thread = None
        self.n_made = 0

    def __call__(self):
        import torch

        self.thread = QThread.currentThread()
        self.is_inference = torch.is_inference_mode_enabled()
        try:
            for number in range(self.n_stages):
                if self.gate is not None:
                    assert self.gate.wait(20)
                if number == self.error_at:
                    raise RuntimeError("the model broke")
                self.n_made += 1
                yield Stage("4x", ("4x", number + 1), number, progress=(number + 1) / self.n_stages)
        finally:
            self.is_closed = True


def start(job, qtbot, signal):
    with qtbot.waitSignal(signal, timeout=30_000) as blocker:
        job.start()
    job.wait()
    return blocker.args


def test_all_stages_arrive_in_order_and_then_done(qtbot):
    stream = Stream(20)
    job = Job(stream, inspect=lambda stage: stage.image * 2)
    seen, shares = [], []
    job.stage.connect(lambda stage, note: seen.append((stage.image, note)))
    job.progress.connect(lambda share, _eta: shares.append(share))
    start(job, qtbot, job.done)
    qtbot.waitUntil(lambda: len(seen) == 20)
    assert seen == [(number, 2 * number) for number in range(20)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert stream.is_closed
    assert stream.is_inference
    assert stream.thread is not QThread.currentThread()
    assert job.seconds > 0


def test_cancel_answers_within_one_stage_and_closes_the_stream(qtbot):
    gate = threading.Event()
    stream = Stream(1000, gate)
    job = Job(stream)
    seen = []
    job.stage.connect(lambda stage, _note: seen.append(stage))
    job.start()
    qtbot.waitUntil(lambda: stream.thread is not None, timeout=30_000)
    job.cancel()
    with qtbot.waitSignal(job.cancelled, timeout=5000):
        gate.set()
    job.wait()
    assert stream.n_made <= 1
    assert stream.is_closed
    assert len(seen) == 0


def test_a_network_ends_between_two_groups_of_coils(qtbot):
    """The first iteration of a network that takes twelve coils four by four; nothing of it is ever a stage."""
    import torch

    from recon import models

    network = models.create("pcrnn-s", widths=(4, 4, 4), refine_width=4).eval()
    coils = torch.randn(12, 1, 32, 32, dtype=torch.complex64)
    groups, seen = [], []

    def watch(_module, inputs, _output):
        groups.append(len(inputs[0]))
        job.cancel()

    network.convrnn[0].register_forward_hook(watch)
    job = Job(lambda: network.stages(coils, coils, torch.ones(32, dtype=torch.bool)))
    job.stage.connect(lambda stage, _note: seen.append(stage))
    start(job, qtbot, job.cancelled)
    assert groups == [4]
    assert not seen


@pytest.mark.parametrize("repeat", range(25))
def test_cancel_before_the_thread_runs_is_heard(qtbot, repeat):
    stream = Stream(1000)
    job = Job(stream)
    job.cancel()
    start(job, qtbot, job.cancelled)
    assert stream.n_made == 0


def test_a_slice_that_was_finished_before_the_cancel_is_heard_arrives(qtbot):
    is_waiting, gate = threading.Event(), threading.Event()

    def stream():
        yield Stage("4x", ("4x", 1), 1, progress=0.3)
        is_waiting.set()
        assert gate.wait(20)
        yield Stage("final", ("final",), 2, True, progress=0.5)
        yield Stage("4x", ("4x", 1), 3, slice_index=1, progress=0.8)

    job = Job(stream)
    seen = []
    job.stage.connect(lambda stage, _note: seen.append(stage.image))
    job.start()
    assert is_waiting.wait(20)
    with qtbot.waitSignal(job.cancelled, timeout=20_000):
        job.cancel()
        gate.set()
    job.wait()
    assert seen == [1, 2]


def test_an_exception_is_handed_over_with_its_traceback(qtbot):
    stream = Stream(5, error_at=2)
    job = Job(stream)
    error, details = start(job, qtbot, job.failed)
    assert isinstance(error, RuntimeError)
    assert "the model broke" in details
    assert "Traceback" in details
    assert stream.is_closed


def test_an_exception_in_the_scores_is_handed_over_too(qtbot):
    stream = Stream(5)
    job = Job(stream, inspect=lambda _stage: 1 / 0)
    error, _ = start(job, qtbot, job.failed)
    assert isinstance(error, ZeroDivisionError)
    assert stream.is_closed


def test_the_clock_takes_the_median_pace():
    moments = iter([0.0, 100.0, 101.0, 102.0, 103.0])
    clock = Clock(lambda: next(moments))
    assert clock.tick(0.1) is None
    assert clock.tick(0.2) is None
    # One slow start and three steps of a second each: the rest takes seconds, not minutes.
    assert clock.tick(0.3) == pytest.approx(7.0)
    assert clock.tick(0.4) == pytest.approx(6.0)


@pytest.fixture
def worker(qapp):
    worker = Worker()
    yield worker
    worker.stop()


def fail(error, details):
    raise AssertionError(details) from error


def test_results_come_back_in_the_thread_of_the_window(worker, qtbot):
    threads = []
    worker.submit("a", QThread.currentThread, lambda work: threads.append((work, QThread.currentThread())), fail)
    qtbot.waitUntil(lambda: bool(threads))
    work, back = threads[0]
    assert back is QThread.currentThread()
    assert work is not back


def test_only_the_newest_of_waiting_tasks_runs(worker, qtbot):
    gate, ran, done = threading.Event(), [], []
    worker.submit("first", lambda: gate.wait(20), lambda _: None, fail)
    for number in range(50):
        worker.submit("preview", lambda number=number: ran.append(number), lambda _: done.append(1), fail)
    gate.set()
    qtbot.waitUntil(lambda: bool(done))
    assert ran == [49]


def test_urgent_work_goes_first_and_discarded_work_never_runs(worker, qtbot):
    gate, ran, done = threading.Event(), [], []
    worker.submit("first", lambda: gate.wait(20), lambda _: None, fail)
    for name in ("slow 1", "slow 2", "other"):
        worker.submit(name, lambda name=name: ran.append(name), lambda _: done.append(1), fail)
    worker.submit("now", lambda: ran.append("now"), lambda _: done.append(1), fail, urgent=True)
    worker.discard("slow")
    gate.set()
    qtbot.waitUntil(lambda: len(done) == 2)
    assert ran == ["now", "other"]


def test_a_failed_task_leaves_the_worker_alive(worker, qtbot):
    errors, done = [], []
    worker.submit("bad", lambda: 1 / 0, fail, lambda error, details: errors.append((error, details)))
    worker.submit("good", lambda: 7, done.append, fail)
    qtbot.waitUntil(lambda: done == [7])
    assert isinstance(errors[0][0], ZeroDivisionError)
    assert "Traceback" in errors[0][1]


def test_stop_ends_the_thread_and_drops_what_waits(qapp):
    worker = Worker()
    gate, ran = threading.Event(), []
    worker.submit("running", lambda: gate.wait(20), lambda _: None, fail)
    worker.submit("waiting", lambda: ran.append(1), lambda _: None, fail)
    threading.Timer(0.05, gate.set).start()
    start = time.monotonic()
    worker.stop()
    assert time.monotonic() - start < 10
    worker.submit("late", lambda: ran.append(2), lambda _: None, fail)
    assert ran == []
    assert worker.is_idle
