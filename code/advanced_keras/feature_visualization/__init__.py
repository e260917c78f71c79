"""Gradients of the pixels: pictures of filters, saliency, adversarial examples.

Chapter: *Feature visualization: the pixels are the weights*. One function,
:func:`pixel_gradient`, is the whole idea: the weights stand still, and the tape
watches the image. What is asked of the image makes the difference: a filter's mean
(:class:`Ascent`), one logit (:func:`saliency`), the loss (:func:`fgsm`).

Modules: ``ascent`` climbs, ``attribution`` takes the gradient once, ``networks`` has
networks to look into, ``scenes`` draws digits on photographs, ``checks`` looks at
arguments.
"""

from .ascent import (
    Ascent,
    Found,
    blur,
    channel_mean,
    pixel_gradient,
    total_variation,
    unit_step,
)
from .attribution import fgsm, predict, saliency, shuffled
from .networks import (
    build_network,
    feature_extractor,
    load_network,
    mean_activations,
)
from .scenes import Scenes, colour_metric, load_scenes

__all__ = [
    "Ascent",
    "Found",
    "Scenes",
    "blur",
    "build_network",
    "channel_mean",
    "colour_metric",
    "feature_extractor",
    "fgsm",
    "load_network",
    "load_scenes",
    "mean_activations",
    "pixel_gradient",
    "predict",
    "saliency",
    "shuffled",
    "total_variation",
    "unit_step",
]
