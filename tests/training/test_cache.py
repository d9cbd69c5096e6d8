"""The cache of compressed coils: nothing is lost that shows, nothing half-written is read, and it stays in bounds."""

from __future__ import annotations

import multiprocessing
import os
import time
from functools import partial

import numpy as np
import pytest
import torch

from recon import open_study, phantom
from recon.coils import root_sum_of_squares
from recon.errors import ExportError
from recon.fourier import fft2c, ifft2c
from recon.masks import MaskSpec
from training import cache
from training.cache import Entry, SliceCache, identify, pack, stored_coils, unpack
from training.config import TrainingConfig
from training.measured import MeasuredSlices, SliceReader
from training.scans import Scan


def kspace_of(seed=0, n_coils=6, size=(32, 24)):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_coils, *size, dtype=torch.complex64, generator=generator) * 1e-5


def decibels(error, signal):
    error, signal = (one.to(torch.complex128) for one in (error, signal))
    return float(10 * torch.log10(signal.abs().square().sum() / (error - signal).abs().square().sum()))


def test_half_precision_keeps_values_of_any_size():
    """Half precision has 11 bits: an error of 2⁻¹² of each value at most, −76 dB in all, whatever the scale."""
    for factor in (1e-12, 1.0, 1e12):
        kspace = kspace_of() * factor
        kspace[:, 0] *= 1e-6  # the rim of k-space lies far below its centre
        back = unpack(*pack(kspace, 6))
        assert decibels(back, kspace) > 70
        assert decibels(back[:, 0], kspace[:, 0]) > 70


def test_compression_keeps_the_energy_of_smooth_coils():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    angles = torch.arange(24) * 2 * torch.pi / 24
    maps = torch.stack([torch.exp(-((y - a.sin()) ** 2) - (x - a.cos()) ** 2 + 1j * a * x) for a in angles])
    kspace = fft2c(maps * (y**2 + x**2 < 0.7))
    parts, scale = pack(kspace, stored_coils(24, 4))
    assert parts.shape == (2, 8, 32, 32) and parts.dtype == np.float16
    image, whole = (root_sum_of_squares(ifft2c(one), 0) for one in (unpack(parts, scale), kspace))
    assert decibels(image, whole) > 40


def test_a_slice_is_made_once(tmp_path):
    store = SliceCache(tmp_path, 1e9)
    (entry,) = store.allot([("key", 2, 6, (32, 24))])
    made = []

    def make():
        made.append(1)
        return kspace_of()

    first, second = store.get(entry, 1, make), store.get(entry, 1, make)
    assert len(made) == 1
    assert torch.equal(first, second)
    assert torch.equal(SliceCache(tmp_path, 1e9).get(entry, 1, make), first)
    store.get(entry, 0, make)
    assert len(made) == 2
    assert sorted(path.name for path in (tmp_path / "kspace" / "key").iterdir()) == ["0000.npz", "0001.npz"]


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_damaged_entries_are_made_again(tmp_path, damage):
    store = SliceCache(tmp_path, 1e9)
    entry = Entry("key", 6, 1)
    whole = store.get(entry, 0, kspace_of)
    path = tmp_path / "kspace" / "key" / "0000.npz"
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    assert torch.equal(store.get(entry, 0, kspace_of), whole)
    assert cache._load(path) is not None


def test_the_cache_is_bounded_and_old_settings_make_room(tmp_path):
    n_bytes = 4 * 6 * 32 * 24 + 1024
    store = SliceCache(tmp_path, 3.5 * n_bytes)
    entries = store.allot([("a", 2, 6, (32, 24)), ("b", 4, 6, (32, 24))])
    assert [entry.n_slices for entry in entries] == [2, 1]
    for entry, n_slices in zip(entries, (2, 4), strict=True):
        for index in range(n_slices):
            store.get(entry, index, kspace_of)
    files = list((tmp_path / "kspace").rglob("*.npz"))
    assert len(files) == 3
    assert sum(path.stat().st_size for path in files) <= 3.5 * n_bytes
    # The same data again keeps what is there; other data takes its place where there is no room for both.
    assert [one.n_slices for one in store.allot([("a", 2, 6, (32, 24)), ("b", 4, 6, (32, 24))])] == [2, 1]
    assert len(list((tmp_path / "kspace").rglob("*.npz"))) == 3
    old = time.time() - 9e4
    os.utime(tmp_path / "kspace" / "a", (old, old))
    store.allot([("c", 2, 6, (32, 24))])
    assert sorted(path.name for path in (tmp_path / "kspace").iterdir()) == ["b"]


def test_what_is_not_kept_is_the_same(tmp_path):
    store = SliceCache(tmp_path, 1e9)
    kept, not_kept = Entry("key", 4, 1), Entry("key", 4, 0)
    assert torch.equal(store.get(kept, 0, kspace_of), store.get(not_kept, 0, kspace_of))
    assert store.get(not_kept, 0, kspace_of).shape == (4, 32, 24)


def test_another_file_or_other_settings_are_another_entry(tmp_path):
    path = tmp_path / "scan.h5"
    path.write_bytes(b"one")
    names = {identify(path, {"grid": "cropped"}), identify(path, {"grid": "native"})}
    path.write_bytes(b"longer")
    names.add(identify(path, {"grid": "cropped"}))
    os.utime(path, ns=(1, 1))
    names.add(identify(path, {"grid": "cropped"}))
    assert len(names) == 4
    assert identify(path, {"a": 1, "b": 2}) == identify(path, {"b": 2, "a": 1})


def _fill(folder, first):
    store = SliceCache(folder, 1e9)
    entry = Entry("key", 6, 8)
    for step in range(16):
        index = (first + step) % 8
        assert torch.equal(store.get(entry, index, partial(kspace_of, index)), unpack(*pack(kspace_of(index), 6)))


def test_several_processes_fill_it_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_fill, args=(tmp_path, first)) for first in (0, 1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    files = [path.name for path in (tmp_path / "kspace" / "key").iterdir()]
    assert sorted(files) == [f"{index:04d}.npz" for index in range(8)]


def test_what_killed_writers_left_is_swept(tmp_path):
    store = SliceCache(tmp_path, 1e9)
    folder = tmp_path / "kspace" / "key"
    folder.mkdir(parents=True)
    for name, age in ((".0000.abc.partial.npz", 9e3), (".0001.abc.partial.npz", 0)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age, time.time() - age))
    store.allot([("key", 1, 6, (32, 24))])
    assert [path.name for path in folder.iterdir()] == [".0001.abc.partial.npz"]


def test_a_full_disk_only_costs_time(tmp_path, monkeypatch, caplog):
    store = SliceCache(tmp_path, 1e9)

    def refuse(*arguments, **values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", refuse)
    entry = Entry("key", 6, 2)
    assert torch.equal(store.get(entry, 0, kspace_of), unpack(*pack(kspace_of(), 6)))
    store.get(entry, 1, kspace_of)
    assert [record.getMessage().count("disk is full") for record in caplog.records] == [1]
    assert not list((tmp_path / "kspace").rglob("*.npz"))


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExportError, match="could not be written"):
        SliceCache(tmp_path / "file", 1e9)


def test_samples_from_the_cache_are_those_without_it(tmp_path):
    """Up to half precision and the phase of a virtual coil, which is arbitrary; the images agree."""
    spec = phantom.PhantomSpec(n_slices=1, n_coils=16, matrix=(64, 48))
    scans = [Scan(open_study(phantom.write(tmp_path / "scan.h5", spec)).series[0], None, "anna")]
    plain = TrainingConfig(kspace="somewhere", model="pcrnn-s", n_coils=4)
    cached = TrainingConfig(**{**plain.to_dict(), "cache": str(tmp_path / "cache")})
    mask = MaskSpec("random", 4, seed=3)
    expected = SliceReader(scans, plain).read(0, mask, None)
    for _ in range(2):  # made, then read back
        sample = SliceReader(scans, cached).read(0, mask, None)
        assert torch.equal(sample["mask"], expected["mask"])
        for one, other in (
            (sample["target"], expected["target"]),
            (root_sum_of_squares(sample["zero_filled"], 0), root_sum_of_squares(expected["zero_filled"], 0)),
        ):
            assert decibels(one, other) > 40
        assert float(sample["scale"]) == pytest.approx(float(expected["scale"]), rel=1e-3)
    assert MeasuredSlices(SliceReader(scans, cached), range(1), 0, 1)[0]["target"].shape == (64, 48)
