"""Array operations that either compute with numpy or write an ONNX graph, so that what is served is written down once.

A function below given numpy arrays returns a numpy array; given a `Node` it adds an operator to that node's graph. Only what
the forecaster needs is here. Softmax and concatenation are over the last axis unless an axis is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
Array = Any  # a numpy array or a Node; both understand + - * / @, comparisons and slicing

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


def _function(operator: str, compute: Callable[[Any], Any]) -> Callable[[Array], Array]:
    """An elementwise function of one argument."""

    def apply(x: Array) -> Array:
        return x.graph.emit(operator, x) if isinstance(x, Node) else compute(x)

    return apply


tanh = _function("Tanh", np.tanh)
log = _function("Log", np.log)
exp = _function("Exp", np.exp)
sin = _function("Sin", np.sin)
sqrt = _function("Sqrt", np.sqrt)
absolute = _function("Abs", np.abs)
isnan = _function("IsNaN", np.isnan)
sigmoid = _function("Sigmoid", lambda x: 1 / (1 + np.exp(-x)))


def clip(x: Array, low: float | None = None, high: float | None = None) -> Array:
    if not isinstance(x, Node):
        return np.clip(x, low, high)
    bounds = [None if bound is None else np.float32(bound) for bound in (low, high)]
    return x.graph.emit("Clip", x, *(bounds if bounds[1] is not None else bounds[:1]))


def maximum(x: Array, y: Array) -> Array:
    return x.graph.emit("Max", x, y) if isinstance(x, Node) else np.maximum(x, y)


def minimum(x: Array, y: Array) -> Array:
    return x.graph.emit("Min", x, y) if isinstance(x, Node) else np.minimum(x, y)


def where(condition: Array, x: Array, y: Array) -> Array:
    if not isinstance(condition, Node):
        return np.asarray(np.where(condition, x, y), np.float32)
    return condition.graph.emit("Where", condition, *(np.float32(v) if isinstance(v, float) else v for v in (x, y)))


def to_float(x: Array) -> Array:
    return x.graph.emit("Cast", x, to=TensorProto.FLOAT) if isinstance(x, Node) else x.astype(np.float32)


def to_int(x: Array) -> Array:
    return x.graph.emit("Cast", x, to=TensorProto.INT64) if isinstance(x, Node) else x.astype(np.int64)


def remainder(x: Array, periods: NDArray[np.int64]) -> Array:
    """Of whole numbers, with the sign of the divisor."""
    return x.graph.emit("Mod", x, periods) if isinstance(x, Node) else np.mod(x, periods)


def concat(parts: Sequence[Array], axis: int = -1) -> Array:
    if len(parts) == 1:
        return parts[0]
    node = next((part for part in parts if isinstance(part, Node)), None)
    return np.concatenate(parts, axis) if node is None else node.graph.emit("Concat", *parts, axis=axis)


def split(x: Array, sizes: Sequence[int]) -> list[Array]:
    """The parts of the last axis, which have these sizes."""
    if not isinstance(x, Node):
        return np.split(x, np.cumsum(sizes)[:-1], -1)
    parts: list[Array] = x.graph.emit("Split", x, np.array(sizes), outputs=len(sizes), axis=-1)
    return parts


def reshape(x: Array, shape: Sequence[int]) -> Array:
    """ONNX's reshape: −1 is inferred, 0 keeps the axis that stands at the same place."""
    if isinstance(x, Node):
        return x.graph.emit("Reshape", x, np.array(shape))
    return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(shape)])


def reshape_like(x: Array, like: Array, width: int) -> Array:
    """With the axes of another array, but for its last one, which is as wide as said."""
    if not isinstance(x, Node):
        return x.reshape(*like.shape[:-1], width)
    leading = x.graph.emit("Shape", like, end=-1)
    return x.graph.emit("Reshape", x, x.graph.emit("Concat", leading, np.array([width]), axis=0))


def gemm(x: Array, y: Array, added: Array) -> Array:
    """`x @ y + added` of matrices, as one operator; what is added may be a vector."""
    return x.graph.emit("Gemm", x, y, added) if isinstance(x, Node) else x @ y + added


def expand(x: Array, *axes: int) -> Array:
    """With new axes of size one."""
    return x.graph.emit("Unsqueeze", x, np.array(axes)) if isinstance(x, Node) else np.expand_dims(x, axes)


def transpose(x: Array, *axes: int) -> Array:
    return x.graph.emit("Transpose", x, perm=axes) if isinstance(x, Node) else np.transpose(x, axes)


def take(x: Array, index: NDArray[np.int64], axis: int) -> Array:
    """What lies at these places of an axis, which become its axes; neighbours are sliced, which is much quicker."""
    if not isinstance(x, Node):
        return np.take(x, index, axis)
    places = index.reshape(-1)
    if index.size == index.shape[-1] > 1 and (np.diff(places) == 1).all():
        cut = [np.array([number]) for number in (places[0], places[-1] + 1, axis)]
        found = x.graph.emit("Slice", x, *cut)
        return found if index.ndim == 1 else expand(found, *range(axis, axis + index.ndim - 1))
    return x.graph.emit("Gather", x, index, axis=axis)


def scan(step: Callable[..., Array], initial: Array, *sequences: Array) -> Array:
    """States after each step along the leading axis: `step` maps the state before and what the sequences hold to the next."""
    if not isinstance(initial, Node):
        states: list[Array] = []
        for now in zip(*sequences, strict=True):
            states.append(step(states[-1] if states else initial, *now))
        return np.stack(states)
    body = Graph("step", prefix="step_")
    after = step(*(body.input(f"step_in{i}", "float32", None) for i in range(1 + len(sequences))))
    inner = body.inner([after, body.emit("Identity", after)])
    _, all_states = initial.graph.emit(
        "Scan", initial, *sequences, outputs=2, body=inner, num_scan_inputs=len(sequences)
    )
    return all_states


def choose(
    condition: Node, then: Callable[[Graph], list[Node]], otherwise: Callable[[Graph], list[Node]]
) -> list[Node]:
    """What one of two functions returns: each writes into a graph of its own, which sees the names of that of the condition."""
    branches = []
    for name, function in (("then", then), ("else", otherwise)):
        branch = Graph(name, prefix=f"{name}_")
        branches.append(branch.inner(function(branch)))
    count = len(branches[0].output)
    found: list[Node] = condition.graph.emit(
        "If", condition, outputs=count, then_branch=branches[0], else_branch=branches[1]
    )
    return found


def smallest(x: Array) -> Array:
    """The least of the last axis, which stays with size one."""
    return x.graph.emit("ReduceMin", x, np.array([-1]), keepdims=1) if isinstance(x, Node) else x.min(-1, keepdims=True)


def running_total(x: Array, axis: int) -> Array:
    """Sums up to each place along an axis."""
    return x.graph.emit("CumSum", x, np.array(axis)) if isinstance(x, Node) else np.cumsum(x, axis, dtype=x.dtype)


def softmax(x: Array) -> Array:
    if isinstance(x, Node):
        return x.graph.emit("Softmax", x, axis=-1)
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def sliding(x: Array, like: Array, starts: NDArray[np.int64]) -> Array:
    """`x[:, start + t]` for every t along axis 1 of another array and every start: (B, ·, n) to (B, T, starts, n)."""
    if not isinstance(x, Node):
        return np.take(x, np.arange(like.shape[1])[:, None] + starts, 1)
    emit, first, one = x.graph.emit, np.array([0]), np.array(1)
    steps = emit("Squeeze", emit("Shape", like, start=1, end=2), first)
    t = emit("Unsqueeze", emit("Range", np.array(0), steps, one), np.array([1]))
    return emit("Gather", x, emit("Add", t, starts), axis=1)


def scatter_add(x: Array, index: Array, source: Array) -> Array:
    """`x[index[i, …], …] += source[i, …]` along the leading axis."""
    if isinstance(x, Node):
        return x.graph.emit("ScatterElements", x, index, source, axis=0, reduction="add")
    out, places = x.copy(), np.indices(index.shape)
    np.add.at(out, (index, *places[1:]), source)
    return out


def gather(x: Array, index: Array) -> Array:
    """`x[index[i, …], …]` along the leading axis."""
    return x.graph.emit("GatherElements", x, index, axis=0) if isinstance(x, Node) else np.take_along_axis(x, index, 0)
