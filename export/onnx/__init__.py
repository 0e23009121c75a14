"""Keras model to ONNX: float, half precision, and explicit Q/DQ for TensorRT."""
