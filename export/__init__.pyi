from .calibration import Calibration as Calibration
from .card import Card as Card
from .onnx.conversion import to_onnx as to_onnx
from .tflite import Origin as Origin
from .tflite import to_tflite as to_tflite
from .verify import Verification as Verification
from .verify import verify as verify
