"""Who started this process: torchrun, SLURM's srun, or nobody; and how many brothers it has."""

from __future__ import annotations

import os
from dataclasses import dataclass

from recon.errors import RequestError


@dataclass(frozen=True)
class Cluster:
    """The processes that work together.

    Attributes
    ----------
    n_local
        Processes on this machine.
    n_nodes
        Machines.
    is_external
        True when torchrun or SLURM started the processes, False when lightning has to.
    """

    n_local: int
    n_nodes: int = 1
    is_external: bool = False


def find_cluster() -> Cluster | None:
    """Return the processes that torchrun or srun started this one with, or None.

    Raises
    ------
    RequestError
        If SLURM's nodes have different numbers of processes.
    """
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        n_local = int(environment["LOCAL_WORLD_SIZE"])
        return Cluster(n_local, int(environment["WORLD_SIZE"]) // n_local, is_external=True)
    # SLURM_NTASKS stands in every batch script; the step's own count only in what srun started.
    n_tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if n_tasks > 1 and "SLURM_PROCID" in environment:
        n_nodes = int(environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES", "1")))
        if n_tasks % n_nodes:
            raise RequestError(
                f"SLURM started {n_tasks} processes on {n_nodes} nodes; every node needs as many (--ntasks-per-node)."
            )
        return Cluster(n_tasks // n_nodes, n_nodes, is_external=True)
    return None


def process_number() -> int:
    """Return this process's place among all of the run, 0 for the one that speaks and writes."""
    cluster = find_cluster()
    if cluster is None:
        return int(os.environ.get("LOCAL_RANK", "0"))
    return int(os.environ["RANK" if "TORCHELASTIC_RUN_ID" in os.environ else "SLURM_PROCID"])
