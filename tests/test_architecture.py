"""The arrows between the packages (docs/design.md), read off the source: a convention only in prose decays."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STANDARD_LIBRARY = set(sys.stdlib_module_names)
TRAINING_ONLY = {"matplotlib", "onnx", "onnxscript", "polars", "torch"}
THE_WEB = {"asyncio", "fastapi", "json", "orjson", "pydantic", "starlette", "uvicorn", "websockets"}
SETTINGS_ARE_READ_IN = {"app/__main__.py"}
ONNXRUNTIME_IS_TOLD_IN = {"app/__init__.py"}  # sets a variable, reads none
HANDSHAKE = ROOT / "app/routes/stream.py"  # the one handler of refusals does not reach a WebSocket that is not open yet


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, by its full name, wherever in the file the import stands."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write the full name"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def forbidden(package: str, *names: str) -> list[str]:
    """Imports in a package of any of the named modules or of what lies below them."""
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if any(name == other or name.startswith(f"{other}.") for other in names)
    ]


@pytest.mark.parametrize("package", ["app", "app/engine", "app/routes", "app/stores", "model", "training"])
def test_every_package_holds_modules(package):
    assert modules(package), "the tests of this file would pass over nothing"


def test_serving_never_imports_training():
    assert forbidden("app", "training", *TRAINING_ONLY) == []


def test_serving_knows_of_the_model_only_the_contract():
    allowed = {"model", "model.contract"}
    others = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules("app")
        for name in imports(path)
        if name.split(".")[0] == "model" and name not in allowed and not name.startswith("model.contract.")
    ]
    assert others == []


def test_training_never_imports_serving():
    assert forbidden("training", "app") == []


def test_the_model_imports_neither():
    assert forbidden("model", "app", "training") == []


def test_the_contract_needs_only_the_standard_library():
    assert [name for name in imports(ROOT / "model/contract.py") if name.split(".")[0] not in STANDARD_LIBRARY] == []


def test_importing_the_model_package_imports_nothing():
    assert tree(ROOT / "model/__init__.py").body == []


def test_the_engine_knows_nothing_of_the_web():
    assert forbidden("app/engine", *THE_WEB, "app.routes", "app.schemas", "app.frames") == []


def test_stores_know_nothing_of_the_engine():
    assert forbidden("app/stores", "app.engine", "app.routes", *THE_WEB) == []


def test_the_demo_is_a_client_of_the_public_interface():
    assert forbidden("app/demo", "app.engine", "app.stores", "app.routes") == []


def test_routes_leave_errors_to_the_one_handler():
    tries = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules("app/routes")
        if path != HANDSHAKE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Try | ast.TryStar)
    ]
    assert tries == []


def test_the_environment_is_read_in_one_place():
    readers = {
        path.relative_to(ROOT).as_posix()
        for path in modules("app")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute | ast.alias)
        and (node.attr if isinstance(node, ast.Attribute) else node.name) in {"environ", "environb", "getenv"}
    }
    assert readers <= SETTINGS_ARE_READ_IN | ONNXRUNTIME_IS_TOLD_IN


@pytest.mark.parametrize("package", ["app", "model", "training"])
def test_every_folder_with_code_is_a_package_that_an_install_carries(package):
    folders = {path.parent for path in modules(package)}
    assert [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()] == []
