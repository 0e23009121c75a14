"""The process behind KerasRunner: a question a line on standard input, an answer a line on standard output."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, TextIO

import numpy as np

from ..environment import cpu_model, package_version
from ..measure import time_block
from . import Tensor, random_inputs
from .keras import packed, unpacked

Call = Callable[[list[Any]], Any]
"""Inputs on the device to outputs there, in whatever structure; it may come back before they are computed."""


class Worker:
    """A loaded model, its inputs on the device, and how to wait for its results."""

    def __init__(self, question: dict[str, Any]) -> None:
        import keras

        self.backend = keras.backend.backend()
        _limit_threads(self.backend, question["threads"])
        self.notes: list[str] = []
        model = load(question["path"], question["precision"])
        self.inputs = [_tensor(node, question["batch"]) for node in model.inputs]
        self.call, self.wait = BACKENDS[self.backend](model, question["compiled"])
        self.layers = dict(Counter(type(layer).__name__ for layer in model.layers).most_common())
        self.set(random_inputs([Tensor(t.name, t.shape, "float32") for t in self.inputs], question["seed"]))
        self.invoke()  # compiles

    def set(self, values: Sequence[np.ndarray]) -> None:
        import keras

        pairs = zip(values, self.inputs, strict=True)
        self.values = [keras.ops.convert_to_tensor(value, dtype=tensor.dtype) for value, tensor in pairs]

    def invoke(self) -> None:
        self.wait(self.call(self.values))

    def outputs(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        import keras

        self.set(values)
        found = keras.tree.flatten(self.call(self.values))
        return [np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))) for value in found]

    def describe(self) -> dict[str, Any]:
        dtypes = ("float32" if t.dtype == "bfloat16" else t.dtype for t in self.inputs)  # numpy has no bfloat16
        inputs = [{"name": t.name, "shape": t.shape, "dtype": d} for t, d in zip(self.inputs, dtypes, strict=True)]
        versions = {name: package_version(name) or "unknown" for name in ("keras", self.backend)}
        told = {"inputs": inputs, "versions": versions, "device": _device(self.backend)}
        return told | {"layers": self.layers, "notes": self.notes}


def load(path: str, precision: str) -> Any:
    """The model, rebuilt in another precision where that is asked for."""
    import keras

    _import_layers(path)
    model = keras.saving.load_model(path, compile=False)
    if precision == "float32":
        return model
    converted = type(model).from_config(_in_precision(model.get_config(), precision))
    converted.set_weights(model.get_weights())
    return converted


def _import_layers(path: str) -> None:
    """The zoo's own layers, where it is there and the file asks for them; other custom layers are refused by Keras."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        if b'"keras_cnnzoo.layers"' in archive.read("config.json"):
            import_module("keras_cnnzoo.layers")


def _in_precision(config: Any, precision: str) -> Any:
    """A model's configuration with another name wherever a type of float32 stands."""
    if isinstance(config, dict):
        return {
            key: precision if key in ("dtype", "name") and value == "float32" else _in_precision(value, precision)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_in_precision(value, precision) for value in config)
    return config


def _tensorflow(model: Any, compiled: bool) -> tuple[Call, Callable[[Any], object]]:
    import keras
    import tensorflow as tf

    def call(values: list[Any]) -> Any:
        return model(values if len(values) > 1 else values[0], training=False)

    def wait(result: Any) -> None:
        for tensor in keras.tree.flatten(result):
            tensor.numpy()  # copies from the device, which it must wait for

    return tf.function(call) if compiled else call, wait


def _jax(model: Any, compiled: bool) -> tuple[Call, Callable[[Any], object]]:
    import jax

    weights = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]

    def call(trained: Any, others: Any, values: list[Any]) -> Any:
        inputs = values if len(values) > 1 else values[0]
        return model.stateless_call(trained, others, inputs, training=False)[0]

    return partial(jax.jit(call) if compiled else call, *weights), jax.block_until_ready


def _torch(model: Any, compiled: bool) -> tuple[Call, Callable[[Any], object]]:
    import torch

    torch.set_grad_enabled(False)

    def call(values: list[Any]) -> Any:
        return model(values if len(values) > 1 else values[0], training=False)

    wait = torch.cuda.synchronize if torch.cuda.is_available() else (lambda: None)
    return torch.compile(call) if compiled else call, lambda result: wait()


BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def _limit_threads(backend: str, threads: int) -> None:
    """JAX takes as many as there are processors and no number, so the process is kept on so many of them."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    if backend == "torch":
        import torch

        torch.set_num_threads(threads)


def _device(backend: str) -> str:
    if backend == "tensorflow":
        import tensorflow as tf

        cards = tf.config.list_physical_devices("GPU")
        names = [tf.config.experimental.get_device_details(card).get("device_name", "GPU") for card in cards]
    elif backend == "jax":
        import jax

        names = [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    else:
        import torch

        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return str(names[0]) if names else cpu_model()


def _tensor(node: Any, batch: int) -> Tensor:
    first, *others = node.shape
    if None in others:
        raise ValueError(f"its input {node.name} has open dimensions {node.shape}; save it with fixed ones")
    if first not in (None, batch):
        raise ValueError(f"its batch is fixed at {first}; a batch of {batch} needs an open one")
    return Tensor(node.name, (batch, *others), node.dtype)


def answers(worker: Worker, question: dict[str, Any]) -> dict[str, Any]:
    """The answer to a question after the first."""
    if "calls" in question:
        starts, durations = time_block(worker.invoke, question["calls"])
        return {"starts": starts.tolist(), "durations": durations.tolist()}
    return {"outputs": [packed(value) for value in worker.outputs([unpacked(v) for v in question["inputs"]])]}


def serve(questions: TextIO, replies: TextIO) -> None:
    """Answers until the questions end or one fails."""
    worker = None
    for line in questions:
        try:
            question = json.loads(line)
            if worker is None:
                worker = Worker(question)
                answer = worker.describe()
            else:
                answer = answers(worker, question)
        except Exception as error:  # every backend has its own
            answer = {"refused": " ".join(f"{type(error).__name__}: {error}".split())[:500]}
        print(json.dumps(answer), file=replies, flush=True)


def main() -> None:
    """Standard output is ours alone: what libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
