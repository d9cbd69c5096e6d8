"""Check the installation: versions, devices, Qt, weights, plug-ins, disk, optional tools; what is missing or broken.

The exit status is 1 when something essential is missing, or something that was installed is broken."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from app import display
from app.output import table, write_json, write_line
from recon import __version__, programs
from recon.errors import MRIError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

Verdict = Literal["ok", "note", "missing", "broken"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes
    ----------
    section
        Heading that it stands under.
    name
        What was looked at.
    verdict
        ``ok``; ``note`` for what only limits some work; ``missing`` for what is essential; ``broken`` for what is there
        and does not work.
    value
        What was found.
    advice
        What to do; empty when nothing is to be done.
    """

    section: str
    name: str
    verdict: Verdict
    value: str
    advice: str = ""


# Distribution -> what stops working without it; None marks the ones without which nothing works.
_PACKAGES: dict[str, str | None] = {
    "torch": None,
    "numpy": None,
    "h5py": None,
    "PySide6-Essentials": "the window",
    "pyqtgraph": "the window",
    "qtawesome": "the window",
    "pydicom": "DICOM in and out",
    "pynetdicom": "sending to a PACS",
    "matplotlib": "figures",
    "platformdirs": "the window's settings",
    "rich": "the progress bar with colours",
    "lightning": "training",
    "nibabel": "NIfTI",
}

# Shared library -> Debian package, for what Qt loads that pip does not bring.
_DEBIAN = {
    "libEGL.so": "libegl1",
    "libGL.so": "libgl1",
    "libGLX.so": "libgl1",
    "libOpenGL.so": "libopengl0",
    "libglib-2.0.so": "libglib2.0-0",
    "libgthread-2.0.so": "libglib2.0-0",
    "libdbus-1.so": "libdbus-1-3",
    "libfontconfig.so": "libfontconfig1",
    "libfreetype.so": "libfreetype6",
    "libxkbcommon.so": "libxkbcommon0",
    "libxkbcommon-x11.so": "libxkbcommon-x11-0",
    "libxcb-cursor.so": "libxcb-cursor0",
    "libxcb-icccm.so": "libxcb-icccm4",
    "libxcb-image.so": "libxcb-image0",
    "libxcb-keysyms.so": "libxcb-keysyms1",
    "libxcb-randr.so": "libxcb-randr0",
    "libxcb-render-util.so": "libxcb-render-util0",
    "libxcb-shape.so": "libxcb-shape0",
    "libxcb-shm.so": "libxcb-shm0",
    "libxcb-sync.so": "libxcb-sync1",
    "libxcb-xfixes.so": "libxcb-xfixes0",
    "libxcb-xkb.so": "libxcb-xkb1",
    "libxcb.so": "libxcb1",
    "libX11.so": "libx11-6",
    "libX11-xcb.so": "libx11-xcb1",
    "libwayland-client.so": "libwayland-client0",
    "libwayland-cursor.so": "libwayland-cursor0",
}

# A volume of fastMRI with its results; below this an export may fail.
_LOW_DISK_GB = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="write JSON to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Look at everything and report."""
    findings = examine()
    is_healthy = all(finding.verdict in ("ok", "note") for finding in findings)
    if arguments.json:
        write_json({"healthy": is_healthy, "findings": [asdict(finding) for finding in findings]})
    elif not arguments.quiet:
        write_line(as_text(findings))
        write_line("\nReady." if is_healthy else "\nSomething is missing or broken; see the lines marked with ✗.")
    return 0 if is_healthy else 1


def examine() -> list[Finding]:
    """Return everything that was found."""
    return [*_versions(), *_devices(), *_qt(), *_weights(), *_plugins(), *_disk(), *_tools()]


def as_text(findings: list[Finding]) -> str:
    """Return the findings as text under their headings."""
    marks = {"ok": "✓", "note": "·", "missing": "✗", "broken": "✗"}
    lines = []
    for section in dict.fromkeys(finding.section for finding in findings):
        here = [finding for finding in findings if finding.section == section]
        lines += ["", section, table([(marks[f.verdict], f.name, f.value) for f in here], indent="  ")]
        lines += [f"      → {finding.name}: {finding.advice}" for finding in here if finding.advice]
    return "\n".join(lines[1:])


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "mri-workstation", "ok", __version__)
    is_new_enough = sys.version_info >= (3, 11)
    yield Finding(
        "versions",
        "python",
        "ok" if is_new_enough else "broken",
        f"{platform.python_version()} on {platform.platform(terse=True)}",
        "" if is_new_enough else "install Python 3.11 or newer",
    )
    for name, use in _PACKAGES.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            advice = f"pip install {name}" + (f" (for {use})" if use else "")
            yield Finding("versions", name, "note" if use else "missing", "not installed", advice)
            continue
        if name == "PySide6-Essentials" and version.startswith("6.12.") and sys.version_info < (3, 12):
            advice = "this version ends Python 3.11 after some minutes; pip install 'PySide6-Essentials<6.12'"
            yield Finding("versions", name, "broken", version, advice)
        else:
            yield Finding("versions", name, "ok", version)


def _devices() -> Iterator[Finding]:
    yield Finding("devices", "cpu", "ok", f"{_cpu_name()}, {len(_usable_cores())} cores usable")
    if importlib.util.find_spec("torch") is None:
        return
    try:
        import torch

        from recon.device import has_bfloat16_units
    except (ImportError, OSError) as error:
        yield Finding("devices", "torch", "broken", str(error).splitlines()[0], "reinstall it: pip install torch")
        return
    units = has_bfloat16_units(torch.device("cpu"))
    yield Finding(
        "devices",
        "cpu bfloat16",
        "ok" if units else "note",
        "yes" if units else "no: networks run in float32 on the CPU",
    )
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = (size / 2**30 for size in torch.cuda.mem_get_info(index))
            name = torch.cuda.get_device_name(index)
            yield Finding("devices", f"cuda:{index}", "ok", f"{name}, {free:.1f} of {total:.1f} GiB free")
    else:
        why = "this build of torch has no CUDA" if torch.version.cuda is None else "no usable NVIDIA GPU"
        yield Finding("devices", "cuda", "note", f"no ({why})")
    if platform.system() == "Darwin":
        works = torch.backends.mps.is_available()
        yield Finding("devices", "mps", "ok" if works else "note", "yes" if works else "no")


def _usable_cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _cpu_name() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _qt() -> Iterator[Finding]:
    spec = importlib.util.find_spec("PySide6")
    if spec is None or not spec.submodule_search_locations:
        yield Finding("qt", "Qt", "note", "not installed: the sub-commands work, the window does not")
        return
    folder = Path(next(iter(spec.submodule_search_locations)))
    problem = display.problem()
    is_seen = not problem
    chosen = os.environ.get("QT_QPA_PLATFORM")
    value = chosen or ("the desktop's" if is_seen else f"none: {problem}; `demo --reconstruct` works without one")
    yield Finding("qt", "platform", "ok" if is_seen or chosen else "note", value)
    wanted = chosen or ("xcb" if is_seen else "offscreen")
    missing = missing_libraries(folder, wanted)
    if missing:
        packages = sorted({_DEBIAN.get(_base_name(library), library) for library in missing})
        yield Finding(
            "qt",
            "system libraries",
            "missing",
            f"{', '.join(sorted(missing))} not found",
            f"sudo apt-get install {' '.join(packages)}",
        )
        return
    yield Finding("qt", "system libraries", "ok", f"complete for platform {wanted}")
    yield _fonts()


def missing_libraries(folder: Path, qt_platform: str) -> set[str]:
    """Return the shared libraries that Qt needs and the system lacks, as ldd sees them; no Qt is loaded.

    Parameters
    ----------
    folder
        The PySide6 package.
    qt_platform
        Name of the platform plug-in, such as ``offscreen``, ``xcb`` or ``wayland``.
    """
    if platform.system() != "Linux" or shutil.which("ldd") is None:
        return set()
    plugins = folder / "Qt" / "plugins" / "platforms"
    name = qt_platform.split(":")[0]
    files = [*folder.glob("QtWidgets*.so"), *folder.glob("Qt/lib/libQt6Widgets.so.6"), *plugins.glob(f"libq{name}*.so")]
    missing: set[str] = set()
    for file in files:
        done = subprocess.run(["ldd", str(file)], capture_output=True, text=True, timeout=60)
        missing.update(re.findall(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE))
    return missing


def _base_name(library: str) -> str:
    return re.sub(r"\.so.*$", ".so", library)


def _fonts() -> Finding:
    folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".local/share/fonts"]
    if platform.system() != "Linux":
        return Finding("qt", "fonts", "ok", "the system's")
    fonts = [
        path for folder in folders if folder.is_dir() for path in folder.rglob("*") if path.suffix in (".ttf", ".otf")
    ]
    if fonts:
        return Finding("qt", "fonts", "ok", f"{len(fonts)} found")
    return Finding("qt", "fonts", "missing", "none: every letter is a box", "sudo apt-get install fonts-dejavu-core")


def _weights() -> Iterator[Finding]:
    from recon.models.card import RESOURCES
    from recon.weights import load_tensors, read_header, user_folder

    folders = (RESOURCES / "weights", user_folder())
    files = [path for folder in folders for path in sorted(folder.glob("*.safetensors"))]
    if not files:
        advice = "train a model, or `mri-workstation models install FILE`"
        yield Finding("weights", "weights", "note", "none: only methods without training work", advice)
    for path in files:
        try:
            weights = read_header(path)
            load_tensors(weights)
        except MRIError as error:
            problem = str(error).removeprefix(f"{path}: ")
            yield Finding("weights", path.name, "broken", problem, f"replace or delete {path}")
        except ImportError:
            yield Finding("weights", path.name, "note", "not checked: torch is missing")
        else:
            value = f"{weights.preset}, {weights.n_coils} coil(s), hash ok"
            yield Finding("weights", path.name, "ok", value)


def _plugins() -> Iterator[Finding]:
    """Methods of other packages: a card that reads well may lead to a class that is not there, so each is made."""
    from recon import models

    cards = [card for card in models.list_models() if card.source]
    if not cards:
        yield Finding("plug-ins", "plug-ins", "ok", "none installed")
    for card in cards:
        problem = card.problem
        if not problem:
            try:
                models.create(card.name)
            except MRIError as error:
                problem = str(error)
            except ImportError:
                yield Finding("plug-ins", card.name, "note", f"{card.source}, not checked: torch is missing")
                continue
        if problem:
            advice = f"update or uninstall {card.source.partition(' ')[0]}; all other methods work without it"
            yield Finding("plug-ins", card.name, "broken", problem, advice)
        else:
            yield Finding("plug-ins", card.name, "ok", f"{card.source}: {card.title}")


def _disk() -> Iterator[Finding]:
    from app.folders import cache_folder

    for name, folder in (
        ("this folder", Path.cwd()),
        ("cache", cache_folder()),
        ("temporary", Path(tempfile.gettempdir())),
    ):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free_gb = shutil.disk_usage(existing).free / 1e9
        is_low, is_writable = free_gb < _LOW_DISK_GB, os.access(existing, os.W_OK)
        advice = ""
        if not is_writable:
            advice = "write results elsewhere with --out, or change its permissions"
        elif is_low:
            advice = f"free some space: exports may need {_LOW_DISK_GB:g} GB"
        value = f"{folder}: {free_gb:.1f} GB free" + ("" if is_writable else ", not writable")
        yield Finding("disk", name, "note" if advice else "ok", value, advice)


def _tools() -> Iterator[Finding]:
    for name, package, use in (
        ("bart", "bart", "compressed sensing by BART"),
        ("dciodvfy", "dicom3tools", "checking exported DICOM"),
    ):
        path = programs.find(name)
        if path is not None:
            yield Finding("optional tools", name, "ok", str(path))
        elif programs.chosen_folder(name) is not None:
            problem = programs.missing(name, f"apt install {package}", use)
            yield Finding("optional tools", name, "broken", problem)
        else:
            yield Finding("optional tools", name, "note", f"not installed ({use})", f"sudo apt-get install {package}")
