"""Array operations that either compute with numpy or write an ONNX graph, so that what is served is written down once.

A function below given numpy arrays returns a numpy array; given a `Node` it adds an operator to that node's graph. Only what
the forecaster needs is here. Softmax and concatenation are over the last axis unless an axis is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from model.graph import Graph, Node

Array = Any  # a numpy array or a Node; both understand + - * / @, comparisons and slicing


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
