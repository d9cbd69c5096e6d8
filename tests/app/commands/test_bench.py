"""`bench`: a measurement, and one that fails."""

import json

import recon
from app import bench


def test_bench_measures_coil_compression(run):
    status, out, _ = run("bench", "--quick", "--json", "--only", "compression")
    assert status == 0
    [row] = json.loads(out)
    assert row["value"] > 0
    assert row["ratio"] > 0
    assert {"name", "value", "unit", "anchor", "ratio", "goal", "met"} <= row.keys()


def test_bench_goes_on_after_a_measurement_that_failed(run, monkeypatch):
    def measure(name, *, quick):
        if name == "window":
            raise recon.errors.MRIError("the window did not open")
        return [bench.Row(name, 1.0, "s", goal="none", met=None)]

    monkeypatch.setattr(bench, "measure", measure)
    status, out, err = run("bench")
    assert status == 1
    assert "the window did not open" in err
    assert all(name in out for name in bench.MEASUREMENTS if name != "window")
