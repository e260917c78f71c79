"""The variational autoencoder: a layer that draws, a model that trains itself.

Chapter: *VAE*. ``sampling`` holds the layer and the KL term, ``networks`` the two
functional models, ``model`` the steps, ``linear`` the oracle, and ``study`` what looks
at a trained model.
"""

from .linear import LinearGaussian, build_linear_vae
from .model import VAE, GaussianVAE, average
from .networks import build_decoder, build_encoder, build_vae
from .sampling import Sampling, kl_by_dimension, kl_divergence
from .study import (
    FACTORS,
    active_dimensions,
    encode,
    factors_of,
    interpolate,
    kl_shares,
    latent_plane,
    log_weights,
    new_values,
    redraw,
    sample_prior,
    share_alone,
    share_redrawn,
)

__all__ = [
    "FACTORS",
    "VAE",
    "GaussianVAE",
    "LinearGaussian",
    "Sampling",
    "active_dimensions",
    "average",
    "build_decoder",
    "build_encoder",
    "build_linear_vae",
    "build_vae",
    "encode",
    "factors_of",
    "interpolate",
    "kl_by_dimension",
    "kl_divergence",
    "kl_shares",
    "latent_plane",
    "log_weights",
    "new_values",
    "redraw",
    "sample_prior",
    "share_alone",
    "share_redrawn",
]
