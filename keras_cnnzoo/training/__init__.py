"""Training by recipes: data, augmentation, a resumable loop, curves. No framework is loaded until one is needed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
