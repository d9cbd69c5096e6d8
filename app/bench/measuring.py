"""What all measurements share: the row, the clocks, and the processes that they start."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon import programs
from recon.errors import MRIError

if TYPE_CHECKING:
    from collections.abc import Callable

# Generous: on a busy machine BART alone takes minutes.
TIMEOUT_S = 1800
GIGABYTE = 1e9
_INSTALL_BART = "apt install bart"


@dataclass(frozen=True)
class Row:
    """One line of the benchmark.

    Attributes
    ----------
    name
        What was measured.
    value, unit
        The result; None where this machine cannot measure it.
    anchor
        What the value is compared with, as text with its own value.
    ratio
        Value over anchor, or anchor over value where the row says "times faster"; None without an anchor.
    goal
        What is asked for.
    met
        Whether the goal is met; None where it does not apply to this machine, with the reason in ``note``.
    note
        What a reader must know.
    """

    name: str
    value: float | None
    unit: str
    anchor: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""


def child_environment() -> dict[str, str]:
    """Return the environment of a process that imports this program and draws on no screen."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "QT_QPA_PLATFORM": "offscreen"}


def last_line(text: str) -> str:
    """Return the last line of a process' stderr: the error at the end of a traceback."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def elapsed(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes by the clock."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def cpu_seconds(function: Callable[[], object]) -> float:
    """Return the CPU seconds that a call takes in this process."""
    started = time.process_time()
    function()
    return time.process_time() - started


def cpu_seconds_of(command: list[str], folder: str) -> float:
    """Run a program on one thread; return its CPU seconds.

    Raises
    ------
    MRIError
        If it fails.
    """
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise MRIError(f"{' '.join(command[:2])} failed: {done.stderr.strip() or f'status {done.returncode}'}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def missing_bart() -> str:
    """Return the sentence for a machine without BART; empty where it is."""
    return programs.missing("bart", _INSTALL_BART, "the comparison")


def plain_layout() -> Any:
    """Let networks run in the layout of plain PyTorch code; ours lay their input out channels-last."""
    import torch
    from torch.overrides import TorchFunctionMode

    class PlainLayout(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if function is torch.Tensor.to and kwargs.get("memory_format") is torch.channels_last:
                kwargs["memory_format"] = torch.contiguous_format
            return function(*args, **kwargs)

    return PlainLayout()


def precision() -> tuple[Any, str]:
    """Return the type that networks run in here, and what the CPU has for it."""
    import torch

    from recon import device

    dtype = device.resolve_precision("auto", torch.device("cpu"))
    if dtype != torch.bfloat16:
        return dtype, "this CPU has no bf16 units; the program computes in fp32 channels-last here"
    if getattr(torch.cpu, "_is_amx_tile_supported", bool)():
        return dtype, ""
    return dtype, "this CPU has bf16 dot products (AVX512_BF16) and no matrix units (AMX)"


def joined(*parts: str) -> str:
    """Return notes as one, without those that are empty."""
    return "; ".join(filter(None, parts))
