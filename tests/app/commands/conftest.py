"""A scan, and the program run on it in this process."""

import pytest

from app import cli
from recon import phantom


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    spec = phantom.PhantomSpec(n_slices=3, n_coils=2, matrix=(64, 64))
    return phantom.write(tmp_path_factory.mktemp("scan") / "head.h5", spec)


@pytest.fixture
def run(capsys):
    """Run the program in this process; returns exit status, stdout, stderr."""

    def call(*words):
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as ending:
            status = ending.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return call


@pytest.fixture
def weights_file(tmp_path):
    from recon import models, weights

    model = models.create("pcrnn-1x", 1)
    story = {"preset": "pcrnn-1x", "n_coils": 1, "parameters": {}, "data": "random numbers"}
    story["parameters"] = dict(models.get_card("pcrnn-1x").parameters_for(1))
    return weights.save(tmp_path / "mine.safetensors", model.state_dict(), story).path
