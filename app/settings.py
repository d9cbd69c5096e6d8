"""Settings as data: one frozen dataclass from which the dialog, the validation and the file follow.

The file is JSON in the user's configuration folder. A file that cannot be read is set aside, never fatal.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

APPLICATION = "mri-workstation"
_LISTS = ("recent", "training_compared", "pacs_destinations", "pacs_confirmed", "recent_choices")


def _setting(default: Any, label: str, help_text: str, page: str = "General", **extra: Any) -> Any:
    """Declare a setting with the words and limits that the dialog shows."""
    return field(default=default, metadata={"label": label, "help": help_text, "page": page, **extra})


@dataclass(frozen=True)
class Settings:
    """Everything the user can set. A field's metadata holds its label, help, page, choices or limits."""

    theme: str = _setting(
        "auto", "Theme", "Colours of the window; auto follows the desktop.", choices=("auto", "dark", "light")
    )
    colours: str = _setting(
        "grey",
        "Magnitudes",
        "Colours that they are shown in; error maps and phases have their own.",
        choices=("grey", "inferno", "viridis"),
    )
    device: str = _setting(
        "auto",
        "Device",
        "Where networks run: auto takes a GPU if there is one.",
        choices=("auto", "cpu", "cuda", "mps"),
    )
    precision: str = _setting(
        "auto",
        "Precision",
        "auto computes networks in bfloat16 where the device has units for it; Fourier transforms stay exact.",
        choices=("auto", "fp32", "bf16"),
    )
    n_recent: int = _setting(
        8, "Recent studies", "How many recent studies the start page lists.", minimum=0, maximum=30
    )
    error_gain: int = _setting(
        5, "Error gain", "Factor by which error maps are amplified at start.", choices=(1, 2, 5, 10, 20)
    )
    n_results: int = _setting(
        12, "Stored results", "How many results of a session stay in memory.", minimum=1, maximum=100
    )
    export_folder: str = _setting("", "Export folder", "Where the export dialog starts.", kind="folder")
    training_data: str = _setting(
        "",
        "Data",
        "HDF5 file of magnitude volumes, folder of fastMRI raw data, or folder of DICOM, NIfTI, NPY or PNG images.",
        page="Training",
    )
    training_recipe: str = _setting(
        "pcrnn-quick",
        "Recipe",
        "Loss, schedule and sizes, bundled or in a TOML file of your own; what is chosen below replaces its values.",
        page="Training",
    )
    training_model: str = _setting("pcrnn-s", "Method", "Preset to train.", page="Training")
    training_masks: str = _setting(
        "",
        "Masks",
        "Kinds of sampling pattern, drawn at random. None ticked: those of the recipe.",
        page="Training",
    )
    training_accelerations: str = _setting(
        "",
        "Accelerations",
        "Numbers such as 4, 4, 8; one that stands twice is drawn twice as often. Empty takes those of the recipe.",
        page="Training",
    )
    training_coils: int = _setting(
        0,
        "Virtual coils",
        "Coils of the network; arrays are compressed to as many.",
        page="Training",
        minimum=0,
        maximum=64,
        zero="as the recipe says",
    )
    training_device: str = _setting(
        "auto", "Device", "auto takes one GPU if there is one; a number takes as many GPUs.", page="Training"
    )
    training_minutes: int = _setting(
        60,
        "Budget",
        "Minutes of training, to which the schedule is stretched.",
        page="Training",
        minimum=0,
        maximum=100_000,
        zero="as the recipe says",
        unit=" min",
    )
    training_licence: str = _setting(
        "",
        "Licence",
        "Of the weights that are published from the run, such as CC-BY-4.0; whose data it was may have a say in it.",
        page="Training",
    )
    training_output: str = _setting("", "Output folder", "Each run gets a folder of its own in it.", page="Training")
    training_key: str = field(default="", metadata={"hidden": True})
    training_folder: str = field(default="", metadata={"hidden": True})
    training_pid: int = field(default=0, metadata={"hidden": True})
    training_started: str = field(default="", metadata={"hidden": True})
    training_axis: str = field(default="steps", metadata={"hidden": True, "choices": ("steps", "epochs", "minutes")})
    training_compared: tuple[str, ...] = field(default=(), metadata={"hidden": True})
    pacs_destinations: tuple[str, ...] = field(default=(), metadata={"hidden": True})
    pacs_confirmed: tuple[str, ...] = field(default=(), metadata={"hidden": True})
    pacs_calling: str = field(default="MRIWS", metadata={"hidden": True})
    recent: tuple[str, ...] = field(default=(), metadata={"hidden": True})
    recent_choices: tuple[str, ...] = field(default=(), metadata={"hidden": True})
    user_black: float = field(default=0.0, metadata={"hidden": True})
    user_white: float = field(default=0.0, metadata={"hidden": True})
    layout: str = field(default="", metadata={"hidden": True})

    def changed(self, **values: Any) -> Settings:
        """Return a copy with some values replaced and checked.

        Raises
        ------
        ValueError
            If a name is unknown or a value is outside its limits.
        """
        known = {item.name: item for item in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"there is no setting {name!r}.")
            _check(known[name].metadata, name, value, type(known[name].default))
        return replace(self, **values)

    def with_recent(self, path: Path) -> Settings:
        """Return a copy in which a path is the most recent one."""
        others = tuple(item for item in self.recent if item != str(path))
        return replace(self, recent=(str(path), *others)[: self.n_recent])


def _check(limits: Any, name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name} is {value!r}; it must be a value such as {kind()!r}.")
    if "choices" in limits and value not in limits["choices"]:
        raise ValueError(f"{name} is {value!r}; choose one of {', '.join(map(str, limits['choices']))}.")
    if "minimum" in limits and not limits["minimum"] <= value <= limits["maximum"]:
        raise ValueError(f"{name} is {value}; it must lie between {limits['minimum']} and {limits['maximum']}.")


def default_file() -> Path:
    """Return where the settings of this user live."""
    return Path(platformdirs.user_config_dir(APPLICATION, appauthor=False)) / "settings.json"


def load(file: Path) -> tuple[Settings, str | None]:
    """Read the settings.

    Returns
    -------
    settings, problem
        The problem is a sentence for the user when the file or some of its values could not be used.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings(), None
    except (OSError, UnicodeDecodeError) as error:
        return Settings(), f"Settings could not be read, defaults are used ({file}: {error})."
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise TypeError("not a JSON object")
    except (ValueError, TypeError) as error:
        return Settings(), f"Settings are damaged, defaults are used ({file}: {error})."
    settings, bad = Settings(), []
    for name, value in values.items():
        try:
            value = tuple(map(str, value)) if name in _LISTS and isinstance(value, list) else value
            settings = settings.changed(**{name: value})
        except ValueError:
            bad.append(str(name))
    return settings, f"Settings that could not be used keep their defaults: {', '.join(bad)} ({file})." if bad else None


def save(settings: Settings, file: Path) -> None:
    """Write the settings to a temporary name and rename it, so that a crash leaves the old file.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".settings-", suffix=".json")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(asdict(settings), stream, indent=2)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
