"""Writes the names and shapes of a torch reference's state dict, for the tests that run without torch.

    python tests/zoo/state_dicts/make.py torchvision:resnet50 [timm:seresnet50 ...]

A file NAME.json here belongs to the registry's network NAME; `torchvision:resnet50=resnet50` names it otherwise.
"""

import json
import sys
from pathlib import Path


def main() -> None:
    for argument in sys.argv[1:]:
        source, _, target = argument.partition("=")
        library, _, name = source.partition(":")
        if library == "torchvision":
            import torchvision

            module = torchvision.models.get_model(name, weights=None)
        elif library == "pytorchcv":
            from pytorchcv.model_provider import get_model

            module = get_model(name)
        elif library == "facenet_pytorch":
            import facenet_pytorch

            module = getattr(facenet_pytorch, name)(classify=True, num_classes=1000)
        else:
            import timm

            module = timm.create_model(name)
        state = {k: list(v.shape) for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(shape)}" for key, shape in state.items())
        Path(__file__).with_name(f"{target or name}.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
