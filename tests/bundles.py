"""The accumulator: a bundle whose forecasts can be computed in one's head, so that a lost, doubled or swapped step shows.

With observations y_1 … y_n, where a missing one counts as 0, the forecast h steps ahead at quantile level q is

    1·y_1 + 2·y_2 + … + n·y_n  +  all past covariates  +  the future covariate of step h  +  h  +  40·(q − ½)

and a thousand more for every second by which the time of the last observation is not the one that was encoded.
The surprise of an observation is 1 / (1 + its distance from the median forecast one step ahead before it), which knows no
future covariate. The band between the outermost levels is counted, in one bucket of all horizons, and never corrected.
The value FATAL makes the encoder fail.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.contract import GRAPHS, METADATA_FILE, Bundle, Calibration, Covariate, StateSlice, Tensor, checksum

FATAL = 666.0
FREQUENCY = 3600
HORIZON = 3
LEVELS = (0.1, 0.5, 0.9)
RECENT = 8
DAY = 86400
ELEMENT_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


def write_bundle(
    models: Path,
    name: str = "sum",
    version: str = "1",
    *,
    channels: tuple[str, ...] = ("y",),
    covariates: tuple[Covariate, ...] = (),
    recent: int = RECENT,
    levels: tuple[float, ...] = LEVELS,
) -> Path:
    """Write the accumulator into `<models>/<name>/<version>/` and return that directory."""
    directory = models / name / version
    directory.mkdir(parents=True)
    fields = describe(name, version, channels, covariates, recent, levels)
    draft = Bundle(**fields, checksums={})
    for graph in GRAPHS:
        onnx.save(build(draft, graph), directory / f"{graph}.onnx")
    seal(directory, draft)
    return directory


def seal(directory: Path, bundle: Bundle) -> None:
    """Write `bundle.json` with the checksums of the graphs as they are now."""
    checksums = {f"{graph}.onnx": checksum(directory / f"{graph}.onnx") for graph in GRAPHS}
    sealed = Bundle(
        **{name: getattr(bundle, name) for name in bundle.__slots__ if name != "checksums"}, checksums=checksums
    )
    (directory / METADATA_FILE).write_text(sealed.to_json())


def read(directory: Path) -> Bundle:
    return Bundle.from_json((directory / METADATA_FILE).read_text())


def expected(values, hours_ahead=HORIZON, level=0.5, extra=0.0) -> list[float]:
    """The accumulator's forecast after one channel's observations."""
    ledger = sum(i * (0.0 if value is None else value) for i, value in enumerate(values, 1))
    return [ledger + extra + h + 40 * (level - 0.5) for h in range(1, hours_ahead + 1)]


def surprises(values) -> list[float]:
    """The accumulator's surprise at each of one channel's observations, NaN where there is none."""
    found = []
    for n, value in enumerate(values):
        unknown = value is None or n == 0
        found.append(float("nan") if unknown else 1 / (1 + abs(value - expected(values[:n])[0])))
    return found


def describe(name, version, channels, covariates, recent, levels) -> dict:
    C = len(channels)
    shapes = {"count": (1,), "ledger": (C,), "influence": (1,), "seen": (1,), "surprise": (C,), "coverage": (C, 2, 1)}
    shapes["recent"] = (recent, C)
    state, offset = {}, 0
    for part, shape in shapes.items():
        state[part] = StateSlice(offset, shape)
        offset += state[part].size
    return {
        "name": name, "version": version, "created_at": "2026-01-01T00:00:00Z", "frequency": FREQUENCY, "horizon": HORIZON,
        "quantiles": levels, "channels": channels, "covariates": covariates, "cell": "gru", "layers": 1, "units": 2,
        "parameters": 0, "seasons": (24,), "state_size": offset, "state": state, "training": {},
        "calibration": Calibration(levels[0], levels[-1], (HORIZON,)),
    }  # fmt: skip


class Nodes:
    """Writes nodes one after the other; every call returns the name of its output."""

    def __init__(self) -> None:
        self.nodes, self.constants = [], []

    def __call__(self, kind: str, *inputs: str, output: str | None = None, **attributes) -> str:
        name = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value, dtype=np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def reshape(self, value: str, *shape: int) -> str:
        return self("Reshape", value, self.integers(*shape))

    def known(self, value: str) -> str:
        """A value, 0 where it is missing."""
        return self("Where", self("IsNaN", value), self.constant(0), value)

    def part(self, state: str, part: StateSlice) -> str:
        return self("Slice", state, self.integers(part.span.start), self.integers(part.span.stop), self.integers(1))


def build(bundle: Bundle, graph: str) -> onnx.ModelProto:
    """One graph of the accumulator."""
    nodes = Nodes()
    {"decoder": _decoder, "explain": _explain}.get(graph, _encoder)(nodes, bundle)
    proto = helper.make_graph(
        nodes.nodes,
        graph,
        [_value_info(tensor) for tensor in bundle.inputs(graph)],
        [_value_info(tensor) for tensor in bundle.outputs(graph)],
        nodes.constants,
    )
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _value_info(tensor: Tensor):
    return helper.make_tensor_value_info(tensor.name, ELEMENT_TYPES[tensor.dtype], list(tensor.axes))


def _encoder(n: Nodes, bundle: Bundle) -> None:
    C, state = len(bundle.channels), bundle.state
    y = n.known(_fails_on_fatal(n, "values"))
    steps = n("Gather", n("Shape", "values"), n.constant(1, np.int64))
    count, after = n.part("state", state["count"]), n("Cast", steps, to=TensorProto.FLOAT)
    numbers = n("Range", n.constant(1), n("Add", after, n.constant(1)), n.constant(1))
    number = n("Add", n.reshape(numbers, 1, -1, 1), n.reshape(count, -1, 1, 1))
    additions = n("Mul", y, number)
    ledger = n("ReduceSum", additions, n.integers(1), keepdims=0)
    surprise, coverage = _judge(n, bundle, number, additions)
    remembered = n("Concat", n.reshape(n.part("state", state["recent"]), -1, *state["recent"].shape), "values", axis=1)
    newest = n("Slice", remembered, n.integers(-bundle.recent_steps), n.integers(2**31), n.integers(1))
    n(
        "Concat",
        n("Add", count, after),
        n("Add", n.part("state", state["ledger"]), ledger),
        _influence(n, bundle),
        n("Slice", _clock(n, "time"), n.integers(-1), n.integers(2**31), n.integers(1)),
        n.reshape(n("Slice", surprise, n.integers(-1), n.integers(2**31), n.integers(1)), -1, C),
        n("Add", n.part("state", state["coverage"]), coverage),
        n.reshape(newest, -1, bundle.recent_steps * C),
        axis=1,
        output="next_state",
    )


def _judge(n: Nodes, bundle: Bundle, number: str, additions: str) -> tuple[str, str]:
    """The surprise of every observation (B, T, C), and what they add to the coverage, (B, C·2)."""
    C = len(bundle.channels)
    before = n("CumSum", additions, n.constant(1, np.int64), exclusive=1)
    before = n("Add", before, n.reshape(n.part("state", bundle.state["ledger"]), -1, 1, C))
    before = n("Add", before, n.reshape(n.part("state", bundle.state["influence"]), -1, 1, 1))
    if bundle.covariates:
        summed = n("ReduceSum", n.known("covariates"), n.integers(2), keepdims=1)
        before = n("Add", before, n("CumSum", summed, n.constant(1, np.int64), exclusive=1))
    error = n("Abs", n("Sub", "values", n("Add", before, n.constant(1))))  # NaN where missing
    judged = n("And", n("Not", n("IsNaN", "values")), n("Greater", number, n.constant(1)))
    one = n.constant(1)
    found = n("Where", judged, n("Div", one, n("Add", one, error)), n.constant(np.nan), output="surprise")
    inside = n("And", judged, n("LessOrEqual", error, n.constant(40 * (bundle.quantiles[-1] - 0.5))))
    counts = [n("Unsqueeze", n("Cast", flag, to=TensorProto.FLOAT), n.integers(3)) for flag in (judged, inside)]
    total = n("ReduceSum", n("Concat", *counts, axis=3), n.integers(1), keepdims=0)
    return found, n.reshape(total, -1, 2 * C)


def _fails_on_fatal(n: Nodes, values: str) -> str:
    fatal = n("ReduceMax", n("Cast", n("Equal", values, n.constant(FATAL)), to=TensorProto.INT32), keepdims=0)
    return n("Add", values, n("Gather", n.constant([0.0]), fatal))


def _influence(n: Nodes, bundle: Bundle) -> str:
    before = n.part("state", bundle.state["influence"])
    if not bundle.covariates:
        return before
    summed = n("ReduceSum", n.known("covariates"), n.integers(1, 2), keepdims=0)
    return n("Add", before, n.reshape(summed, -1, 1))


def _clock(n: Nodes, time: str) -> str:
    """The second of the day, which a float holds exactly."""
    return n("Cast", n("Mod", time, n.constant(DAY, np.int64)), to=TensorProto.FLOAT)


def _decoder(n: Nodes, bundle: Bundle) -> None:
    C, H = len(bundle.channels), bundle.horizon
    count, seen = n.part("state", bundle.state["count"]), n.part("state", bundle.state["seen"])
    started = n("Clip", count, n.constant(0), n.constant(1))
    error = n("Mul", n("Abs", n("Sub", n.reshape(_clock(n, "time"), -1, 1), seen)), started)
    level = n("Add", n.part("state", bundle.state["ledger"]), n.part("state", bundle.state["influence"]))
    level = n("Add", level, n("Mul", error, n.constant(1000)))
    ahead = np.arange(1, H + 1)[:, None, None] + 40 * (np.array(bundle.quantiles) - 0.5)
    quantiles = n("Add", n.reshape(level, -1, 1, C, 1), n.constant(ahead[None]))
    if bundle.known_ahead:
        future = n("ReduceSum", n.known("future_covariates"), n.integers(2), keepdims=0)
        quantiles = n("Add", quantiles, n.reshape(future, -1, H, 1, 1))
    n("Identity", quantiles, output="quantiles")


def _explain(n: Nodes, bundle: Bundle) -> None:
    y = n("Unsqueeze", n.known("values"), n.integers(3))
    units = n("Concat", *[y] * bundle.units, axis=3)
    touched = n("ReduceSum", "state", n.integers(0, 1), keepdims=0)
    for name in ("update_gate", "reset_gate", "hidden"):
        n("Add", units, n("Mul", touched, n.constant(0)), output=name)
