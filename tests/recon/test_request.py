"""Requests serialise, and refuse nonsense by name."""

from __future__ import annotations

import pytest

from recon.errors import RequestError
from recon.masks import MaskSpec
from recon.request import Request


def test_round_trip():
    request = Request("oucr", MaskSpec("random", 8, seed=3), slices=(2, 1), coils=4, grid="native", precision="fp32")
    assert Request.from_json(request.to_json()) == request
    assert Request.from_json(Request().to_json()) == Request()


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"speed": 1}', '{"mask": {"kinds": "random"}}', '{"grid": "polar"}', '{"slices": []}', '{"coils": 0}'],
)
def test_nonsense_is_refused(text):
    with pytest.raises(RequestError):
        Request.from_json(text)
