"""The GAN training loop: two players, one train step, and what they play for.

Chapter: *The GAN training loop*.
"""

from .losses import (
    discriminator_loss,
    jensen_shannon,
    minimax_loss,
    non_saturating_loss,
    optimal_discriminator,
)
from .model import GAN, observe
from .networks import (
    build_discriminator,
    build_generator,
    build_point_discriminator,
    build_point_generator,
)
from .optimizers import PairedOptimizer
from .ring import Ring

__all__ = [
    "GAN",
    "PairedOptimizer",
    "Ring",
    "build_discriminator",
    "build_generator",
    "build_point_discriminator",
    "build_point_generator",
    "discriminator_loss",
    "jensen_shannon",
    "minimax_loss",
    "non_saturating_loss",
    "observe",
    "optimal_discriminator",
]
