"""The linear VAE, and the model whose likelihood it must reach: probabilistic PCA.

Tipping and Bishop, *Probabilistic Principal Component Analysis* (1999); Lucas et al.,
*Don't Blame the ELBO!* (2019). All that is random here is normal, so the ELBO and the
likelihood have closed forms, in NumPy and float64.

Names: ``W`` ``(n, m)`` maps a code to an example, ``b`` ``(n,)`` is added, ``noise``
is the variance sigma^2 of what the code leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from advanced_keras import _checks

from ..autoencoder import initializers
from .model import GaussianVAE
from .networks import _check_integers


def build_linear_vae(
    n: int, latent_dim: int, noise: float | None = None, seed: int | None = None
) -> GaussianVAE:
    """Return a VAE of matrices: q(z|x) = N(V x + c, D), p(x|z) = N(W z + b, noise).

    ``D`` is diagonal and the same for all x, as in Lucas et al. (2019).

    Args:
        n: numbers in an example.
        latent_dim: numbers in a code, m.
        noise: a fixed variance, or None to learn it.
        seed: of the initial weights and the noise.

    Returns:
        :class:`GaussianVAE` ``(batch, n)`` to ``(batch, n)``, not compiled.

    Raises:
        ValueError: if ``n`` or ``latent_dim`` is not a positive integer, and as
            :class:`GaussianVAE`.

    Example:
        >>> build_linear_vae(n=4, latent_dim=2).decoder.output_shape
        (None, 4)
    """
    _check_integers(n=n, latent_dim=latent_dim)
    start = initializers(seed, keras.initializers.GlorotNormal)
    x = keras.Input((n,), name="x")
    mean = layers.Dense(latent_dim, kernel_initializer=next(start), name="mean")(x)
    # zeros times a kernel: what is left is the bias, one number for each dimension
    blank = keras.ops.zeros_like(mean)
    log_var = layers.Dense(latent_dim, name="log_var")(blank)
    z = keras.Input((latent_dim,), name="z")
    to_x = layers.Dense(n, kernel_initializer=next(start), name="W")
    encoder = keras.Model(x, (mean, log_var), name="encoder")
    decoder = keras.Model(z, to_x(z), name="decoder")
    return GaussianVAE(encoder, decoder, noise=noise, seed=seed, name="linear_vae")


@dataclass(frozen=True)
class LinearGaussian:
    """The distribution p(x) = N(b, W W^T + noise I) of a linear decoder.

    Args:
        W: ``(n, m)``.
        b: ``(n,)``.
        noise: variance, a positive number.
    """

    W: np.ndarray
    b: np.ndarray
    noise: float

    def __post_init__(self):
        _checks.axes(W=(self.W, "(n, m)"), b=(self.b, "(n,)"))
        _checks.finite(W=self.W, b=self.b)
        _checks.positive("noise", self.noise)

    @classmethod
    def of(cls, vae: GaussianVAE) -> LinearGaussian:
        """Read W, b and the noise out of a linear VAE."""
        kernel, bias = vae.decoder.get_weights()
        noise = float(np.exp(keras.ops.convert_to_numpy(vae.log_noise), dtype=float))
        return cls(kernel.T.astype(float), bias.astype(float), noise)

    @property
    def covariance(self) -> np.ndarray:
        """Of x: ``(n, n)``."""
        return self.W @ self.W.T + self.noise * np.eye(len(self.b))

    def log_likelihood(self, x) -> np.ndarray:
        """log p(x) in nats: ``(count, n)`` to ``(count,)``."""
        _checks.axes(x=(x, f"(count, {len(self.b)})"))
        gap = np.asarray(x, float) - self.b
        squared = np.sum(gap * np.linalg.solve(self.covariance, gap.T).T, axis=-1)
        log_det = np.linalg.slogdet(self.covariance)[1]
        return -0.5 * (squared + log_det + len(self.b) * np.log(2 * np.pi))

    def elbo(self, x, mean, log_var) -> np.ndarray:
        """The ELBO in nats without drawing: ``(count, n)`` and codes to ``(count,)``.

        ``E |x - W z - b|^2 = |x - W mean - b|^2 + sum_j sigma_j^2 |W_j|^2``, where
        ``W_j`` is a column of W.
        """
        n, m = self.W.shape
        _checks.axes(
            x=(x, f"(count, {n})"),
            mean=(mean, f"(count, {m})"),
            log_var=(log_var, f"(count, {m})"),
        )
        x, mean, log_var = (np.asarray(each, float) for each in (x, mean, log_var))
        missed = np.sum((x - mean @ self.W.T - self.b) ** 2, axis=-1)
        spread = np.exp(log_var) @ np.sum(self.W**2, axis=0)
        n = len(self.b)
        likelihood = (missed + spread) / self.noise + n * np.log(2 * np.pi * self.noise)
        kl = np.sum(mean**2 + np.exp(log_var) - log_var - 1, axis=-1)
        return -0.5 * (likelihood + kl)
