"""BART runs as it would by hand, and where it is missing, fails or is no longer wanted, that is said and done."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

import recon
from recon import interruption, models, programs
from recon.coils import sensitivity_maps
from recon.errors import ModelError, RequestError
from recon.fourier import fft2c, ifft2c
from recon.io import cfl
from recon.models.bart import BartParameters
from recon.phantom import PhantomSpec, slice_kspace, write

needs_bart = pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")

SIZE = (24, 20)


@pytest.fixture
def scan():
    kspace = torch.randn(1, 2, *SIZE, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, SIZE[1], dtype=torch.bool)
    mask[:, ::3] = mask[:, 6:14] = True
    return ifft2c(kspace * mask), kspace * mask, mask


@pytest.fixture
def golden(vectors):
    file = np.load(vectors / "bart_cs.npz")
    mask = torch.from_numpy(file["mask"] > 0)[None]
    kspace = (torch.from_numpy(file["kspace_full"]) * mask)[None]
    return file, ifft2c(kspace), kspace, mask


@pytest.fixture
def fake_bart(tmp_path, monkeypatch):
    """Put a shell script in BART's place."""

    def put(script):
        program = tmp_path / "toolbox" / "bart"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("BART_TOOLBOX_PATH", str(program.parent))
        # A temporary folder of its own shows what is left in it.
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        (tmp_path / "temporary").mkdir(exist_ok=True)
        return program

    return put


def is_running(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def comes_true(condition):
    """Whether something comes true while one has patience, which on a busy machine takes some."""
    patience = time.monotonic() + 60
    while not condition() and time.monotonic() < patience:
        time.sleep(0.01)
    return condition()


def end_soon(*pids):
    """Whether these processes end: a signal is sent at once, and acted upon when the machine gets to it."""
    return comes_true(lambda: not any(is_running(pid) for pid in pids))


def written(path):
    """Return the number that a script writes into a file."""
    assert comes_true(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


@needs_bart
@pytest.mark.parametrize("weight", [0.01, 0.05])
def test_golden_images(golden, weight):
    file, zero_filled, kspace, mask = golden
    maps = torch.from_numpy(file["sens_r15"])[None]
    stages = list(models.create("cs-bart", 8, lambda_=weight).stages(zero_filled, kspace, mask, maps))
    assert [stage.path for stage in stages] == [("SENSE",), ("final",)]
    assert stages[-1].image.shape == (1, 1, 96, 96)
    assert stages[-1].is_final
    torch.testing.assert_close(stages[0].image, (maps.conj() * zero_filled).sum(1, keepdim=True))
    expected = file[f"pics_S_TV_{weight}"]
    difference = np.linalg.norm(stages[-1].image[0, 0].abs().numpy() - expected) / np.linalg.norm(expected)
    # The golden file was made on another machine, with another number of threads.
    assert difference < 1e-3


@needs_bart
@pytest.mark.parametrize("size", [(33, 40), (40, 33), (33, 35)])
@pytest.mark.parametrize("has_maps", [True, False])
def test_images_of_odd_size_lie_where_ours_do(size, has_maps):
    kspace = torch.from_numpy(slice_kspace(PhantomSpec(n_coils=4, matrix=size, n_slices=1), 0))[None]
    mask = torch.zeros(1, size[1], dtype=torch.bool)
    mask[:, ::2] = mask[:, size[1] // 2 - 6 : size[1] // 2 + 6] = True
    kspace = kspace * mask
    maps = sensitivity_maps(kspace, mask)
    ours = models.create("cs-tv", 4, lambda_=0.002)(ifft2c(kspace), kspace, mask, maps).abs()
    stages = models.create("cs-bart", 4, lambda_=0.002).stages(ifft2c(kspace), kspace, mask, maps if has_maps else None)
    combined, final = (stage.image.abs() for stage in stages)
    sense = (maps.conj() * ifft2c(kspace)).sum(dim=1, keepdim=True).abs()
    for image, expected in ((final, ours), (combined, sense)):
        error = float((image - expected).norm() / expected.norm())
        shifted = [
            float((image.roll(step, axis) - expected).norm() / expected.norm()) for step in (1, -1) for axis in (-1, -2)
        ]
        assert error < min(0.15, *(0.6 * other for other in shifted))


@needs_bart
def test_the_commands_are_those_of_the_papers(golden, tmp_path):
    _, zero_filled, kspace, mask = golden
    values = {"lambda_": 0.02, "n_iterations": 20}
    image = models.create("cs-bart", 8, **values)(zero_filled, kspace, mask)
    cfl.write(tmp_path / "kspace", kspace[0].permute(1, 2, 0)[None].numpy())
    for command in ("ecalib -m1 -r26 kspace maps", "pics -d4 -S -i 20 -R T:7:0:0.02 kspace maps image"):
        subprocess.run(["bart", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    by_hand = torch.from_numpy(cfl.read(tmp_path / "image").reshape(96, 96).copy())
    torch.testing.assert_close(image[0, 0], by_hand, rtol=1e-4, atol=1e-4 * float(by_hand.abs().max()))


@needs_bart
def test_one_coil_needs_no_maps(scan):
    _, kspace, mask = scan
    mask = mask.clone()
    mask[:, 9:11] = False
    kspace = kspace[:, :1] * mask
    zero_filled = ifft2c(kspace)
    combined, final = models.create("cs-bart", 1, lambda_=0.0, n_iterations=100).stages(zero_filled, kspace, mask)
    torch.testing.assert_close(combined.image, zero_filled)
    # Without a penalty nothing but the data counts, and the zero-filled image has them.
    torch.testing.assert_close(fft2c(final.image) * mask, kspace, rtol=0, atol=0.03 * float(kspace.abs().max()))


@needs_bart
def test_few_calibration_lines_get_a_smaller_kernel_and_keep_the_object():
    full = torch.from_numpy(slice_kspace(PhantomSpec(n_coils=8, matrix=(96, 96), n_slices=1), 0))[None]
    truth = ifft2c(full).abs().square().sum(dim=1).sqrt()
    for n_lines, few in ((16, False), (14, True), (8, True), (6, True)):
        mask = torch.zeros(1, 96, dtype=torch.bool)
        mask[:, ::3] = True
        mask[:, 47 - n_lines // 2 : 49 + n_lines // 2] = False
        mask[:, 48 - n_lines // 2 : 48 + n_lines // 2] = True
        kspace = full * mask
        model = models.create("cs-bart", 8, lambda_=0.002, n_iterations=30)
        image = model(ifft2c(kspace), kspace, mask)[:, 0].abs()
        zero_filled = ifft2c(kspace).abs().square().sum(dim=1).sqrt()
        assert float((image - truth).norm()) < 0.8 * float((zero_filled - truth).norm()), n_lines
        assert len(model.notes) == few
        if few:
            side = max(2 * n_lines // 5, 3)
            assert model.notes[0].startswith(f"{n_lines} calibration lines are few")
            assert f"a kernel of {side} × {side}," in model.notes[0]


@needs_bart
@pytest.mark.parametrize(("n_lines", "first"), [(6, 29), (7, 28), (7, 29), (8, 28), (9, 27), (9, 28)])
@pytest.mark.parametrize("in_points", [True, False])
def test_no_calibration_block_is_too_small_for_bart(n_lines, first, in_points):
    mask = torch.zeros(64 if in_points else 1, 64, dtype=torch.bool)
    block = slice(first, first + n_lines)
    mask[block if in_points else 0, block] = True
    kspace = torch.from_numpy(slice_kspace(PhantomSpec(n_coils=4, matrix=(64, 64), n_slices=1), 0))[None] * mask
    stages = models.create("cs-bart", 4, n_iterations=2).stages(ifft2c(kspace), kspace, mask)
    with closing(stages):
        assert next(stages).image.abs().max() > 0


def leaves(n_with_map, name="maps0"):
    """A program that leaves this many of the 480 pixels with maps of two coils; the rest is zero."""
    one = "\\000\\000\\200\\077\\000\\000\\000\\000"
    some = f"yes x | head -{n_with_map} | while read _; do printf '{one}'; done"
    return (
        f"printf '# Dimensions\n1 24 20 2\n' > {name}.hdr; "
        f"{{ {some}; head -c {8 * (960 - n_with_map)} /dev/zero; }} > {name}.cfl"
    )


def test_maps_of_zeros_are_no_maps(fake_bart, scan):
    fake_bart(leaves(0))
    with pytest.raises(ModelError, match=r"no coil sensitivities \(`bart ecalib -m1 -r26 -k3` left.*cs-tv"):
        models.create("cs-bart", 2)(*scan)


def test_maps_that_leave_out_much_of_the_image_are_noted_once(fake_bart, scan):
    image = "printf '# Dimensions\n1 24 20\n' > image0.hdr; head -c 3840 /dev/zero > image0.cfl"
    texts = []
    fake_bart("")
    model = models.create("cs-bart", 2)
    for n_pixels in (470, 360, 120, 240):
        fake_bart(f"case $1 in ecalib) {leaves(n_pixels)};; pics) {image};; esac")
        model(*scan)
        texts.append([note for note in model.notes if "of the energy" in note])
    assert [len(found) for found in texts] == [0, 1, 1, 1]
    shares = [int(found[0].split("only ")[1].split(" %")[0]) for found in texts[1:]]
    # The pixels of the scan are noise, so energy is area; the worst slice is told.
    assert shares == pytest.approx([75, 25, 25], abs=8)
    assert shares[1] == shares[2]


def test_too_few_samples_for_the_kernel_are_called_that(fake_bart, scan):
    fake_bart('echo "bart: casorati.c:45: casorati_dims: Assertion \\`dim[i] >= dimk[i]\' failed." >&2; exit 134')
    with pytest.raises(ModelError, match=r"too few for the kernel of `bart ecalib.*more lines") as caught:
        models.create("cs-bart", 2)(*scan)
    assert "install" not in str(caught.value)


def test_the_version_is_recorded_where_bart_ran(fake_bart, scan):
    answer = 'if [ "$1" = version ]; then echo v1.2.03; exit; fi; '
    image = "printf '# Dimensions\n1 24 20\n' > image0.hdr; head -c 3840 /dev/zero > image0.cfl"
    fake_bart(answer + image)
    model = models.create("cs-bart", 2)
    assert not model.versions
    model(*scan, torch.ones(1, 2, *SIZE, dtype=torch.complex64))
    assert model.versions == {"bart": "1.2.03"}


def test_a_record_names_bart_s_version_and_what_was_noted(fake_bart, tmp_path):
    maps, image = (
        f"printf '# Dimensions\\n1 32 32 {n_coils}\\n' > {name}.hdr; "
        f"yes $(printf '\\077') | tr -d '\\n' | head -c {8 * 1024 * n_coils} > {name}.cfl"
        for name, n_coils in (("maps0", 2), ("image0", 1))
    )
    fake_bart(f"case $1 in version) echo v1.2.03;; ecalib) {maps};; pics) {image};; esac")
    write(tmp_path / "scan.h5", PhantomSpec(n_coils=2, matrix=(32, 32), n_slices=2))
    series = recon.open_study(tmp_path / "scan.h5").series[0]
    mask = recon.MaskSpec("equispaced-fraction", 2, 0.25)
    record = recon.run(series, recon.Request(model="cs-bart", mask=mask)).record()
    assert record["versions"]["bart"] == "1.2.03"
    # Once for both slices.
    assert sum("calibration lines are few" in warning for warning in record["warnings"]) == 1
    assert "bart" not in recon.run(series, recon.Request(model="zero-filled", mask=mask)).record()["versions"]


@pytest.mark.parametrize("script", ["exit 1", "exit 0", "echo v1 >&2"])
def test_a_program_that_does_not_tell_its_version_has_none(fake_bart, script):
    assert programs.version(fake_bart(script), "version") == ""


def test_a_program_that_is_gone_has_no_version(tmp_path):
    assert programs.version(tmp_path / "bart", "version") == ""


def test_without_bart_the_method_is_listed_and_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BART_TOOLBOX_PATH", raising=False)
    card = models.get_card("cs-bart")
    assert not card.available
    assert not card.to_dict()["available"]
    assert "cs-bart" in {listed.name for listed in models.list_models() if listed.problem}
    for refused in (lambda: models.create("cs-bart", 2), lambda: models.fit_coils("cs-bart", 2)):
        with pytest.raises(ModelError, match=r"needs the program bart.*`apt install bart`"):
            refused()
    # The others go on.
    assert models.get_card("zero-filled").available
    program = tmp_path / "bart"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert models.get_card("cs-bart").available


def test_its_own_folder_goes_before_the_path(monkeypatch, tmp_path):
    for folder in ("path", "toolbox/bin"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "bart").write_text("")
        (tmp_path / folder / "bart").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(tmp_path / "toolbox"))
    assert programs.find("bart") == tmp_path / "toolbox/bin/bart"
    monkeypatch.setenv("BART_TOOLBOX_PATH", "")
    assert programs.find("bart") == tmp_path / "path/bart"


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("nowhere", "which does not exist"),
        ("file", "which is no folder"),
        ("empty", "where there is no bart"),
        ("forbidden", "is no program that may be run"),
        ("x" * 5000, "which does not exist"),
    ],
)
def test_a_wrong_folder_is_said_and_no_other_copy_is_taken(monkeypatch, tmp_path, kind, problem):
    for folder in ("path", "empty", "forbidden"):
        (tmp_path / folder).mkdir()
    for program, mode in (("path/bart", 0o755), ("forbidden/bart", 0o644)):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(mode)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(tmp_path / kind))
    assert programs.find("bart") is None
    sentence = models.get_card("cs-bart").problem
    assert f"$BART_TOOLBOX_PATH is {tmp_path / kind}, " in sentence
    assert problem in sentence
    assert "cs-bart" in {card.name for card in models.list_models()}
    with pytest.raises(ModelError, match="unset it"):
        models.create("cs-bart", 2)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo first >&2; printf '\\033[31mERROR: \\033[0mno memory left.\\n' >&2; exit 1", "ERROR: no memory left"),
        ("printf 'Loading cfl file x\\n : No such file\\nERROR: ' >&2; exit 134", "Loading cfl file x: No such file"),
        ("exit 3", "exit status 3"),
        ("kill -SEGV $$", "ended by SIGSEGV"),
    ],
)
def test_a_failure_is_told_with_bart_s_last_words(fake_bart, scan, tmp_path, script, sentence):
    fake_bart(script)
    with pytest.raises(ModelError, match=sentence):
        models.create("cs-bart", 2)(*scan)
    assert not list((tmp_path / "temporary").iterdir())


def test_no_result_is_one_sentence_without_files_that_are_gone(fake_bart, scan, tmp_path):
    for script, sentence in (
        ("exit 0", "without an error and without a result (maps); "),
        ("printf '# Dimensions\\n1 24 20 2\\n' > maps0.hdr", "left a result (maps) that is not complete; "),
        (f"{leaves(960)}; truncate -s 99 maps0.cfl", "left a result (maps) that is not complete; "),
    ):
        fake_bart(script)
        with pytest.raises(ModelError) as caught:
            models.create("cs-bart", 2)(*scan)
        assert sentence in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
        assert "/" not in str(caught.value)


def test_a_result_of_another_size_is_refused(fake_bart, scan):
    fake_bart("printf '# Dimensions\\n1 2 3 1\\n' > maps0.hdr; head -c 48 /dev/zero > maps0.cfl")
    with pytest.raises(ModelError, match=r"\(1, 24, 20, 2\) was expected"):
        models.create("cs-bart", 2)(*scan)


def test_a_program_that_cannot_start(fake_bart, scan):
    fake_bart("").write_text("#!/nowhere/shell\n")
    with pytest.raises(ModelError, match="cannot be started"):
        models.create("cs-bart", 2)(*scan)


def test_closing_the_stream_ends_bart_and_what_it_started(fake_bart, scan, tmp_path):
    fake_bart(f"echo $$ > {tmp_path}/pid; sleep 600 & echo $! > {tmp_path}/child; wait")
    maps = torch.ones(1, 2, *SIZE, dtype=torch.complex64)
    started = time.monotonic()
    with closing(models.create("cs-bart", 2).stages(*scan, maps)) as stream:
        assert next(stream).path == ("SENSE",)
        pids = [written(tmp_path / name) for name in ("pid", "child")]
        assert all(is_running(pid) for pid in pids)
    assert end_soon(*pids)
    assert not list((tmp_path / "temporary").iterdir())
    assert time.monotonic() - started < 60


def test_a_program_that_will_not_end_is_ended(fake_bart, scan, monkeypatch, tmp_path):
    monkeypatch.setattr(programs, "_PATIENCE_S", 0.2)
    fake_bart(f"trap '' TERM; echo $$ > {tmp_path}/pid; while true; do sleep 0.1; done")
    stream = models.create("cs-bart", 2).stages(*scan, torch.ones(1, 2, *SIZE, dtype=torch.complex64))
    next(stream)
    pid = written(tmp_path / "pid")
    stream.close()
    assert end_soon(pid)


def test_what_a_program_started_is_ended_even_if_it_will_not_listen(fake_bart, scan, tmp_path):
    fake_bart(f"sh -c \"trap '' TERM; echo \\$\\$ > {tmp_path}/pid; while true; do sleep 0.1; done\" & wait")
    stream = models.create("cs-bart", 2).stages(*scan, torch.ones(1, 2, *SIZE, dtype=torch.complex64))
    next(stream)
    pid = written(tmp_path / "pid")
    stream.close()
    assert end_soon(pid)


def test_a_wish_to_stop_is_heard_while_bart_works(fake_bart, scan):
    fake_bart("sleep 600")
    asked = []
    with interruption.watching(lambda: bool(asked)), closing(models.create("cs-bart", 2).stages(*scan)) as stream:
        asked.append(True)
        started = time.monotonic()
        assert not next(stream).is_final
        assert time.monotonic() - started < 60
    assert not interruption.is_asked()


def test_maps_need_calibration_lines(fake_bart, scan):
    fake_bart("exit 1")
    zero_filled, kspace, mask = scan
    mask = torch.zeros_like(mask)
    mask[:, ::4] = True
    with pytest.raises(RequestError, match=r"need at least 4 fully sampled lines"):
        models.create("cs-bart", 2)(zero_filled, kspace, mask)


@pytest.mark.parametrize("values", [{"lambda_": -1.0}, {"n_iterations": 0}, {"n_calibration": 3}])
def test_impossible_parameters_are_refused(values):
    with pytest.raises(ModelError, match=next(iter(values)).rstrip("_")):
        BartParameters(**values)


@pytest.mark.parametrize("name", ["cs-tv", "cs-bart"])
def test_lambda_comes_from_fastmri_unless_it_is_set(name):
    if not models.get_card(name).available:
        pytest.skip("BART is not installed")
    model = models.create(name, 15)
    model.meet_scan("AXT1", 15, 4.0)
    assert model.parameters_.lambda_ == 0.001
    model.meet_scan("AXT1", 15, 8.0)
    assert model.parameters_.lambda_ == 0.001, "chosen once"
    model = models.create(name, 15, lambda_=0.05)
    model.meet_scan("AXT1", 15, 4.0)
    assert model.parameters_.lambda_ == 0.05
