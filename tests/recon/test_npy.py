"""NumPy files from strangers."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon import npy
from recon.errors import FileError

_STREAM = io.BytesIO()
np.save(_STREAM, np.arange(24, dtype=np.float32).reshape(4, 6))
GOOD = _STREAM.getvalue()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("npy") / "array.npy"


def test_an_array_comes_back(file):
    file.write_bytes(GOOD)
    assert np.array_equal(npy.load(file, "mask", "save another."), np.arange(24).reshape(4, 6))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        GOOD[:6],
        GOOD[:90],
        b"text",
        b"PK\x03\x04 no archive",
        GOOD.replace(b"(4, 6)", b"(4, 6"),
        GOOD.replace(b"(4, 6), }            ", b"(99999999999999999), }"),
        GOOD.replace(b"(4, 6), }                      ", b"(999999999999999999999999,), }"),
    ],
    ids=["empty", "magic", "cut", "text", "zip", "header", "large", "too large"],
)
def test_what_holds_no_array_is_one_sentence(file, content):
    assert content != GOOD
    file.write_bytes(content)
    with pytest.raises(
        FileError, match=r"array\.npy: is not a readable \.npy file of mask \(.+\); save another\."
    ) as caught:
        npy.load(file, "mask", "save another.")
    assert "pickle" not in str(caught.value)


def test_an_archive_is_no_array(file):
    with file.open("wb") as stream:
        np.savez(stream, a=np.ones(3))
    with pytest.raises(FileError, match=r"is a \.npz archive; save another"):
        npy.load(file, "mask", "save another.")


@given(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_headers_raise_nothing_else(file, changes):
    content = bytearray(GOOD)
    for place, value in changes:
        content[place] = value
    file.write_bytes(content)
    try:
        npy.load(file, "mask", "save another.")
    except FileError as error:
        assert "pickle" not in str(error)
