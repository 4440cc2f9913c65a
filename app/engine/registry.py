"""The models this process serves, and the bundles it refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.engine.graphs import Provider
from app.engine.runtime import Model, StepGraph, open_model
from app.engine.selftest import self_test
from app.errors import ModelNotFound
from model.contract import VERSION_PATTERN, ContractError


@dataclass(frozen=True, slots=True)
class Served:
    """A model and whether its self-test held bit for bit."""

    model: Model
    bit_exact: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A bundle that is not served, and why."""

    bundle: str
    reason: str


@dataclass(frozen=True, slots=True)
class Models:
    """The models by name and version, each name's versions in ascending order."""

    served: Mapping[str, Mapping[int, Served]] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()

    def __iter__(self) -> Iterator[Served]:
        return (served for versions in self.served.values() for served in versions.values())

    def versions(self, name: str) -> Mapping[int, Served]:
        """All versions of a name; raises ModelNotFound."""
        if name not in self.served:
            raise ModelNotFound(f"no model is named {name!r}; {self._offer()}")
        return self.served[name]

    def find(self, name: str | None = None, version: str | None = None) -> Model:
        """The model asked for: the first name and the highest version where none is given. Raises ModelNotFound."""
        if name is None:
            if not self.served:
                raise ModelNotFound("no model is served; put a bundle into the models directory and restart")
            name = next(iter(self.served))
        versions = self.versions(name)
        number = max(versions) if version is None else _number(version)
        if number not in versions:
            offer = ", ".join(map(str, versions))
            raise ModelNotFound(f"model {name!r} has no version {version!r}; it has {offer}")
        return versions[number].model

    def _offer(self) -> str:
        return f"there is {', '.join(self.served)}" if self.served else "none is served"


def open_models(directory: Path, provider: Provider, step_graph: StepGraph) -> Models:
    """Open every bundle `<name>/<version>` of a directory. A broken one is refused, the rest are served."""
    served: dict[str, dict[int, Served]] = {}
    refused: list[Refused] = []
    for path in _bundles(directory):
        try:
            model = open_model(path, provider, step_graph)
            version = Served(model, bit_exact=self_test(model))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one bundle, the others are served
            reason = str(error) if isinstance(error, ContractError) else f"{type(error).__name__}: {error}"
            refused.append(Refused(f"{path.parent.name}/{path.name}", reason))
        else:
            served.setdefault(path.parent.name, {})[int(path.name)] = version
    return Models(served, tuple(refused))


def _bundles(directory: Path) -> list[Path]:
    found = (path for path in directory.glob("*/*") if path.is_dir() and not path.parent.name.startswith("."))
    return sorted(found, key=lambda path: (path.parent.name, _number(path.name), path.name))


def _number(version: str) -> int:
    """A version as a number; 0, which no version is, for what is none."""
    return int(version) if re.fullmatch(VERSION_PATTERN, version) else 0
