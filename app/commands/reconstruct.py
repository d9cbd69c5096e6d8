"""Reconstruct scans and write images and records.

For each volume and model DIR gets STEM.MODEL.h5, STEM.MODEL.dcm/, STEM.MODEL.nii.gz, STEM.MODEL.png or STEM.MODEL.csv,
the scores of each slice, and always STEM.MODEL.json, the record: request, versions, hash of the weights, seconds, files
and, where the scan is fully sampled, PSNR, SSIM and NMSE. A movie is STEM.MODEL.iterations.gif, the iterations of the
middle slice that are kept (of solvers some; all with --stages) at 4 a second, and STEM.MODEL.slices.gif, all slices at
8 a second. A volume that fails does not stop the others."""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.ending import ended_by_signals
from app.output import table, write_json, write_line
from app.sharing import add_processes, is_shared, process_all, share_out
from recon.batch import ReconstructionWork, SliceList, collect
from recon.errors import ExportError, ModelError, RequestError
from recon.journal import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recon.request import Request

FORMATS = ("hdf5", "dicom", "dicom-anonymous", "nifti", "png", "csv", "movie")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="file or folder")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="model, or .safetensors file where it has several weights (`models show MODEL` lists them; without one, "
        "your own latest for the scan's coils); repeat for several (default: pcrnn)",
    )
    sampling = parser.add_argument_group("sampling (the scanner's own pattern wins where a file has one)")
    sampling.add_argument(
        "--mask",
        default="equispaced-fraction",
        metavar="KIND",
        help="random, equispaced, equispaced-fraction (default), magic, magic-fraction, gaussian-2d, poisson-2d, "
        "none, or file:MASK.npy",
    )
    sampling.add_argument("--acceleration", type=float, default=4.0, metavar="R", help="default: 4")
    sampling.add_argument(
        "--center-fraction", type=float, metavar="F", help="share of the columns kept in the centre (default: by R)"
    )
    sampling.add_argument("--seed", type=seed, default="filename", metavar="N|filename", help="default: filename")
    work = parser.add_argument_group("reconstruction")
    work.add_argument("--slices", type=slice_list, metavar="LIST", help="such as 0:10 or 3,5,8:12 (default: all)")
    work.add_argument("--coils", type=int, metavar="N", help="number of virtual coils (default: the model's)")
    work.add_argument(
        "--grid",
        choices=("cropped", "native"),
        default="cropped",
        help="crop before or after masking (default: cropped)",
    )
    work.add_argument(
        "--set",
        action="append",
        type=assignment,
        metavar="NAME=VALUE",
        help="a parameter of a method without weights, such as lambda=0.02; repeat for several "
        "(`models show METHOD` lists them)",
    )
    work.add_argument(
        "--maps",
        choices=("espirit", "walsh"),
        default="espirit",
        help="how sensitivity maps are estimated for the methods that take them (default: espirit)",
    )
    add_join_coils(work, "join the coils that a single-coil network takes one by one")
    work.add_argument(
        "--noise",
        metavar="FILE.npy",
        help="noise samples (coil, sample) to pre-whiten the coils with (default: those in the file, if any)",
    )
    work.add_argument("--device", default="auto", metavar="DEVICE", help="auto (default), cpu, cuda[:i] or mps")
    work.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="default: auto")
    add_processes(work)
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=Path, default=Path("reconstructions"), metavar="DIR", help="default: %(default)s")
    output.add_argument(
        "--format",
        action="append",
        type=formats,
        metavar="LIST",
        help=f"{', '.join(FORMATS)}; repeat or separate by commas (default: hdf5)",
    )
    output.add_argument("--stages", action="store_true", help="store every module and iteration in the HDF5 file")
    output.add_argument(
        "--phase", action="store_true", help="store the phase too: in the HDF5 file, and as STEM.MODEL.phase.dcm/ …"
    )
    output.add_argument("--json", action="store_true", help="write the list of the records to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct every volume with every model."""
    models = list(dict.fromkeys(arguments.model or ["pcrnn"]))
    for model in models:
        check_model(model)
    overrides = overrides_of(models, dict(arguments.set or ()))
    requests = [replace(build_request(arguments, model), overrides=overrides[model]) for model in models]
    wanted = list(dict.fromkeys(name for part in arguments.format or [["hdf5"]] for name in part))
    check_device(arguments.device)
    check_folder(arguments.out)
    job = {
        "kind": "reconstruct",
        "paths": [str(path) for path in arguments.paths],
        "requests": [request.to_dict() for request in requests],
        "formats": wanted,
        "stages": arguments.stages,
        "slices": arguments.slices,
        "out": str(arguments.out),
    }
    if arguments.processes > 1 or is_shared():
        status, records = share_out(job, arguments)
    else:
        status, records = _reconstruct(job, arguments)
    _show(records or [], arguments)
    return status


def _reconstruct(job: Mapping[str, Any], arguments: argparse.Namespace) -> tuple[int, list[dict[str, Any]]]:
    """Do the job in this process; others may reconstruct into the same folder meanwhile."""
    work = ReconstructionWork(job, MemoryJournal())
    work.prepare()
    with ended_by_signals():
        process_all(work, arguments)
    return work.finish(), work.outcome()


def _show(records: Sequence[dict[str, Any]], arguments: argparse.Namespace) -> None:
    if arguments.json:
        write_json(records)
    elif records and not arguments.quiet:
        _write_summary(records, names_of(records, arguments.paths), arguments.out)


def add_join_coils(parser: argparse._ArgumentGroup, what: str) -> None:
    """Declare the option that joins coils; `what` begins its help."""
    from recon.request import JOIN_WEIGHT

    parser.add_argument(
        "--join-coils",
        nargs="?",
        const=JOIN_WEIGHT,
        type=join_weight,
        metavar="WEIGHT",
        help=f"{what}: data consistency with what all of them measured, near its images (default WEIGHT: %(const)s)",
    )


def join_weight(text: str) -> float:
    """Read the weight of ``--join-coils``; raises argparse.ArgumentTypeError where it is none."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no weight; write the option behind the files, or a weight with it: --join-coils=0.01"
        ) from None


def build_request(arguments: argparse.Namespace, model: str) -> Request:
    """Turn arguments into a request; raises RequestError where they are impossible."""
    from recon.masks import MaskSpec
    from recon.request import Request

    mask = MaskSpec(
        kind=arguments.mask,
        acceleration=arguments.acceleration,
        center_fraction=arguments.center_fraction,
        seed=arguments.seed,
    )
    return Request(
        model=model,
        mask=mask,
        coils=arguments.coils,
        grid=arguments.grid,
        device=arguments.device,
        precision=arguments.precision,
        noise=arguments.noise,
        maps=arguments.maps,
        join_coils=arguments.join_coils,
        phase=arguments.phase,
    )


def overrides_of(models: Sequence[str], assignments: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Give each model the parameters that it has of those that were set.

    Parameters
    ----------
    models
        Names, or files of weights.
    assignments
        Texts by name of a parameter.

    Raises
    ------
    ModelError
        If a value is impossible, or none of the models has a parameter of that name.
    """
    from recon.models import get_card
    from recon.models.parameters import from_texts, parameters_of

    found: dict[str, dict[str, Any]] = {model: {} for model in models}
    if not assignments:
        return found
    known: dict[str, None] = {}
    for model in models:
        # The parameters of a network are those of its weights.
        card = None if model.endswith(".safetensors") else get_card(model)
        if card is not None and not card.needs_training:
            found[model] = from_texts(card, assignments)
            known |= dict.fromkeys(item.spoken for item in parameters_of(card))
    unknown = sorted(name for name in assignments if name.rstrip("_") not in known)
    if unknown:
        having = f"what can be set is {', '.join(known)}" if known else "trained weights have theirs"
        raise ModelError(f"--set {unknown[0]}: {', '.join(models)} cannot be given such a parameter; {having}.")
    return found


def assignment(text: str) -> tuple[str, str]:
    """Split ``name=value``; raises argparse.ArgumentTypeError where it is something else."""
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} sets nothing; write NAME=VALUE, such as lambda=0.02")
    return name.strip(), value


def check_model(name: str) -> None:
    """Raise ModelError for a model that does not exist, before any scan is read."""
    from recon.models import get_card
    from recon.weights import read_header

    if name.endswith(".safetensors"):
        read_header(name)
    else:
        get_card(name)


def check_device(name: str) -> None:
    """Raise DeviceError for a device that is unknown or not there, before any scan is read."""
    from recon.device import resolve

    resolve(name)


def check_folder(folder: Path) -> None:
    """Raise ExportError where nothing can be written, before hours are spent on computing it."""
    from recon.export.atomic import atomic_file

    probe = folder / ".mri-workstation-probe"
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        with atomic_file(probe) as temporary:
            temporary.write_bytes(b"")
    except ExportError as error:  # the user named the folder, not the probe in it
        raise ExportError(str(error).replace(f"/{probe.name}", "")) from error
    probe.unlink(missing_ok=True)
    for one in missing:  # what is refused later leaves no empty folder
        with suppress(OSError):
            one.rmdir()


def slice_list(text: str) -> str:
    """Return a list of slices as it was written; raises argparse.ArgumentTypeError where it is none."""
    try:
        return SliceList(text).text
    except RequestError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def formats(text: str) -> list[str]:
    """Split a list of formats; raises argparse.ArgumentTypeError for an unknown one."""
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    aliases = {"h5": "hdf5", "dcm": "dicom", "nii": "nifti", "figure": "png", "gif": "movie"}
    names = [aliases.get(name, name) for name in names]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"format {', '.join(unknown) or text!r} is unknown; choose {', '.join(FORMATS)}"
        )
    return names


def seed(text: str) -> int | str:
    """Return a seed; raises argparse.ArgumentTypeError where the text is none."""
    if text == "filename":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; give a whole number or 'filename'") from None


def names_of(records: Sequence[Mapping[str, Any]], paths: Sequence[Path]) -> list[str]:
    """Return what a reader calls the scan of each record: its name, or where it is if others are called the same.

    Parameters
    ----------
    records
        Of what the paths hold.
    paths
        As the user gave them.
    """
    stems = [_stem(record) for record in records]
    scans: dict[str, set[str]] = {}
    for record, stem in zip(records, stems, strict=True):
        scans.setdefault(record["input"], set()).add(stem)
    if all(len(found) == 1 for found in scans.values()):
        return [record["input"] for record in records]
    collection = collect(paths)
    places = {
        volume.stem: " · ".join(filter(None, (collection.places[volume.series.path], volume.series.part)))
        for volume in collection.volumes
    }
    return [
        record["input"] if len(scans[record["input"]]) == 1 else places.get(stem, stem)
        for record, stem in zip(records, stems, strict=True)
    ]


def _stem(record: Mapping[str, Any]) -> str:
    """What the names of all files of a volume begin with."""
    model: str = record["request"]["model"]
    ending = Path(model).stem if model.endswith(".safetensors") else model
    return str(record["name"]).removesuffix(f".{ending}")


def _write_summary(records: Sequence[dict[str, Any]], names: Sequence[str], folder: Path) -> None:
    write_line(metrics_table(records, names))
    for record, scan in zip(records, names, strict=True):
        for name, origin in record.get("parameter_origins", {}).items():
            value = record["parameters"].get(name)
            write_line(f"{scan}, {record['request']['model']}: {name.strip('_')} {_short(value)} ({origin})")
    write_line(f"\nwritten to {folder}:")
    for record in records:
        write_line(f"  {', '.join([*record['files'], record['name'] + '.json'])}")


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def metrics_table(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Return one line a record: its name, model, seconds, and the scores next to those of zero-filled."""
    rows = []
    for record, scan in zip(records, names, strict=True):
        metrics, before = record.get("metrics") or {}, record.get("zero_filled_metrics") or {}
        scores = [
            text.format(value) if (value := part.get(name, {}).get("volume")) is not None else "–"
            for name, text in (("psnr", "{:.2f}"), ("ssim", "{:.4f}"), ("nmse", "{:.5f}"))
            for part in (before, metrics)
        ]
        rows.append((scan, record["request"]["model"], f"{record['seconds']:.1f}", *scores))
    header = ("volume", "model", "s", "PSNR zf", "PSNR dB", "SSIM zf", "SSIM", "NMSE zf", "NMSE")
    return table(rows, header)
