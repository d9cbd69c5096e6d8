"""Request: what to do. It serialises to JSON, which makes it preset, batch line and provenance at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from recon.errors import RequestError
from recon.masks import MaskSpec
from recon.values import real, whole

Grid = Literal["cropped", "native"]
Precision = Literal["auto", "fp32", "bf16"]
Maps = Literal["espirit", "walsh"]
# Of a network's images where its coils are joined, see `recon.joining`; near the best on real scans of 2, 4 and 16
# coils.
JOIN_WEIGHT = 0.01
# Far beyond where nothing but the network counts.
_LARGEST_WEIGHT = 1e6


@dataclass(frozen=True)
class Request:
    """Everything that decides what comes out of a reconstruction.

    Attributes
    ----------
    model
        Preset or alias of ``recon.models``, or the path of a ``.safetensors`` file.
    mask
        Sampling pattern that is laid over the data; the scanner's own pattern wins where there is one.
    slices
        Indices to reconstruct, in that order, each once; None means all.
    coils
        Number of virtual coils; None lets the model choose.
    grid
        ``cropped``: crop the fully sampled image first and mask its k-space, as PC-RNN and OUCR do.
        ``native``: mask the k-space as it was measured and crop the result, as the fastMRI paper does.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    precision
        ``auto`` computes the network in bfloat16 where the device has units for it.
    maps
        How sensitivity maps are estimated for the methods that take them: ``espirit``, or ``walsh``, which is cheaper.
    join_coils
        Where a single-coil network takes the coils of an array one by one: let its data consistency look at all of
        them, with this weight of the network's images in data without noise (`recon.joining`); `JOIN_WEIGHT` is a good
        one. None lets each coil speak for itself.
    noise
        Path of a ``.npy`` file with noise samples ``(coil, sample)`` to pre-whiten the coils with; None takes those
        that the scan's file holds, if any.
    phase
        Compute the phase of every image too, see `recon.phase`; magnitudes stay the same.
    overrides
        Values that replace those of the model preset.
    """

    model: str = "pcrnn"
    mask: MaskSpec = field(default_factory=MaskSpec)
    slices: tuple[int, ...] | None = None
    coils: int | None = None
    grid: Grid = "cropped"
    device: str = "auto"
    precision: Precision = "auto"
    maps: Maps = "espirit"
    join_coils: float | None = None
    noise: str | None = None
    phase: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tidy()
        if self.grid not in get_args(Grid):
            raise RequestError(f"grid is {self.grid!r}; choose cropped or native.")
        if self.precision not in get_args(Precision):
            raise RequestError(f"precision is {self.precision!r}; choose auto, fp32 or bf16.")
        if self.maps not in get_args(Maps):
            raise RequestError(f"maps is {self.maps!r}; choose espirit or walsh.")
        if self.coils is not None and self.coils < 1:
            raise RequestError(f"coils is {self.coils}; at least one virtual coil is needed.")
        if self.join_coils is not None and not 0 < self.join_coils <= _LARGEST_WEIGHT:
            raise RequestError(
                f"join_coils is {self.join_coils:g}; it must be above 0 and at most {_LARGEST_WEIGHT:g}, such as "
                f"{JOIN_WEIGHT}. Leave it out to leave the coils as they are."
            )
        if self.slices is not None and not self.slices:
            raise RequestError("slices is empty; name at least one, or leave it out for all.")

    def _tidy(self) -> None:
        """Bring values that mean the same to one form, and refuse those of a wrong type by name."""
        # Paths and torch's devices are known by their text.
        for name in ("model", "noise"):
            if isinstance(getattr(self, name), os.PathLike):
                object.__setattr__(self, name, os.fspath(getattr(self, name)))
        if not (self.noise is None or isinstance(self.noise, str)):
            raise RequestError(f"noise is {self.noise!r}; give the path of a .npy file, or None.")
        if type(self.device).__name__ == "device":
            object.__setattr__(self, "device", str(self.device))
        for name in ("model", "device"):
            if not isinstance(getattr(self, name), str):
                raise RequestError(f"{name} is {getattr(self, name)!r}; give its name.")
        if not isinstance(self.phase, bool):
            raise RequestError(f"phase is {self.phase!r}; give True or False.")
        if not isinstance(self.mask, MaskSpec):
            raise RequestError(f"mask is {self.mask!r}; give a MaskSpec, such as MaskSpec('random', acceleration=4).")
        if self.coils is not None:
            object.__setattr__(self, "coils", whole(self.coils, "coils"))
        if self.join_coils is not None:
            object.__setattr__(self, "join_coils", real(self.join_coils, "join_coils"))
        slices: Any = self.slices
        if slices is not None:
            if isinstance(slices, str) or not isinstance(slices, Iterable):
                raise RequestError(f"slices is {slices!r}; give a list of slice indices, or None for all.")
            # A slice that is named twice is one slice.
            object.__setattr__(self, "slices", tuple(dict.fromkeys(whole(index, "a slice") for index in slices)))
        if not isinstance(self.overrides, Mapping) or not all(isinstance(name, str) for name in self.overrides):
            raise RequestError(f"overrides is {self.overrides!r}; give a mapping of parameter names to values.")
        object.__setattr__(self, "overrides", dict(self.overrides))

    @property
    def model_name(self) -> str:
        """The model in a file's name: a preset, or the name of a weights file without folder and ending."""
        return Path(self.model).stem if self.model.endswith(".safetensors") else self.model

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        values = asdict(self)
        values["overrides"] = dict(self.overrides)
        return values

    def to_json(self) -> str:
        """Return the request as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Request:
        """Build a request from plain values.

        Raises
        ------
        RequestError
            If a name is unknown or a value is impossible.
        """
        if not isinstance(values, Mapping):
            raise RequestError(f"a request is a mapping of names to values; {type(values).__name__} was given.")
        known = {item.name for item in fields(cls)}
        unknown = sorted(map(str, set(values) - known))
        if unknown:
            raise RequestError(f"a request has no field {unknown[0]!r}; it has {', '.join(sorted(known))}.")
        values = dict(values)
        if isinstance(values.get("mask"), dict):
            values["mask"] = MaskSpec.from_dict(values["mask"])
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Build a request from JSON."""
        try:
            values = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise RequestError(f"the request is not JSON: {error}.") from None
        if not isinstance(values, dict):
            raise RequestError("the request is not a JSON object.")
        return cls.from_dict(values)
