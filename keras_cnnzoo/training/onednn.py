"""oneDNN's convolutions for TensorFlow, on processors for which it leaves them off."""

import os
import sys


def prefer_onednn() -> None:
    """TensorFlow trains with oneDNN from here on; what the environment says of it stands.

    TensorFlow takes oneDNN's kernels by itself only where a processor has VNNI, bfloat16 or AMX instructions. With
    AVX2 alone a ResNet-20's training step of 128 images takes half of the time with them, too. It reads this once, when
    it is loaded: later the call does nothing.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
