"""Where training data comes from: names and licences of the volumes, as the files state them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import FileError
from recon.weights import worse_than_nothing
from training.subjects import without_subject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from training.config import TrainingConfig

UNSTATED = "not stated"
# A smaller gain over zero-filled is said.
_LITTLE_DB = 1.0
_MOST_NAMED = 10
_SHOWN = ("licence", "license", "origin", "source", "contrast")


def volume_sources(path: Path) -> list[dict[str, str]]:
    """Return what a file of magnitude volumes says of each: group, name, licence, origin, contrast.

    Parameters
    ----------
    path
        HDF5 file with the groups ``train`` and ``validation``.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    import h5py

    found = []
    try:
        with h5py.File(path) as file:
            for group in ("train", "validation"):
                for name, volume in file.get(group, {}).items():
                    said = {key: _text(volume.attrs[key]) for key in _SHOWN if key in volume.attrs}
                    if "license" in said:
                        said.setdefault("licence", said.pop("license"))
                    found.append({"group": group, "volume": name, "licence": UNSTATED} | said)
    except OSError as error:
        raise FileError(path, f"cannot be read as HDF5 ({error}); expected a file of magnitude volumes.") from None
    return found


def left_out(skipped: Mapping[str, str], slices: Mapping[str, Collection[int]]) -> dict[str, Any]:
    """Return what a story says of the data that did not train; empty where all did.

    Parameters
    ----------
    skipped
        Files of which something was left out, and why. Few are named, without their folders and without the subjects
        whom they show.
    slices
        Slices that could not be read, of files whose other slices trained.
    """
    if not skipped:
        return {}
    count = {"files": len(skipped), "slices": sum(map(len, slices.values()))}
    if len(skipped) > _MOST_NAMED:
        return {"skipped": count}
    named = []
    for path, reason in skipped.items():
        said = without_subject(reason).replace(path, Path(path).name)
        n_slices = len(slices.get(path, ()))
        what = f"skipped {n_slices} slice{'s' if n_slices > 1 else ''} of" if n_slices else "skipped"
        named.append({"what": what, "file": Path(path).name, "reason": said.replace(str(Path(path).parent), "…")})
    return {"skipped": count, "left_out": named}


def licences(stated: Iterable[str | None]) -> list[str]:
    """Return each licence once; what states none counts as one."""
    return sorted({one or UNSTATED for one in stated})


def split_words(config: TrainingConfig) -> str:
    """Return in a sentence how training and validation data were kept apart."""
    path = Path(config.images or config.kspace)
    if config.images and path.suffix.lower() in (".h5", ".hdf5"):
        return "by volume: the file's groups train and validation"
    return (
        "by subject: the folder's own parts where it has them, else "
        f"{config.validation_share:.0%} of the subjects validate, drawn with seed {config.split_seed}"
    )


def data_story(config: TrainingConfig, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the weights' story says of the data.

    Parameters
    ----------
    config
        The recipe.
    recorded
        What the run wrote of its data when it began. Runs of older versions lack the sources; then the file is asked,
        if it is still there.
    """
    wanted = ("training", "validation", "most_coils", "sources", "licences", "skipped", "left_out")
    story = {name: recorded[name] for name in wanted if name in recorded} | {"split": split_words(config)}
    path = Path(config.images)
    if "sources" not in story and config.images and path.is_file():
        story["sources"] = volume_sources(path)
        story["licences"] = licences(source["licence"] for source in story["sources"])
    return story | ({} if "licences" in story else {"licences": [UNSTATED]})


def unfilled(config: TrainingConfig, most_coils: int) -> str:
    """Return a sentence on virtual coils that no training data fills; empty where some fills all.

    Parameters
    ----------
    config
        The recipe.
    most_coils
        Coils of the training data that has most.
    """
    if most_coils >= config.n_coils:
        return ""
    coils = "1 coil" if most_coils == 1 else f"{most_coils} coils"
    return (
        f"The network takes {config.n_coils} virtual coils, but none of its training data has more than {coils}: the "
        "others were always zero."
    )


def limits(config: TrainingConfig, validation: Mapping[str, Any], recorded: Mapping[str, Any]) -> str:
    """Return in words how far weights go.

    Parameters
    ----------
    config
        Their recipe.
    validation
        The scores of their validation; ``psnr`` and ``zero_filled_psnr`` where there are any.
    recorded
        See `data_story`. Runs of older versions lack the coils.
    """
    gain = validation.get("psnr", math.inf) - validation.get("zero_filled_psnr", 0.0)
    verdict = worse_than_nothing(validation) or f"{gain:+.2f} dB from zero-filled: it has hardly learned"
    little = f"On its own validation slices it is {verdict}."
    factors = " and ".join(f"{value:g}x" for value in sorted(set(config.accelerations)))
    masks = ", ".join(sorted(set(config.mask_kinds)))
    if config.kspace:
        origin = "Trained on the scans that the recipe names"
    else:
        span = f"{min(config.sizes)} to {max(config.sizes)}" if len(set(config.sizes)) > 1 else f"{config.sizes[0]}"
        origin = f"Trained on k-space simulated from the magnitude images named here, {span} pixels a side"
    coils = "one coil" if config.n_coils == 1 else f"{config.n_coils} virtual coils"
    sentences = (
        f"{origin}, on {coils}, at {factors} with masks of the kinds {masks}.",
        unfilled(config, recorded.get("most_coils", config.n_coils)),
        little if gain < _LITTLE_DB else "",
        "Other anatomy, contrasts, scanners and sampling are untested. Research use only.",
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
