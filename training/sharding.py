"""Volumes shared out among processes by lightning's ``Trainer.predict``: each volume is the work of one process.

Nothing is learned here. Lightning brings what makes one program out of many processes: it starts them or finds itself
started by SLURM or torchrun, gives each its device, and ends all when one dies.
"""

from __future__ import annotations

import datetime
import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

import lightning
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    from recon.batch import Show, Work
    from training.cluster import Cluster

# Processes that are done wait for the others: for as long as the longest volume takes, not for gloo's half an hour.
_PATIENCE = datetime.timedelta(days=30)


class Shards(lightning.LightningModule):
    """Does this process's share of the work.

    Parameters
    ----------
    work
        What is shared out.
    show
        Called with what is being done and this process's progress, 0 to 1.
    """

    def __init__(self, work: Work, show: Show) -> None:
        super().__init__()
        # A process may be left without a volume, where there are more processes than volumes. Not an attribute of the
        # class: lightning sets its own in each instance.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.work = work
        self.show = show
        self._share: list[int] = []
        self._n_done = 0

    def setup(self, stage: str) -> None:  # noqa: ARG002  lightning's signature
        """Share the volumes out; the first process decides, since what is left to do may look different to others."""
        trainer = self.trainer
        run, shares = "", []
        if trainer.is_global_zero:
            run, shares = self.work.prepare(), share_out(self.work.costs, trainer.world_size)
        run, shares = trainer.strategy.broadcast((run, shares))
        self._share = shares[trainer.global_rank]
        self.work.begin(trainer.global_rank, str(trainer.strategy.root_device), run)

    def predict_dataloader(self) -> DataLoader[int]:
        """Return the numbers of this process's volumes."""
        return DataLoader(self._share, batch_size=None, num_workers=0)  # type: ignore[arg-type]

    def predict_step(self, item: int, batch_idx: int) -> None:  # noqa: ARG002  lightning's signature
        """Do one volume."""
        n_items = len(self._share)
        self.work.process(int(item), lambda text, part: self.show(text, (self._n_done + part) / n_items))
        self._n_done += 1
        self.show("", self._n_done / n_items)


def share_out(costs: list[float], n_processes: int) -> list[list[int]]:
    """Return the items of each process: the longest first, each to the process that has least to do.

    Within a process the items keep their order. Items without cost are left out.
    """
    shares: list[list[int]] = [[] for _ in range(n_processes)]
    loads = [0.0] * n_processes
    for item in sorted(range(len(costs)), key=lambda one: (-costs[one], one)):
        if costs[item] > 0:
            least = loads.index(min(loads))
            shares[least].append(item)
            loads[least] += costs[item]
    return [sorted(share) for share in shares]


def run(work: Work, cluster: Cluster, accelerator: str, show: Show) -> tuple[bool, int]:
    """Do the work in this process and its siblings.

    Returns
    -------
    Whether this is the first process, and in that case the exit status of the whole work (0 in the others).
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*was initialized on a non-zero.*")
        settings: dict[str, Any] = {}
        if cluster.is_external:
            # `srun --ntasks` leaves unsaid what lightning asks for.
            os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(cluster.n_local))
        else:
            # A SLURM allocation whose processes were not started by srun must not be waited for.
            settings["plugins"] = [LightningEnvironment()]
        backend = None if accelerator == "gpu" else "gloo"
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=cluster.n_local,
            num_nodes=cluster.n_nodes,
            strategy=DDPStrategy(process_group_backend=backend, timeout=_PATIENCE),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            inference_mode=False,  # the pipeline sets its own, around what it computes
            **settings,
        )
        shards = Shards(work, show)
        trainer.predict(shards, return_predictions=False)
        # Every volume of every process is on the disk before the parts are merged.
        trainer.strategy.barrier("volumes done")
    is_first = bool(trainer.is_global_zero)
    status = work.finish() if is_first else 0
    return is_first, status
