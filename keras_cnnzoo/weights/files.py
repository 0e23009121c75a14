"""Weight files as states: `layer/variable` (ours, Keras') or `module.path.parameter` (torch's) -> array.

Nothing here deserialises an object: safetensors, .npz without pickles, and HDF5 data sets alone.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..archive import UNREADABLE, require_own_data, require_sound_zip
from ..errors import InputError, one_line

State = dict[str, np.ndarray]

TRUSTED = ("keras", "keras_cnnzoo", "builtins")


def read_state(path: str | PathLike[str]) -> State:
    """Reads a .safetensors, .npz, .weights.h5, .keras, .h5, .pth, .pt or .th file.

    Of Keras' own files the layers' names are read and the variables by number: keys are `layer/0`, `layer/1`, ...

    Raises:
        InputError: no such file, a suffix that is none of these, or content that is truncated or foreign.
    """
    path = Path(path)
    reader = next((read for suffix, read in READERS.items() if path.name.endswith(suffix)), None)
    if reader is None:
        raise InputError(f"{path}: weights are read from {', '.join(READERS)}; give one of these")
    if not path.is_file():
        raise InputError(f"{path}: no such file; name one that is there (`cnnzoo weights list` shows published ones)")
    try:
        state = reader(path)
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(
            f"{path}: truncated, or not a {path.suffix} file of weights ({one_line(error)[:200]}); write or fetch it "
            "again"
        ) from error
    if not state:
        raise InputError(f"{path}: holds no weights; save the network's again")
    return state


def _read_safetensors(path: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _read_npz(path: Path) -> State:
    require_sound_zip(path)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _read_h5(path: Path) -> State:
    """Weights or a whole model, by Keras 3 or in the older form, which tf_keras and keras.applications write."""
    with path.open("rb") as file:
        return _numbered_variables(file, path)


def _read_keras(path: Path) -> State:
    """A .keras archive's weights. Its config is never built; one that names code is refused (safe mode)."""
    require_sound_zip(path)
    with zipfile.ZipFile(path) as archive:
        _require_no_code(json.loads(archive.read("config.json")), path)
        return _numbered_variables(io.BytesIO(archive.read("model.weights.h5")), path)


def _require_no_code(config: Any, path: Path) -> None:
    """Raises InputError at a Lambda or at an object of another package than Keras and this one."""
    if isinstance(config, dict) and "class_name" in config:
        kind, package = str(config["class_name"]), str(config.get("module") or config.get("registered_name") or "keras")
        if kind in ("Lambda", "__lambda__", "function") or re.split(r"[.>]", package)[0] not in TRUSTED:
            raise InputError(
                f"{path}: it holds {kind} of {package}, code of its own that no builder has; it is not loaded (its "
                "weights alone, written by model.save_weights('x.weights.h5'), could be)"
            )
    for part in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        _require_no_code(part, path)


def _read_torch(path: Path) -> State:
    """A state dict, bare or under "state_dict" or "model"; what else it pickles than tensors and plain containers is
    refused.
    """
    import pickle

    try:
        import torch
    except ImportError as error:
        raise InputError(f"{path}: torch's files need torch; pip install 'keras-cnnzoo[torch]'") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: it holds more than tensors, which could run code; it is not loaded") from error
    if not isinstance(content, dict):
        return {}
    tensors = next((content[key] for key in ("state_dict", "model") if isinstance(content.get(key), dict)), content)
    return {name: _array(value) for name, value in tensors.items() if isinstance(value, torch.Tensor)}


def _array(tensor: Any) -> np.ndarray:
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _numbered_variables(file: IO[bytes], path: Path) -> State:
    """Each layer's group `vars` carries the layer's name as an attribute and its variables by number; a fitted model's
    file holds its optimizer's likewise.

    In the older form attributes list the layers, and each layer's group its variables in their order.
    """
    import h5py

    state: State = {}

    def visit(name: str, item: "h5py.Group | h5py.Dataset") -> None:
        *owner, kind = name.split("/")
        of_layer = kind == "vars" and owner and owner[-1] != "optimizer"
        if of_layer and isinstance(item, h5py.Group) and "name" in item.attrs:
            state.update({f"{item.attrs['name']}/{number}": variable[()] for number, variable in item.items()})

    with h5py.File(file, "r") as store:
        require_own_data(store, path)
        root = store.get("model_weights", store)
        for layer in map(_text, root.attrs.get("layer_names", ())):
            names = map(_text, root[layer].attrs["weight_names"])
            state.update({f"{layer}/{number}": root[layer][name][()] for number, name in enumerate(names)})
        if "layer_names" not in root.attrs:
            store.visititems(visit)
    return state


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


READERS: dict[str, Callable[[Path], State]] = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".h5": _read_h5,
    ".keras": _read_keras,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".th": _read_torch,
}
