"""The summary of an evaluation, laid out like the papers' tables: as CSV, and as Markdown for a reader."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from recon import frequency_bands, statistics
from recon.evaluation_problems import group_problems, group_warnings, named
from recon.export.atomic import atomic_file
from recon.export.evaluation import (
    REGION_NAMES,
    TITLES,
    band_groups,
    groups,
    methods_in_order,
    parameter_cells,
    pattern_name,
)
from recon.export.table import markdown, write_csv
from recon.statistics import ALL, ERRORS, METRICS, Group, Spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from recon.evaluation import Evaluation
    from recon.evaluation_problems import Caution, Problem

    Row = Mapping[str, Any]
    # (region, mask, grid) -> sequence -> method -> acceleration -> metric -> Spread
    Tables = dict[tuple[str, str, str], dict[str, dict[str, dict[float, dict[str, Spread]]]]]

_DECIMALS = {"psnr": 2, "ssim": 4, "nmse": 5, "hfen": 4}
_MAX_TESTS = 60
_MAX_VOLUMES = 100


def write_summary(
    folder: Path, evaluation: Evaluation, rows: Sequence[Row], tests: Sequence[Mapping[str, Any]]
) -> list[Path]:
    """Write ``summary.csv``, where there are scores, and ``summary.md``.

    Parameters
    ----------
    folder
        Made where it is not there.
    evaluation
        What was asked for.
    rows
        What is done, in the order of the plan.
    tests
        Lines of ``wilcoxon.csv``.

    Raises
    ------
    ExportError
        If the disk or the folder does not let it be written.
    """
    tables = summarise([row for row in rows if row["kind"] == "scores"])
    accelerations = sorted({key for table in tables.values() for key in _accelerations(table)})
    columns = ["region", "mask", "grid", "sequence", "method"]
    for acceleration in accelerations:
        columns += [f"n {acceleration:g}X"]
    for metric in METRICS:
        for acceleration in accelerations:
            name = f"{metric.upper()} {acceleration:g}X"
            columns += [f"{name} mean", f"{name} sd", f"{name} median"]
    written = write_csv(folder / "summary.csv", _csv_lines(tables), columns)
    page = folder / "summary.md"
    with atomic_file(page) as temporary:
        temporary.write_text("\n\n".join(_page(evaluation, rows, tables, tests)) + "\n", "utf-8")
    return [*written, page]


def summarise(rows: Sequence[Row]) -> Tables:
    """Return mean and spread of every metric, by region, mask and grid, then sequence, method and acceleration."""
    tables: Tables = {}
    for metric in METRICS:
        for group, samples in groups(rows, metric).items():
            table = tables.setdefault((group.region, group.mask, group.grid), {})
            for method, values in samples.items():
                by_acceleration = table.setdefault(group.sequence, {}).setdefault(method, {})
                spread = statistics.spread(values)
                by_acceleration.setdefault(group.acceleration, {})[metric] = spread
    order = methods_in_order(rows)
    for table in tables.values():
        for sequence, methods in table.items():
            table[sequence] = {method: methods[method] for method in order if method in methods}
    return tables


def _accelerations(table: Mapping[str, Mapping[str, Mapping[float, Any]]]) -> list[float]:
    return sorted({key for methods in table.values() for scores in methods.values() for key in scores})


def _csv_lines(tables: Tables) -> Iterator[dict[str, Any]]:
    for (region, mask, grid), table in tables.items():
        for sequence, methods in table.items():
            for method, by_acceleration in methods.items():
                line: dict[str, Any] = {"region": REGION_NAMES[region], "mask": mask, "grid": grid}
                line |= {"sequence": sequence, "method": method}
                for acceleration, scores in by_acceleration.items():
                    line[f"n {acceleration:g}X"] = scores["psnr"].n
                    for metric, spread in scores.items():
                        name = f"{metric.upper()} {acceleration:g}X"
                        line |= {f"{name} mean": spread.mean, f"{name} sd": spread.sd, f"{name} median": spread.median}
                yield line


# ---- the page -----------------------------------------------------------------------------------------------------


def _page(
    evaluation: Evaluation, rows: Sequence[Row], tables: Tables, tests: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    done = [row for row in rows if row["status"] == "done" and row["kind"] == "scores"]
    sizes = _sizes(done)
    yield "# Evaluation"
    yield "\n".join(f"- {line}" for line in _settings(evaluation, rows, done))
    cautions = group_warnings(rows)
    if cautions:
        yield "## Warnings"
        yield _warning_table(cautions)
    for (region, mask, grid), table in tables.items():
        where = "whole image (unmasked)" if region == "whole" else "inside the support of the coils (masked)"
        yield f"## {mask}, {grid} grid: {where}"
        yield _score_table(table, ("psnr", "ssim"), sizes)
        yield _score_table(table, ("nmse", "hfen"), sizes)
    if done:
        yield f"## Low and high frequencies (whole image, {ALL})"
        yield _band_table(done)
    compressed = [row for row in rows if row["kind"] == "compression" and row["status"] == "done"]
    if compressed:
        yield "## Coil compression of the fully sampled reference"
        yield _compression_table(compressed)
    yield from _tests(tests)
    if any(row.get("parameters") for row in done):
        yield "## Parameters"
        yield _parameter_table(done)
    problems = group_problems(rows)
    if problems:
        yield "## Without a score"
        yield _problem_table(problems)
    yield "## Volumes"
    yield _volume_table(rows)
    yield "Research use only. Not for diagnosis."


def _settings(evaluation: Evaluation, rows: Sequence[Row], done: Sequence[Row]) -> Iterator[str]:
    volumes = {(row["volume"], row["file"]) for row in rows}
    yield (
        f"{len({row['volume'] for row in done})} of {len(volumes)} volumes scored; "
        f"slices {evaluation.slices or 'all'}; seeds {', '.join(map(str, evaluation.seeds))}."
    )
    simulated = {row["volume"] for row in done if row["simulated"]}
    if simulated:
        yield f"The k-space of {len(simulated)} of the scored volumes is simulated from images."
    if any(row["grid"] == "cropped" for row in done):
        yield (
            "Cropped grid: the fully sampled image is cropped first and its k-space masked, which is easier than "
            "undersampling raw data; not comparable with the native grid."
        )
    if any(row["grid"] == "native" for row in done):
        yield "Native grid: k-space is masked as it was measured and the result is cropped."
    if not done:
        return
    yield (
        "Mean ± sample standard deviation over volumes (n). PSNR, SSIM and NMSE by fastMRI's definitions on whole "
        "volumes, data range: maximum of the reference volume; HFEN: Laplacian of Gaussian, 15 × 15, σ = 1.5."
    )
    yield (
        f"{ALL} is over all volumes, not the mean of the sequences. The best mean of a column is bold, among the "
        "methods with the most volumes (n), if those are the same volumes; means over others are not comparable."
    )
    if any(row["masked"] is not None for row in done):
        yield (
            "Masked: reference and reconstruction are set to zero outside the support of the coil sensitivities, which "
            "raises PSNR and SSIM; not comparable with unmasked numbers."
        )
    for reason in sorted({row["masked_reason"] for row in done if row["masked_reason"] and evaluation.masked}):
        n_volumes = len({row["volume"] for row in done if row["masked_reason"] == reason})
        yield f"No masked scores for {n_volumes} of the scored volumes: {reason}."
    yield (
        f"Low frequencies: a {evaluation.band_shape} of {evaluation.band_radius:g} × half the shorter side of k-space "
        "around its centre; high frequencies: the rest."
    )
    for method, note in dict.fromkeys((row["method"], row.get("size_note")) for row in done):
        if note:
            yield f"{method}: {note}"
    yield (
        "Peak memory in models.csv and timing.csv: on a GPU, what PyTorch allocated there; otherwise the resident "
        "memory of the whole process, the program itself included."
    )


def _score_table(
    table: Mapping[str, Mapping[str, Mapping[float, Mapping[str, Spread]]]],
    metrics: Sequence[str],
    sizes: Mapping[str, str],
) -> str:
    accelerations = _accelerations(table)
    columns = [(metric, acceleration) for metric in metrics for acceleration in accelerations]
    header = [
        "Sequence",
        "Method",
        "Parameters",
        *(f"{TITLES[metric]} {acceleration:g}X" for metric, acceleration in columns),
    ]
    lines = []
    for sequence, methods in table.items():
        best = {column: _best(methods, *column) for column in columns}
        for method, scores in methods.items():
            cells = []
            for metric, acceleration in columns:
                spread = scores.get(acceleration, {}).get(metric)
                cells.append(_cell(spread, metric, is_best=method in best[metric, acceleration]))
            lines.append([sequence, method, sizes[method], *cells])
    return markdown(lines, header, n_text=2)


def _sizes(done: Sequence[Row]) -> dict[str, str]:
    """Return the learned parameters of each method; a range where scans have other numbers of coils."""
    found: dict[str, list[int]] = {}
    for row in done:
        found.setdefault(row["method"], []).append(row["n_parameters"])
    return {
        method: "–" if not max(sizes) else "–".join(f"{size:,}" for size in dict.fromkeys((min(sizes), max(sizes))))
        for method, sizes in found.items()
    }


def _best(methods: Mapping[str, Mapping[float, Mapping[str, Spread]]], metric: str, acceleration: float) -> set[str]:
    """Return the methods with the best mean: one over fewer volumes, maybe the easy ones, takes no part."""
    found = {
        method: scores[acceleration][metric]
        for method, scores in methods.items()
        if metric in scores.get(acceleration, {})
    }
    most = max((spread.n for spread in found.values()), default=0)
    found = {method: spread for method, spread in found.items() if spread.n == most > 0}
    if len(found) < 2 or len({spread.samples for spread in found.values()}) > 1:
        return set()
    means = {method: round(spread.mean, _DECIMALS[metric]) for method, spread in found.items()}
    best = min(means.values()) if metric in ERRORS else max(means.values())
    return {method for method, mean in means.items() if mean == best}


def _cell(spread: Spread | None, metric: str, *, is_best: bool = False) -> str:
    if spread is None or spread.n == 0:
        return "–"
    decimals = _DECIMALS[metric]
    mean = f"{spread.mean:.{decimals}f}" if math.isfinite(spread.mean) else "∞"
    mean = f"**{mean}**" if is_best else mean
    return f"{mean}{'' if spread.sd is None else f' ± {spread.sd:.{decimals}f}'} ({spread.n})"


def _band_table(rows: Sequence[Row]) -> str:
    found: dict[tuple[str, str], dict[str, str]] = {}
    columns = []
    for metric in ("psnr", "ssim"):
        for band in frequency_bands.BANDS:
            columns.append(f"{TITLES[metric]} {band}")
            for group, samples in band_groups(rows, band, metric).items():
                if group.sequence == ALL:
                    for method, values in samples.items():
                        spread = statistics.spread(list(values.values()))
                        found.setdefault((pattern_name(group), method), {})[columns[-1]] = _cell(spread, metric)
    lines = [[pattern, method, *(cells[name] for name in columns)] for (pattern, method), cells in found.items()]
    return markdown(lines, ["Mask", "Method", *columns], n_text=2)


def _compression_table(rows: Sequence[Row]) -> str:
    lines = []
    for n_virtual in sorted({row["coils"] for row in rows}):
        members = [row for row in rows if row["coils"] == n_virtual]
        cells = []
        for region in ("whole", "masked"):
            scored = [row[region] for row in members if row[region] is not None]
            for metric in ("psnr", "ssim"):
                cells.append(_cell(statistics.spread([scores[metric]["volume"] for scores in scored]), metric))
        lines.append([str(n_virtual), *cells])
    header = ["Virtual coils", "PSNR (dB) unmasked", "SSIM unmasked", "PSNR (dB) masked", "SSIM masked"]
    return markdown(lines, header, n_text=0)


def _parameter_table(rows: Sequence[Row]) -> str:
    """Methods by the values that they ran with: what was chosen for a scan differs among scans."""
    volumes: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row.get("parameters"):
            volumes.setdefault((row["method"], *parameter_cells(row)), []).append(row["volume"])
    order = methods_in_order(rows)
    lines = [
        [*cells, str(len(set(names)))]
        for cells, names in sorted(volumes.items(), key=lambda item: order.index(item[0][0]))
    ]
    return markdown(lines, ["Method", "Parameters", "From", "Volumes"], n_text=3)


def _warning_table(cautions: Sequence[Caution]) -> str:
    lines = [[one.warning, one.volumes, one.methods, str(len(one.rows))] for one in cautions]
    return markdown(lines, ["Warning", "Volumes", "Methods", "Scores"], n_text=3)


def _problem_table(problems: Sequence[Problem]) -> str:
    lines = [
        [
            problem.status, problem.reason, problem.volumes, problem.methods,
            named([_pattern(row) for row in problem.rows], "masks"), str(len(problem.rows)),
        ]
        for problem in problems
    ]  # fmt: skip
    return markdown(lines, ["Status", "Reason", "Volumes", "Methods", "Masks", "Scores missing"], n_text=5)


def _volume_table(rows: Sequence[Row]) -> str:
    """Which file is behind a name, above all where names were numbered, and how much of it was scored."""
    found: dict[tuple[str, ...], list[bool]] = {}
    for row in rows:
        if row["kind"] == "scores":
            coils = str(row.get("n_coils") or "–")
            about = (row["volume"], row["file"], row["sequence"] or "–", coils)
            found.setdefault(about, []).append(row["status"] == "done")
    if len(found) > _MAX_VOLUMES:
        return f"{len(found)} volumes are too many for a page; scores.csv names the file of each."
    lines = [[*about, f"{sum(is_done)} of {len(is_done)}"] for about, is_done in found.items()]
    return markdown(lines, ["Volume", "File", "Sequence", "Coils", "Scored"], n_text=3)


def _tests(tests: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    chosen = [
        line
        for line in tests
        if line["sequence"] == ALL and line["region"] == "unmasked" and line["metric"] in ("psnr", "ssim")
    ]
    if not chosen:
        return
    yield f"## Paired Wilcoxon signed-rank tests (two-sided, unmasked, {ALL}; all of them in wilcoxon.csv)"
    if len(chosen) > _MAX_TESTS:
        yield f"{len(chosen)} pairs are too many for a page."
        return
    yield "p (Holm) is corrected for all pairs of methods with the same mask and metric."
    lines = []
    for line in chosen:
        decimals = _DECIMALS[line["metric"]]
        difference = line["median_difference"]
        lines.append(
            [
                _pattern(line),
                TITLES[line["metric"]],
                f"{line['first']} − {line['second']}",
                str(line["n"]),
                "–" if difference is None else f"{difference:+.{decimals}f}",
                *("–" if line[name] is None else f"{line[name]:.2g}" for name in ("p", "p_holm")),
                line["note"],
            ]
        )
    yield markdown(lines, ["Mask", "Metric", "Pair", "n", "Median difference", "p", "p (Holm)", "Note"], n_text=3)


def _pattern(row: Mapping[str, Any]) -> str:
    return pattern_name(Group(ALL, row["mask"], row.get("acceleration") or 1, row.get("grid") or "", "whole"))
