"""train_aware: quantization-aware training, pruning, clustering and their combinations, through tfmot.

    Keras 3 -> Graph, BN folded -> tf_keras -> tfmot, a stage for each part of the method -> Graph -> Keras 3

Each stage keeps what the one before made: zeros stay zero, clusters stay clusters.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ..calibration import Ranges
from ..graph import Graph, Node, from_keras
from ..lowering.activation import separate_activations
from ..lowering.batch_norm import fold_batch_norm, normalize_by_depthwise
from ..pipeline import Phase
from ..rebuild import to_keras
from ..tflite import silent
from .methods import Method, check_method

if TYPE_CHECKING:
    import keras

    from .quantizers import Preserve
    from .training import Recipe

PACKAGES = ("tensorflow_model_optimization", "tf_keras")


@dataclass(frozen=True)
class Trained:
    """What compression-aware training made.

    Args:
        model: the Keras model with the trained weights, batch normalisation folded.
        method: as asked for.
        ranges: by node, the range that quantization-aware training learned; None of other methods.
        sparsity: the share of zeros by layer, of the pruned kernels.
        clusters: different weights by layer, of the clustered kernels.
        recipe: how it was trained, for the card.
    """

    model: "keras.Model"
    method: Method
    ranges: Ranges | None
    sparsity: dict[str, float] = field(default_factory=dict)
    clusters: dict[str, int] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)


def train_aware(
    model: "keras.Model",
    images: np.ndarray,
    labels: np.ndarray,
    *,
    method: Method,
    epochs: int = 3,
    batch: int = 64,
    learning_rate: float = 0.003,
    weight_decay: float = 1e-4,
    augment: bool = True,
    seed: int = 0,
    sparsity: float = 0.5,
    clusters: int = 16,
    phase: Phase = silent,
) -> Trained:
    """Fine-tunes a trained classifier so that it survives what makes it small.

    Args:
        model: functional Keras 3, one input, one output of logits or probabilities; it is not changed.
        images: (n, height, width, channels) float32, preprocessed.
        labels: (n,) class indices.
        method: "qat", "prune" (the smallest weights of each kernel), "prune-2:4", "cluster", stages joined by "+", or
            "float" (the same training without compression, to compare with).
        epochs: of all stages together, at least one each.
        batch: images a step.
        learning_rate: at the first step of each stage; it falls along a cosine.
        weight_decay: decoupled.
        augment: mirror and shift the pictures.
        seed: of order, augmentation and centroids.
        sparsity: the share of weights that "prune" takes.
        clusters: different weights that "cluster" leaves in each kernel.
        phase: shows progress.

    Raises:
        InputError: a missing package, an unknown method, images or labels that do not fit, a loss that is not a number.
    """
    require_packages()
    _check(model, images, labels, method, epochs, batch, sparsity, clusters)
    from .training import Recipe

    stages = method.split("+")
    recipe = Recipe(epochs, batch, learning_rate, weight_decay, augment, seed)
    trained, ranges = without_batch_norm(model), None
    run = _Run(images.astype(np.float32, copy=False), labels, sparsity, clusters, phase)
    for index, stage in enumerate(stages):
        share = epochs // len(stages) + (index >= len(stages) - epochs % len(stages))
        trained, ranges = run.stage(stage, trained, stages[:index], replace(recipe, epochs=share))
    how = asdict(recipe) | {"images": len(images)}
    zeros, values = facts(trained, stages, clusters)
    return Trained(to_keras(trained), method, ranges, zeros, values, how)


def without_batch_norm(model: "keras.Model") -> Graph:
    """The graph to train: activations apart, normalisation folded; its nodes have the names that Keras gives them.

    What is trained is then what stands in the file: a kernel's clusters would not survive the scale of a normalisation
    that is folded in later, channel by channel.
    """
    folded = normalize_by_depthwise(fold_batch_norm(separate_activations(from_keras(model))))
    return from_keras(to_keras(folded))


def facts(graph: Graph, stages: list[str], clusters: int) -> tuple[dict[str, float], dict[str, int]]:
    """The share of zeros of each pruned kernel, and the number of values of each clustered one."""
    from .clustering import clusterable, distinct
    from .pruning import prunable, zeros

    patterns = [_pattern(stage) for stage in stages if stage.startswith("prune")]
    pruned = {n.name: zeros(n.weights[0]) for n in _nodes(graph) for pattern in patterns if prunable(n, pattern)}
    clustered = {n.name: distinct(n.weights[0]) for n in _nodes(graph) if clusterable(n, clusters)}
    return pruned, clustered if "cluster" in stages else {}


@dataclass(frozen=True)
class _Run:
    """The data and settings that all stages share."""

    images: np.ndarray
    labels: np.ndarray
    sparsity: float
    clusters: int
    phase: Phase

    def stage(self, name: str, graph: Graph, before: list[str], recipe: "Recipe") -> tuple[Graph, Ranges | None]:
        """The graph after one stage of training, and the ranges of a quantization-aware one."""
        from .bridge import to_tf_keras

        bridged = to_tf_keras(graph)
        steps = len(self.images) // recipe.batch * recipe.epochs
        if name == "float":
            self._fit(name, bridged.model, recipe, steps)
            return bridged.graph(graph), None
        if name.startswith("prune"):
            from .pruning import with_pruning

            model, callbacks = with_pruning(bridged, graph, _pattern(name), self.sparsity, steps)
            self._fit(name, model, recipe, steps, callbacks)
            return bridged.graph(graph), None
        if name == "cluster":
            from .clustering import clustered_weights, with_clustering

            model = with_clustering(bridged, graph, self.clusters, keep_zeros=bool(before))
            self._fit(name, model, recipe, steps)
            return bridged.graph(graph, clustered_weights(model)), None
        from .awareness import learned_ranges, learned_weights, with_quantization

        model = with_quantization(bridged, graph, self.images, self._preserve(graph, before))
        self._fit(name, model, recipe, steps)
        return learned_weights(model, bridged, graph), learned_ranges(model, bridged)

    def _fit(self, name: str, model: Any, recipe: "Recipe", steps: int, callbacks: Any = ()) -> None:
        from .training import fit

        with self.phase(f"train: {name}", steps) as step:
            fit(model, self.images, self.labels, recipe, step, callbacks)

    def _preserve(self, graph: Graph, before: list[str]) -> "dict[str, Preserve]":
        """What each kernel keeps of the stages before quantization."""
        from .clustering import clusterable
        from .pruning import prunable

        kept: dict[str, Preserve] = {}
        patterns = [_pattern(stage) for stage in before if stage.startswith("prune")]
        for node in _nodes(graph):
            if "cluster" in before and clusterable(node, self.clusters):
                kept[node.name] = "clusters"
            elif any(prunable(node, pattern) for pattern in patterns):
                kept[node.name] = "zeros"
        return kept


def _pattern(stage: str) -> str:
    return "2:4" if stage.endswith("2:4") else ""


def _nodes(graph: Graph) -> Iterator[Node]:
    return (node for node in graph.nodes.values() if node.weights)


def require_packages() -> None:
    """Loads tfmot, which sets TF_USE_LEGACY_KERAS: left there, it would turn Keras 3 off in every child process."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(
            f"compression-aware training needs {' and '.join(missing)}: pip install 'keras-cnnzoo[train-aware]'"
        )
    before = os.environ.get("TF_USE_LEGACY_KERAS")
    import tensorflow_model_optimization  # noqa: F401

    if before is None:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)


def card_section(trained: Trained) -> dict[str, Any]:
    """The card's `model.training`."""
    return {"method": trained.method, **trained.recipe, "sparsity": trained.sparsity, "clusters": trained.clusters}


def _check(
    model: "keras.Model",
    images: np.ndarray,
    labels: np.ndarray,
    method: str,
    epochs: int,
    batch: int,
    sparsity: float,
    clusters: int,
) -> None:
    """Refuses what can be refused before any training."""
    check_method(method, epochs)
    if not 0 < sparsity < 1:
        raise InputError(f"sparsity={sparsity}: expected the share of weights that become zero, above 0 and below 1")
    if not 3 <= clusters <= 256:
        raise InputError(f"clusters={clusters}: expected 3 to 256 different weights a kernel")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            f"{model.name}: {len(model.inputs)} inputs and {len(model.outputs)} outputs; one each is trained"
        )
    if len(images) != len(labels):
        raise InputError(f"{len(images)} images but {len(labels)} labels; each image needs one")
    if len(images) < batch:
        raise InputError(f"{len(images)} images do not fill one batch of {batch}; give more, or a smaller --batch")
    if images.shape[1:] != tuple(model.inputs[0].shape[1:]):
        raise InputError(
            f"the model reads {tuple(model.inputs[0].shape[1:])} but the images are {images.shape[1:]}; scale them, or "
            "build it with their input_shape"
        )
    if not math.isfinite(float(images.sum(dtype=np.float64))):
        raise InputError("the training images hold NaN or infinite values; clean them first")
    classes = model.outputs[0].shape[-1]
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"labels run from {labels.min()} to {labels.max()} but the model has {classes} classes; number them from 0"
        )
