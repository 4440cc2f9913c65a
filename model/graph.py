"""An ONNX graph being written, operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
DTYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


class Graph:
    """An ONNX graph being written. Equal constants are stored once, and equal operators computed once."""

    def __init__(self, name: str, prefix: str = "") -> None:
        self.name, self.prefix = name, prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self.made: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
        self.inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, dtype: str, axes: Sequence[str | int] | None) -> Node:
        self.inputs.append(helper.make_tensor_value_info(name, DTYPES[dtype], axes))
        return Node(self, name)

    def constant(self, value: Any) -> str:
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(
                np.ascontiguousarray(array), f"{self.prefix}c{len(self.constants)}"
            )
        return self.constants[key].name

    def emit(self, operator: str, *operands: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator; operands are nodes, arrays or None for an input left out."""
        names = [
            "" if operand is None else operand.name if isinstance(operand, Node) else self.constant(operand)
            for operand in operands
        ]
        key = (operator, tuple(names), str(sorted(attributes.items())))
        if key not in self.made:
            made = [f"{self.prefix}v{len(self.nodes)}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
            self.nodes.append(helper.make_node(operator, names, made, **attributes))
            self.made[key] = made
        nodes = [Node(self, name) for name in self.made[key]]
        return nodes[0] if outputs == 1 else nodes

    def inner(self, outputs: Sequence[Node]) -> onnx.GraphProto:
        """The finished graph, as a part of another."""
        infos = [helper.make_tensor_value_info(node.name, TensorProto.FLOAT, None) for node in outputs]
        nodes, constants = self._needed({node.name for node in outputs})
        return helper.make_graph(nodes, self.name, self.inputs, infos, constants)

    def model(self, outputs: dict[str, tuple[Node, str, Sequence[str | int]]]) -> onnx.ModelProto:
        """The finished model; outputs by name: node, element type and axes."""
        named = [helper.make_node("Identity", [node.name], [name]) for name, (node, _, _) in outputs.items()]
        nodes, constants = self._needed({node.name for node, _, _ in outputs.values()})
        infos = [helper.make_tensor_value_info(name, DTYPES[dtype], axes) for name, (_, dtype, axes) in outputs.items()]
        graph = helper.make_graph([*nodes, *named], self.name, self.inputs, infos, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="tidegate")
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        return model

    def _needed(self, names: set[str]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The operators and constants that these values depend on: onnxruntime also computes what nobody asks for."""
        nodes = []
        for node in reversed(self.nodes):
            if names.intersection(node.output):
                nodes.append(node)
                names |= {*node.input}
        return nodes[::-1], [constant for constant in self.constants.values() if constant.name in names]


class Node:
    """A value of a graph being written; arithmetic on it adds operators."""

    __array_ufunc__ = None  # numpy arrays on the left hand the operation to us

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name

    def __add__(self, other: Any) -> Node:
        return self._emit("Add", self, other)

    def __radd__(self, other: Any) -> Node:
        return self._emit("Add", other, self)

    def __sub__(self, other: Any) -> Node:
        return self._emit("Sub", self, other)

    def __rsub__(self, other: Any) -> Node:
        return self._emit("Sub", other, self)

    def __mul__(self, other: Any) -> Node:
        return self._emit("Mul", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Node:
        return self._emit("Div", self, other)

    def __matmul__(self, other: Any) -> Node:
        return self._emit("MatMul", self, other)

    def __rmatmul__(self, other: Any) -> Node:
        return self._emit("MatMul", other, self)

    def __gt__(self, other: Any) -> Node:
        return self._emit("Greater", self, other)

    def __ge__(self, other: Any) -> Node:
        return self._emit("GreaterOrEqual", self, other)

    def __le__(self, other: Any) -> Node:
        return self._emit("LessOrEqual", self, other)

    def __invert__(self) -> Node:
        return self._emit("Not", self)

    def __and__(self, other: Any) -> Node:
        return self._emit("And", self, other)

    def __getitem__(self, key: Any) -> Node:
        """Slices (start, stop) of leading axes, `...` before slices of trailing ones."""
        parts = key if isinstance(key, tuple) else (key,)
        axes = range(-len(parts) + 1, 0) if parts[0] is Ellipsis else range(len(parts))
        parts = parts[1:] if parts[0] is Ellipsis else parts
        cuts = [(axis, part) for axis, part in zip(axes, parts, strict=True) if part != slice(None)]
        starts = np.array([part.start or 0 for _, part in cuts])
        stops = np.array([np.iinfo(np.int64).max if part.stop is None else part.stop for _, part in cuts])
        return self._emit("Slice", self, starts, stops, np.array([axis for axis, _ in cuts]))

    def _emit(self, operator: str, *operands: Any) -> Node:
        made: Node = self.graph.emit(operator, *(np.float32(o) if isinstance(o, float | int) else o for o in operands))
        return made
