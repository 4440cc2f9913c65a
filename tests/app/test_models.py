"""A bundle is believed in nothing: what is wrong with it is found at start and named, and the others are served."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.engine.onnx_file import check_self_contained
from app.engine.registry import open_models
from app.engine.runtime import open_model
from app.engine.selftest import self_test
from model.contract import METADATA_FILE, ContractError
from tests.bundles import FREQUENCY, read, seal, write_bundle


def edit(directory, graph, change, **options):
    """Change a graph, and the checksums with it."""
    path = directory / f"{graph}.onnx"
    proto = onnx.load(path)
    change(proto)
    onnx.save(proto, path, **options)
    seal(directory, read(directory))


def rewrite(directory, **fields):
    path = directory / METADATA_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def foreign_operator(proto):
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    proto.graph.node[0].domain = "com.example"


def foreign_operator_in_a_branch(proto):
    inner = helper.make_graph([helper.make_node("Odd", [], ["x"], domain="com.example")], "inner", [], [])
    proto.graph.node.append(helper.make_node("If", ["c0"], ["branch"], then_branch=inner, else_branch=inner))


def external_data(proto):
    tensor = proto.graph.initializer.add()
    tensor.CopyFrom(numpy_helper.from_array(np.zeros(3, np.float32), "secrets"))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../../etc/passwd"


def own_functions(proto):
    node = helper.make_node("Identity", ["x"], ["y"])
    proto.functions.append(helper.make_function("", "Mine", ["x"], ["y"], [node], [helper.make_opsetid("", 17)]))


def unknown_operator(proto):
    proto.graph.node[0].op_type = "NoSuchOperator"


def another_output(proto):
    proto.graph.node[-1].output[0] = proto.graph.output[0].name = "what"


def fixed_batch(proto):
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4


def doubles(proto):
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def decreasing_quantiles(proto):
    for tensor in proto.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array(value[..., ::-1].copy(), tensor.name))


def counts_twice(proto):
    """A step encoder that is not the encoder."""
    for tensor in proto.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.float32 and value.shape == () and value == 1:
            tensor.CopyFrom(numpy_helper.from_array(value * 2, tensor.name))


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda d: (d / "decoder.onnx").unlink(), "decoder.onnx cannot be read: No such file"),
        (lambda d: (d / METADATA_FILE).unlink(), "bundle.json cannot be read"),
        (lambda d: (d / METADATA_FILE).write_text("{"), "bundle.json is not JSON"),
        (lambda d: rewrite(d, horizon=0), "horizon is 0"),
        (lambda d: rewrite(d, horizon=5, calibration=None), "decoder.onnx has the output quantiles of shape"),
        (lambda d: rewrite(d, name="other"), "says other/1, but it lies in broken/1"),
        (lambda d: (d / "step.onnx").write_bytes(b"changed"), "step.onnx has SHA-256"),
        (lambda d: edit(d, "encoder", external_data), "encoder.onnx keeps data in another file"),
        (lambda d: edit(d, "encoder", foreign_operator), "encoder.onnx uses the operator domain 'com.example'"),
        (lambda d: edit(d, "explain", foreign_operator_in_a_branch), "explain.onnx uses the operator domain"),
        (lambda d: edit(d, "decoder", own_functions), "decoder.onnx holds functions of its own"),
        (lambda d: edit(d, "decoder", unknown_operator), "decoder.onnx is refused by onnxruntime"),
        (lambda d: edit(d, "decoder", another_output), "decoder.onnx has the outputs ['what'], expected ['quantiles']"),
        (lambda d: edit(d, "decoder", fixed_batch), "decoder.onnx has the input state of shape [4, 15]"),
        (lambda d: edit(d, "encoder", doubles), "encoder.onnx"),
        (lambda d: edit(d, "decoder", decreasing_quantiles), "quantiles that decrease with their level"),
        (lambda d: edit(d, "step", counts_twice), "self-test: many steps at once and single steps differ"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_bundle_is_refused_with_its_name_and_reason_and_the_rest_is_served(tmp_path, break_it, reason):
    break_it(write_bundle(tmp_path, "broken"))
    write_bundle(tmp_path, "sound")
    models = open_models(tmp_path, "cpu", "step")
    (refused,) = models.refused
    assert refused.bundle == "broken/1"
    assert reason in refused.reason
    assert models.find().bundle.name == "sound"


@pytest.mark.parametrize("data", [b"\xff" * 20, b"\x3a\x05abc", b"\x3f", b"MZ\x90\x00", bytes(range(256))])
def test_what_is_no_onnx_file_is_refused(data):
    with pytest.raises(ContractError):
        check_self_contained(data)


def test_cuda_is_refused_where_it_is_not_available(tmp_path):
    import onnxruntime  # noqa: PLC0415 - only this test asks what this machine has

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ContractError, match="provider is 'cuda', but this onnxruntime offers"):
        open_model(write_bundle(tmp_path), "cuda", "auto")


@pytest.mark.parametrize("graph", ["auto", "encoder", "step"])
def test_the_self_test_says_whether_batches_and_pieces_are_exact(tmp_path, graph):
    assert self_test(open_model(write_bundle(tmp_path), "cpu", graph))


def test_a_model_explains_every_step(models):
    model = models.find("sum")
    values = np.array([[[3], [np.nan]]], np.float32)
    time = np.array([[0, FREQUENCY]], np.int64)
    update, reset, hidden = model.explain(values, time, np.empty((1, 2, 0), np.float32), model.fresh(1))
    assert update.shape == reset.shape == hidden.shape == (1, 2, 1, 2)
    assert hidden[0, :, 0, 0].tolist() == [3, 0]
