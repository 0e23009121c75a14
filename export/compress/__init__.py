"""Compression-aware training through tensorflow-model-optimization: `train_aware`."""
