"""What an ONNX file must not hold is found before onnxruntime opens it: data in other files and operators nobody knows.

Reads the protobuf wire format directly, as https://protobuf.dev/programming-guides/encoding describes it, with the field
numbers of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, so that serving needs no `onnx` package.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.contract import ContractError

KNOWN_DOMAINS = ("", "ai.onnx")
LARGEST_VARINT = 10  # bytes
EXTERNAL = 1

Field = tuple[int, int | memoryview]


def check_self_contained(data: bytes) -> None:
    """Refuse, with a ContractError, a file that needs other files, uses unknown operator domains or is not ONNX."""
    try:
        for number, value in _fields(memoryview(data)):
            if number == 7:
                _check_graph(_message(value))
            elif number == 8:
                _check_domain(_text(_message(value), 1))
            elif number == 25:
                raise ContractError("holds functions of its own, expected plain operators")
    except (IndexError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError("is not an ONNX file") from error


def _check_graph(graph: memoryview) -> None:
    for number, value in _fields(graph):
        if number == 1:
            _check_node(_message(value))
        elif number == 5:
            _check_tensor(_message(value))
        elif number == 15:
            raise ContractError("holds sparse tensors, expected dense ones")


def _check_node(node: memoryview) -> None:
    _check_domain(_text(node, 7))
    for number, value in _fields(node):
        if number == 5:
            _check_attribute(_message(value))


def _check_attribute(attribute: memoryview) -> None:
    for number, value in _fields(attribute):
        if number in (5, 10):
            _check_tensor(_message(value))
        elif number in (6, 11):
            _check_graph(_message(value))


def _check_tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == 13 or (number == 14 and value == EXTERNAL):
            raise ContractError("keeps data in another file, expected all data inside")


def _check_domain(domain: str) -> None:
    if domain not in KNOWN_DOMAINS:
        raise ContractError(f"uses the operator domain {domain!r}, expected standard ONNX operators")


def _text(message: memoryview, wanted: int) -> str:
    found = [bytes(_message(value)) for number, value in _fields(message) if number == wanted]
    return found[-1].decode() if found else ""


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise IndexError("a number where a message belongs")
    return value


def _fields(message: memoryview) -> Iterator[Field]:
    """The fields of one message, in order; raises IndexError where it is cut off or not protobuf."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire_type == 2:
            size, place = _varint(message, place)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
        else:
            raise IndexError(f"wire type {wire_type}")
        if place + size > len(message):
            raise IndexError("cut off")
        yield number, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(LARGEST_VARINT):
        byte = message[place + shift]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, place + shift + 1
    raise IndexError("a number without end")
