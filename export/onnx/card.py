"""The card of an ONNX file."""

import datetime
from collections import Counter
from typing import TYPE_CHECKING, Any

import onnx

from ...complexity import complexity
from ..card import Card, artifact_facts, model_facts, tool_versions
from ..lowering.guard import Lowered
from ..origin import Origin
from .options import Layout

if TYPE_CHECKING:
    import keras


def described(
    model: "keras.Model",
    file: onnx.ModelProto,
    content: bytes,
    name: str,
    scheme: dict[str, Any],
    layout: Layout,
    origin: Origin,
    missing: list[str],
    lowered: Lowered,
    proof: dict[str, Any],
) -> Card:
    """The card of an ONNX file: it has no delegate, and a dimension that is open is null."""
    return Card(
        artifact=artifact_facts(name, content),
        model=model_facts(model.name, complexity(model), origin),
        inputs=[_tensor(tensor, layout) for tensor in file.graph.input],
        outputs=[_tensor(tensor, layout) for tensor in file.graph.output],
        preprocessing=None if origin.preprocessing is None else origin.preprocessing.to_dict(),
        labels=None if origin.labels is None else list(origin.labels),
        quantization=scheme,
        operators=dict(Counter(node.op_type for node in file.graph.node).most_common()),
        delegate=None,
        conversion={
            "by": "tf2onnx" if missing else "emitter",
            "reason": f"no rule for {', '.join(missing)}" if missing else None,
            "lowering": [] if missing else lowered.passes,
            "refused": [] if missing else lowered.refused,
        },
        verification=proof,
        versions=tool_versions(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _tensor(tensor: onnx.ValueInfoProto, layout: Layout) -> dict[str, Any]:
    kind = tensor.type.tensor_type
    shape = [side.dim_value or None for side in kind.shape.dim]
    return {
        "name": tensor.name,
        "shape": shape,
        "dtype": onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name,
        "scale": None,
        "zero_point": None,
        "layout": layout if len(shape) == 4 else None,
    }
