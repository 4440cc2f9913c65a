"""An install that serves: no torch in it, nothing started by importing it, and every release in it locked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from app.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, PACKAGE_DATA = SETUP["project"], SETUP["tool"]["setuptools"]["package-data"]

WITHOUT = """
import importlib, sys, threading

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""
IMPORT = """
for name in {names!r}:
    importlib.import_module(name)
print(threading.active_count())
"""


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)


def import_without(blocked: set[str], *names: str) -> subprocess.CompletedProcess[str]:
    return run_python((WITHOUT + IMPORT).format(blocked=blocked, names=names))


def name_of(requirement: str) -> str:
    """The normalised name at the start of a requirement (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]).lower()


def locked() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name_of(name): version for name, version in pairs}


def requirements_of(*extras: str) -> set[str]:
    """The names of all distributions that tidegate, with some extras, brings to this machine."""
    found: set[str] = set()
    waiting = [("tidegate", ("", *extras))]
    while waiting:
        name, wanted = waiting.pop()
        for line in metadata.requires(name) or []:
            needed = Requirement(line)
            applies = needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in wanted)
            if applies and name_of(needed.name) not in found:
                found.add(name_of(needed.name))
                waiting.append((needed.name, ("", *needed.extras)))
    return found


def test_serving_imports_where_nothing_of_training_is_installed():
    result = import_without({"matplotlib", "onnx", "onnxscript", "polars", "torch"}, "app.main", "app.__main__")
    assert result.returncode == 0, result.stderr


def test_the_block_of_that_test_blocks():
    result = import_without({"numpy"}, "app.main")
    assert "No module named 'numpy'" in result.stderr


def test_training_says_what_is_missing_where_only_serving_is_installed():
    fit = "from training.__main__ import main; sys.exit(main(['fit', '--data', 'history.csv', '--target', 'load', '--horizon', '6']))"
    result = run_python(WITHOUT.format(blocked={"polars", "torch"}) + fit)
    assert result.returncode == 1
    assert re.fullmatch(r"python -m training: polars is not installed; .*pip install .*\.\[train\]'\n", result.stderr)


def test_importing_the_service_starts_and_says_nothing():
    result = import_without(set(), "app.main", "app.__main__")
    assert (result.stdout, result.stderr) == ("1\n", "")


@pytest.mark.parametrize("program", ["import app.main", "import training.graphs"])
def test_onnxruntime_reports_to_nobody_and_keeps_nothing_in_the_home_directory(program, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment["HOME"] = str(tmp_path)
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)
    assert list(tmp_path.rglob("*onnxruntime*")) == []


def test_the_base_install_brings_no_torch():
    brought = requirements_of()
    assert "onnxruntime" in brought
    assert brought & {"torch", "onnx", "polars", "matplotlib"} == set()


def test_the_lock_names_every_distribution_that_an_install_brings():
    assert requirements_of("train", "dev") - set(locked()) == set()


@pytest.mark.parametrize("requirement", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["train"])
def test_a_release_that_may_break_us_is_kept_out(requirement):
    assert re.search(r">=[\d.]+,<\d+", requirement), f"{requirement} wants a lower and an upper bound"


@pytest.mark.parametrize("package", ["app", "model", "training"])
def test_an_install_carries_what_is_not_code(package):
    patterns = PACKAGE_DATA.get(package, [])
    others = [path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert [path for path in others if not any(path.match(f"{package}/{pattern}") for pattern in patterns)] == []


def test_the_changelog_names_this_version():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert PROJECT["version"] in headings


def test_the_container_carries_what_an_install_needs():
    """A list of what is let in rots silently: a new package would be missing from the image only."""
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] == "!"}
    copied = set(re.findall(r"[\w.]+", " ".join(re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile(), re.MULTILINE))))
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages | {"models"} <= copied
    assert copied == let_in


def test_the_container_runs_without_rights_and_answers_health_checks():
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", dockerfile(), re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["', dockerfile(), re.MULTILINE)
    assert "/health/ready" in dockerfile()


def test_the_containers_name_settings_that_there_are():
    files = dockerfile() + (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    named = set(re.findall(rf"\b{PREFIX}(\w+)", files))
    assert {"HOST", "PORT", "MODELS"} <= named
    assert {name.lower() for name in named} - set(Settings.model_fields) == set()


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")
