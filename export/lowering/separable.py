"""A separable convolution as the two that it is.

    SeparableConv2D   ==>   DepthwiseConv2D -> 1x1 Conv2D

so that BN behind it folds into the second one.
"""

from dataclasses import replace

from ..graph import Graph, Node
from .batch_norm import POINTWISE
from .declined import Declined, ignore

WINDOW = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "data_format")


def split_separable(graph: Graph, declined: Declined = ignore) -> Graph:
    """Each SeparableConv2D becomes its depthwise and its pointwise half."""
    nodes: dict[str, Node] = {}
    for name, node in graph.nodes.items():
        if node.op == "SeparableConv2D":
            nodes |= {half.name: half for half in _halves(node)}
        else:
            nodes[name] = node
    return replace(graph, nodes=nodes)


def _halves(node: Node) -> tuple[Node, Node]:
    depthwise_kernel, pointwise_kernel, *bias = node.weights
    channels = depthwise_kernel.shape[2] * depthwise_kernel.shape[3]
    config = {key: node.config[key] for key in WINDOW} | {"use_bias": False, "activation": "linear"}
    shape = (*node.shape[:2], channels)
    first = Node(f"{node.name}/depthwise", "DepthwiseConv2D", config, node.inputs, (depthwise_kernel,), (shape,))
    kept = {key: node.config[key] for key in ("use_bias", "activation", "data_format", "filters")}
    window = {key: value for key, value in POINTWISE.items() if key != "depth_multiplier"}
    second = replace(
        node,
        op="Conv2D",
        config=window | kept | {"groups": 1},
        inputs=(first.name,),
        weights=(pointwise_kernel, *bias),
    )
    return first, second
