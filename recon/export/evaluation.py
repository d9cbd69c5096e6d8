"""The tables and figures of an evaluation.

==========================  ==========================================================================================
``scores.csv``              each volume and each slice, unmasked and masked, or the reason why there is no score
``summary.csv``, ``.md``    as the papers' tables: methods by sequence, PSNR and SSIM at each acceleration, mean ± SD
``wilcoxon.csv``            paired tests of every two methods: ``p``, and ``p_holm`` corrected for the number of pairs
``frequency_bands.csv``     PSNR and SSIM of low and of high frequencies
``boxplot_METRIC.png``      the volumes behind the means; ``boxplot_bands.png`` those of the bands
``coil_compression.csv``    the compressed reference against the uncompressed one (with a coil study)
``timing.csv``              seconds and peak memory of each volume
``models.csv``              seconds and peak memory of each method on each number of coils
==========================  ==========================================================================================

All but the last two are the same, byte by byte, whichever and however many processes made the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recon import frequency_bands, statistics
from recon.evaluation import as_text
from recon.export import box_plot
from recon.export.table import write_csv
from recon.statistics import ALL, METRICS, REGIONS, Group, Samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from recon.evaluation import Evaluation

    Row = Mapping[str, Any]

# What the files of an evaluation call the regions of the image.
REGION_NAMES = {"whole": "unmasked", "masked": "masked"}
TITLES = {"psnr": "PSNR (dB)", "ssim": "SSIM", "nmse": "NMSE", "hfen": "HFEN"}

_NAMES = (
    *("volume", "file", "sequence", "method", "model", "mask", "acceleration", "center_fraction", "seed", "coils"),
    "grid",
)
_SCORES = (
    *("level", "slice", *_NAMES, *METRICS),
    *(f"{metric}_masked" for metric in METRICS),
    *("n_slices", "effective_acceleration", "n_coils", "n_virtual_coils", "parameters", "parameter_origins"),
    *("simulated", "status", "reason"),
)
_BANDS = ("level", "slice", *_NAMES, "band", "shape", "radius", "psnr", "ssim")
_WILCOXON = (
    *("sequence", "mask", "acceleration", "grid", "region", "metric", "paired_by", "first", "second"),
    *("n", "n_zero", "median_difference", "statistic", "p", "p_holm", "note"),
)
_COMPRESSION = (
    *("volume", "sequence", "n_coils", "n_virtual_coils", "grid", "psnr", "ssim", "psnr_masked", "ssim_masked"),
    *("status", "reason"),
)
_TIMING = (*_NAMES, "n_slices", "seconds", "seconds_per_slice", "peak_memory_gb", "device", "precision")
_MODELS = (
    *("method", "model", "n_virtual_coils", "n_parameters", "weights_sha256", "device", "precision", "n_volumes"),
    *("n_slices", "seconds_per_slice", "peak_memory_gb"),
)


def write(folder: Path, evaluation: Evaluation, rows: Sequence[Row]) -> list[Path]:
    """Write every table and figure; where nothing was scored, the reasons alone.

    Parameters
    ----------
    folder
        Made where it is not there.
    evaluation
        What was asked for.
    rows
        What is done, in the order of the plan.

    Raises
    ------
    ExportError
        If the disk or the folder does not let it be written; older files stay whole.
    """
    from recon.export.evaluation_summary import write_summary

    scored = [row for row in rows if row["kind"] == "scores"]
    tests = wilcoxon_lines(scored, evaluation)
    tables: list[tuple[str, Iterable[Row], Sequence[str]]] = [
        ("scores.csv", _score_lines(scored), _SCORES),
        ("frequency_bands.csv", _band_lines(scored, evaluation), _BANDS),
        ("timing.csv", _timing_lines(scored), _TIMING),
        ("models.csv", model_lines(scored), _MODELS),
        ("wilcoxon.csv", tests, _WILCOXON),
    ]
    if evaluation.coil_study:
        tables.append(("coil_compression.csv", _compression_lines(rows), _COMPRESSION))
    keep_empty = any(row["status"] == "done" for row in rows)
    written = []
    for name, lines, columns in tables:
        written += write_csv(folder / name, lines, columns, keep_empty=keep_empty)
    written += write_summary(folder, evaluation, rows, tests)
    written += _draw(folder, scored)
    return written


def methods_in_order(rows: Sequence[Row]) -> list[str]:
    """Return the methods of an evaluation in the order in which they were asked for."""
    return list(dict.fromkeys(row["method"] for row in rows if row["kind"] == "scores"))


def groups(rows: Sequence[Row], metric: str, by: str = "volume") -> dict[Group, dict[str, Samples]]:
    """Return the samples of each method in each group: sequences by name and All last, methods as they were asked for.

    One sequence alone is the same as All, and comes once.
    """
    order = methods_in_order(rows)
    found = statistics.collect_samples(rows, metric, by)
    n_sequences = len({group.sequence for group in found} - {ALL})
    patterns = list(dict.fromkeys((row["mask"], row["acceleration"]) for row in rows))

    def place(group: Group) -> tuple[Any, ...]:
        region = REGIONS.index(group.region)
        pattern = patterns.index((group.mask, group.acceleration))
        return region, group.grid, pattern, group.sequence == ALL, group.sequence

    return {
        group: {method: found[group][method] for method in order if method in found[group]}
        for group in sorted(found, key=place)
        if n_sequences > 1 or group.sequence == ALL
    }


# ---- lines of the files -------------------------------------------------------------------------------------------


def _score_lines(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for row in rows:
        line = {name: row.get(name) for name in _SCORES} | {"level": "volume", "slice": None}
        line["parameters"], line["parameter_origins"] = parameter_cells(row)
        if row["status"] != "done":
            yield line
            continue
        reason = f"not masked: {row['masked_reason']}" if row["masked_reason"] else ""
        line |= {"n_slices": len(row["slices"]), "reason": reason}
        yield line | _cells(row, None)
        for position, index in enumerate(row["slices"]):
            yield line | {"level": "slice", "slice": index} | _cells(row, position)


def parameter_cells(row: Row) -> tuple[str, str]:
    """Return the values that a method ran with beside its weights, and where those not of the preset are from.

    λ is chosen for each scan, so a method's name does not tell it.
    """
    values, origins = row.get("parameters", {}), row.get("parameter_origins", {})
    return (
        ", ".join(f"{name.rstrip('_')}={as_text(value)}" for name, value in values.items()),
        "; ".join(f"{name.rstrip('_')}: {origin}" for name, origin in origins.items()),
    )


def _cells(row: Row, position: int | None) -> dict[str, Any]:
    """The scores of the volume, or of the slice at a position."""
    cells = {}
    for region, ending in (("whole", ""), ("masked", "_masked")):
        for metric in METRICS:
            cells[metric + ending] = _value(row[region], metric, position)
    return cells


def _value(scores: Mapping[str, Any] | None, metric: str, position: int | None) -> float | None:
    if scores is None:
        return None
    value: float = scores[metric]["volume"] if position is None else scores[metric]["slices"][position]
    return value


def _band_lines(rows: Sequence[Row], evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    about = {"shape": evaluation.band_shape, "radius": evaluation.band_radius}
    for row in rows:
        if row["status"] != "done":
            continue
        names = {name: row.get(name) for name in _NAMES} | about
        for band in frequency_bands.BANDS:
            for position, index in [(None, None), *enumerate(row["slices"])]:
                scores = {metric: _value(row["bands"][band], metric, position) for metric in ("psnr", "ssim")}
                level = "volume" if position is None else "slice"
                yield names | {"level": level, "slice": index, "band": band} | scores


def wilcoxon_lines(rows: Sequence[Row], evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the paired test of every two methods, in every group and metric.

    ``p`` is that of the pair alone; ``p_holm`` is corrected (`recon.statistics.holm`) for all pairs of methods in the
    same group (sequence, mask, acceleration, grid, region) and metric. It does not correct for groups and metrics.
    """
    lines = []
    for metric in METRICS:
        for group, samples in groups(rows, metric, evaluation.pair_by).items():
            about = _about(group) | {"metric": metric, "paired_by": evaluation.pair_by}
            for first, second, result in statistics.compare_all(samples):
                lines.append(
                    about
                    | {"first": first, "second": second, "n": result.n, "n_zero": result.n_zero}
                    | {"median_difference": result.median_difference, "statistic": result.statistic}
                    | {"p": result.p, "p_holm": result.p_holm, "note": result.note}
                )
    return lines


def _about(group: Group) -> dict[str, Any]:
    return {
        "sequence": group.sequence,
        "mask": group.mask,
        "acceleration": group.acceleration,
        "grid": group.grid,
        "region": REGION_NAMES[group.region],
    }


def _compression_lines(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row["kind"] != "compression":
            continue
        line = {name: row.get(name) for name in _COMPRESSION} | {"n_virtual_coils": row["coils"]}
        if row["status"] == "done":
            line |= {name: value for name, value in _cells(row, None).items() if name in _COMPRESSION}
        yield line


def _timing_lines(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row["status"] == "done":
            n_slices = len(row["slices"])
            more = {"n_slices": n_slices, "seconds_per_slice": row["seconds"] / n_slices}
            yield {name: row.get(name) for name in _TIMING} | more


def model_lines(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return what each method costs: the median of the seconds of a slice, and the largest peak of memory."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    same = ("method", "model", "n_virtual_coils", "n_parameters", "weights_sha256", "device", "precision")
    for row in rows:
        if row["status"] == "done":
            found.setdefault(tuple(row[name] for name in same), []).append(row)
    lines = []
    for names, members in found.items():
        seconds = statistics.spread([row["seconds"] / len(row["slices"]) for row in members]).median
        memory = [row["peak_memory_gb"] for row in members if row["peak_memory_gb"] is not None]
        lines.append(
            dict(zip(same, names, strict=True))
            | {"n_volumes": len({row["volume"] for row in members})}
            | {"n_slices": sum(len(row["slices"]) for row in members)}
            | {"seconds_per_slice": seconds, "peak_memory_gb": max(memory, default=None)}
        )
    return lines


def costs(rows: Sequence[Row]) -> dict[str, tuple[float, float | None]]:
    """Return each method's seconds a slice, over all its slices whatever their coils, and its largest peak in GiB."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] == "done":
            found.setdefault(row["method"], []).append(row)
    return {
        method: (
            sum(row["seconds"] for row in members) / sum(len(row["slices"]) for row in members),
            max((row["peak_memory_gb"] for row in members if row["peak_memory_gb"] is not None), default=None),
        )
        for method, members in found.items()
    }


# ---- figures ------------------------------------------------------------------------------------------------------


def _draw(folder: Path, rows: Sequence[Row]) -> list[Path]:
    """Draw what there is; a metric that was never scored has no figure, and an older one goes."""
    written = []
    for metric, title in TITLES.items():
        panels: dict[str, list[box_plot.Panel]] = {}
        for group, samples in groups(rows, metric).items():
            if group.sequence == ALL:
                label = f"{title}, {REGION_NAMES[group.region]}, {group.grid} grid"
                scores = {method: list(values.values()) for method, values in samples.items()}
                panels.setdefault(label, []).append(box_plot.Panel(pattern_name(group), scores))
        written += _plot(folder / f"boxplot_{metric}.png", panels, f"{title} of volumes")
    bands: dict[str, list[box_plot.Panel]] = {}
    for band in frequency_bands.BANDS:
        for metric in ("psnr", "ssim"):
            of_band = [_as_whole(row, band) for row in rows if row["status"] == "done"]
            for group, samples in groups(of_band, metric).items():
                if group.sequence == ALL:
                    label = f"{TITLES[metric]}, {band} frequencies, {group.grid} grid"
                    scores = {method: list(values.values()) for method, values in samples.items()}
                    bands.setdefault(label, []).append(box_plot.Panel(pattern_name(group), scores))
    return written + _plot(folder / "boxplot_bands.png", bands, "Low and high spatial frequencies")


def _as_whole(row: Row, band: str) -> dict[str, Any]:
    return dict(row) | {"whole": row["bands"][band], "masked": None}


def band_groups(rows: Sequence[Row], band: str, metric: str) -> dict[Group, dict[str, Samples]]:
    """Return the samples of each method in each group for one frequency band."""
    return groups([_as_whole(row, band) for row in rows if row["status"] == "done"], metric)


def pattern_name(group: Group) -> str:
    """Return mask and acceleration as a reader wants them, such as ``random 4x``."""
    if group.mask == "none" or group.mask.startswith("mask "):
        return "fully sampled" if group.mask == "none" else group.mask
    return f"{group.mask} {group.acceleration:g}x"


def _plot(path: Path, panels: Mapping[str, Sequence[box_plot.Panel]], title: str) -> list[Path]:
    if not panels:
        path.unlink(missing_ok=True)
        return []
    return [box_plot.write(path, panels, title)]
