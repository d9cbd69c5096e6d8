"""Events of a training are read once, as they come, whatever state the file is in."""

import json
import math

import pytest

from app.presenters.training import numbers
from app.training.events import EVENTS, Record, Tail
from app.training.watch import outcome


def line(**values):
    return json.dumps(values) + "\n"


def step(number, loss=0.5, **values):
    return {"event": "step", "step": number, "loss": loss, **values}


@pytest.fixture
def file(tmp_path):
    return tmp_path / EVENTS


def take(*events):
    record = Record()
    for event in events:
        record.take(event)
    return record


# ---------------------------------------------------------------- reading


def test_only_what_was_added_is_read(file):
    tail = Tail(file)
    assert tail.read() == ([], False, False)
    file.write_text(line(step=1))
    assert tail.read()[0] == [{"step": 1}]
    before = file.read_bytes()
    # What lies in the file already is not looked at again: another number there changes nothing.
    with file.open("r+b") as stream:
        stream.write(before.replace(b"1", b"7"))
        stream.seek(0, 2)
        stream.write(line(step=2).encode())
    assert tail.read() == ([{"step": 2}], False, False)
    assert tail.read() == ([], False, False)


def test_a_line_without_its_end_waits_for_it(file):
    tail = Tail(file)
    whole = line(step=1, text="Kopf µ").encode()
    for cut in range(1, len(whole)):
        with file.open("ab") as stream:
            stream.write(whole[cut - 1 : cut])
        assert tail.read()[0] == []
    with file.open("ab") as stream:
        stream.write(whole[-1:])
    assert tail.read()[0] == [{"step": 1, "text": "Kopf µ"}]


def test_a_long_file_comes_in_pieces(file):
    file.write_text("".join(line(step=number) for number in range(500)))
    tail, steps, n_reads = Tail(file), [], 0
    has_more = True
    while has_more:
        events, has_more, _ = tail.read(1000)
        steps += [event["step"] for event in events]
        n_reads += 1
    assert steps == list(range(500))
    assert n_reads == -(-file.stat().st_size // 1000)


def test_damaged_lines_are_counted_and_passed_over(file):
    # The third was cut off by a kill, and the run that went on wrote behind it; the last is a disk's zeros.
    file.write_bytes(
        line(step=1).encode()
        + b"[1, 2]\n"
        + b'{"step": 2, "lo'
        + line(step=3).encode()
        + b"\xff\xfe\n\n"
        + b"\0" * 99
        + b"\n"
    )
    tail = Tail(file)
    assert tail.read()[0] == [{"step": 1}, {"step": 3}]
    assert tail.n_damaged == 3


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_file_that_begins_anew_is_read_anew(file, is_replaced, tmp_path):
    tail = Tail(file)
    file.write_text(line(step=1) + line(step=2))
    tail.read()
    if is_replaced:
        other = tmp_path / "other"
        other.write_text(line(step=1) + line(step=2) + line(step=3))
        other.replace(file)
    else:
        file.write_text(line(step=1))
    events, _, is_anew = tail.read()
    assert is_anew
    assert events[0] == {"step": 1}
    assert not tail.read()[2]


# ---------------------------------------------------------------- what they say


def test_numbers_become_curves_and_what_is_no_number_is_passed_over(file):
    record = take(
        step(5, 0.5, learning_rate=1e-3),
        step(9, math.nan, learning_rate="fast"),
        step(12, True),
        {"event": "step"},
        {},
        {"event": "validation", "step": 12, "loss": 0.4, "psnr": 30.0, "zero_filled_psnr": 25.0, "ssim": None},
    )
    assert dict(record.curves) == {
        "loss": ([5.0], [0.5]),
        "learning_rate": ([5.0], [1e-3]),
        "psnr": ([12.0], [30.0]),
        "zero_filled_psnr": ([12.0], [25.0]),
        "epoch_loss": ([12.0], [0.4]),
    }
    assert record.latest["psnr"] == 30.0


@pytest.mark.parametrize(("psnr", "shown"), [(26.99, "26.99 dB (+0.0)"), (26.5, "26.50 dB (-0.5)")])
def test_no_gain_over_zero_filled_is_no_loss(psnr, shown):
    record = take({"event": "validation", "step": 1, "psnr": psnr, "zero_filled_psnr": 27.0})
    assert numbers(record)["PSNR"] == shown


def test_a_resumed_run_draws_repeated_steps_once():
    record = take(*(step(number, number) for number in (10, 20, 30, 40)), {"event": "resume", "step": 20})
    for number in (25, 35):
        record.take(step(number, -number))
    assert record.curves["loss"] == ([10, 20, 25, 35], [10, 20, -25, -35])


def test_the_end_is_the_end_until_the_run_goes_on():
    record = take(step(1, share=0.9), {"event": "done"})
    assert record.is_done
    assert record.share == 1.0
    record.take(step(2, share=0.5))
    assert not record.is_done
    assert record.share == 0.5


def test_the_step_of_the_published_weights_is_not_how_far_the_run_came():
    record = take(step(4), {"event": "validation", "step": 4, "psnr": 29.0}, {"event": "published", "step": 2})
    assert numbers(record)["step"] == "4" and numbers(record)["PSNR"] == "29.00 dB"


def test_the_time_left_follows_the_pace_and_a_pause_does_not_count():
    record = take(*(step(n, time=10.0 * n, share=0.01 * n) for n in range(1, 6)))
    assert record.eta_s() == pytest.approx(950)
    record.take({"event": "resume", "time": 90_000.0})
    assert record.eta_s() is None
    for n in range(6, 11):
        record.take(step(n, time=90_000 + 20.0 * n, share=0.01 * n))
    assert record.eta_s() == pytest.approx(1800)
    # The run knows its schedule better than anyone who looks on.
    record.take(step(11, eta_seconds=77.0, share=0.11))
    assert record.eta_s() == 77.0


def test_previews_are_kept_in_order_and_repeated_ones_replaced():
    record = take(
        *({"event": "preview", "step": n, "image": f"previews/{n}.png", "title": "a | b"} for n in (10, 20, 30)),
        {"event": "preview", "step": 20, "image": "previews/again.png"},
        {"event": "preview", "step": 40},
        {"event": "validation", "step": 50, "preview": "previews/50.png"},
    )
    assert [(one.step, one.image) for one in record.previews] == [
        (10, "previews/10.png"),
        (20, "previews/again.png"),
        (50, "previews/50.png"),
    ]


def test_files_that_a_resumed_run_tells_of_again_count_once():
    told = [{"event": "skipped", "path": f"/data/{name}.h5", "reason": f"{name}."} for name in "abcd"]
    record = take({"event": "start"}, *told, step(1), {"event": "resume"}, *told, {"event": "skipped"}, step(2))
    assert record.skipped == {f"/data/{name}.h5": f"{name}." for name in "abcd"}


def test_an_offer_holds_until_the_run_begins_again():
    record = take({"event": "out_of_memory", "step": 3, "offer": {"batch_size": 1}})
    assert record.offer == {"batch_size": 1}
    record.take({"event": "resume", "step": 3})
    assert record.offer == {}
    assert take({"event": "out_of_memory", "offer": "less"}).offer == {}


def test_a_wish_of_old_says_nothing_about_a_run_that_was_finished_since(tmp_path):
    log = "==== asked to kill\n"

    def state(record, wanted=""):
        return outcome(record, log, tmp_path / "run", wanted, has_checkpoint=True)[0]

    assert state(take(step(3))) == "killed"
    assert state(take(step(3), {"event": "done", "step": 9, "seconds": 1.0})) == "finished"
    assert state(take(step(3), {"event": "done", "step": 9, "seconds": 1.0}), "kill") == "killed"
