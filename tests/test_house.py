"""The house itself: layout, packaging, pinned versions, and what an import may pull in."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import jaxtyping
import pytest
import torch
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pathspec import GitIgnoreSpec

import recon
import resources
from recon.fourier import fft2c

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("app", "recon", "resources", "training")
TOP_LEVEL = {
    *PACKAGES,
    "tests",
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "constraints.txt",
    "pyproject.toml",
}
MAX_FILE_BYTES = 8_000_000


def project_files() -> list[str]:
    """List what belongs to the project, also in a checkout without git."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        # The checkout may belong to someone else than who runs the tests.
        command = [git, "-c", "safe.directory=*", "ls-files", "-z"]
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [path for path in listing.split("\0") if path and (ROOT / path).exists()]
    ignored = GitIgnoreSpec.from_lines((ROOT / ".gitignore").read_text().splitlines())
    return [str(path) for path in ignored.match_tree_files(ROOT, negate=True)]


def test_top_level_holds_exactly_what_it_should() -> None:
    assert {Path(path).parts[0] for path in project_files()} == TOP_LEVEL


def test_no_file_is_too_large_for_every_clone() -> None:
    large = {path: size for path in project_files() if (size := (ROOT / path).stat().st_size) > MAX_FILE_BYTES}
    assert not large


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    # In two halves, so that this file does not hold what it looks for.
    folders = re.compile("|".join("/" + rest for rest in ("work/", "farm/", "tmp/" + "studio", "opt/" + "wheels")))
    found = []
    for path in project_files():
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path}: {match.group()}" for match in folders.finditer(text)]
    assert not found


def test_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert importlib.metadata.version("mri-workstation") == recon.__version__


def test_every_requirement_is_pinned_at_the_version_that_is_installed() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {}
    for line in lines:
        name, separator, version = line.partition("==")
        assert separator and Version(version).local is None, f"{line}: expected name==version without a build tag"
        pinned[canonicalize_name(name)] = Version(version)
    wrong = []
    for name in sorted(requirements("mri-workstation", "dev")):
        installed = Version(importlib.metadata.version(name))
        if pinned.get(name) != Version(installed.public):
            wrong.append(f"{name}=={installed.public}")
    assert not wrong, "constraints.txt lacks these lines"


def requirements(name: str, *extras: str) -> set[str]:
    """Return the distributions that a distribution and its extras need here, itself left out."""
    found: set[str] = set()
    pending = [(name, extra) for extra in ("", *extras)]
    seen = set(pending)
    while pending:
        parent, extra = pending.pop()
        for line in importlib.metadata.requires(parent) or ():
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            child = canonicalize_name(requirement.name)
            # The GPU build of torch pins its own libraries, and no other build has them.
            if child.startswith(("nvidia-", "cuda-", "triton")):
                continue
            found.add(child)
            new = {(child, wanted) for wanted in ("", *requirement.extras)} - seen
            seen |= new
            pending += new
    return found - {canonicalize_name(name)}


def test_every_import_is_declared() -> None:
    declared = {
        canonicalize_name(Requirement(line).name) for line in importlib.metadata.requires("mri-workstation") or ()
    }
    # Qt's bindings come in two distributions of one version.
    declared |= {"shiboken6"} if "pyside6-essentials" in declared else set()
    homes = importlib.metadata.packages_distributions()
    undeclared = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for name in imported(path) - sys.stdlib_module_names - set(PACKAGES):
                if not declared & {canonicalize_name(home) for home in homes.get(name, [name])}:
                    undeclared.add(f"{path.relative_to(ROOT)}: {name}")
    assert not undeclared


def imported(path: Path) -> set[str]:
    """Return the top-level names that a Python file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_shapes_in_signatures_are_checked() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        fft2c(torch.zeros(8, dtype=torch.complex64))


def test_resources_are_found_beside_the_code() -> None:
    assert resources.__file__ is not None
    assert Path(resources.__file__).parent == ROOT / "resources"


def test_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    builder = WheelBuilder(str(ROOT))
    (wheel,) = builder.build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert {path for path in project_files() if path.startswith(tuple(f"{name}/" for name in PACKAGES))} <= packed
    (entry_points,) = (name for name in packed if name.endswith("entry_points.txt"))
    with zipfile.ZipFile(wheel) as archive:
        assert "mri-workstation = app.cli:main" in archive.read(entry_points).decode()


@pytest.mark.parametrize("module", ["recon", "app.cli", "app.session", "app.main_window"])
def test_importing_does_not_load_torch(module: str) -> None:
    """The window has to be on the screen long before torch is."""
    assert "torch" not in loaded_by(module)


@pytest.mark.parametrize("module", ["recon", "app.cli"])
def test_importing_does_not_load_qt(module: str) -> None:
    """The command line works where Qt does not."""
    assert "PySide6" not in loaded_by(module)


def loaded_by(module: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after importing one."""
    script = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())
