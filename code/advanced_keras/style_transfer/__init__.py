"""Style transfer: pixels that are trained against a loss built from features.

Chapter: *Style transfer*. Modules: ``pictures`` loads and draws images, ``extractors``
builds the functional models with many outputs, ``losses`` has Gram matrices and the
three losses, ``loop`` the objective, with the fixed images' features computed once,
and the loop over pixels.
"""

from .extractors import (
    Pad,
    VGGPreprocessing,
    build_extractor,
    pick,
    random_features,
    vgg19_features,
)
from .loop import Painter, StyleObjective, noise_image
from .losses import content_loss, gram, style_loss, total_variation
from .pictures import draw_mosaic, draw_strokes, draw_weave, load_image

__all__ = [
    "Pad",
    "Painter",
    "StyleObjective",
    "VGGPreprocessing",
    "build_extractor",
    "content_loss",
    "draw_mosaic",
    "draw_strokes",
    "draw_weave",
    "gram",
    "load_image",
    "noise_image",
    "pick",
    "random_features",
    "style_loss",
    "total_variation",
    "vgg19_features",
]
