"""What must be the same for a run to be taken up again."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import keras

from ..preprocessing import Preprocessing
from .data import Data
from .recipes import Recipe


def identity(model: keras.Model, data: Data, recipe: Recipe, preprocessing: Preprocessing, seed: int) -> dict[str, Any]:
    """A run's, in entries that JSON knows."""
    return {
        "network": model.name,
        "network_fingerprint": fingerprint(model),
        "shape": list(data.shape),
        "classes": len(data.classes),
        "class_names": list(data.classes),
        "parameters": model.count_params(),
        "precision": model.dtype_policy.name,
        "data": data.name,
        "data_fingerprint": data.fingerprint,
        "images": len(data.train),
        "recipe": recipe.to_dict(),
        "preprocessing": preprocessing.to_dict(),
        "seed": seed,
    }


def fingerprint(model: keras.Model) -> str:
    """12 hex digits of a model's layers and their options, whatever numbers Keras gave to layers without a name.

    Args:
        model: functional or sequential.
    """
    config = model.get_config()
    names = {name: f"layer {i}" for i, name in enumerate(dict.fromkeys(_numbered(config)))}
    text = json.dumps(_renamed(config, names), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _numbered(config: Any) -> Iterator[str]:
    """The names that Keras made of a class and how many of it the process had before: `re_lu_3` of ReLU."""
    parts = config.values() if isinstance(config, dict) else config if isinstance(config, list | tuple) else ()
    if isinstance(config, dict) and isinstance(config.get("config"), dict):
        name = str(config["config"].get("name"))
        if re.sub(r"_\d+$", "", name).replace("_", "") == str(config.get("class_name")).lower():
            yield name
    for part in parts:
        yield from _numbered(part)


def _renamed(config: Any, names: dict[str, str]) -> Any:
    if isinstance(config, dict):
        return {key: _renamed(value, names) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [_renamed(value, names) for value in config]
    return names.get(config, config) if isinstance(config, str) else config
