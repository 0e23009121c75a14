from .complexity import Complexity as Complexity
from .complexity import complexity as complexity
from .errors import InputError as InputError
from .families.resnet import ResNet18 as ResNet18
from .families.resnet import ResNet20 as ResNet20
from .families.resnet import ResNet32 as ResNet32
from .families.resnet import ResNet34 as ResNet34
from .families.resnet import ResNet44 as ResNet44
from .families.resnet import ResNet50 as ResNet50
from .families.resnet import ResNet56 as ResNet56
from .families.resnet import ResNet101 as ResNet101
from .families.resnet import ResNet110 as ResNet110
from .families.resnet import ResNet152 as ResNet152
from .families.shufflenet_v2 import ShuffleNetV2 as ShuffleNetV2
from .preprocessing import Preprocessing as Preprocessing
from .registry import Variant as Variant
from .registry import create as create
from .registry import info as info
from .registry import list_models as list_models
from .weights import load_weights as load_weights
from .weights import save_weights as save_weights

__version__: str
