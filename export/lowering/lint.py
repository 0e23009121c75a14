"""What in a .tflite file costs more than it should, each named with the layer that caused it."""

from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from ..contents import histogram, operators, parse
from ..emit import emit
from ..emit.rules.registry import MOST
from ..graph import Graph
from ..interpreter import LiteRT

# operators that are slow or split the graph wherever they stand
WHY = {
    "SPLIT_V": "XNNPACK takes no split into unequal parts",
    "GATHER": "a channel shuffle by index is three times slower than reshape and transpose, and splits the graph",
    "STRIDED_SLICE": "XNNPACK takes none that skips elements",
    "RELU": "an activation that stands alone; XNNPACK takes none in int8",
    "RELU6": "an activation that stands alone; XNNPACK takes none in int8",
    "HARD_SWISH": "XNNPACK takes none in int8",
    "AVERAGE_POOL_2D": "XNNPACK takes none in int8",
    "SOFTMAX": "XNNPACK takes none in int8; export logits",
    "GELU": "XNNPACK takes none in int8",
    "MAX_POOL_2D": "XNNPACK does not take it; most often it is of 1x1 with a stride",
    "LOCAL_RESPONSE_NORMALIZATION": "no delegate takes it, and int8 keeps it in float",
}
LINTED = ("SPLIT_V", "GATHER", "STRIDED_SLICE", "RELU", "RELU6")  # reported even where the delegate takes them


@dataclass(frozen=True)
class Finding:
    """One operator, the layer that it comes from, what is wrong with it, and whether it splits the graph."""

    operator: str
    layer: str
    reason: str
    splits: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Lint:
    """A file's findings, and how many partitions the delegate runs (best 1)."""

    partitions: int
    findings: tuple[Finding, ...]


def lint(content: bytes, layers: Collection[str] = ()) -> Lint:
    """Looks through a file.

    Args:
        content: the file's bytes.
        layers: the model's layer names; a tensor belongs to the longest of them that begins its name.
    """
    file = LiteRT(content)
    outside = file.undelegated()
    splitting = {tensor for _, tensor in outside}
    found = [Finding(op, layer_of(t, layers), WHY.get(op, "XNNPACK does not take it"), True) for op, t in outside]
    for name, tensor, inputs in _operators(content):
        if tensor in splitting:
            continue
        if name == "CONCATENATION" and inputs > MOST:
            found.append(Finding(name, layer_of(tensor, layers), f"{inputs} inputs, XNNPACK takes {MOST}", False))
        elif name in LINTED:
            found.append(Finding(name, layer_of(tensor, layers), WHY[name], False))
    return Lint(file.delegation()[0], tuple(found))


def layer_of(tensor: str, layers: Collection[str]) -> str:
    """The layer that a tensor of the emitter's belongs to; passes add to its name behind a slash."""
    name = tensor
    while name and name not in layers:
        cut = max(name.rfind("/"), name.rfind(":"), name.rfind("@"))
        name = name[:cut] if cut > 0 else ""
    return name or tensor


def beyond_graph(content: bytes, graph: Graph) -> dict[str, int]:
    """How many operators of each kind the file has more (or, below 0, less) than the graph: a converter's own doing.

    Args:
        content: the finished file.
        graph: lowered; every node has a rule.
    """
    there, due = Counter(histogram(operators(content))), Counter(histogram(operators(emit(graph))))
    return {name: there[name] - due[name] for name in sorted(there | due) if there[name] != due[name]}


def _operators(content: bytes) -> list[tuple[str, str, int]]:
    """Name, first output and number of inputs of each operator."""
    graph = parse(content).subgraphs[0]
    return [
        (found.name, graph.tensors[operator.outputs[0]].name.decode(), len(operator.inputs))
        for found, operator in zip(operators(content), graph.operators, strict=True)
    ]
