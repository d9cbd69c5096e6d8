"""Compressed sensing as the papers ran it: the Berkeley Advanced Reconstruction Toolbox, a program of its own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from recon import interruption
from recon.calibration import KERNEL, MIN_LINES, N_CALIBRATION, calibration_block, calibration_kernel
from recon.errors import FileError, ModelError
from recon.io import cfl
from recon.models.blocks import ReconstructionModel
from recon.models.regularization import DEFAULT, LARGEST, choose_lambda
from recon.programs import Running, find, missing, version
from recon.shapes import Bool, Complex
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

PROGRAM = "bart"
INSTALL = "apt install bart"
# Share of the zero-filled image's energy that maps hold which miss nothing: 0.92 to 1 on measured heads and phantoms.
# Maps that missed half of the object held 0.4 to 0.75; noise around a small object costs some as well.
_GOOD_SHARE = 0.8
# How often a wish to stop is looked for while BART works.
_STEP_S = 0.05


@dataclass(frozen=True)
class BartParameters:
    """What ``bart pics`` and ``bart ecalib`` are told.

    Attributes
    ----------
    lambda_
        Weight of the total variation, as a share of the image's brightness; None takes fastMRI's for the acquisition
        and the acceleration of the scan, and 0.01 for a scan that is not in its table. PC-RNN ran 0.05.
    n_iterations
        Limit of ``pics``; with total variation it counts steps of the conjugate gradients inside ADMM.
    n_calibration
        Longest side of the block that the sensitivity maps are estimated from; BART takes what is fully sampled of it.
    """

    lambda_: float | None = None
    n_iterations: int = 200
    n_calibration: int = N_CALIBRATION

    def __post_init__(self) -> None:
        problems = []
        if self.lambda_ is not None and not 0 <= self.lambda_ <= LARGEST:
            problems.append(f"lambda is {self.lambda_}; it must be 0 to {LARGEST:g}")
        if self.n_iterations < 1:
            problems.append(f"n_iterations is {self.n_iterations}; at least one is needed")
        if self.n_calibration < MIN_LINES:
            problems.append(f"n_calibration is {self.n_calibration}; at least {MIN_LINES} lines are needed")
        if problems:
            raise ModelError("BART: " + "; ".join(problems) + ".")


class Bart(ReconstructionModel):
    """Total variation with ``bart pics``, on maps of ``bart ecalib``, in files of a temporary folder.

    1. ``ecalib -m1 -r26`` estimates one set of maps. Where fewer than 15 lines are there for it, ``-k`` makes
       the kernel smaller than BART's 6 × 6, as `recon.sensitivity.sensitivity_maps` does, and a note says so: on 10
       lines BART's own lost up to two thirds of the object, on 8 nearly all of it. Maps that are given instead are used
       as they are. One coil needs none: its map is 1, as in fastMRI's script.
    2. The zero-filled image, combined with them, comes out while ``pics -d4 -S -i 200 -R T:7:0:λ`` works.
    3. Its result is the final image. BART shows no iterates.

    Data lies as in fastMRI's script, ``(1, y, x, coil)``. With ``-S`` the result has the scale of the data.

    References
    ----------
    Uecker et al., BART, https://doi.org/10.5281/zenodo.592960; the commands of Chen et al., PC-RNN, IEEE TMI 2022, and
    of Zbontar et al., fastMRI, arXiv 1811.08839.

    Raises
    ------
    ModelError
        If there is no BART.
    """

    def __init__(self, n_coils: int, parameters: BartParameters) -> None:
        super().__init__()
        problem = missing(PROGRAM, INSTALL, "cs-bart")
        if problem:
            raise ModelError(problem)
        self.n_coils = n_coils
        self.parameters_ = parameters
        # What the maps of the slices so far gave cause to say, by its subject.
        self._found: dict[str, str] = {}
        self._least_share = _GOOD_SHARE
        self._program: Path | None = None

    def meet_scan(self, acquisition: str | None, n_coils: int, acceleration: float) -> None:
        """Take λ from fastMRI's table, unless it is set."""
        if self.parameters_.lambda_ is None:
            chosen = choose_lambda(acquisition, n_coils, acceleration)
            self.parameters_ = replace(self.parameters_, lambda_=chosen.value)
            self.origins = {"lambda_": chosen.origin}

    @property
    def n_stages(self) -> int:
        """The combined image, then the final one."""
        return 2

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,
    ) -> Generator[Stage, None, None]:
        """Yield the zero-filled image combined with the maps, then BART's.

        Closing the stream ends BART. While it works, a wish to stop (`recon.interruption`) makes the combined image
        come out once more, so that the stream can be closed.

        Raises
        ------
        RequestError
            If there are no calibration lines for the maps.
        ModelError
            If BART is missing or fails, or finds no maps.
        """
        size = (kspace.shape[-2], kspace.shape[-1])
        with tempfile.TemporaryDirectory(prefix="mri-workstation-bart-") as name:
            folder = Path(name)
            for entry, measured in enumerate(kspace):
                cfl.write(folder / f"kspace{entry}", _to_bart(measured))
            if maps is None and kspace.shape[1] == 1:
                maps = torch.ones_like(kspace)
            if maps is None:
                waiting = Stage("zero-filled", ("zero-filled",), zero_filled)
                tool = self._calibration(mask, zero_filled.shape[1], size)
                for entry in range(len(kspace)):
                    with self._start([*tool, f"kspace{entry}", f"maps{entry}"], folder) as bart:
                        yield from _until_it_ends(bart, waiting, " ".join(tool))
                found = [_from_bart(folder / f"maps{entry}", size, kspace.shape[1]) for entry in range(len(kspace))]
                maps = _shifted(torch.stack(found), -1).to(kspace.device)
                self._judge(maps, zero_filled, " ".join(tool))
            else:
                for entry, known in enumerate(maps):
                    cfl.write(folder / f"maps{entry}", _to_bart(_shifted(known, 1)))
            combined = (maps.conj() * zero_filled).sum(dim=1, keepdim=True)
            waiting = Stage("SENSE", ("SENSE",), combined, progress=1 / self.n_stages)
            values = self.parameters_
            weight = DEFAULT if values.lambda_ is None else float(values.lambda_)
            tool = ["pics", "-d4", "-S", "-i", str(values.n_iterations), "-R", f"T:7:0:{weight!r}"]
            for entry in range(len(kspace)):
                with self._start([*tool, f"kspace{entry}", f"maps{entry}", f"image{entry}"], folder) as bart:
                    if entry == 0:
                        yield waiting  # BART works on while somebody looks at it
                    yield from _until_it_ends(bart, waiting, "pics")
            images = [_from_bart(folder / f"image{entry}", size, 1) for entry in range(len(kspace))]
        image = _shifted(torch.stack(images), -1).to(kspace.device)
        answer = "" if self._program is None else version(self._program, "version")
        self.versions = {PROGRAM: answer.removeprefix("v")} if answer else {}
        yield Stage("final", ("final",), image, is_final=True, progress=1.0)

    def _calibration(self, mask: Bool[Tensor, "*mask"], n_coils: int, size: tuple[int, int]) -> list[str]:
        """Return the command that estimates the maps, and note where it is not the papers'."""
        longest = self.parameters_.n_calibration
        patterns = np.broadcast_to(mask.cpu().numpy(), (*mask.shape[:-2], *size)).reshape(-1, *size)
        blocks = [calibration_block(pattern, longest) for pattern in patterns]
        sizes = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in blocks]
        smallest = min(sizes, key=min)
        n_lines, kernel = min(smallest), calibration_kernel(smallest, n_coils)
        command = ["ecalib", "-m1", f"-r{longest}"]
        if kernel == KERNEL:
            return command
        self._note(
            "kernel",
            f"{n_lines} calibration lines are few: BART's ecalib ran with a kernel of {kernel} × {kernel}, because its "
            f"own of {KERNEL} × {KERNEL}, with which the papers ran it, would lose much of the object.",
        )
        return [*command, f"-k{kernel}"]

    def _judge(self, maps: Tensor, zero_filled: Tensor, command: str) -> None:
        """Refuse maps that are empty, and note where they leave out much of the image."""
        has_map = maps.abs().amax(dim=1, keepdim=True) > 0
        if not bool(has_map.flatten(1).any(dim=1).all()):
            raise ModelError(
                f"BART found no coil sensitivities (`bart {command}` left maps of zeros), and without them the image "
                "would be black; choose CS-TV (cs-tv) or, where the scan is not undersampled already, a mask with more "
                "lines in the centre."
            )
        energy = zero_filled.abs().square()
        share = float(((energy * has_map).sum((1, 2, 3)) / energy.sum((1, 2, 3)).clamp_min(1e-30)).min())
        if share < self._least_share:
            self._least_share = share
            self._note(
                "share",
                f"BART's coil sensitivities hold only {100 * share:.0f} % of the energy of the zero-filled image, and "
                "where there are none the image is black; choose CS-TV (cs-tv) or, where the scan is not undersampled "
                "already, a mask with more lines in the centre.",
            )

    def _note(self, subject: str, sentence: str) -> None:
        self._found[subject] = sentence
        self.notes = tuple(self._found.values())

    def _start(self, command: Sequence[str], folder: Path) -> Running:
        program = find(PROGRAM)
        if program is None:
            raise ModelError(missing(PROGRAM, INSTALL, "cs-bart"))
        self._program = program
        return Running([program, *command], folder)


def _until_it_ends(bart: Running, waiting: Stage, command: str) -> Generator[Stage, None, None]:
    """Wait for BART; yields only where somebody wishes to stop."""
    while not bart.wait(_STEP_S):
        if interruption.is_asked():
            yield waiting
    problem = bart.problem()
    if not problem:
        return
    # The assertion of BART 0.8 for a calibration region that is smaller than the kernel.
    if "casorati" in problem:
        raise ModelError(
            f"BART failed: the samples in the centre of k-space are too few for the kernel of `bart {command}`; choose "
            "a mask with more lines in the centre, or CS-TV (cs-tv)."
        )
    raise ModelError(
        f"BART failed: {problem}. Try `bart version` in a terminal; where it does not answer, install BART again "
        f"(`{INSTALL}`)."
    )


def _shifted(images: Complex[Tensor, "*batch y x"], n_pixels: int) -> Complex[Tensor, "*batch y x"]:
    """Move images along the axes of odd length, where BART counts the middle from the other end."""
    odd = [axis for axis in (-2, -1) if images.shape[axis] % 2]
    return images.roll([n_pixels] * len(odd), odd) if odd else images


def _to_bart(coil_images: Complex[Tensor, "coil y x"]) -> NDArray[np.complex64]:
    """Return ``(1, y, x, coil)``."""
    return coil_images.permute(1, 2, 0)[None].cpu().numpy()


def _from_bart(path: Path, size: tuple[int, int], n_coils: int) -> Complex[Tensor, "coil y x"]:
    """Read ``(1, y, x, coil)``."""
    what = path.name.rstrip("0123456789")
    if not path.with_suffix(".hdr").exists():
        raise ModelError(
            f"BART ended without an error and without a result ({what}); try `bart version` in a terminal, and install "
            f"BART again (`{INSTALL}`) where it does not answer."
        )
    try:
        values = cfl.read(path)
    except FileError:
        # It is gone when this is read: no name of it.
        raise ModelError(
            f"BART left a result ({what}) that is not complete; see whether the disk of the temporary folder is full, "
            "and try again."
        ) from None
    if values.size != n_coils * size[0] * size[1] or values.shape[1:3] != size:
        raise ModelError(
            f"BART left a result of {values.shape}, (1, {size[0]}, {size[1]}, {n_coils}) was expected; version 0.8 or "
            "later is needed."
        )
    return torch.from_numpy(np.ascontiguousarray(values.reshape(*size, n_coils).transpose(2, 0, 1)))
