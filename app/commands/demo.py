"""Write the demo study: two real brain scans and an analytic phantom, with a page that says where they come from.

With --reconstruct, do the whole job without a display instead: reconstruct a real scan at 4x, write the figure, the
DICOM series and the scores, and save a screenshot of the window that shows it all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.reconstruct import metrics_table
from app.output import write_json, write_line
from app.progress import Progress
from recon.errors import MRIError

if TYPE_CHECKING:
    import argparse

    from recon.request import Request
    from recon.stage import Stage

# Best first; the last one needs no weights.
_PREFERRED = ("pcrnn-s", "pcrnn-b", "pcrnn-oucr", "oucr", "oucr-xs", "zero-filled")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--reconstruct", action="store_true", help="reconstruct a demo scan and show it, all headless")
    parser.add_argument("--model", metavar="NAME", help="default: the best that has weights")
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto (default), cpu, cuda[:i] or mps")
    parser.add_argument("--json", action="store_true", help="write JSON to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Write the study, or reconstruct it."""
    return _reconstruct(arguments) if arguments.reconstruct else _write(arguments)


def _write(arguments: argparse.Namespace) -> int:
    from app import demo

    with Progress.of(arguments) as progress:
        files = demo.write(arguments.out, lambda share: progress.update("generating the phantom", share))
    if arguments.json:
        write_json([{"file": str(file), "what": demo.DESCRIPTIONS.get(file.name)} for file in files])
    elif not arguments.quiet:
        for file in files:
            write_line(f"{file}: {demo.DESCRIPTIONS.get(file.name, 'where the scans come from, and their licence')}")
    return 0


def _reconstruct(arguments: argparse.Namespace) -> int:
    import recon
    from app import demo
    from app.commands.reconstruct import check_folder, check_model
    from app.headless import take_screenshot

    request = _request(arguments)
    check_model(request.model)
    check_folder(arguments.out)
    status, screenshot = 0, arguments.out / "window.png"
    with Progress.of(arguments) as progress:
        paths = demo.demo_paths(lambda share: progress.update("generating the phantom", 0.2 * share))
        series = recon.open_study(paths[0]).series[0]

        def show(stage: Stage) -> None:
            progress.update(f"{series.stem} · {request.model} · {stage.title}", 0.2 + 0.4 * stage.progress)

        result = recon.run(series, request, callback=show, keep="modules")
        files = result.save(arguments.out, formats=["hdf5", "dicom", "png"])
        progress.update("showing it in the window", 0.6)
        try:
            take_screenshot(paths, request, screenshot)
        except MRIError as error:
            # The rest of the job is done and worth telling about.
            sys.stderr.write(f"mri-workstation: error: {error}\n")
            status = error.exit_status
    record = result.record() | {"files": [str(file) for file in files]}
    places = {
        "figure": files[2],
        "DICOM series": files[1],
        "reconstruction": files[0],
        "metrics": files[-1],
        **({} if status else {"screenshot": screenshot}),
    }
    if arguments.json:
        write_json({"record": record, **{name.replace(" ", "_"): str(path) for name, path in places.items()}})
    elif not arguments.quiet:
        _write_summary(record, places, demo.DESCRIPTIONS[paths[0].name])
    return status


def _request(arguments: argparse.Namespace) -> Request:
    from recon.masks import MaskSpec
    from recon.request import Request

    model = arguments.model or best_model()
    return Request(model=model, mask=MaskSpec("equispaced-fraction", 4), device=arguments.device)


def best_model() -> str:
    """Return the first of the preferred models that can reconstruct now."""
    from recon.models import list_models

    available = {card.name for card in list_models() if card.available}
    return next(name for name in _PREFERRED if name in available)


def _write_summary(record: dict[str, Any], places: dict[str, Path], description: str) -> None:
    write_line(f"{description}\nreconstructed with {record['request']['model']} at 4x on {record['device']}\n")
    write_line(metrics_table([record], [record["input"]]))
    write_line()
    width = max(map(len, places))
    for name, path in places.items():
        write_line(f"  {name.ljust(width)}  {path}")
