"""Zero filling: the inverse Fourier transform of what was measured, the floor that every method must rise above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from recon.models.blocks import ReconstructionModel
from recon.shapes import Bool, Complex
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(frozen=True)
class ZeroFilledParameters:
    """Nothing to set."""


class ZeroFilled(ReconstructionModel):
    """The zero-filled coil images themselves."""

    def __init__(self, n_coils: int, parameters: ZeroFilledParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],  # noqa: ARG002
        mask: Bool[Tensor, "*mask"],  # noqa: ARG002
        maps: Complex[Tensor, "batch coil y x"] | None = None,  # noqa: ARG002
    ) -> Generator[Stage, None, None]:
        """Yield the input as the only stage."""
        yield Stage("final", ("final",), zero_filled, is_final=True, progress=1.0)
