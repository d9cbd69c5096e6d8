"""Training recipes: frozen dataclass in, TOML out. Every value has a name, a unit and a default."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from recon.errors import FileError, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PRESETS = Path(__file__).resolve().parent.parent / "resources" / "presets" / "training"

_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
_AT_LEAST_1 = (lambda value: value >= 1, "at least 1")
_AT_LEAST_0 = (lambda value: value >= 0, "0 or more")
_POSITIVE = (lambda value: value > 0, "above 0")
_SHARE = (lambda value: 0 <= value <= 1, "from 0 to 1")
# What a number of a recipe may be, in a list each of them.
_LIMITS: dict[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(("n_coils", "batch_size", "accumulate", "samples_per_epoch", "epochs", "step_epochs"), _AT_LEAST_1),
    "validation_slices": _AT_LEAST_1,
    "accelerations": (lambda value: value > 1, "above 1"),
    **dict.fromkeys(("checkpoint_minutes", "checkpoint_steps", "patience", "minutes", "gradient_clip"), _AT_LEAST_0),
    **dict.fromkeys(("module_loss_weight", "fan_in_reference", "phase_scale", "tissue_phase"), _AT_LEAST_0),
    **dict.fromkeys(("field_phase", "max_validation_volumes", "split_seed", "seed"), _AT_LEAST_0),
    **dict.fromkeys(("learning_rate", "step_factor", "cache_gb", "noise"), _POSITIVE),
    **dict.fromkeys(("warmup_share", "contrast"), _SHARE),
    "ema_decay": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
    "validation_share": (lambda value: 0 < value < 1, "between 0 and 1"),
    "sizes": (lambda value: value >= 32, "32 or more"),
    "max_simulated_coils": (lambda value: value >= 2, "at least 2"),
}
# What a library that counts in 64 bits takes.
_LARGEST = 2**63 - 1
_PATHS = ("images", "kspace", "cache", "initial_weights")
_LISTS = {int: "a list of whole numbers", float: "a list of numbers", str: "a list of texts"}


@dataclass(frozen=True)
class TrainingConfig:
    """A recipe.

    Attributes
    ----------
    model
        Preset of ``recon.models``.
    n_coils
        Virtual coils of the network.
    overrides
        Parameters that replace the preset's.
    images
        Magnitude images whose k-space is simulated: an HDF5 file of volumes with the groups ``train`` and
        ``validation``, or a folder of DICOM, NIfTI, NPY or PNG images.
    kspace
        Instead of images, a folder of fully sampled raw data in the fastMRI layout. Sub-folders ``train`` and ``val``
        (or those of fastMRI, such as ``multicoil_train``) say what is for what; a folder without them is split by
        patient.
    validation_share
        Share of the patients that validate, where the folder does not say.
    split_seed
        Which patients these are.
    grid
        ``cropped`` or ``native``, as in a `recon.request.Request`: the grid on which measured slices are undersampled.
    target
        What a network has to reach on measured slices. ``virtual-coils``: the fully sampled image of the virtual coils
        that it has. ``reference``: the file's, which is made of all coils.
    cache
        Folder that keeps what was made of the data: compressed coils of measured slices, volumes of images. Empty keeps
        nothing.
    cache_gb
        Most gigabytes in it.
    max_simulated_coils
        Most coil elements of a simulated array, before compression.
    noise
        Least and most noise of a simulated coil image, as a share of the brightest voxel; drawn log-uniformly.
    phase_scale
        Median of the factor on the smooth object phase, which spreads by half an octave or so to either side.
    tissue_phase
        Spread of the phase, in radians, that the brightest tissue has beyond the smooth one.
    field_phase
        Median of the peak phase, in radians, of narrow local fields such as air cavities make in gradient echoes; half
        of the samples have them. 0: none.
    contrast
        Share of the simulated samples whose tissues trade their brightness, as between T1 and T2 weighting.
    accelerations
        Drawn for each sample; repeat a value to draw it more often.
    mask_kinds
        Drawn for each batch; repeat a kind to draw it more often.
    sizes
        Side lengths of the images, drawn for each batch and each axis; repeat to draw more often.
    batch_size
        Samples that go through the network together, in each process.
    accumulate
        Batches whose gradients are averaged for one step: a batch so many times as large, in the memory of one.
    samples_per_epoch
        Samples between two validations.
    epochs
        Length of the schedule.
    minutes
        When set, the schedule and the run end after this wall time instead.
    loss
        On the coil-combined magnitude: ``nmse-ssim`` (PC-RNN), ``l1`` (OUCR), ``ssim`` (E2E-VarNet: 1 − SSIM) or
        ``mse`` (VN). ``complex-mse`` (VS-Net) compares the complex images themselves; where ``target`` is the file's
        reference, which has no phase, it still compares with the virtual coils.
    module_loss_weight
        Weight of the same loss on each module's own output, as a mean over modules. The papers supervise the final
        image alone (0); more shortens training and makes the intermediate images worth looking at.
    optimizer
        ``adam`` or ``lookahead-adam``.
    learning_rate
        After the warm-up.
    fan_in_reference
        Layers that sum more inputs than this learn slower in proportion; 0 gives all layers one rate. Under Adam every
        weight moves alike, so the output of a layer moves with its fan-in: at a rate that suits the narrow 1x module,
        the wide 4x module of PC-RNN loses all its ReLUs in the first hundred steps and stays silent.
    warmup_share
        Share of the schedule in which the rate rises from a tenth.
    schedule
        ``cosine`` to a hundredth, or ``step``: times ``step_factor`` every ``step_epochs``.
    gradient_clip
        Largest gradient norm; 0 leaves gradients alone.
    ema_decay
        Decay of the averaged weights that are validated and published; 0 uses the weights themselves.
    precision
        ``bf16``; ``fp32``; or ``tf32``, which lets an NVIDIA GPU round the factors of fp32 products.
    checkpointing
        Compute activations again in the backward pass instead of keeping them: less memory, about a fifth more time.
    checkpoint_minutes
        Time between two checkpoints beside those of each validation; 0 writes none.
    checkpoint_steps
        The same in steps; both may be given.
    best_metric
        ``psnr``, ``ssim`` or ``nmse`` of the validation: what makes the best checkpoint.
    patience
        Validations without a better one after which the run ends, with the best weights; 0 trains to the end.
    validation_slices
        Slices of each validation volume, spread evenly.
    max_validation_volumes
        Most volumes that validate, spread evenly; 0 takes all.
    initial_weights
        safetensors file of the same family to start from, possibly for another number of coils; empty starts fresh.
    seed
        Of the weights and of every sample.
    licence
        Of the weights, for those who get them; empty: not stated.
    """

    model: str = "pcrnn-s"
    n_coils: int = 4
    overrides: Mapping[str, Any] = field(default_factory=dict)
    images: str = ""
    kspace: str = ""
    validation_share: float = 0.1
    split_seed: int = 0
    grid: str = "cropped"
    target: str = "virtual-coils"
    cache: str = ""
    cache_gb: float = 50.0
    max_simulated_coils: int = 32
    noise: tuple[float, ...] = (0.0005, 0.015)
    phase_scale: float = 1.0
    tissue_phase: float = 0.5
    field_phase: float = 7.0
    contrast: float = 0.0
    accelerations: tuple[float, ...] = (4.0, 4.0, 8.0)
    mask_kinds: tuple[str, ...] = ("random", "equispaced-fraction")
    sizes: tuple[int, ...] = (128, 160, 160, 192)
    batch_size: int = 1
    accumulate: int = 1
    samples_per_epoch: int = 500
    epochs: int = 60
    minutes: float = 0.0
    loss: str = "nmse-ssim"
    module_loss_weight: float = 0.0
    optimizer: str = "adam"
    learning_rate: float = 3e-4
    fan_in_reference: float = 0.0
    warmup_share: float = 0.02
    schedule: str = "cosine"
    step_epochs: int = 10
    step_factor: float = 0.5
    gradient_clip: float = 1.0
    ema_decay: float = 0.998
    precision: str = "bf16"
    checkpointing: bool = False
    checkpoint_minutes: float = 10.0
    checkpoint_steps: int = 0
    best_metric: str = "psnr"
    patience: int = 0
    validation_slices: int = 6
    max_validation_volumes: int = 0
    initial_weights: str = ""
    seed: int = 1
    licence: str = ""

    def __post_init__(self) -> None:
        for name in ("accelerations", "mask_kinds", "sizes", "noise"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, allowed in (
            ("loss", ("nmse-ssim", "l1", "ssim", "mse", "complex-mse")),
            ("optimizer", ("adam", "lookahead-adam")),
            ("schedule", ("cosine", "step")),
            ("precision", ("bf16", "fp32", "tf32")),
            ("best_metric", ("psnr", "ssim", "nmse")),
            ("grid", ("cropped", "native")),
            ("target", ("virtual-coils", "reference")),
        ):
            if getattr(self, name) not in allowed:
                raise RequestError(f"{name} is {getattr(self, name)!r}; choose {' or '.join(allowed)}.")
        for name, (is_allowed, words) in _LIMITS.items():
            value = getattr(self, name)
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, int) and abs(one) > _LARGEST:
                    raise RequestError(f"{name} is {one}; it must be {words}, and at most {_LARGEST}.")
                if not (math.isfinite(one) and is_allowed(one)):
                    raise RequestError(f"{name} is {one:g}; it must be {words}.")
        if "none" in self.mask_kinds:
            raise RequestError(
                "mask_kinds has none, which leaves all samples in place: there is nothing to learn; choose other kinds."
            )
        if not (self.accelerations and self.mask_kinds and self.sizes):
            raise RequestError("accelerations, mask_kinds and sizes need at least one value.")
        if len(self.noise) != 2 or self.noise[0] > self.noise[1]:
            raise RequestError(
                f"noise is {list(self.noise)}; it must be the least and the most noise, such as [0.0005, 0.015]."
            )
        self._check_data()

    def _check_data(self) -> None:
        if self.images and self.kspace:
            raise RequestError("the recipe names both images and kspace; training takes one, so empty the other.")
        if self.target == "reference" and self.grid == "native":
            raise RequestError(
                "the file's reference lies on the cropped grid; choose target = virtual-coils, or grid = cropped."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON and TOML can hold."""
        return asdict(self)


def read_config(path: Path | str, settings: Sequence[str] = ()) -> TrainingConfig:
    """Read a recipe from a TOML file or by the name of a bundled one, with ``key=value`` changes.

    Raises
    ------
    FileError
        If the file cannot be read.
    RequestError
        If a key is unknown or a value is of the wrong kind; all known keys are named.
    """
    return from_dict(read_values(path, settings))


def read_values(path: Path | str | None, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a recipe file (None: none) and changes name, without defaults and unchecked; see `read_config`.

    ``overrides.width=20`` changes one parameter of the network.
    """
    values = {} if path is None else _read_file(Path(path))
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator:
            raise RequestError(f"--set {setting!r} is not of the form key=value.")
        key, value = key.strip(), _parse(text.strip())
        overrides = values.get("overrides", {})
        if key.startswith("overrides.") and isinstance(overrides, dict):
            values["overrides"] = {**overrides, key.removeprefix("overrides."): value}
        else:
            values[key] = value
    return values


def _read_file(path: Path) -> dict[str, Any]:
    bundled = PRESETS / f"{path}.toml"
    source = bundled if not path.exists() and bundled.exists() else path
    try:
        return tomllib.loads(source.read_text("utf-8"))
    except FileNotFoundError:
        names = ", ".join(sorted(one.stem for one in PRESETS.glob("*.toml")))
        raise FileError(path, f"there is no such recipe; give a .toml file or one of {names}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FileError(path, f"not a readable TOML recipe ({error}).") from None


def from_dict(values: Mapping[str, Any]) -> TrainingConfig:
    """Build a recipe from plain values; unknown keys and wrong kinds raise RequestError.

    Paths become absolute, so that a run can be resumed from anywhere; ``~`` is the home folder.
    """
    kinds = get_type_hints(TrainingConfig, localns={"Mapping": dict})
    defaults = {item.name for item in fields(TrainingConfig)}
    for key, value in values.items():
        if key not in defaults:
            import difflib

            close = difflib.get_close_matches(key, defaults, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise RequestError(f"a training recipe has no key {key!r}{hint} It has {', '.join(sorted(defaults))}.")
        wanted = kinds[key]
        if not _fits(value, wanted):
            raise RequestError(f"{key} = {value!r} is of the wrong kind; expected {_name(wanted)}.")
    places = {name: _absolute(values[name]) for name in _PATHS if values.get(name)}
    return TrainingConfig(**{**values, **places})


def _absolute(text: str) -> str:
    path = Path(text)
    with suppress(RuntimeError):  # the home of a user who is not known
        path = path.expanduser()
    return str(path.absolute())


def _fits(value: Any, wanted: Any) -> bool:
    """Whether a plain value is of the kind of a field of the recipe."""
    if get_origin(wanted) is tuple:
        return isinstance(value, (list, tuple)) and all(_fits(one, get_args(wanted)[0]) for one in value)
    if wanted in (int, float):
        return isinstance(value, (int, wanted)) and not isinstance(value, bool)
    return isinstance(value, get_origin(wanted) or wanted)


def _name(wanted: Any) -> str:
    if get_origin(wanted) is tuple:
        return _LISTS[get_args(wanted)[0]]
    return _KINDS.get(wanted, "a table")


def _parse(text: str) -> Any:
    """A value on the command line is TOML where it can be, else a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
