"""Compare models: volumes × models × masks × accelerations, scored against the fully sampled scans.

DIR gets scores.csv (each volume and slice; PSNR, SSIM, NMSE, HFEN; unmasked and masked), summary.csv and summary.md
(laid out like the papers' tables), wilcoxon.csv, frequency_bands.csv, box plots, timing.csv and models.csv. A stopped
run goes on where it was when the same command is given again, and may then have more files, models, masks and the like
to score; of another evaluation, DIR is left alone. What fails is a row with its reason, and not a stop."""

from __future__ import annotations

import argparse
import importlib.util
from contextlib import contextmanager, nullcontext
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.reconstruct import (
    add_join_coils,
    assignment,
    check_folder,
    check_model,
    overrides_of,
    seed,
    slice_list,
)
from app.ending import ended_by_signals
from app.output import count, table, write_json, write_line
from app.sharing import add_processes, is_first, is_shared, process_all, share_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recon.evaluation import Evaluation
    from recon.evaluation_work import EvaluationWork

_COIL_STUDY = (4, 8, 12, 16)
_MAX_PROBLEMS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="file or folder with fully sampled scans")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="model or .safetensors file; repeat for several (default: zero-filled and pcrnn). A method without "
        "weights may be given parameters, cs-tv:lambda=0.02, and be compared with itself",
    )
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument(
        "--mask",
        action="append",
        metavar="KIND",
        help="random, equispaced, equispaced-fraction (default), magic, magic-fraction, gaussian-2d, poisson-2d, "
        "none, or file:MASK.npy; repeatable",
    )
    sampling.add_argument("--acceleration", action="append", type=float, metavar="R", help="default: 4; repeatable")
    sampling.add_argument(
        "--center-fraction", type=float, metavar="F", help="share of the columns kept in the centre (default: by R)"
    )
    sampling.add_argument(
        "--seed",
        "--seeds",
        action="append",
        type=_seeds,
        metavar="N|filename",
        help="default: filename; repeat or separate by commas, to average over patterns",
    )
    work = parser.add_argument_group("reconstruction")
    work.add_argument("--slices", type=slice_list, metavar="LIST", help="such as 0:10 or 3,5,8:12 (default: all)")
    work.add_argument(
        "--coils",
        action="append",
        type=int,
        metavar="N",
        help="number of virtual coils (default: the model's); repeatable",
    )
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
        help="a parameter of every method without weights that has it and was not given another; repeat for several "
        "(`models show METHOD` lists them)",
    )
    work.add_argument("--device", default="auto", metavar="DEVICE", help="auto (default), cpu, cuda[:i] or mps")
    work.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="default: auto")
    work.add_argument("--maps", choices=("espirit", "walsh"), default="espirit", help="default: espirit")
    add_join_coils(work, "score every single-coil network a second time, with its coils joined")
    add_processes(work)
    what = parser.add_argument_group("evaluation")
    what.add_argument("--no-masked", action="store_true", help="leave out the scores inside the support of the coils")
    what.add_argument(
        "--pair-by",
        choices=("volume", "slice", "pattern"),
        default="volume",
        help="samples of the paired tests (default: volume); pattern: each seed of each volume",
    )
    what.add_argument(
        "--band-radius",
        type=float,
        default=0.25,
        metavar="F",
        help="low frequencies: share of half the shorter side of k-space (default: 0.25)",
    )
    what.add_argument("--band-shape", choices=("disc", "square"), default="disc", help="default: disc")
    what.add_argument(
        "--coil-study",
        nargs="?",
        const=",".join(map(str, _COIL_STUDY)),
        type=_numbers,
        metavar="N,N",
        help="compress the reference to these numbers of virtual coils and compare, and score the models at them where "
        "they have weights (default numbers: %(const)s)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=Path, default=Path("evaluation"), metavar="DIR", help="default: %(default)s")
    output.add_argument(
        "--plan", action="store_true", help="only write DIR/evaluation.json, for `python -m training.predict`"
    )
    output.add_argument("--json", action="store_true", help="write the rows to stdout as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, or go on with an evaluation."""
    from recon.evaluation_work import EvaluationWork

    evaluation = build_evaluation(arguments)
    for model in dict.fromkeys(request.model for request in evaluation.requests()):
        check_model(model)
    _check_packages()
    check_folder(arguments.out)
    if not arguments.plan:
        _check_device(evaluation, arguments)
    work = EvaluationWork(evaluation, tuple(path.absolute() for path in arguments.paths), arguments.out.absolute())
    work.check_earlier()
    if arguments.plan:
        job = work.save()
        if not arguments.quiet:
            write_line(f"{job}\nrun it: python -m training.predict {job} --processes N")
        return 0
    # Of the processes that torchrun or SLURM started, the first one speaks for all.
    with work.alone() if is_first() else nullcontext():
        if is_first() and not work.has_tables:
            work.save()
        if is_shared():
            status, rows = share_out(work.to_dict(), arguments)
        elif arguments.processes > 1:
            with _kept_when_interrupted(work):
                status, rows = share_out(work.to_dict(), arguments)
        else:
            status = _evaluate(work, arguments)
            rows = work.rows()
    _show(rows, arguments)
    return status


def build_evaluation(arguments: argparse.Namespace) -> Evaluation:
    """Turn arguments into an evaluation; raises RequestError where they are impossible."""
    from recon.evaluation import Evaluation

    return Evaluation(
        models=_with_parameters(arguments.model or ["zero-filled", "pcrnn"], dict(arguments.set or ())),
        masks=tuple(arguments.mask or ("equispaced-fraction",)),
        accelerations=tuple(arguments.acceleration or (4.0,)),
        center_fraction=arguments.center_fraction,
        seeds=tuple(one for part in arguments.seed or [["filename"]] for one in part),
        coils=tuple(arguments.coils or (None,)),
        slices=arguments.slices,
        grid=arguments.grid,
        device=arguments.device,
        precision=arguments.precision,
        maps=arguments.maps,
        join_coils=arguments.join_coils,
        masked=not arguments.no_masked,
        band_radius=arguments.band_radius,
        band_shape=arguments.band_shape,
        coil_study=tuple(arguments.coil_study or ()),
        pair_by=arguments.pair_by,
    )


def _with_parameters(entries: Sequence[str], assignments: dict[str, str]) -> tuple[str, ...]:
    """Give each method the parameters that it has of those that are for all; its own stay."""
    from recon.evaluation import split_model

    named = [(*split_model(entry), entry) for entry in entries]
    found = overrides_of([model for model, _, _ in named], assignments)
    complete = []
    for model, own, entry in named:
        has = {name.rstrip("_") for name in found[model]} - {name.rstrip("_") for name in own}
        more = [f"{name}={text}" for name, text in assignments.items() if name.rstrip("_") in has]
        complete.append(",".join([entry, *more]) if own else f"{entry}:{','.join(more)}" if more else entry)
    return tuple(complete)


def _evaluate(work: EvaluationWork, arguments: argparse.Namespace) -> int:
    """Do the work in this process."""
    work.prepare()
    with _kept_when_interrupted(work):
        process_all(work, arguments)
    return work.finish()


@contextmanager
def _kept_when_interrupted(work: EvaluationWork) -> Iterator[None]:
    """Write the tables of what is done before Ctrl-C, or a signal to end, ends the program, and say how to go on."""
    with ended_by_signals():
        try:
            yield
        except KeyboardInterrupt as interrupt:
            work.finish()
            how = str(interrupt) or "interrupted"
            interrupt.args = (f"{how}; {work.out} holds what is done, and the same command goes on.",)
            raise


def _check_packages() -> None:
    """Miss nothing at the end of a night that could be missed at its beginning."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ModuleNotFoundError("matplotlib", name="matplotlib")


def _check_device(evaluation: Evaluation, arguments: argparse.Namespace) -> None:
    from recon.device import resolve
    from training.cluster import find_cluster

    cluster = find_cluster()
    n_local = arguments.processes if cluster is None else cluster.n_local
    if n_local > 1:
        from training.predict import choose_accelerator

        choose_accelerator(evaluation.device, n_local)
    else:
        resolve(evaluation.device)


def _show(rows: Sequence[dict[str, Any]] | None, arguments: argparse.Namespace) -> None:
    if rows is None:
        return
    if arguments.json:
        write_json(rows)
    elif not arguments.quiet:
        missing = sum(row["status"] != "done" for row in rows)
        done = {row["kind"] for row in rows if row["status"] == "done"}
        if not done:
            write_line(_nothing_scored(rows, arguments.out))
            return
        if "scores" in done:
            write_line(summary(rows))
            if _is_mixed(rows):
                write_line("\nn differs, or the volumes do: means over different volumes are not comparable.")
        if missing:
            write_line(f"\n{count(missing, 'row')} without a score; summary.md says why")
        write_line(f"\nwritten to {arguments.out}: summary.md, scores.csv and more")


def _nothing_scored(rows: Sequence[dict[str, Any]], folder: Path) -> str:
    """Say why, because there is nothing else to say."""
    from recon.evaluation_problems import group_problems

    problems = [problem.sentence for problem in group_problems(rows)]
    more = [f"… and {count(len(problems) - _MAX_PROBLEMS, 'more reason')}"] if len(problems) > _MAX_PROBLEMS else []
    reasons = "\n".join(f"  {line}" for line in [*problems[:_MAX_PROBLEMS], *more])
    return f"nothing was scored:\n{reasons}\n\nthe reasons are in {folder / 'summary.md'}"


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Return the means over all volumes, and what each method costs: per slice over all its slices."""
    from recon.export.evaluation import REGION_NAMES, costs
    from recon.export.evaluation_summary import summarise
    from recon.statistics import ALL

    scored = [row for row in rows if row["kind"] == "scores"]
    cost = costs(scored)
    lines = []
    for (region, mask, grid), sequences in summarise(scored).items():
        for method, accelerations in sequences[ALL].items():
            seconds, memory = cost[method]
            for acceleration, scores in accelerations.items():
                lines.append(
                    (
                        method,
                        f"{mask} {acceleration:g}x, {grid}, {REGION_NAMES[region]}",
                        scores["psnr"].n,
                        *(
                            "–" if isnan(mean := scores[name].mean) else f"{mean:.{digits}f}"
                            for name, digits in _DIGITS
                        ),
                        f"{seconds:.2f}",
                        "" if memory is None else f"{memory:.2f}",
                    )
                )
    return table(lines, ("method", "mask", "n", "PSNR dB", "SSIM", "NMSE", "HFEN", "s/slice", "peak GiB"))


def _is_mixed(rows: Sequence[dict[str, Any]]) -> bool:
    """Tell whether methods that stand side by side in the table were scored on different volumes."""
    from recon.export.evaluation_summary import summarise
    from recon.statistics import ALL

    samples: dict[tuple[Any, ...], set[Any]] = {}
    for setting, sequences in summarise([row for row in rows if row["kind"] == "scores"]).items():
        for accelerations in sequences[ALL].values():
            for acceleration, scores in accelerations.items():
                samples.setdefault((*setting, acceleration), set()).add(scores["psnr"].samples)
    return any(len(different) > 1 for different in samples.values())


_DIGITS = (("psnr", 2), ("ssim", 4), ("nmse", 5), ("hfen", 4))


def _seeds(text: str) -> list[int | str]:
    return [seed(word.strip()) for word in text.split(",")]


def _numbers(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if all(word.isdecimal() and int(word) > 0 for word in words):
        return [int(word) for word in words]
    raise argparse.ArgumentTypeError(f"{text!r} is no list of coil numbers; write 4,8,12")
