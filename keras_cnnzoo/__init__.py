"""The convolutional networks that made vision work, from paper to phone, in Keras 3.

`import keras_cnnzoo` loads neither keras nor tensorflow; a builder does when it is first named.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
