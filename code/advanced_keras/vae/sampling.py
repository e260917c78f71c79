"""The layer that draws, and the price of drawing: reparametrization and the KL term.

Names: ``mean`` is mu, ``log_var`` is log sigma^2, ``epsilon`` is the noise, ``z`` the
latent vector; all ``(batch, latent_dim)``.
"""

from __future__ import annotations

import keras
from keras import ops

from advanced_keras import _checks
from advanced_keras._types import Tensor


@keras.saving.register_keras_serializable(package="advanced_keras")
class Sampling(keras.layers.Layer):
    """Draw z = mean + exp(log_var / 2) * epsilon with standard normal epsilon.

    The noise is an *input* of the formula, so z has a derivative with respect to mean
    and log_var: the reparametrization of Kingma and Welling (2014), section 2.4. At
    inference the layer is silent and returns the mean, as dropout returns its input.

    Args:
        seed: of the layer's own generator; None takes one from Keras's global seed,
            so ``keras.utils.set_random_seed`` makes it reproducible and two layers
            draw different noise. How far the generator has run is saved with the
            weights, so that resumed training draws what uninterrupted training draws.
        **kwargs: as for ``keras.layers.Layer``.

    Call arguments:
        inputs: the pair (mean, log_var), each ``(batch, latent_dim)``.
        training: True draws; False and None return the mean.

    Returns:
        z, ``(batch, latent_dim)``.

    Raises:
        TypeError: if ``seed`` is not None or an integer, or ``inputs`` are not
            floating-point.
        ValueError: if ``inputs`` is not a pair of equal shapes.

    Example:
        >>> layer = Sampling(seed=0)
        >>> tuple(layer([ops.zeros((3, 2)), ops.zeros((3, 2))]).shape)
        (3, 2)
    """

    def __init__(self, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise TypeError(f"seed must be an integer or None, got {seed!r}.")
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        """Check that there are two inputs of one shape; there are no weights."""
        _check_pair(input_shape)
        super().build(input_shape)

    def call(self, inputs, training=None):
        """The formula, or its middle."""
        # once more than in build: later inputs may be of another kind
        pair = isinstance(inputs, (tuple, list))
        _check_pair([tuple(each.shape) for each in inputs] if pair else inputs.shape)
        mean, log_var = inputs
        _checks.floating(mean=mean, log_var=log_var)
        if not training:
            return mean
        epsilon = keras.random.normal(
            ops.shape(mean), dtype=mean.dtype, seed=self.seed_generator
        )
        return mean + ops.exp(0.5 * log_var) * epsilon

    def compute_output_shape(self, input_shape):
        """The shape of the mean."""
        return input_shape[0]

    def save_own_variables(self, store):
        """Keras leaves the state of generators out of its files; we put it in."""
        store["seed_state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        """Go on drawing where the saved layer stopped."""
        self.seed_generator.state.assign(store["seed_state"][:])

    def get_config(self):
        """The seed as it was given."""
        return {**super().get_config(), "seed": self.seed}


def _check_pair(shapes) -> None:
    """Refuse one input, more than two, and two that would broadcast."""
    single = not all(hasattr(each, "__len__") for each in shapes)
    pair = not single and len(shapes) == 2 and len(shapes[0]) == len(shapes[1])
    if not pair or any(
        None not in sizes and sizes[0] != sizes[1]
        for sizes in zip(*shapes, strict=True)
    ):
        raise ValueError(
            "inputs must be a pair (mean, log_var) of equal shapes, got shapes "
            f"{shapes}."
        )


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_var)) from N(0, 1), summed over dimensions.

    ``1/2 sum_j (mu_j^2 + sigma_j^2 - log sigma_j^2 - 1)``: Kingma and Welling (2014),
    appendix B, with the sign turned.

    Args:
        mean, log_var: ``(batch, latent_dim)``.

    Returns:
        Nats, ``(batch,)``, never negative but for rounding.

    Raises:
        TypeError: if they are not floating-point.
        ValueError: if their shapes differ.

    Example:
        >>> print(kl_divergence(ops.array([[0.0, 1.0]]), ops.zeros((1, 2))).numpy())
        [0.5]
    """
    return ops.sum(kl_by_dimension(mean, log_var), axis=-1)


def kl_by_dimension(mean: Tensor, log_var: Tensor) -> Tensor:
    """The terms of :func:`kl_divergence`, ``(batch, latent_dim)``, in nats.

    Example:
        >>> print(kl_by_dimension(ops.array([[0.0, 1.0]]), ops.zeros((1, 2))).numpy())
        [[0.  0.5]]
    """
    _checks.axes(
        mean=(mean, "(batch, latent_dim)"), log_var=(log_var, "(batch, latent_dim)")
    )
    mean, log_var = _checks.as_tensors(mean, log_var)
    _checks.floating(mean=mean, log_var=log_var)
    # expm1(v) - v is exact near v = 0, where exp(v) - v - 1 cancels.
    return 0.5 * (ops.square(mean) + ops.expm1(log_var) - log_var)
