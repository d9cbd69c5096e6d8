"""Run a recipe: `main` is what ``mri-workstation train`` calls."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from recon import models
from recon.errors import DeviceError, ExportError, MRIError, RequestError, needs_package
from recon.export.atomic import atomic_file, describe
from recon.lock import locked
from recon.weights import read_header
from training.config import TrainingConfig, from_dict, read_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lightning import Trainer

    from training.checkpoints import Checkpoints
    from training.devices import Devices
    from training.loader import SampleLoader
    from training.module import ReconstructionTask

    Report = Callable[[dict[str, Any]], None]

CHECKPOINT = "last.ckpt"
_LOCK = "training.lock"
_PROGRAM = "mri-workstation train"
# Stands in an error that comes from a loader's process.
_TRACEBACK = "\nOriginal Traceback"
# In errors of torch: a loader's process was ended from outside.
_KILLED = ("is killed by signal", "exited unexpectedly")
# Loading more than this many samples at a time is never what a step waits for.
_MOST_WORKERS = 12


def main(
    config_path: str | None,
    out: Path,
    *,
    settings: Sequence[str] = (),
    resume: bool = False,
    force: bool = False,
    devices: str = "auto",
    nodes: int | None = None,
    tensorboard: bool = False,
    report: Report | None = None,
) -> Path | None:
    """Train, and publish the weights.

    Parameters
    ----------
    config_path
        Recipe file, or the name of a bundled recipe; None where a run goes on with its own.
    out
        Run folder: ``config.json``, ``events.jsonl``, previews, checkpoints, and the weights at the end.
    settings
        ``key=value`` changes to the recipe.
    resume
        Go on from the last checkpoint in the run folder. What the recipe and the settings name has to be what the run
        was begun with.
    force
        Go on also with other values.
    devices, nodes
        See `training.devices.choose_devices`.
    tensorboard
        Also write the events for TensorBoard.
    report
        Called with every event.

    Returns
    -------
    The published weights; None in all processes but the first.

    Raises
    ------
    MRIError
        If the recipe, the data or the device does not allow it, or another process trains into the folder.
    Stopped
        If the user ended the run; a checkpoint was written.
    """
    with needs_package("train"):
        import lightning  # noqa: F401
    from training import checkpoints
    from training.cluster import process_number
    from training.devices import choose_devices
    from training.interruption import Stopped

    checkpoint: dict[str, Any] | None = None
    chosen = choose_devices(devices, nodes)
    is_first = process_number() == 0
    try:
        # The first process holds the folder for all.
        with _alone(out) if is_first else nullcontext():
            if resume:
                checkpoint = checkpoints.read(out)
                values = read_values(config_path, settings)
                config = checkpoints.changed_recipe(checkpoint, values, chosen.n_processes, force=force)
            else:
                config = from_dict(read_values(config_path, settings))
                if (out / CHECKPOINT).exists():
                    raise RequestError(f"{out} holds a run already; give --resume to go on, or another --out.")
            notes = _decided_otherwise(config, settings)
            return train(config, out, chosen, checkpoint, notes=notes, tensorboard=tensorboard, report=report)
    except (MRIError, Stopped) as error:
        if is_first:
            raise
        # The first process speaks for all.
        sys.exit(130 if isinstance(error, Stopped) else getattr(error, "exit_status", 1))


def train(
    config: TrainingConfig,
    out: Path,
    devices: Devices,
    checkpoint: Mapping[str, Any] | None = None,
    *,
    notes: Sequence[str] = (),
    tensorboard: bool = False,
    report: Report | None = None,
) -> Path | None:
    """Train by a recipe into a run folder; see `main`.

    Parameters
    ----------
    config, out
        The recipe, and the run folder.
    devices
        The processes of the run, of which this is one.
    checkpoint
        Where to go on; None begins.
    notes
        What the user should know of the recipe.
    tensorboard, report
        See `main`.
    """
    from training.checkpoints import BEST, Checkpoints, read
    from training.cluster import process_number
    from training.devices import device_name, products
    from training.events import EventLog
    from training.interruption import Interruption, Stopped
    from training.loader import SampleLoader
    from training.module import ReconstructionTask
    from training.publish import publish

    is_first = process_number() == 0
    card = models.get_card(config.model)
    if not card.needs_training:
        raise RequestError(
            f"{card.title} has nothing to train; choose a network (`mri-workstation models list` shows all)."
        )
    data = SampleLoader(config, devices.n_processes, count_workers(devices.n_local))
    task = ReconstructionTask(config, begin=checkpoint is None, n_processes=devices.n_processes)
    task.guard.describe = data.describe
    board = _open_board(out, checkpoint) if tensorboard and is_first else None
    events = EventLog(out, _tell(report, board), is_first=is_first)
    interruption = Interruption()
    keeper = Checkpoints(out, config, interruption, events)
    task.wishes = lambda step: (keeper.is_due(step), interruption.is_wanted)
    try:
        if checkpoint is not None:
            for part in (keeper, task, events):
                part.restore(checkpoint)
        if is_first:
            _write_recipe(config, out)
    except ExportError as error:
        _explain(error, keeper, out)
    is_over = task.is_finished or keeper.is_patience_over
    is_validated = checkpoint is None or bool(checkpoint.get("validated", True))
    if checkpoint is None or not (is_over and is_validated):
        missing = not is_validated and (task.is_epoch_over or is_over)
        trainer = make_trainer(out, config, devices, [events, keeper, interruption], validate_first=missing)
        started = time.time()
        try:
            events.write(_beginning(config, task, devices, resumed=checkpoint is not None))
            events.skip((str(declined.path), declined.reason, None) for declined in data.data.declined)
            events.data_story = lambda: data.data.story_without(events.skipped, events.slices)
            events.tell_data()
            for text in (*notes, *filter(None, [data.data.note])):
                events.write({"event": "note", "text": text})
            with products(config.precision):
                fit(trainer, task, data)
        except Stopped as stop:
            events.write({"event": "stopped", "step": stop.step})
            raise Stopped(stop.step, f"stopped after step {stop.step}; go on with: {_again(out)}") from None
        except (ConnectionError, EOFError):  # what it had sent was being fetched
            _say_killed(keeper, out)
        except OSError as error:
            raise ExportError(f"{describe(error.filename or out, error)} {_what_is_kept(keeper, out)}") from error
        except MRIError as error:
            _explain(error, keeper, out)
        except (RuntimeError, MemoryError) as error:
            _say_loaders(error)
            _offer(error, task, keeper, out)
        seconds = round(time.time() - started, 1)
        events.write({"event": "done", "step": task.n_steps, "seconds": seconds, "skipped": dict(events.skipped)})
    if board is not None:
        board.close()
    if not is_first:
        return None
    if keeper.is_patience_over:
        task.restore(read(out, BEST))
    published = publish(task, out, task.n_steps, device_name(task.device))
    warning = read_header(published).warning
    events.write({"event": "published", "step": task.n_steps, "weights": str(published), "warning": warning})
    return published


def _decided_otherwise(config: TrainingConfig, settings: Sequence[str]) -> list[str]:
    """Return a note where the user sets how many epochs, and the minutes of the recipe decide."""
    if config.minutes and any(setting.partition("=")[0].strip() == "epochs" for setting in settings):
        return [f"the run ends after {config.minutes:g} minutes, not by epochs; --set minutes=0 lets epochs decide."]
    return []


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other trainings out of a run folder; one that is refused leaves no folder behind."""
    is_new = not out.exists()
    try:
        with locked(out / _LOCK, "train"):
            yield
    finally:
        if is_new:
            with suppress(OSError):  # what was begun stays
                out.rmdir()


def make_trainer(
    out: Path, config: TrainingConfig, devices: Devices, callbacks: list[Any], *, validate_first: bool
) -> Trainer:
    """Return lightning's trainer of a recipe; the task knows its end.

    Parameters
    ----------
    out, config, devices
        See `train`.
    callbacks
        Who is told what happens.
    validate_first
        Validate before the first step.
    """
    import lightning

    # Its advice and advertisements are not events of the run.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        return lightning.Trainer(
            default_root_dir=out,
            precision="bf16-mixed" if config.precision == "bf16" else "32-true",
            max_epochs=-1,  # the task knows its end
            accumulate_grad_batches=config.accumulate,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=-1 if validate_first else 0,
            reload_dataloaders_every_n_epochs=1,
            **devices.trainer_settings(),
        )


def fit(trainer: Trainer, task: ReconstructionTask, data: SampleLoader) -> None:
    """Do the steps that are left, and end the processes that load for them."""
    with warnings.catch_warnings():
        # lightning advises more loader workers than the recipe needs, and warns of its own defaults.
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*was initialized on a non-zero.*")
        try:
            trainer.fit(task, data)
        except SystemExit:  # what lightning makes of Ctrl-C
            raise KeyboardInterrupt from None
        finally:
            data.close()


def _explain(error: MRIError, keeper: Checkpoints, out: Path) -> NoReturn:
    """Raise an error of the run again, with what is kept and how to go on."""
    from training.guards import NotFiniteError

    if isinstance(error, NotFiniteError):
        how = " --set learning_rate=… --force" if "learning rate" in str(error) else ""
        raise NotFiniteError(f"{error} {_what_is_kept(keeper, out, how)}") from None
    if isinstance(error, ExportError):
        raise ExportError(f"{error} {_what_is_kept(keeper, out)}") from None
    _say_loaders(error)
    raise error


def _say_loaders(error: Exception) -> None:
    """Raise what a loader's process raised on purpose as its own sentence, which follows the name of its class.

    torch hands it over with its traceback, and as a RuntimeError where its class takes more than a text.
    """
    text = str(error)
    name, _, sentence = text.rstrip().rpartition("\n")[2].partition(": ")
    if _TRACEBACK in text and name.startswith("recon.errors."):
        raise RequestError(sentence) from None


def _say_killed(keeper: Checkpoints, out: Path) -> NoReturn:
    """Say that a loader's process was ended from outside."""
    raise DeviceError(
        "a process that loads data was killed, as the system does when the memory of the machine runs out; close "
        f"other programs or take smaller batches. {_what_is_kept(keeper, out)}"
    ) from None


def _offer(error: Exception, task: ReconstructionTask, keeper: Checkpoints, out: Path) -> NoReturn:
    """Say what would fit where memory ran out; raise anything else again."""
    from training import memory

    if any(words in str(error) for words in _KILLED):
        _say_killed(keeper, out)
    if not memory.is_out_of_memory(error):
        raise error
    shape, device, config = task.guard.shape, task.device, task.config
    # The frames that failed hold what they computed; a trial needs the room.
    error.__traceback__ = None
    task.to("cpu")
    memory.release()
    changes = memory.find_fitting(config, lambda other: memory.step_fits(other, shape, device))
    keeper.events.write({"event": "out_of_memory", "step": task.n_steps, "offer": changes})
    size = " × ".join(str(n) for n in (shape or ())[2:])
    what = f"a step with {config.batch_size} sample(s) of {size}" if size else "a step"
    text = f"{what} needs more memory than {_name(device)} has left"
    if not changes:
        raise memory.OutOfMemoryError(f"{text}; nothing smaller fits either, so choose a smaller model.", {})
    words = " ".join(f"--set {key}={json.dumps(value, separators=(',', ':'))}" for key, value in changes.items())
    other = " --force" if "sizes" in changes else ""
    how = f"{_again(out)} {words}{other}" if keeper.saved_step is not None else f"the same command and {words}"
    raise memory.OutOfMemoryError(f"{text}. It was tried and fits: {how}", changes)


def _name(device: Any) -> str:
    from training.devices import device_name

    return device_name(device) if device.type == "cuda" else "this machine"


def _again(out: Path) -> str:
    return f"{_PROGRAM} --resume --out {out}"


def _what_is_kept(keeper: Checkpoints, out: Path, how: str = "") -> str:
    if keeper.saved_step is None:
        return "No checkpoint had been written yet."
    if not (out / CHECKPOINT).exists():
        return f"The checkpoint of step {keeper.saved_step} is gone: somebody has removed it."
    return f"The checkpoint of step {keeper.saved_step} is whole; go on with: {_again(out)}{how}"


def _beginning(config: TrainingConfig, task: ReconstructionTask, devices: Devices, *, resumed: bool) -> dict[str, Any]:
    return {
        "event": "resume" if resumed else "start",
        "step": task.n_steps,
        "model": config.model,
        "n_parameters": task.model.n_parameters,
        "n_steps": None if config.minutes else config.epochs * task.epoch_steps,
        "epoch_steps": task.epoch_steps,
        "step_samples": task.step_samples,
        "processes": devices.n_processes,
        "accelerator": devices.accelerator,
        "precision": config.precision,
    }


def _write_recipe(config: TrainingConfig, out: Path) -> None:
    with atomic_file(out / "config.json") as part:
        part.write_text(json.dumps(config.to_dict(), indent=2), "utf-8")


def _open_board(out: Path, checkpoint: Mapping[str, Any] | None) -> Any:
    from training.tensorboard import TensorBoard

    return TensorBoard(out, None if checkpoint is None else int(checkpoint["global_step"]) + 1)


def _tell(*listeners: Report | None) -> Report:
    def tell(event: dict[str, Any]) -> None:
        for listener in listeners:
            if listener is not None:
                listener(event)

    return tell


def count_workers(n_local: int) -> int:
    """Processes that load for each process that trains; each of those keeps a core."""
    return max(1, min((os.cpu_count() or 2) // n_local - 1, _MOST_WORKERS))
