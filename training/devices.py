"""Which processes train on which devices, what they tell each other, and how exactly a GPU multiplies."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from recon.errors import DeviceError, RequestError
from training.cluster import find_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Devices:
    """The processes of a run: one for each device.

    Attributes
    ----------
    accelerator
        ``cpu`` or ``gpu``.
    n_local
        Processes on this machine.
    n_nodes
        Machines.
    is_external
        True where torchrun or SLURM started the processes.
    """

    accelerator: str = "cpu"
    n_local: int = 1
    n_nodes: int = 1
    is_external: bool = False

    @property
    def n_processes(self) -> int:
        """Processes on all machines."""
        return self.n_local * self.n_nodes

    def trainer_settings(self) -> dict[str, Any]:
        """Return what lightning's Trainer has to know."""
        from lightning.fabric.plugins.environments.lightning import LightningEnvironment
        from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
        from lightning.pytorch.strategies import DDPStrategy

        settings: dict[str, Any] = {
            "accelerator": self.accelerator,
            "devices": self.n_local,
            "num_nodes": self.n_nodes,
            "use_distributed_sampler": False,  # the loader knows which samples are whose
        }
        if self.n_processes > 1:
            backend = None if self.accelerator == "gpu" else "gloo"
            settings["strategy"] = DDPStrategy(process_group_backend=backend, broadcast_buffers=False)
        if not self.is_external:
            # A SLURM allocation whose processes were not started by srun must not be waited for.
            settings["plugins"] = [LightningEnvironment()]
        elif "TORCHELASTIC_RUN_ID" not in os.environ:
            os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(self.n_local))
            settings["plugins"] = [SLURMEnvironment(auto_requeue=False)]
        return settings


def choose_devices(devices: str = "auto", n_nodes: int | None = None) -> Devices:
    """Return the processes of a run.

    Parameters
    ----------
    devices
        ``auto``; ``cpu``, or ``cpu:N`` for N processes on it; or a number of GPUs on each machine.
    n_nodes
        Machines; None for those that torchrun or SLURM started this on, else one.

    Raises
    ------
    DeviceError
        If there are fewer GPUs.
    RequestError
        If it differs from what torchrun or SLURM started, or nobody started processes on other machines.
    """
    kind, _, number = devices.partition(":")
    asked = int(number or 1) if kind == "cpu" else None if kind == "auto" else int(kind)
    cluster = find_cluster()
    if cluster is None and (n_nodes or 1) > 1:
        raise RequestError(
            f"training on {n_nodes} machines has to be started on each of them: `srun mri-workstation train …` in a "
            f"SLURM job, or `torchrun --nnodes {n_nodes} --nproc-per-node GPUS … mri-workstation train …`."
        )
    if cluster is not None and (n_nodes or cluster.n_nodes) != cluster.n_nodes:
        raise RequestError(f"--nodes {n_nodes} was asked for, but processes were started on {cluster.n_nodes}.")
    # `cpu` alone says where, not how many.
    if cluster is not None and asked is not None and devices != "cpu" and asked != cluster.n_local:
        raise RequestError(f"--devices {devices} was asked for, but {cluster.n_local} processes were started here.")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    n_local = cluster.n_local if cluster is not None else asked or 1
    if kind == "cpu" or (kind == "auto" and n_gpus == 0):
        accelerator = "cpu"
    elif n_gpus < n_local:
        found = f"this machine has {n_gpus}" if n_gpus else "this machine has no CUDA device"
        raise DeviceError(f"{n_local} GPU(s) were asked for, but {found}; use --devices {n_gpus or 'cpu'}.")
    else:
        accelerator = "gpu"
    n_nodes = 1 if cluster is None else cluster.n_nodes
    return Devices(accelerator, n_local, n_nodes, cluster is not None)


def gather(values: Sequence[float], device: torch.device) -> list[list[float]]:
    """Return the values of all processes, each a row; every process calls this at the same place."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [list(values)]
    mine = torch.tensor(values, dtype=torch.float64, device=device)
    rows = [torch.empty_like(mine) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(rows, mine)
    return [[float(value) for value in row] for row in rows]


def device_name(device: torch.device) -> str:
    """Return the device in words, for the story of the weights."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Let GPUs round the factors of fp32 products to TF32, or forbid it: torch's own default is a mixture.

    Parameters
    ----------
    precision
        The recipe's; ``bf16`` leaves little in fp32, and that in full.
    """
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
