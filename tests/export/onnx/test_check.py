"""The rule checker: our own files keep all rules, and each rule sees what breaks it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import typer
from onnx import TensorProto, helper, numpy_helper

from keras_cnnzoo import InputError
from keras_cnnzoo.export.cli import app
from keras_cnnzoo.export.graph import from_keras
from keras_cnnzoo.export.onnx.check import RULES, check_qdq
from keras_cnnzoo.export.onnx.conversion import OPSET, lower
from keras_cnnzoo.export.onnx.emitter import emit
from keras_cnnzoo.export.onnx.qdq import plan, quantized


@pytest.fixture(scope="module")
def kept(resnet: keras.Model) -> onnx.ModelProto:
    whole = in_float(resnet)
    return quantized(whole, dict.fromkeys(plan(whole).tensors, (-1.0, 1.0)))


def in_float(model: keras.Model) -> onnx.ModelProto:
    return emit(lower(from_keras(model)), opset=OPSET)


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if n.name == name)


def put(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    """A constant, in place of one of this name."""
    left = [t for t in model.graph.initializer if t.name != name]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*left, numpy_helper.from_array(value, name)])


def pair_at(model: onnx.ModelProto, reader: str, place: int = 0) -> None:
    """Q/DQ put before one input of a node."""
    name = node(model, reader).input[place]
    put(model, "step", np.float32(0.1))
    put(model, "nought", np.int8(0))
    model.graph.node.extend(
        [
            helper.make_node("QuantizeLinear", [name, "step", "nought"], [f"{name}/q"], name="q"),
            helper.make_node("DequantizeLinear", [f"{name}/q", "step", "nought"], [f"{name}/dq"], name="dq"),
        ]
    )
    node(model, reader).input[place] = f"{name}/dq"


def operator_form(model: onnx.ModelProto) -> None:
    node(model, "conv1").op_type = "QLinearConv"


def opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 12


def unsigned(model: onnx.ModelProto) -> None:
    put(model, "zero point", np.uint8(0))


def asymmetric(model: onnx.ModelProto) -> None:
    put(model, "zero point", np.int8(3))


def scale(model: onnx.ModelProto) -> None:
    put(model, "image/quantized/scale", np.float32(0))


def per_channel_activation(model: onnx.ModelProto) -> None:
    put(model, "image/quantized/scale", np.full(3, 0.1, np.float32))


def per_tensor_kernel(model: onnx.ModelProto) -> None:
    put(model, "conv1/kernel/scale", np.float32(0.1))


def wrong_axis(model: onnx.ModelProto) -> None:
    node(model, "conv1/kernel/dequantized").attribute[0].i = 1


def no_pair(model: onnx.ModelProto) -> None:
    node(model, "conv1").input[0] = "image/quantized"


def other_scale(model: onnx.ModelProto) -> None:
    put(model, "other", np.float32(0.5))
    node(model, "image/dequantized").input[1] = "other"


def one_sided(model: onnx.ModelProto) -> None:
    node(model, "conv1").input[0] = "image"


def bias(model: onnx.ModelProto) -> None:
    pair_at(model, "conv1", 2)


def between(model: onnx.ModelProto) -> None:
    relu = next(n for n in model.graph.node if n.op_type == "Relu" and n.input[0] == "conv1")
    pair_at(model, relu.name)


def residual(model: onnx.ModelProto) -> None:
    add = next(n for n in model.graph.node if n.op_type == "Add")
    place = next(i for i, name in enumerate(add.input) if not name.endswith("dequantized"))
    pair_at(model, add.name, place)


BREAKS: list[tuple[Callable[[onnx.ModelProto], None], str]] = [
    (operator_form, "operator-form"),
    (opset, "opset"),
    (unsigned, "type"),
    (asymmetric, "symmetric"),
    (scale, "scale"),
    (per_channel_activation, "activation-per-tensor"),
    (per_tensor_kernel, "weight-per-channel"),
    (wrong_axis, "weight-axis"),
    (no_pair, "pair"),
    (other_scale, "pair"),
    (one_sided, "both"),
    (bias, "bias"),
    (between, "between"),
    (residual, "residual"),
]


def test_our_own_files_keep_every_rule(kept: onnx.ModelProto, resnet: keras.Model) -> None:
    assert check_qdq(kept) == []
    assert check_qdq(in_float(resnet)) == []


@pytest.mark.parametrize(("break_it", "rule"), BREAKS, ids=[function.__name__ for function, _ in BREAKS])
def test_what_breaks_a_rule_is_named(kept: onnx.ModelProto, break_it: Callable[..., None], rule: str) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(kept)
    break_it(model)
    assert rule in {violation.rule for violation in check_qdq(model)}


def test_a_file_of_another_domain_breaks_none() -> None:
    scaler = helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[0.0], scale=[2.0])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1]) for name in "xy"]
    graph = helper.make_graph([scaler], "other", ends[:1], ends[1:])
    assert check_qdq(helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)])) == []


def test_every_rule_is_broken_once() -> None:
    assert {rule for _, rule in BREAKS} == set(RULES)


def with_kernel(
    op: str, shape: tuple[int, ...], scale: onnx.TensorProto | onnx.NodeProto, **attributes: int
) -> onnx.ModelProto:
    """One layer that reads x through Q/DQ and an int8 kernel through a DQ of these attributes."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"]),
        helper.make_node("DequantizeLinear", ["k", "kernel scale"], ["kernel"], **attributes),
        helper.make_node(op, ["dq", "kernel"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(np.float32(0.1), "s"),
        numpy_helper.from_array(np.int8(0), "z"),
        numpy_helper.from_array(np.ones(shape, np.int8), "k"),
    ]
    if isinstance(scale, onnx.NodeProto):
        nodes.insert(0, scale)
    else:
        constants.append(scale)
    shapes = {"x": [1, 2, 4, 4], "y": [1, None, None, None]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(helper.make_graph(nodes, "one", ends[:1], ends[1:], constants), opset_imports=opsets)


@pytest.mark.parametrize(
    ("op", "shape", "scale", "attributes"),
    [
        ("Conv", (3, 2, 1, 1), numpy_helper.from_array(np.ones(3, np.float32), "kernel scale"), {"axis": -4}),
        ("ConvTranspose", (2, 1, 3, 3), numpy_helper.from_array(np.ones(1, np.float32), "kernel scale"), {"axis": 1}),
        ("Conv", (1, 2, 1, 1), helper.make_node("Constant", [], ["kernel scale"], value_float=0.5), {}),
        ("Conv", (3, 2, 1, 1), helper.make_node("Constant", [], ["kernel scale"], value_floats=[0.5] * 3), {"axis": 0}),
    ],
    ids=["axis from the end", "one output of a transposed convolution", "a scale as a number", "scales as numbers"],
)
def test_what_is_right_in_other_words_breaks_no_rule(op: str, shape: Any, scale: Any, attributes: Any) -> None:
    model = with_kernel(op, shape, scale, **attributes)
    onnx.checker.check_model(model)
    assert check_qdq(model) == []


def test_onnxruntime_s_own_defaults_break_rules(kept: onnx.ModelProto) -> None:
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
                helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"]),
                helper.make_node("DequantizeLinear", ["k", "s"], ["kernel"]),
                helper.make_node("DequantizeLinear", ["b", "s"], ["bias"]),
                helper.make_node("Conv", ["dq", "kernel", "bias"], ["y"]),
            ],
            "defaults",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [
                numpy_helper.from_array(np.float32(0.1), "s"),
                numpy_helper.from_array(np.uint8(128), "z"),
                numpy_helper.from_array(np.ones((3, 2, 1, 1), np.int8), "k"),
                numpy_helper.from_array(np.ones(3, np.int32), "b"),
            ],
        )
    )
    assert {v.rule for v in check_qdq(model)} == {"type", "symmetric", "weight-per-channel", "bias"}


def test_the_command_lists_violations_and_fails(
    kept: onnx.ModelProto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    onnx.save(kept, good)
    model = onnx.ModelProto()
    model.CopyFrom(kept)
    asymmetric(model)
    onnx.save(model, bad)
    assert not app(["check-qdq", str(good)], standalone_mode=False)
    assert "keeps all" in capsys.readouterr().out
    code = app(["check-qdq", str(bad), "--json"], standalone_mode=False)
    assert code == 3
    assert {v["rule"] for v in json.loads(capsys.readouterr().out)} == {"symmetric"}
    (tmp_path / "odd.onnx").write_bytes(b"no model")
    del node(model, "conv1").input[1:]
    onnx.save(model, tmp_path / "invalid.onnx")
    for path in ("odd.onnx", "absent.onnx", "invalid.onnx"):
        with pytest.raises((InputError, typer.Exit), match="onnx"):
            app(["check-qdq", str(tmp_path / path)], standalone_mode=False)
