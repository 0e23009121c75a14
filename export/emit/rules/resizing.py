"""Maps of another size."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ...graph import Node
from .registry import Call, rule


def _is_known(node: Node) -> bool:
    """LiteRT has nearest and bilinear; Keras' bilinear is that of half pixels, whole images alone."""
    config = node.config
    odd = config.get("crop_to_aspect_ratio") or config.get("pad_to_aspect_ratio") or config.get("antialias")
    return config["interpolation"] in ("nearest", "bilinear") and not odd


@rule("UpSampling2D", "Resizing", when=_is_known)
def resize(call: Call) -> None:
    nearest = call.config["interpolation"] == "nearest"
    options: Any = schema.ResizeNearestNeighborOptionsT() if nearest else schema.ResizeBilinearOptionsT()
    options.halfPixelCenters, options.alignCorners = True, False
    size = call.constant("size", call.shape(call.outputs[0])[1:3], np.int32)
    name = "RESIZE_NEAREST_NEIGHBOR" if nearest else "RESIZE_BILINEAR"
    call.operator(name, [*call.inputs, size], options=options)
    call.writer.version(name, 3)  # with half pixels
