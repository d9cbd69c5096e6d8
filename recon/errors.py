"""Everything that can go wrong, written for the person who reads it.

MRIError
├── FileError      a file cannot be read or is not what it should be         (exit status 2)
│   └── SliceError             one of its slices is not                      (exit status 2)
├── RequestError   the settings ask for something impossible                 (exit status 2)
├── ModelError     a model, its card or its weights do not fit               (exit status 2)
├── DeviceError    the device is missing, too small or failed                (exit status 1)
│   └── UnknownDeviceError     there is no such kind of device               (exit status 2)
├── ExportError    a result could not be written                             (exit status 1)
├── NetworkError   another computer cannot be reached, or refuses            (exit status 1)
└── MissingPackageError        a Python package is not installed             (exit status 1)

A message is one or two sentences: what was found, what was expected, what to do.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# Packages that are installed under another name than they are imported by.
_DISTRIBUTIONS = {"PIL": "pillow", "pywt": "PyWavelets"}
LEFT_OUT = "was left out"
"""In the warnings of a result: a slice whose data cannot be used."""


class MRIError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_status = 1


class FileError(MRIError):
    """A file cannot be read, or does not hold what it should."""

    exit_status = 2

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class SliceError(FileError):
    """A slice of a series cannot be used.

    Attributes
    ----------
    index
        Slice, counted from 0.
    reason
        What is wrong with it, in words that go on after its name: ``holds NaN; …``.
    """

    def __init__(self, path: Path | str, index: int, reason: str) -> None:
        super().__init__(path, f"slice {index} (counted from 0) {reason}")
        self.index = index
        self.reason = reason


class RequestError(MRIError):
    """The request asks for something that cannot be done with this data."""

    exit_status = 2


class ModelError(MRIError):
    """A model, its card or its weights are unknown, broken or do not fit the data."""

    exit_status = 2


class DeviceError(MRIError):
    """A device is not there, ran out of memory or failed.

    Attributes
    ----------
    out_of_memory
        True when the same request may succeed on a device with more memory, such as the CPU.
    """

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory


class UnknownDeviceError(DeviceError):
    """The request names a device of no kind that there is: a slip of the pen, not a lack of this machine."""

    exit_status = 2


class ExportError(MRIError):
    """A result could not be written; nothing half-written is left behind."""


class NetworkError(MRIError):
    """Another computer, such as a PACS, cannot be reached, does not answer or refuses to talk."""


class MissingPackageError(MRIError):
    """A Python package that the work needs is not installed, as in a bare Python with torch."""

    def __init__(self, name: str, extra: str = "") -> None:
        name = _DISTRIBUTIONS.get(name, name)
        install = f"'mri-workstation[{extra}]'" if extra else name
        super().__init__(
            f"this needs the Python package {name}, which is not installed; install it (`pip install {install}`), or "
            "use `make run`."
        )
        self.name = name


def together(errors: Sequence[Exception]) -> Exception:
    """Return one error for several of which each could be said alone; a single one stays itself."""
    if len(errors) == 1:
        return errors[0]
    error = ExportError(" ".join(map(str, errors)))
    error.exit_status = max(getattr(one, "exit_status", 1) for one in errors)
    return error


@contextmanager
def needs_package(extra: str = "") -> Iterator[None]:
    """Turn a failed import of an optional package into a MissingPackageError that says what to install.

    Parameters
    ----------
    extra
        Extra of this package that brings it; empty names the missing package itself.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingPackageError((error.name or str(error)).split(".")[0], extra) from error
