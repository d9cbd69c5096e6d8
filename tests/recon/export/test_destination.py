"""Where a PACS is: read from text and written, and refused where there can be none."""

import numpy as np
import pytest

from recon.errors import RequestError
from recon.export.pacs import Destination


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("PACS@pacs.hospital.org:104", ("PACS", "pacs.hospital.org", 104)),
        (" MY PACS @10.0.0.1:11112 ", ("MY PACS", "10.0.0.1", 11112)),
        ("PACS@[::1]:65535", ("PACS", "::1", 65535)),
        ("A@B@host_1:1", ("A@B", "host_1", 1)),
    ],
)
def test_destinations_are_read_and_written(text, parts):
    destination = Destination.from_text(text)
    assert (destination.ae_title, destination.host, destination.port) == parts
    assert Destination.from_text(str(destination)) == destination


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("PACS@host", "AET@HOST:PORT"),
        ("host:104", "AET@HOST:PORT"),
        ("PACS@::1:104", "brackets|AET@HOST:PORT"),
        ("PACS@host:port", "AET@HOST:PORT"),
        ("@host:104", "AE title"),
        ("SEVENTEEN_LETTERS@host:104", "AE title"),
        ("A\\B@host:104", "AE title"),
        ("A\tB@host:104", "AE title"),
        ("Pâcs@host:104", "AE title"),
        ("PACS@:104", "host"),
        ("PACS@http//host:104", "host"),
        ("PACS@[host]:0", "port"),
        ("PACS@[::g]:104", "host"),
        ("PACS@host:65536", "port"),
        ("PACS@host:" + "9" * 5000, "AET@HOST:PORT"),
        ("PACS@[fe80::1%a\0]:104", "host"),
        (b"PACS@host:104", "AET@HOST:PORT"),
        (None, "AET@HOST:PORT"),
    ],
)
def test_impossible_destinations_are_refused_with_what_is_expected(text, word):
    with pytest.raises(RequestError, match=word):
        Destination.from_text(text)


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        (("A", "h", "104"), "port"),
        (("A", "h", 104.5), "port"),
        (("A", "h", True), "port"),
        (("A", "h", None), "port"),
        (("A", "h", 10**5000), "port"),
        (("A", "h", -1), "port"),
        (("A", 5, 104), "host"),
        (("A", 10**5000, 104), "host"),
        (("A", None, 104), "host"),
        ((5, "h", 104), "AE title"),
        ((b"A", "h", 104), "AE title"),
    ],
)
def test_parts_of_another_type_are_refused(parts, word):
    with pytest.raises(RequestError, match=word):
        Destination(*parts)


def test_a_port_may_be_an_integer_of_numpy():
    assert type(Destination("A", "h", np.uint16(104)).port) is int
    assert Destination.from_text("PACS@[fe80::1%eth0]:104").host == "fe80::1%eth0"
