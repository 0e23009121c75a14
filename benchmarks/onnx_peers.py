"""Our ONNX files against torch's own export of torchvision's networks, the same weights in both.

    python benchmarks/onnx_peers.py [--rounds 15]

Needs torch, torchvision and onnxscript. For each network: nodes, Transposes, the largest difference between both files
(as a share of the largest output), and our latency in ONNX Runtime, one thread, by torch's: the median over rounds in
which both run in turn.
"""

import argparse
import logging
import os
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import onnx
import torch
import torchvision
from onnx_paths import latency_ratios, ours

import keras_cnnzoo
from keras_cnnzoo.export.onnx.runtime import OnnxRuntime

NETWORKS = {"shufflenet_v2_x1_0": "shufflenet_v2_x1_0", "mobilenet_v2": "mobilenet_v2", "resnet18": "resnet18"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    rng = np.random.default_rng(0)
    images = (rng.standard_normal((4, 224, 224, 3)) * rng.uniform(0.3, 2, (4, 1, 1, 1))).astype(np.float32)
    print("| network | nodes ours/torch | Transposes | difference | latency, ours by torch's |\n" + "|---" * 5 + "|")
    for name, theirs in NETWORKS.items():
        reference = warmed(getattr(torchvision.models, theirs)(weights=None), images)
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "weights.pth"
            torch.save(reference.state_dict(), weights)
            model = keras_cnnzoo.create(name, weights=weights, classifier_activation=None)
            mine = ours(model)
            exported = Path(folder) / "torch.onnx"
            example = torch.from_numpy(images[:1].transpose(0, 3, 1, 2).copy())
            torch.onnx.export(reference, (example,), exported, dynamo=False, opset_version=17)
            peer = onnx.load(exported)
        expected, found = OnnxRuntime(peer)(*[images])[0], OnnxRuntime(mine)(images)[0]
        difference = float(np.abs(expected - found).max() / np.abs(expected).max())
        ratios = latency_ratios({"torch": peer, "ours": mine}, images[:1], arguments.rounds)
        counts = [Counter(node.op_type for node in file.graph.node) for file in (mine, peer)]
        nodes = "/".join(str(sum(count.values())) for count in counts)
        transposes = "/".join(str(count["Transpose"]) for count in counts)
        print(f"| {name} | {nodes} | {transposes} | {difference:.1e} | {ratios['ours']:.3f} |", flush=True)


def warmed(model: torch.nn.Module, images: np.ndarray) -> torch.nn.Module:
    """With the BN statistics of one pass."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return model.eval()


if __name__ == "__main__":
    main()
