"""Weights: safetensors files that explain themselves. Reading one never executes anything.

The format is 8 bytes of header length, a JSON header, and raw numbers. The header's metadata holds the whole story of
the weights as JSON under ``story``: preset, coils, parameters, data, licence, recipe, steps, seconds, device, scores,
limits, and a SHA-256 of the numbers. Headers are read without torch, so that listing models stays quick.

References
----------
The safetensors format, https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from recon.errors import ModelError
from recon.folders import user_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from torch import Tensor

FORMAT = "mri-workstation-weights-1"
_BUNDLED = Path(__file__).resolve().parent.parent / "resources" / "weights"
_MAX_HEADER = 16 * 1024 * 1024
# State of a batch norm beside its parameters.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class Weights:
    """A weights file and its story.

    Attributes
    ----------
    path
        The file.
    story
        What the weights say of themselves.
    n_parameters
        Learned numbers, as the header lists them; 0 where it was not read.
    """

    path: Path
    story: Mapping[str, Any]
    n_parameters: int = 0

    @property
    def preset(self) -> str:
        """Model preset that the weights belong to."""
        return str(self.story["preset"])

    @property
    def n_coils(self) -> int:
        """Coils of the network."""
        return int(self.story["n_coils"])

    @property
    def sha256(self) -> str:
        """SHA-256 of the numbers, as the header states it."""
        return str(self.story["sha256"])

    @property
    def psnr(self) -> dict[tuple[str, str, float], float]:
        """Mean PSNR in dB by scan, mask and acceleration; empty where the story has no scores that can be read."""
        try:
            return {
                (str(score["scan"]), str(score["mask"]), float(score["acceleration"])): float(score["psnr"]["mean"])
                for score in self.story.get("scores") or ()
            }
        except (KeyError, TypeError, ValueError):
            return {}

    @property
    def warning(self) -> str:
        """What to know before use: that they do harm on their own validation slices; empty for most."""
        return worse_than_nothing(self.story.get("validation"))

    @property
    def is_bundled(self) -> bool:
        """True for weights that come with the workstation."""
        return self.path.parent == _BUNDLED

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {
            "file": self.path.name, "bundled": self.is_bundled, "n_parameters": self.n_parameters, **self.story
        }  # fmt: skip


def worse_than_nothing(validation: Any) -> str:
    """Return in words by how much weights are worse than zero-filled; empty where they are not.

    Parameters
    ----------
    validation
        Mean ``psnr`` and ``zero_filled_psnr`` of their validation, in dB; a story may hold anything else there.
    """
    try:
        gain = round(float(validation["psnr"]) - float(validation["zero_filled_psnr"]), 2)
    except (KeyError, TypeError, ValueError):
        return ""
    return f"{-gain:.2f} dB worse than zero-filled: worse than no network" if gain < 0 else ""


def user_folder() -> Path:
    """Folder of installed weights: ``$MRI_WORKSTATION_WEIGHTS``, else the user's data folder."""
    chosen = os.environ.get("MRI_WORKSTATION_WEIGHTS")
    if chosen:
        return Path(chosen)
    return user_data() / "weights"


def find_weights() -> tuple[Weights, ...]:
    """List the readable weights in the order in which they are preferred; broken files are for `verify` to report.

    The user's own come first, the latest installed before the earlier ones, then the bundled ones by name: who has
    trained or installed weights wants to see them, and the list of models lets him choose others.
    """
    own = sorted(_stamped(user_folder()), key=lambda file: (-file.mtime_ns, file.path.name))
    files = (*own, *sorted(_stamped(_BUNDLED)))
    return tuple(weights for file in files if (weights := _read_quietly(*file)) is not None)


class _File(NamedTuple):
    """A file of weights in the state in which it was found."""

    path: Path
    mtime_ns: int
    size: int


def _stamped(folder: Path) -> Iterator[_File]:
    for path in folder.glob("*.safetensors"):
        try:
            state = path.stat()
        except OSError:  # deleted meanwhile, or a link to nothing
            continue
        yield _File(path, state.st_mtime_ns, state.st_size)


@cache
def _read_quietly(path: Path, mtime_ns: int, size: int) -> Weights | None:  # noqa: ARG001  they key the cache
    try:
        return read_header(path)
    except ModelError:
        return None


def read_header(path: Path | str) -> Weights:
    """Read the story of a weights file without its numbers.

    Raises
    ------
    ModelError
        If the file is not a safetensors file of this workstation.
    """
    path = Path(path)
    metadata, entries, _ = _read_layout(path)
    if metadata.get("format") != FORMAT or "story" not in metadata:
        raise ModelError(
            f"{path}: this safetensors file does not say what it is; weights for this workstation carry their preset, "
            "data and scores in the header (make them with training's publish step)."
        )
    try:
        story = json.loads(metadata["story"])
        weights = Weights(path, story, _count_parameters(entries))
        if not (isinstance(story["parameters"], dict) and weights.preset and weights.n_coils > 0 and weights.sha256):
            raise ValueError("empty fields")
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: the story in the weights header is damaged ({error!r}); get the file anew."
        ) from None
    return weights


def _count_parameters(entries: Mapping[str, tuple[str, list[int], int, int]]) -> int:
    """Count what was learned: neither the scales of bytes nor the statistics of a batch norm were."""

    def is_learned(name: str) -> bool:
        stem, _, last = name.rpartition(".")
        is_scale = last == "scale" and stem in entries and entries[stem][0] == "I8"
        return not (is_scale or last in _STATISTICS)

    return sum(math.prod(shape) for name, (_, shape, _, _) in entries.items() if is_learned(name))


def load_tensors(weights: Weights) -> dict[str, Tensor]:
    """Read the numbers, checked against the hash in the header; what is stored in eight bits comes in single precision.

    Raises
    ------
    ModelError
        If the file was changed or cut off.
    """
    from recon.quantisation import restore

    stored = _read_tensors(weights)
    try:
        return restore(stored)
    except ModelError as error:
        raise ModelError(f"{weights.path}: {error}") from None


def retell(weights: Weights, story: Mapping[str, Any]) -> Weights:
    """Write another story to the same numbers, which stay as they are stored.

    Raises
    ------
    ModelError
        If the file was changed or cut off since.
    """
    return save(
        weights.path, _read_tensors(weights), {name: value for name, value in story.items() if name != "sha256"}
    )


def save(path: Path, tensors: Mapping[str, Tensor], story: Mapping[str, Any]) -> Weights:
    """Write weights and their story; the SHA-256 of the numbers is added.

    Parameters
    ----------
    path
        Where; replaced as a whole or not at all.
    tensors
        State of the model.
    story
        At least ``preset``, ``n_coils`` and ``parameters``.
    """
    import torch

    from recon.export.atomic import atomic_file

    names = {dtype: name for name, dtype in _dtypes().items()}
    header: dict[str, Any] = {}
    chunks = []
    position = 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, position + len(raw)],
        }
        position += len(raw)
        chunks.append(raw)
    data = b"".join(chunks)
    complete = {**story, "sha256": hashlib.sha256(data).hexdigest()}
    header["__metadata__"] = {"format": FORMAT, "story": json.dumps(complete)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the format wants the numbers aligned to 8 bytes
    with atomic_file(Path(path)) as temporary:
        temporary.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return read_header(path)


def _dtypes() -> dict[str, torch.dtype]:
    import torch

    return {
        "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
        "I64": torch.int64, "I32": torch.int32, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    }  # fmt: skip


def _read_tensors(weights: Weights) -> dict[str, Tensor]:
    import torch

    dtypes = _dtypes()
    _, entries, start = _read_layout(weights.path)
    data = bytearray(weights.path.read_bytes()[start:])
    if hashlib.sha256(data).hexdigest() != weights.sha256:
        raise ModelError(
            f"{weights.path}: the numbers do not match the SHA-256 in the header; the file was changed or damaged. "
            "Get it anew."
        )
    tensors = {}
    for name, (dtype, shape, first, last) in entries.items():
        raw = (
            torch.frombuffer(data, dtype=torch.uint8)[first:last] if last > first else torch.empty(0, dtype=torch.uint8)
        )
        tensors[name] = raw.clone().view(dtypes[dtype]).reshape(shape)
    return tensors


def _read_layout(path: Path) -> tuple[dict[str, str], dict[str, tuple[str, list[int], int, int]], int]:
    """Return metadata, ``{name: (dtype, shape, first byte, last byte)}`` and where the numbers start."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_MAX_HEADER, size - 8):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header = json.loads(file.read(length).decode("utf-8"))
        if not isinstance(header, dict):
            raise TypeError("the header is not an object")
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict):
            raise TypeError("the metadata is not an object")
        entries = {name: _read_entry(name, entry, size - 8 - length) for name, entry in header.items()}
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such weights file.") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{path}: not a safetensors file, or cut off ({error}); expected .safetensors weights."
        ) from None
    return metadata, entries, 8 + length


def _read_entry(name: str, entry: Mapping[str, Any], n_bytes: int) -> tuple[str, list[int], int, int]:
    dtype, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in _BYTES:
        raise ValueError(f"tensor {name} is of type {dtype}")
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError(f"tensor {name} has shape {shape}")
    if not 0 <= first <= last <= n_bytes or last - first != math.prod(shape) * _BYTES[dtype]:
        raise ValueError(f"tensor {name} lies outside the file")
    return dtype, shape, first, last
