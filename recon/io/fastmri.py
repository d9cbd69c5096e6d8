"""fastMRI HDF5: one file is one volume of raw data, with or without a reference, header and sampling mask.

Opening reads shapes, attributes, the header, the mask and a few rows of one coil, never a whole slice: a file of a
gigabyte opens in milliseconds. Slices are read when asked for, straight into their own buffer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.data import Header, Series, Study
from recon.errors import FileError, SliceError
from recon.io import coil_noise, geometry, hdf5, reference, sampling, stamps
from recon.io.hdf5 import heaps
from recon.io.ismrmrd import header as ismrmrd_header
from recon.masks import from_array
from recon.simulate import SimulationSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

ACQUISITIONS = ("CORPD_FBK", "CORPDFS_FBK", "AXT1", "AXT1PRE", "AXT1POST", "AXT2", "AXFLAIR")

# gzip cannot shrink data further than about 1 : 1032, so a file that claims more holds fill values, not data.
_MAX_COMPRESSION = 1100
_DATA_NAMES = ("kspace", "reconstruction_rss", "reconstruction_esc", "mask", "noise")
_SHOWN_ATTRIBUTES = ("acquisition", "patient_id", "source", "licence", "license")


@dataclass(frozen=True)
class FastmriSource:
    """Reads slices of one file; the file is open only during a call.

    Attributes
    ----------
    path
        The file.
    shape
        ``(slices, coils, y, x)``.
    recon_size
        ``(y, x)`` of a computed reference.
    reference_name
        Dataset that holds the reference; None when it is computed from the full k-space.
    stamp
        Size and time of the file when it was opened.
    noise
        Samples ``(coil, sample)`` that pre-whiten the coils of a computed reference.
    """

    path: Path
    shape: tuple[int, int, int, int]
    recon_size: tuple[int, int]
    reference_name: str | None
    stamp: stamps.Stamp
    noise: NDArray[np.complex64] | None = field(default=None, compare=False)

    def kspace(self, index: int) -> NDArray[np.complex64]:
        """Return k-space ``(coil, y, x)`` of a slice."""
        stamps.check(self.path, self.stamp)
        with hdf5.opened(self.path) as file:
            return _read_slice(_kspace_dataset(file, self.path), index, self.shape)

    def reference(self, index: int) -> NDArray[np.float32]:
        """Return the reference magnitude ``(y, x)`` of a slice: stored, or computed from its full k-space."""
        if self.reference_name is None:
            return reference.computed(self.kspace(index), self.recon_size, self.noise)
        stamps.check(self.path, self.stamp)
        with hdf5.opened(self.path) as file:
            dataset = file[self.reference_name]
            image = np.empty(dataset.shape[1:], np.float32)
            dataset.read_direct(image, np.s_[index])
        if not np.isfinite(image).all():
            raise SliceError(
                self.path,
                index,
                f"holds NaN or infinity in `{self.reference_name}`; a finite image was expected. Delete that dataset "
                "to have the reference computed from the k-space.",
            )
        return image


def read(path: Path) -> Study:
    """Open a fastMRI file as a study of one series.

    Raises
    ------
    FileError
        If it is not HDF5, is damaged, or holds no usable ``kspace``.
    """
    series = read_series(path)
    return Study(path=path, title=path.stem, series=(series,))


def read_series(path: Path) -> Series:
    """Open a fastMRI file; no slice is read.

    Raises
    ------
    FileError
        If it is not HDF5, is damaged, or holds no usable ``kspace``.
    """
    notes: list[str] = []
    stamp = stamps.of(path)
    with hdf5.opened(path) as file:
        dataset = _kspace_dataset(file, path)
        shape = _shape(dataset, path)
        heaps.check(path, _data_stretches(file), file.userblock_size)
        attributes = hdf5.attributes(file)
        parsed = _header(file, path, attributes, notes)
        mask = _stored_mask(file, shape[2:], path)
        acquired = sampling.analyse(dataset, mask, ismrmrd_header.padding(parsed, shape[3]))
        reference_name = _reference_name(file, shape, notes) if acquired.has_full_kspace else None
        noise = _noise(file, shape[1], notes)
        stored_size = file[reference_name].shape[1:] if reference_name else None
        if not acquired.has_full_kspace and any(name in file for name in ("reconstruction_rss", "reconstruction_esc")):
            notes.append("The stored reconstruction is not taken as a reference: it may be of the undersampled data.")
    matrix = shape[2:]
    recon_size = _recon_size(matrix, stored_size, parsed.header, notes)
    if acquired.note:
        notes.insert(0, acquired.note)
    is_stored = reference_name is not None
    if noise is not None:  # whitened coils are compared with whitened coils
        reference_name = None
    if acquired.has_full_kspace and reference_name is None:
        notes.append(reference.note(noise, is_stored=is_stored))
    simulation = SimulationSpec.from_json(attributes.get("simulation", ""))
    if simulation is not None:
        notes.append(simulation.note)
        del attributes["simulation"]
    notes += _origin_notes(attributes)
    header = parsed.header
    acquisition = header.acquisition
    return Series(
        path=path,
        title=path.stem if not acquisition or acquisition in path.stem else f"{path.stem} · {acquisition}",
        kind="fastmri",
        n_slices=shape[0],
        n_coils=shape[1],
        matrix=matrix,
        recon_size=recon_size,
        source=FastmriSource(path, shape, recon_size, reference_name, stamp, noise),
        has_reference=acquired.has_full_kspace,
        header=header,
        geometry=geometry.from_header(header, matrix, recon_size, shape[0], _flips_rows(attributes)),
        acquired_mask=acquired.acquired_mask,
        padding=acquired.padding,
        simulation=simulation,
        notes=tuple(notes),
        noise=noise,
        fingerprint=acquired.fingerprint,
    )


# ---- the file ---------------------------------------------------------------------------------------------------


def _kspace_dataset(file: Any, path: Path) -> Any:
    import h5py

    if file.get("kspace", getlink=True, default=None) is None:
        raise FileError(path, f"holds no dataset `kspace`; {_contents(file)} {_what_to_do(file)}")
    dataset = hdf5.own_dataset(file, "kspace")
    if dataset is not None:
        return dataset
    if hdf5.hard_link(file, "kspace") and not isinstance(file["kspace"], h5py.Dataset):
        raise FileError(path, "`kspace` is not a dataset; an array (slices, coils, rows, columns) was expected.")
    raise FileError(
        path,
        "`kspace` is a link to data elsewhere, which is not followed; "
        "copy the data into this file (`h5repack` or `h5copy`).",
    )


def _contents(file: Any) -> str:
    # Only the top level is named: visiting everything could take minutes in a large file.
    names = [f"`{name}`" for _, name in zip(range(8), file, strict=False)]
    if not names:
        return "it is empty."
    return f"it holds {', '.join(names)}{' and more' if len(file) > len(names) else ''}."


def _what_to_do(file: Any) -> str:
    if "reconstruction" in file:
        return "It looks like a result that was exported; open the raw data that it was made from."
    return "A fastMRI file holds `kspace` of shape (slices, coils, rows, columns) or (slices, rows, columns)."


def _shape(dataset: Any, path: Path) -> tuple[int, int, int, int]:
    """Shape as ``(slices, coils, y, x)``, after everything that can be wrong without reading a value."""
    shape, dtype = tuple(dataset.shape or ()), dataset.dtype
    expected = "complex (slices, coils, rows, columns), or (slices, rows, columns) of a single coil, was expected."
    if hdf5.complex_fields(dtype) is None and dtype.kind != "c":
        hint = " Join the real and imaginary parts to one complex array." if shape[-1:] == (2,) else ""
        raise FileError(path, f"`kspace` holds {dtype} values; {expected}{hint}")
    if not hdf5.is_sound(dataset):
        raise FileError(path, f"`kspace` is of a damaged or unusual number type; {expected} Copy or export it again.")
    if len(shape) not in (3, 4):
        raise FileError(path, f"`kspace` has {len(shape)} axes, shape {shape}; {expected}")
    if 0 in shape:
        raise FileError(path, f"`kspace` is empty, shape {shape}; {expected}")
    n_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    stored = dataset.id.get_storage_size()
    if stored * _MAX_COMPRESSION < n_bytes:
        raise FileError(
            path,
            f"`kspace` claims {n_bytes / 1e6:.1f} MB, but {stored / 1e6:.1f} MB were ever written; "
            "the file is unfinished. Copy or export it again.",
        )
    slices, *coils, rows, columns = shape
    return slices, (coils[0] if coils else 1), rows, columns


def _read_slice(dataset: Any, index: int, shape: tuple[int, int, int, int]) -> NDArray[np.complex64]:
    kspace = np.empty(shape[1:], np.complex64)
    target = kspace if dataset.ndim == 4 else kspace[0]
    fields = hdf5.complex_fields(dataset.dtype)
    if fields is not None:
        values = dataset[index]
        target.real, target.imag = values[fields[0]], values[fields[1]]
    else:
        dataset.read_direct(target, np.s_[index])
    return kspace


def _data_stretches(file: Any) -> Iterator[tuple[int, int]]:
    """First byte and size of the datasets that lie in one piece."""
    for name in _DATA_NAMES:
        dataset = hdf5.own_dataset(file, name)
        first = None if dataset is None else dataset.id.get_offset()
        if dataset is not None and first is not None:
            yield first, dataset.id.get_storage_size()


# ---- what stands beside the k-space -----------------------------------------------------------------------------


def _header(file: Any, path: Path, attributes: Mapping[str, str], notes: list[str]) -> ismrmrd_header.ParsedHeader:
    parsed = ismrmrd_header.ParsedHeader(Header())
    if "ismrmrd_header" in file:
        try:
            parsed = ismrmrd_header.parse(hdf5.text(file, "ismrmrd_header", path, ismrmrd_header.MAX_HEADER_BYTES))
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            notes.append(f"The scan header cannot be read ({hdf5.detail(error)}); pixel size and timing are unknown.")
    header = replace(
        parsed.header,
        acquisition=attributes.get("acquisition"),
        patient_id=attributes.get("patient_id"),
        source=attributes.get("source"),
        licence=attributes.get("licence", attributes.get("license")),
        extra={
            **{name: text for name, text in attributes.items() if name not in _SHOWN_ATTRIBUTES},
            **parsed.header.extra,
        },
    )
    return replace(parsed, header=header)


def _stored_mask(file: Any, matrix: tuple[int, int], path: Path) -> NDArray[np.bool_] | None:
    if "mask" not in file:
        return None
    dataset = hdf5.own_dataset(file, "mask")
    if dataset is None:
        raise FileError(path, "`mask` is not stored in this file; an array (columns,) or (rows, columns) was expected.")
    if dataset.size is None or dataset.size > matrix[0] * matrix[1]:
        # Refused before it is read: a wrong shape may also be a huge one.
        raise FileError(
            path,
            f"the mask has shape {dataset.shape}, but the k-space is {matrix[0]} × {matrix[1]}; "
            f"expected ({matrix[1]},) or {matrix}.",
        )
    if dataset.dtype.kind in "buif" and not hdf5.is_sound(dataset):
        raise FileError(path, "the mask is of a damaged or unusual number type; 0 and 1 were expected.")
    return from_array(dataset[()], matrix, str(path))


def _reference_name(file: Any, shape: tuple[int, int, int, int], notes: list[str]) -> str | None:
    """Name of the stored reference that fits the k-space; one that does not is recomputed, and said so."""
    names = ["reconstruction_esc", "reconstruction_rss"] if shape[1] == 1 else ["reconstruction_rss"]
    for name in names:
        if name not in file:
            continue
        dataset = hdf5.own_dataset(file, name)
        if dataset is None:
            problem = "is no dataset of this file"
        elif dataset.dtype.kind not in "fiu":
            problem = f"holds {dataset.dtype} values instead of magnitudes"
        elif len(dataset.shape or ()) != 3 or 0 in dataset.shape:
            problem = f"has shape {dataset.shape}; (slices, rows, columns) was expected"
        elif dataset.shape[0] != shape[0]:
            problem = f"has {dataset.shape[0]} slices, but the k-space has {shape[0]}"
        elif dataset.shape[1] > shape[2] or dataset.shape[2] > shape[3]:
            problem = f"is {dataset.shape[1]} × {dataset.shape[2]}, larger than the k-space {shape[2]} × {shape[3]}"
        elif not hdf5.is_sound(dataset):
            problem = "is of a damaged or unusual number type"
        elif dataset.id.get_storage_size() == 0:
            problem = "was never written"
        else:
            return name
        notes.append(f"The stored `{name}` is ignored: it {problem}.")
    return None


def _noise(file: Any, n_coils: int, notes: list[str]) -> NDArray[np.complex64] | None:
    """Noise samples ``(coil, sample)``; those that cannot be used are left out, and it is said."""
    if "noise" not in file:
        return None
    dataset = hdf5.own_dataset(file, "noise")
    if dataset is None:
        problem = "is no dataset of this file"
    elif dataset.dtype.kind != "c" or not hdf5.is_sound(dataset):
        problem = f"holds {dataset.dtype} values instead of complex ones"
    elif dataset.ndim != 2 or dataset.shape[0] != n_coils:
        problem = f"has shape {dataset.shape}; (coil, sample) = ({n_coils}, …) was expected"
    elif dataset.id.get_storage_size() == 0:
        problem = "was never written"
    else:
        with np.errstate(over="ignore"):  # infinite then, which is said
            samples = np.asarray(dataset[:, : coil_noise.MAX_SAMPLES], np.complex64)
        unusable = coil_noise.problem_of(samples)
        if unusable is None:
            return samples
        notes.append(f"The stored `noise` is ignored: {unusable}")
        return None
    notes.append(f"The stored `noise` is ignored: it {problem}.")
    return None


def _recon_size(
    matrix: tuple[int, int], stored: tuple[int, int] | None, header: Header, notes: list[str]
) -> tuple[int, int]:
    """``(y, x)`` of the final image: the stored reference's, else the header's, never more than was measured."""
    rows, columns = matrix
    if stored is not None:
        return min(stored[0], rows), min(stored[1], columns)
    (height, _), (width, _) = geometry.image_axes(header, matrix)
    wanted_rows, wanted_columns, _ = header.recon_matrix or (*matrix, 1)
    if columns < wanted_columns and height == wanted_rows:
        # fastMRI's rule for volumes narrower than the crop, such as those 203 columns wide: a square of the width.
        return min(columns, height), columns
    notes += geometry.other_size((height, width), header)
    return height, width


def _flips_rows(attributes: Mapping[str, str]) -> bool:
    """True for the files of the fastMRI release, whose row 0 is the bottom of the picture.

    They are known by their acquisition and by saying nothing else about themselves: a file that was converted from
    another source borrows the acquisition names, but not the scanner's row order. ``flip_rows`` decides where given.
    """
    if "flip_rows" in attributes:
        return attributes["flip_rows"].lower() in ("true", "1")
    return attributes.get("acquisition") in ACQUISITIONS and "source" not in attributes


def _origin_notes(attributes: Mapping[str, str]) -> list[str]:
    """Whatever the file says about not being measured has to be seen."""
    texts = {attributes.get(name, "") for name in ("sampling", "note", "simulation")}
    words = ("derived", "simulated", "synthetic")
    said = sorted(text for text in texts if any(word in text.lower() for word in words))
    return [f"The file says of itself: {'; '.join(said)}."] if said else []
