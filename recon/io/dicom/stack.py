"""Frames that make one volume: found by series, direction, echo and place, and put in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from recon.io.dicom.frame import Frame

# Two planes at one place: closer than any two slices of a scan.
_SAME_PLACE_MM = 0.01
# Directions of one stack may differ by rounding; a localizer's planes differ by far more.
_SAME_DIRECTION = 0.005
MAX_VOLUMES = 64
"""So many volumes of one series are opened: more would bury the rest of a study."""


@dataclass(frozen=True)
class Stack:
    """Frames of one volume in slice order, or the reason why they are none."""

    frames: tuple[Frame, ...]
    label: str = ""
    reason: str | None = None


def stacks_of(frames: Sequence[Frame]) -> list[Stack]:
    """Split by series, image size and direction; by echo and image type only where images would share a place."""
    found: list[Stack] = []
    by_series: dict[str, list[Frame]] = {}
    for frame in frames:
        by_series.setdefault(frame.series_uid, []).append(frame)
    for members in by_series.values():
        by_plane: dict[tuple[tuple[int, int], int], list[Frame]] = {}
        directions: list[tuple[float, ...]] = []
        for frame in members:
            by_plane.setdefault((frame.size, _direction(frame, directions)), []).append(frame)
        n_directions = len({plane for _, plane in by_plane})
        n_sizes = len({size for size, _ in by_plane})
        for (size, _), group in by_plane.items():
            label = _plane_name(group[0]) if n_directions > 1 else ""
            label = " ".join(part for part in (label, f"{size[0]} × {size[1]}" if n_sizes > 1 else "") if part)
            found += _volumes(group, label)
    return found


def _direction(frame: Frame, known: list[tuple[float, ...]]) -> int:
    """Number of the frame's direction among those known; -1 for a frame without one."""
    if frame.orientation is None or frame.position_mm is None:
        return -1
    for index, direction in enumerate(known):
        if max(abs(a - b) for a, b in zip(direction, frame.orientation, strict=True)) < _SAME_DIRECTION:
            return index
    known.append(frame.orientation)
    return len(known) - 1


def _plane_name(frame: Frame) -> str:
    if frame.orientation is None:
        return "without position"
    return ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(normal_of(frame.orientation))))]


def normal_of(orientation: Sequence[float]) -> NDArray[np.float64]:
    """Return the direction in which slices are stacked."""
    return np.cross(orientation[:3], orientation[3:])


# What tells the volumes of one series apart, in the order in which it is tried.
_DIFFERENCES: tuple[tuple[Callable[[Frame], object], Callable[[Frame], str]], ...] = (
    (
        lambda frame: None if frame.echo_time_ms is None else round(frame.echo_time_ms, 3),
        lambda frame: f"TE {frame.echo_time_ms:g} ms" if frame.echo_time_ms is not None else "no TE",
    ),
    (lambda frame: frame.image_type, lambda frame: " ".join(frame.image_type[2:]) or "other image type"),
    (
        lambda frame: frame.inversion_time_ms,
        lambda frame: f"TI {frame.inversion_time_ms:g} ms" if frame.inversion_time_ms is not None else "no TI",
    ),
    (
        lambda frame: frame.flip_angle_deg,
        lambda frame: f"flip angle {frame.flip_angle_deg:g}°" if frame.flip_angle_deg is not None else "no flip angle",
    ),
)


def _volumes(frames: list[Frame], label: str, tried: int = 0) -> list[Stack]:
    """Sort frames by place; where several share a place, split them by the next difference that tells them apart."""
    places = _places(frames)
    crowd = max(len(place) for place in places)
    if crowd == 1:
        return [Stack(tuple(place[0] for place in places), label)]
    for attempt in range(tried, len(_DIFFERENCES)):
        key, name = _DIFFERENCES[attempt]
        if all(len({key(frame) for frame in place}) == 1 for place in places):
            continue
        groups: dict[object, list[Frame]] = {}
        for frame in frames:
            groups.setdefault(key(frame), []).append(frame)
        result: list[Stack] = []
        for group in groups.values():
            result += _volumes(group, " ".join(part for part in (label, name(group[0])) if part), attempt + 1)
        return result
    return _repeated(places, label)


def _places(frames: list[Frame]) -> list[list[Frame]]:
    """Frames grouped by place, in order along the normal; frames without a place in the order of the instances."""
    orientation = frames[0].orientation
    if orientation is None or frames[0].position_mm is None:
        return [[frame] for frame in sorted(frames, key=_order)]
    normal = normal_of(orientation)

    def distance(frame: Frame) -> float:
        return float(normal @ np.array(frame.position_mm))

    # Equal distances at different places in the plane are slabs side by side, so the place decides, not the distance.
    ordered = sorted(frames, key=lambda frame: (round(distance(frame), 4), *_order(frame)))
    places: list[list[Frame]] = []
    for frame in ordered:
        here = np.array(frame.position_mm)
        for place in reversed(places[-8:]):
            if float(np.abs(here - np.array(place[0].position_mm)).max()) < _SAME_PLACE_MM:
                place.append(frame)
                break
        else:
            places.append([frame])
    return places


def _order(frame: Frame) -> tuple[int, int, int]:
    """In which order images were taken, as far as their numbers tell."""
    return frame.instance_number, frame.number or 0, frame.tile or 0


def _repeated(places: list[list[Frame]], label: str) -> list[Stack]:
    """The volumes of a time, diffusion or cine series: at each place the first frame, the second, and so on."""
    crowd = max(len(place) for place in places)
    frames = [frame for place in places for frame in place]
    stopped: list[Stack] = []
    if (least := min(len(place) for place in places)) < crowd:
        volumes, rest = _whole_volumes(places)
        if not volumes:
            reason = (
                f"is a series of volumes with images missing: of some slices there are {least}, of others {crowd}, and "
                "which belong together is unknown. Export it again as a whole"
            )
            return [Stack(tuple(frames), label, reason)]
        reason = f"is a series of volumes whose last one has {len(rest)} of {len(places)} images; it is left out"
        stopped = [Stack(rest, label, reason)]
    else:
        volumes = list(zip(*places, strict=True))
    crowd = len(volumes)
    width = len(str(crowd))
    found = [
        Stack(volume, " ".join(filter(None, (label, f"volume {number:0{width}d} of {crowd}", _moment(volume, frames)))))
        for number, volume in enumerate(volumes[:MAX_VOLUMES], 1)
    ]
    if crowd > MAX_VOLUMES:
        rest = tuple(frame for volume in volumes[MAX_VOLUMES:] for frame in volume)
        reason = (
            f"has {crowd} volumes, of which the first {MAX_VOLUMES} are opened; copy others to a folder of their own"
        )
        found.append(Stack(rest, label, reason))
    return found + stopped


def _whole_volumes(places: list[list[Frame]]) -> tuple[list[tuple[Frame, ...]], tuple[Frame, ...]]:
    """The whole volumes of a series that was stopped, and what there is of its last one.

    None where the order of the images does not show one volume after the other, each with all slices but the last.
    """
    members = [(_order(frame), place, frame) for place, frames in enumerate(places) for frame in frames]
    members.sort(key=lambda one: one[:2])
    n_slices, n_whole = len(places), len(members) // len(places)
    chunks = [members[n_slices * number : n_slices * (number + 1)] for number in range(n_whole + 1)]
    seen = [sorted(place for _, place, _ in chunk) for chunk in chunks]
    is_known = len({order for order, _, _ in members}) == len(members)
    is_known &= all(one == list(range(n_slices)) for one in seen[:-1]) and len(set(seen[-1])) == len(seen[-1])
    if not is_known:
        return [], ()
    whole = [tuple(frame for _, _, frame in sorted(chunk, key=lambda one: one[1])) for chunk in chunks[:-1]]
    return whole, tuple(frame for _, _, frame in chunks[-1])


def _moment(volume: tuple[Frame, ...], frames: list[Frame]) -> str:
    """What tells a volume from the others of its series, besides its number; empty where nothing does."""
    if len({frame.b_value for frame in frames}) > 1 and len({frame.b_value for frame in volume}) == 1:
        return "" if volume[0].b_value is None else f"b {volume[0].b_value:g}"
    if len({frame.trigger_time_ms for frame in frames}) > 1 and len({frame.trigger_time_ms for frame in volume}) == 1:
        return "" if volume[0].trigger_time_ms is None else f"{volume[0].trigger_time_ms:g} ms"
    return ""
