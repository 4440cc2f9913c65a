"""A trained forecaster as a bundle: four ONNX graphs and their description, written only if three computations agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from model import contract
from model.contract import Bundle
from model.ensemble import AnyForecaster
from model.graph import Graph, Node
from model.ops import choose
from model.parity import check_parity
from model.serving import Serving


def export(
    forecaster: AnyForecaster, directory: Path, *, name: str, version: str, created_at: str, training: Mapping[str, Any]
) -> Bundle:
    """Write the graphs and `bundle.json` of a forecaster into an existing directory and return what the latter says.

    The same weights give the same bytes. Raises ParityError, and writes no `bundle.json`, when torch, numpy and onnxruntime
    disagree.
    """
    serving = Serving(forecaster.eval())
    a = forecaster.architecture
    fields: dict[str, Any] = {
        "name": name,
        "version": version,
        "created_at": created_at,
        "frequency": a.frequency,
        "horizon": a.horizon,
        "quantiles": a.quantiles,
        "channels": a.channels,
        "covariates": a.covariates,
        "cell": a.cell,
        "layers": a.layers * len(serving.weights),
        "units": a.units,
        "parameters": sum(parameter.numel() for parameter in forecaster.parameters()),
        "seasons": a.seasons,
        "state_size": serving.size,
        "state": serving.layout,
        "calibration": serving.bands.described if serving.bands else None,
        "training": training,
    }
    draft = Bundle(**fields, checksums={})
    for graph in contract.GRAPHS:
        (directory / f"{graph}.onnx").write_bytes(
            write_graph(serving, draft, graph).SerializeToString(deterministic=True)
        )
    check_parity(forecaster, serving, draft, directory)
    checksums = {f"{graph}.onnx": contract.checksum(directory / f"{graph}.onnx") for graph in contract.GRAPHS}
    text = Bundle(**fields, checksums=checksums).to_json()
    (directory / contract.METADATA_FILE).write_text(text, encoding="utf-8")
    return Bundle.from_json(text)


def write_graph(serving: Serving, bundle: Bundle, name: str) -> onnx.ModelProto:
    """One graph of the contract."""
    graph = Graph(name)
    inputs = {tensor.name: graph.input(tensor.name, tensor.dtype, tensor.axes) for tensor in bundle.inputs(name)}
    if name == "encoder":
        outputs = _encoder(serving, inputs)
    elif name == "decoder":
        outputs = [serving.decode(inputs["state"], inputs["time"], inputs.get("future_covariates"))]
    else:
        function = {"step": serving.step, "explain": serving.explain}[name]
        outputs = list(function(inputs["values"], inputs["time"], inputs.get("covariates"), inputs["state"]))
    tensors = bundle.outputs(name)
    return graph.model({t.name: (node, t.dtype, t.axes) for t, node in zip(tensors, outputs, strict=True)})


def _encoder(serving: Serving, inputs: Mapping[str, Node]) -> list[Node]:
    """The encoder, which has a way of its own for single steps: half the operators of that for sequences, and the same bits."""

    def way(function: Callable[..., Any]) -> Callable[[Graph], list[Node]]:
        def write(graph: Graph) -> list[Node]:
            seen = {name: Node(graph, node.name) for name, node in inputs.items()}
            return list(function(seen["values"], seen["time"], seen.get("covariates"), seen["state"]))

        return write

    steps = inputs["time"].graph.emit("Shape", inputs["time"], start=1)
    is_one = inputs["time"].graph.emit("Equal", steps, np.array([1]))
    return choose(is_one, way(serving.encode_one), way(serving.encode))
