"""Our files of torchvision's networks against those that torch's own way to LiteRT makes, float32 and int8.

    python -m venv PEERS; PEERS/bin/pip install torch litert-torch; PEERS/bin/pip install --no-deps torchvision==0.15.2
    PEERS/bin/python benchmarks/peers.py convert FOLDER    litert-torch, in an environment of its own
    python benchmarks/peers.py prepare FOLDER              ours, by the same weights; operators and partitions compared
                                                           (--costs-of this: by this machine's costs)
    python benchmarks/peers.py measure FOLDER              latency, interleaved; on a quiet machine, 6 minutes

keras.applications' networks against plain TFLiteConverter: benchmarks/lowering.py --only keras.applications.NAME,...
The weights are random with BN statistics of one pass in training mode; int8 is calibrated with the same 8 images, and
SQNR (dB) is over 8 others, each against its own float network. litert-torch's int8 is its PT2E path, per channel and
static. Files and figures stay in FOLDER: each step goes on where it was cut off; `prepare` makes ours anew that another
version of this package made, or --costs-of another machine.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from conversion import blurred_noise, keep_facts, kept_facts, machine_of, speeds

NETWORKS = {  # torchvision's name: the registry's
    "shufflenet_v2_x1_0": "shufflenet_v2_x1_0",
    "mobilenet_v3_large": "mobilenet_v3_large",
    "mobilenet_v3_small": "mobilenet_v3_small",
    "densenet121": "densenet121",
    "resnext50_32x4d": "resnext50_32x4d",
}
SCHEMES = ("float32", "int8")
SHAPE, IMAGES = (224, 224, 3), 8
SECONDS = 8.0  # of measuring, for each file at each thread count
Folder = Annotated[Path, typer.Argument(help="Where files and figures are kept.")]
Only = Annotated[str, typer.Option(help="Networks with commas between.")]
ALL = ",".join(NETWORKS)
app = typer.Typer(add_completion=False)


@app.command()
def convert(folder: Folder, only: Only = ALL) -> None:
    """By litert-torch; runs where it and torchvision are installed."""
    import torch
    import torchvision

    folder.mkdir(parents=True, exist_ok=True)
    images = blurred_noise(3 * IMAGES, SHAPE).transpose(0, 3, 1, 2)
    for name in only.split(","):
        if (folder / f"{name}.npy").exists():
            continue
        torch.manual_seed(0)
        model = getattr(torchvision.models, name)(weights=None)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            model.train()(torch.from_numpy(images[:IMAGES].copy()))
            expected = model.eval()(torch.from_numpy(images[2 * IMAGES :].copy())).numpy()
        np.savez(folder / f"{name}_weights.npz", **{key: value.numpy() for key, value in model.state_dict().items()})
        for scheme in SCHEMES:
            path = folder / f"{name}_{scheme}_peer.tflite"
            path.write_bytes(_by_litert_torch(model, scheme, images[IMAGES : 2 * IMAGES]))
            print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB", flush=True)
        np.save(folder / f"{name}.npy", expected)


def _by_litert_torch(model: Any, scheme: str, calibration: np.ndarray) -> bytes:
    """The file, which reads (1, height, width, 3)."""
    import tempfile

    import litert_torch
    import torch

    class ChannelsLast(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: Any) -> Any:
            return self.inner(x.permute(0, 3, 1, 2))

    network, options = ChannelsLast().eval(), {}
    batches = [torch.from_numpy(image[None].transpose(0, 2, 3, 1).copy()) for image in calibration]
    if scheme == "int8":
        from litert_torch.quantize import pt2e_quantizer, quant_config
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        config = pt2e_quantizer.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
        quantizer = pt2e_quantizer.PT2EQuantizer().set_global(config)
        network = prepare_pt2e(torch.export.export(network, (batches[0],)).module(), quantizer)
        for batch in batches:
            network(batch)
        network = convert_pt2e(network, fold_quantize=False)
        options = {"quant_config": quant_config.QuantConfig(pt2e_quantizer=quantizer)}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.tflite"
        litert_torch.convert(network, (batches[0],), **options).export(str(path))
        return path.read_bytes()


@app.command()
def prepare(folder: Folder, only: Only = ALL, costs_of: str | None = None) -> None:
    """Our files from the same weights, and what both files hold."""
    from keras_cnnzoo.by_name import create
    from keras_cnnzoo.export import to_tflite
    from keras_cnnzoo.export.contents import histogram, operators
    from keras_cnnzoo.export.interpreter import LiteRT
    from keras_cnnzoo.export.lowering.accuracy import sqnr

    images, costs_of = blurred_noise(3 * IMAGES, SHAPE), machine_of(costs_of)
    for name in only.split(","):
        kept = folder / f"{name}_facts.json"
        if kept_facts(kept, costs_of) is not None:
            continue
        model = create(NETWORKS[name], weights=str(folder / f"{name}_weights.npz"), classifier_activation=None)
        expected, facts = np.load(folder / f"{name}.npy"), {}
        for scheme in SCHEMES:
            ours, peer = (folder / f"{name}_{scheme}_{who}.tflite" for who in ("ours", "peer"))
            calibration = images[IMAGES : 2 * IMAGES]
            to_tflite(model, ours, quantize=scheme, calibration=calibration, force=True, costs_of=costs_of)
            contents = [path.read_bytes() for path in (peer, ours)]
            files = [LiteRT(content) for content in contents]
            facts[scheme] = {
                "partitions": [file.delegation()[0] for file in files],
                "outside": [file.delegation()[1] for file in files],
                "sqnr": [round(sqnr(expected, file(images[2 * IMAGES :])[0]), 1) for file in files],
                "megabytes": [round(len(content) / 1e6, 1) for content in contents],
                "operators": [histogram(operators(content)) for content in contents],
            }
        keep_facts(kept, costs_of, facts, [folder / f"{name}_{scheme}.json" for scheme in SCHEMES])
    print("| network | scheme | partitions | outside, peer | operators | MB | SQNR dB |\n" + "|---" * 7 + "|")
    for name in only.split(","):
        facts = json.loads((folder / f"{name}_facts.json").read_text())
        for scheme in SCHEMES:
            row = facts[scheme]
            pairs = [f"{a} -> {b}" for a, b in (row["partitions"], row["megabytes"], row["sqnr"])]
            outside = ", ".join(f"{count} {operator}" for operator, count in row["outside"][0].items())
            counts = " -> ".join(str(sum(each.values())) for each in row["operators"])
            print(f"| {name} | {scheme} | {pairs[0]} | {outside} | {counts} | {pairs[1]} | {pairs[2]} |")


@app.command()
def measure(folder: Folder, only: Only = ALL, seconds: float = SECONDS) -> None:
    """How many times as fast ours is: the peer's latency by ours, with its 95 % interval."""
    print("| network | scheme | 1 thread | 2 threads |\n|---|---|---|---|")
    measured = dict[str, None]()
    for name in only.split(","):
        for scheme in SCHEMES:
            files = [folder / f"{name}_{scheme}_{who}.tflite" for who in ("peer", "ours")]
            figures = speeds(folder / f"{name}_{scheme}.json", files, (1, 2), seconds)
            cells = [f"{value:.2f} ({low:.2f} to {high:.2f})" for value, low, high in figures["speeds"]]
            measured |= {figures["where"]: None}
            print(f"| {name} | {scheme} | {' | '.join(cells)} |", flush=True)
    print("\n" + "\n".join(measured))


if __name__ == "__main__":
    sys.exit(app())
