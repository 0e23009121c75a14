"""Keras model to ONNX: float, half precision, int4 weights, and explicit Q/DQ for TensorRT.

Our own rules from the graph, with channels first, and not tf2onnx, by `benchmarks/onnx_paths.py` (224 x 224, opset 17,
ONNX Runtime on one thread of a loaded x86 machine; latency as a ratio to ours):

    network             way      seconds  nodes  Transposes  parity  latency
    mobilenet_v2        ours         1.7    100           0  7e-06      1.00
                        tf2onnx     53.2    139           0  6e-06      0.98
    shufflenet_v2_x1_0  ours         1.5    142           0  6e-06      1.00
                        tf2onnx     71.6    267          63  5e-06      2.31

Ours need no TensorFlow either, run under any Keras backend, know opsets up to 21, name each tensor after its layer, and
fold paddings into the windows behind them. tf2onnx stays as the fallback for layers without a rule.
"""
