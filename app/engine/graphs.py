"""One ONNX graph of a bundle, opened by onnxruntime only after it was found to be what the contract says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from app.engine.onnx_file import check_self_contained
from model.contract import Bundle, ContractError, Tensor

Provider = Literal["auto", "cpu", "cuda"]
ELEMENT_TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)"}
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
ERRORS_ONLY = 3


class Graph:
    """A function of named arrays. Safe to call from several threads at once."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    @property
    def provider(self) -> str:
        """The execution provider that onnxruntime really uses first."""
        return str(self._session.get_providers()[0])

    def __call__(self, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        return list(self._session.run(self._outputs, inputs))


def open_graph(directory: Path, name: str, bundle: Bundle, providers: list[str]) -> Graph:
    """The graph `name` of a bundle; raises ContractError naming the file and what is wrong with it."""
    file = f"{name}.onnx"
    try:
        data = _read(directory / file, bundle.checksums)
        check_self_contained(data)
        session = _open(data, providers)
        _check_tensors("input", session.get_inputs(), bundle.inputs(name))
        _check_tensors("output", session.get_outputs(), bundle.outputs(name))
    except ContractError as error:
        raise ContractError(f"{file} {error}") from error
    return Graph(session)


def choose_providers(wish: Provider) -> list[str]:
    """The execution providers to use, best first; raises ContractError when CUDA is asked for and not there."""
    available = ort.get_available_providers()
    if wish == "cuda" and CUDA not in available:
        raise ContractError(
            f"provider is 'cuda', but this onnxruntime offers {', '.join(available)}; install the extra 'gpu' or use 'auto'"
        )
    if wish == "cpu" or CUDA not in available:
        return [CPU]
    ort.preload_dlls()  # CUDA and cuDNN as the extra `gpu` installs them, beside onnxruntime; otherwise the system's
    return [CUDA, CPU]


def _read(path: Path, checksums: Mapping[str, str]) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ContractError(f"cannot be read: {error.strerror}") from error
    found, expected = hashlib.sha256(data).hexdigest(), checksums[path.name]
    if found != expected:
        raise ContractError(f"has SHA-256 {found[:12]}…, but bundle.json says {expected[:12]}…")
    return data


def _open(data: bytes, providers: list[str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # One thread: a step is too small to be divided, and the engine computes in one thread anyway.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ERRORS_ONLY
    try:
        return ort.InferenceSession(data, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common base but this
        raise ContractError(f"is refused by onnxruntime: {str(error).splitlines()[0][:200]}") from error


def _check_tensors(kind: str, found: list[Any], expected: tuple[Tensor, ...]) -> None:
    names, expected_names = {tensor.name for tensor in found}, {tensor.name for tensor in expected}
    if names != expected_names:
        raise ContractError(f"has the {kind}s {sorted(names)}, expected {sorted(expected_names)}")
    by_name = {tensor.name: tensor for tensor in found}
    for tensor in expected:
        _check_tensor(kind, by_name[tensor.name], tensor)


def _check_tensor(kind: str, found: Any, expected: Tensor) -> None:
    if found.type != ELEMENT_TYPES[expected.dtype]:
        raise ContractError(f"has the {kind} {found.name} of type {found.type}, expected {expected.dtype}")
    fits = len(found.shape) == len(expected.axes) and all(map(_fits, found.shape, expected.axes))
    if not fits:
        raise ContractError(f"has the {kind} {found.name} of shape {found.shape}, expected {list(expected.axes)}")


def _fits(found: Any, expected: str | int) -> bool:
    """A free axis must be free. A fixed one may be left open by the file: the self-test sees the real size."""
    return not isinstance(found, int) if isinstance(expected, str) else found == expected or not isinstance(found, int)
