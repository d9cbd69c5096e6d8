"""Request: what to do. It serialises to JSON, which makes it preset, batch line and provenance at once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from recon.errors import RequestError
from recon.masks import MaskSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

Grid = Literal["cropped", "native"]
Precision = Literal["auto", "fp32", "bf16"]


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
        Indices to reconstruct, in that order; None means all.
    coils
        Number of virtual coils; None lets the model choose.
    grid
        ``cropped``: crop the fully sampled image first and mask its k-space, as PC-RNN and OUCR do.
        ``native``: mask the k-space as it was measured and crop the result, as the fastMRI paper does.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    precision
        ``auto`` computes the network in bfloat16 where the device has units for it.
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
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.grid not in get_args(Grid):
            raise RequestError(f"grid is {self.grid!r}; choose cropped or native.")
        if self.precision not in get_args(Precision):
            raise RequestError(f"precision is {self.precision!r}; choose auto, fp32 or bf16.")
        if self.coils is not None and self.coils < 1:
            raise RequestError(f"coils is {self.coils}; at least one virtual coil is needed.")
        if self.slices is not None:
            object.__setattr__(self, "slices", tuple(int(index) for index in self.slices))
            if not self.slices:
                raise RequestError("slices is empty; name at least one, or leave it out for all.")

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
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(values) - known)
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
        except json.JSONDecodeError as error:
            raise RequestError(f"the request is not JSON: {error}.") from None
        if not isinstance(values, dict):
            raise RequestError("the request is not a JSON object.")
        return cls.from_dict(values)
