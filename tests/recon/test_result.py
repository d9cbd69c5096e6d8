"""Where the files of a result go: beside those of other results, in place of its own."""

import json
from dataclasses import replace

import pytest

import recon
from recon import phantom
from recon.errors import RequestError


def test_a_result_of_another_recipe_keeps_its_files(tmp_path):
    spec = phantom.PhantomSpec(n_slices=2, n_coils=2, matrix=(48, 40), fov_mm=(240.0, 200.0))
    first, second = (
        recon.open_study(phantom.write(tmp_path / name / "scan.h5", replace(spec, seed=seed))).series[0]
        for seed, name in enumerate(("a", "b"))
    )
    request = recon.Request("zero-filled", slices=(0,), device="cpu")
    out = tmp_path / "out"

    def save(series, request):
        result = recon.run(series, request)
        result.save(out, ["hdf5"], name=result.free_name(out))
        return result

    def names():
        return sorted(path.name for path in out.glob("*.h5"))

    save(first, request)
    save(first, request)  # the same again
    assert names() == ["scan.zero-filled.h5"]
    save(first, replace(request, slices=(1,)))
    save(second, request)  # of one name, and other data
    assert names() == [f"scan.zero-filled{number}.h5" for number in ("-2", "-3", "")]
    result = save(second, request)
    assert len(names()) == 3
    # Files without a record are somebody's.
    (out / "scan.zero-filled.json").unlink()
    assert result.free_name(out) == "scan.zero-filled-3"
    assert recon.run(first, request).free_name(out) == "scan.zero-filled-4"
    assert json.loads((out / "scan.zero-filled-3.json").read_text())["fingerprint"] == second.fingerprint


def test_names_leave_room_for_what_outputs_add(tmp_path):
    from recon.data import shortened

    assert shortened("scan") == "scan"
    long = ["ä" * 120, "ä" * 119 + "b", "a" * 250]
    short = [shortened(name) for name in long]
    assert all(len(name.encode()) <= 160 for name in short) and len(set(short)) == 3
    assert short == [shortened(name) for name in long]


def test_formats_that_are_none_are_refused_by_name(tmp_path):
    spec = phantom.PhantomSpec(n_slices=1, n_coils=2, matrix=(48, 40), fov_mm=(240.0, 200.0))
    series = recon.open_study(phantom.write(tmp_path / "scan.h5", spec)).series[0]
    result = recon.run(series, recon.Request("zero-filled", device="cpu"))
    for formats, words in ((3, "formats are 3; give any of hdf5"), (["tiff"], "format 'tiff' is unknown")):
        with pytest.raises(RequestError, match=words):
            result.save(tmp_path / "out", formats=formats)
    assert not (tmp_path / "out").exists()
