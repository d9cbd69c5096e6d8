"""The table of acquisitions of an ISMRMRD file: the headers of its readouts, and where their samples lie.

Only headers are read, one row of the table each; the samples stand in global heaps elsewhere in the file.

References
----------
Inati et al., ISMRM Raw data format: A proposed standard for MRI raw datasets, MRM 77:411 (2017); ismrmrd.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import FileError
from recon.io.hdf5 import rows

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Flags count from 1, as in the standard.
NOISE = 19
CALIBRATION = 20
CALIBRATION_AND_IMAGING = 21
REVERSE = 22
PHASE_CORRECTION = 24
COMPRESSED = (53, 54, 55, 56)
# Readouts that are no part of an image, in the words of a note.
LEFT_OUT = {
    23: "navigator",
    PHASE_CORRECTION: "phase-correction",
    26: "feedback",
    27: "dummy",
    28: "real-time feedback",
    29: "surface-coil-correction",
    30: "phase-stabilization reference",
    31: "phase-stabilization",
}

# Fields of a header by the names that they have here: path in the file, kinds of number, values each.
_INTEGERS, _FLOATS = "ui", "f"
_FIELDS: dict[str, tuple[str, str, int]] = {
    "flags": ("flags", _INTEGERS, 1),
    "n_samples": ("number_of_samples", _INTEGERS, 1),
    "n_channels": ("active_channels", _INTEGERS, 1),
    "channel_mask": ("channel_mask", _INTEGERS, 16),
    "discard_pre": ("discard_pre", _INTEGERS, 1),
    "discard_post": ("discard_post", _INTEGERS, 1),
    "centre_sample": ("center_sample", _INTEGERS, 1),
    "encoding": ("encoding_space_ref", _INTEGERS, 1),
    "position": ("position", _FLOATS, 3),
    "read_direction": ("read_dir", _FLOATS, 3),
    "phase_direction": ("phase_dir", _FLOATS, 3),
    "slice_direction": ("slice_dir", _FLOATS, 3),
    "step_1": ("idx/kspace_encode_step_1", _INTEGERS, 1),
    "step_2": ("idx/kspace_encode_step_2", _INTEGERS, 1),
    "slice": ("idx/slice", _INTEGERS, 1),
    "contrast": ("idx/contrast", _INTEGERS, 1),
    "phase": ("idx/phase", _INTEGERS, 1),
    "repetition": ("idx/repetition", _INTEGERS, 1),
    "set": ("idx/set", _INTEGERS, 1),
}
# The standard counts in 16 bits.
_MOST = 65535
_REQUIRED = ("flags", "n_samples", "n_channels", "step_1", "slice")
# What a variable-length value is in the file: its number of elements, the address of its heap, its number in it.
_REFERENCE = np.dtype([("n_values", "<u4"), ("address", "<u8"), ("number", "<u4")])


def _kept(kind: str, count: int) -> tuple[Any, ...]:
    return ("<i8" if kind == _INTEGERS else "<f4"), *(() if count == 1 else ((count,),))


DTYPE = np.dtype([
    *((name, *_kept(kind, count)) for name, (_, kind, count) in _FIELDS.items()),
    ("n_trajectory", "<i8"), ("n_values", "<i8"), ("address", "<i8"), ("number", "<i8"),
])  # fmt: skip


def read(dataset: Any, path: Path) -> NDArray[Any]:
    """Read the headers of all acquisitions; no sample is read.

    Parameters
    ----------
    dataset
        Table ``data`` of an open file.
    path
        The file.

    Returns
    -------
    Structured array of `DTYPE`, in the order of the file. A field that the file lacks is 0.

    Raises
    ------
    FileError
        If it is no table of acquisitions, or is damaged.
    """
    name = f"`{dataset.name.lstrip('/')}`"
    layout = _layout(dataset, path, name)
    content = rows.read(dataset, path, layout.itemsize)
    stored = np.ndarray((len(content),), layout, content)
    table = np.zeros(len(stored), DTYPE)
    for field, (where, _, _) in _FIELDS.items():
        if where in (layout.names or ()):
            table[field] = stored[where]
    table["n_trajectory"] = stored["traj"]["n_values"] if "traj" in (layout.names or ()) else 0
    for field in _REFERENCE.names or ():
        table[field] = stored["data"][field]
    for field, (where, kind, count) in _FIELDS.items():
        if field != "flags" and kind == _INTEGERS and count == 1 and len(table):
            low, high = int(table[field].min()), int(table[field].max())
            if low < 0 or high > _MOST:
                raise FileError(
                    path,
                    f"`{where}` in the headers of {name} is {low if low < 0 else high}, which cannot be; the file is "
                    "damaged. Copy or download it again.",
                )
    return table


def is_table(dataset: Any) -> bool:
    """Return True for a table whose rows have a header and data: acquisitions, whatever they are called."""
    names = dataset.dtype.names or ()
    return "head" in names and "data" in names


def flagged(table: NDArray[Any], *flags: int) -> NDArray[np.bool_]:
    """Return where at least one of some flags is set."""
    bits = sum(1 << (flag - 1) for flag in flags)
    return np.asarray(table["flags"].view(np.uint64) & np.uint64(bits), bool)


def _layout(dataset: Any, path: Path, name: str) -> np.dtype[Any]:
    """Where the fields lie in a row, after everything that can be wrong with them."""
    from h5py import h5t

    if not is_table(dataset):
        raise FileError(
            path,
            f"{name} holds {dataset.dtype if dataset.dtype.names is None else 'rows without `head` and `data`'}; an "
            "ISMRMRD table of acquisitions was expected. Convert the raw data again.",
        )
    kind = dataset.id.get_type()
    members = {
        kind.get_member_name(number).decode("ascii", "replace"): (
            kind.get_member_offset(number),
            kind.get_member_type(number),
        )
        for number in range(kind.get_nmembers())
    }
    found: dict[str, tuple[int, np.dtype[Any]]] = {}
    for field in ("traj", "data"):
        if field not in members:
            continue
        offset, member = members[field]
        if not isinstance(member, h5t.TypeVlenID) or not member.get_super().equal(h5t.IEEE_F32LE):
            raise FileError(
                path,
                f"`{field}` of {name} holds no lists of 32-bit floats, as the ISMRMRD standard asks for; convert the "
                "raw data again.",
            )
        found[field] = offset, _REFERENCE
    head_offset, head = members["head"]
    if not isinstance(head, h5t.TypeCompoundID):
        raise FileError(path, f"`head` of {name} is no header of an acquisition; convert the raw data again.")
    found.update(_head_fields(head.dtype, head_offset, path, name))
    size = kind.get_size()
    if any(offset + dtype.itemsize > size for offset, dtype in found.values()):
        raise FileError(path, f"{name} has rows that do not fit together; it is damaged. Copy or download it again.")
    return np.dtype({
        "names": list(found),
        "formats": [dtype for _, dtype in found.values()],
        "offsets": [offset for offset, _ in found.values()],
        "itemsize": size,
    })  # fmt: skip


def _head_fields(head: np.dtype[Any], offset: int, path: Path, name: str) -> dict[str, tuple[int, np.dtype[Any]]]:
    found: dict[str, tuple[int, np.dtype[Any]]] = {}
    for field, (where, kinds, count) in _FIELDS.items():
        dtype, place = head, offset
        for part in where.split("/"):
            if part not in (dtype.names or ()):
                break
            assert dtype.fields is not None  # it has names
            dtype, beyond = dtype.fields[part][:2]
            place += beyond
        else:
            shape = () if count == 1 else (count,)
            if dtype.base.kind not in kinds or dtype.shape != shape:
                raise FileError(
                    path,
                    f"`{where}` in the headers of {name} holds {dtype} values; the ISMRMRD standard has other ones. "
                    "Convert the raw data again.",
                )
            found[where] = place, dtype
            continue
        if field in _REQUIRED:
            raise FileError(path, f"the headers of {name} lack `{where}`; convert the raw data again.")
    return found
