"""WGAN-GP: a critic that measures a distance, held in check by its own gradient.

Chapter: *WGAN-GP: a gradient inside the loss*. The loss and the step are those of
Gulrajani et al. (2017), algorithm 1. A :class:`WGANGP` is a
:class:`~advanced_keras.gan.GAN` with another loss, whose penalty needs a tape of its
own inside the tape of the train step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from advanced_keras import _checks
from advanced_keras._types import Tensor

from .gan import GAN, observe
from .gan.model import _examples as examples
from .gan.model import _objective as objective_of
from .training import batch_size

PENALTY_WEIGHT = 10.0  # lambda of the paper
EPSILON = 1e-12

# -- The penalty ----------------------------------------------------------------------


def interpolation_weights(x: Tensor, seed: Any = None) -> Tensor:
    """Draw alpha from U(0, 1), one number for each example.

    Args:
        x: examples ``(batch, ...)``, for their number and their axes.
        seed: an integer or a ``keras.random.SeedGenerator``.

    Returns:
        ``(batch, 1, ..., 1)``, float32, with as many axes as ``x``.

    Example:
        >>> tuple(interpolation_weights(np.zeros((4, 28, 28, 1)), seed=0).shape)
        (4, 1, 1, 1)
    """
    _checks.axes(x=(x, "(batch, ...)"))
    shape = (batch_size(x), *[1 for _ in x.shape[1:]])
    return keras.random.uniform(shape, 0.0, 1.0, dtype="float32", seed=seed)


def interpolate(x: Tensor, generated: Tensor, alpha: Tensor) -> Tensor:
    """Points between real and generated examples: ``x + alpha * (generated - x)``.

    Args:
        x, generated: examples ``(batch, ...)``, paired by their place in the batch.
        alpha: ``(batch, 1, ..., 1)``, see :func:`interpolation_weights`.

    Returns:
        ``(batch, ...)``, float32, whatever the precision of the networks is.

    Example:
        >>> print(interpolate([[0.0]], [[1.0]], alpha=[[0.25]]).numpy())
        [[0.25]]
    """
    _check_pairs(x, generated, alpha)
    x, generated = ops.cast(x, "float32"), ops.cast(generated, "float32")
    return x + alpha * (generated - x)


def safe_norm(gradients: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Length of each example's gradient: ``sqrt(sum of squares + epsilon)``.

    With ``epsilon`` the derivative at a gradient of zero is zero. Without, it is 0 / 0.

    Args:
        gradients: ``(batch, ...)``.
        epsilon: adds at most its root to a length.

    Returns:
        ``(batch,)``, float32.

    Example:
        >>> print(safe_norm(ops.array([[3.0, 4.0]])).numpy().round(3))
        [5.]
    """
    _checks.axes(gradients=(gradients, "(batch, ...)"))
    flat = ops.reshape(ops.cast(gradients, "float32"), (batch_size(gradients), -1))
    return ops.sqrt(ops.sum(ops.square(flat), axis=1) + epsilon)


def slopes(critic: keras.Model, x: Tensor, epsilon: float = EPSILON) -> Tensor:
    """How steep the critic is at each point: the length of its gradient there.

    The critic is called without dropout: noise would make it steep in places where it
    is not.

    Args:
        critic: a model from ``(batch, ...)`` to ``(batch, 1)`` that treats each example
            by itself.
        x: points, ``(batch, ...)``.
        epsilon: see :func:`safe_norm`.

    Returns:
        ``(batch,)``, float32; a tape outside can differentiate it once more.

    Example:
        >>> critic = keras.layers.Rescaling(2.0)
        >>> print(slopes(critic, ops.ones((1, 1))).numpy().round(3))
        [2.]
    """
    _checks.function("critic", critic)
    _checks.axes(x=(x, "(batch, ...)"))
    x = ops.convert_to_tensor(x, "float32")
    with tf.GradientTape() as inner_tape:
        inner_tape.watch(x)
        scores = critic(x, training=False)
    return safe_norm(inner_tape.gradient(scores, x), epsilon)


def gradient_penalty(norms: Tensor) -> Tensor:
    """Mean squared distance of the slopes from 1: Gulrajani et al. (2017), equation 3.

    Args:
        norms: ``(batch,)``, see :func:`slopes`.

    Example:
        >>> print(gradient_penalty(ops.array([1.0, 3.0])).numpy())
        2.0
    """
    _checks.axes(norms=(norms, "(batch,)"))
    return ops.mean(ops.square(norms - 1.0))


def one_sided_penalty(norms: Tensor) -> Tensor:
    """As :func:`gradient_penalty`, but slopes below 1 are free: Petzka et al. (2018).

    Args:
        norms: ``(batch,)``, see :func:`slopes`.

    Example:
        >>> print(one_sided_penalty(ops.array([0.5, 3.0])).numpy())
        2.0
    """
    _checks.axes(norms=(norms, "(batch,)"))
    return ops.mean(ops.square(ops.relu(norms - 1.0)))


# -- The model ------------------------------------------------------------------------


@keras.saving.register_keras_serializable(package="advanced_keras")
class WGANGP(GAN):
    """A GAN whose discriminator is a critic, as a difference from :class:`GAN`.

    The critic minimizes ``E[f(G(z))] - E[f(x)] + penalty_weight * penalty``, the
    generator ``-E[f(G(z))]``. Logs of ``fit`` are means over the epoch: both losses;
    ``d_real`` and ``d_fake``, the critic's mean scores; ``penalty``; ``slope``, the
    mean length of the critic's gradient between real and generated examples; and
    ``wasserstein``, the gap between the mean scores divided by the slope.

    Args:
        generator: a built model from ``(batch, latent_dim)`` to examples.
        critic: a built model from examples to scores ``(batch, 1)``, without batch
            normalization.
        critic_updates: how often the critic is updated in a step. The batch is dealt
            out among these updates.
        penalty_weight: of the gradient penalty, lambda in the paper.
        seed: of the latent vectors and of the interpolation.
        **kwargs: as for :class:`GAN`, without ``loss`` and ``real_target``.

    Raises:
        TypeError: for ``loss`` or ``real_target``, or if a player is not a model.
        ValueError: if the critic has a layer that mixes the examples of a batch, if
            ``penalty_weight`` is not a positive number, and as :class:`GAN`.
    """

    def __init__(
        self,
        generator,
        critic,
        *,
        critic_updates=3,
        penalty_weight=PENALTY_WEIGHT,
        seed=0,
        **kwargs,
    ):
        if not isinstance(critic, keras.Model):
            raise TypeError(f"critic must be a keras.Model, got {critic!r}.")
        _check_settings(critic_updates, penalty_weight, kwargs)
        super().__init__(
            generator,
            critic,
            discriminator_updates=critic_updates,
            seed=seed,
            **kwargs,
        )
        _check_critic(critic)
        self.penalty_weight = float(penalty_weight)
        for name in ("penalty", "slope", "wasserstein"):
            self.trackers[name] = keras.metrics.Mean(name=name)

    @property
    def critic(self):
        """The discriminator by its right name, f."""
        return self.discriminator

    def compile(self, d_optimizer=None, g_optimizer=None, **kwargs):
        """Give each player its optimizer.

        Args:
            d_optimizer, g_optimizer: two optimizers, or their names; by default for
                each ``Adam(1e-3, beta_1=0.5, beta_2=0.9)``.
            **kwargs: as for :class:`GAN`.
        """
        d_optimizer, g_optimizer = d_optimizer or _adam(), g_optimizer or _adam()
        super().compile(d_optimizer, g_optimizer, **kwargs)

    def train_step(self, data):
        """Update the critic ``critic_updates`` times, then the generator.

        The generator does not change while the critic learns, so all the examples that
        the critic will see are generated in one call.

        Args:
            data: real examples x, ``(batch, ...)``, alone or with labels.

        Returns:
            The mean over the epoch of every metric.
        """
        parts = self.deal(examples(data))
        z = self.draw(sum(batch_size(part) for part in parts))
        generated = ops.split(observe(self.generator, z), len(parts))
        for x, x_generated in zip(parts, generated, strict=True):
            self.update_discriminator(x, x_generated)
        for _ in range(self.generator_updates):
            self.train_generator(self.draw(batch_size(parts[0])))
        return self.report()

    def update_discriminator(self, x, generated):
        """Change the weights of the critic once, and nothing of the generator."""
        with tf.GradientTape() as tape:
            loss = self.discriminator_loss(x, generated, training=True)
            objective = objective_of(loss, self.critic)
            scaled_loss = self.d_optimizer.scale_loss(objective)
        weights = self.discriminator.trainable_variables
        gradients = tape.gradient(scaled_loss, weights)
        self.d_optimizer.apply(gradients, weights)
        self.track(x, d_loss=loss)

    def discriminator_loss(self, x, generated, training):
        """What the critic minimizes: Gulrajani et al. (2017), equation 3.

        Args:
            x: real examples, ``(batch, ...)``.
            generated: generated ones, of the same shape.
            training: whether the critic is in training mode for its scores. For the
                penalty it never is.

        Returns:
            A scalar.
        """
        real, fake = self.judge(x, generated, training)
        gap = self.score(real) - self.score(fake)
        # `evaluate` repeats; the next seed, or alpha would be made of the bits of z
        alpha = interpolation_weights(x, self.noise if training else self.seed + 1)
        norms = slopes(self.critic, interpolate(x, generated, alpha))
        penalty, slope = self.penalty(norms), ops.mean(norms)
        self.track(x, penalty=penalty, slope=slope, wasserstein=gap / slope)
        return -gap + self.penalty_weight * penalty

    def penalty(self, norms):
        """The penalty of slopes ``(batch,)``; a variant overrides it."""
        return gradient_penalty(norms)

    def generator_loss(self, fake_logits):
        """What the generator minimizes: minus the mean score of its examples."""
        return -self.score(fake_logits)

    def score(self, logits):
        """The mean of the critic's scores ``(batch, 1)``, float32."""
        return ops.mean(ops.cast(logits, "float32"))

    def get_config(self):
        """Both players and every argument."""
        config = super().get_config()
        renamed = {
            "critic": config.pop("discriminator"),
            "critic_updates": config.pop("discriminator_updates"),
            "penalty_weight": self.penalty_weight,
        }
        return {k: v for k, v in config.items() if k not in REFUSED} | renamed

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The same game, with weights of its own."""
        config = dict(config)
        for player in ("generator", "critic"):
            config[player] = keras.saving.deserialize_keras_object(
                config[player], custom_objects
            )
        return cls(**config)


def build_critic(
    widths: Sequence[int] = (32, 64, 128), seed: int | None = 0
) -> keras.Model:
    """A critic of digits: images ``(batch, 28, 28, 1)`` to scores ``(batch, 1)``.

    The discriminator of :func:`~advanced_keras.gan.build_discriminator` without batch
    normalization and without dropout.

    Args:
        widths: channels of the 14 x 14, the 7 x 7 and the 4 x 4 image.
        seed: of the initial weights.
    """
    _checks.widths("widths", widths, 3)
    seeds = iter(np.random.default_rng(seed).integers(0, 2**31, 4).tolist())
    h = images = keras.Input((28, 28, 1), name="images")
    for place, (filters, kernel_size) in enumerate(zip(widths, (4, 4, 3), strict=True)):
        h = keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=2,
            padding="same",
            kernel_initializer=keras.initializers.GlorotUniform(next(seeds)),
            name=("down_14", "down_7", "down_4")[place],
        )(h)
        h = keras.layers.LeakyReLU(0.2)(h)
    start = keras.initializers.GlorotUniform(next(seeds))
    flat = keras.layers.Flatten(name="flatten")(h)
    scores = keras.layers.Dense(
        1, kernel_initializer=start, dtype="float32", name="score"
    )(flat)
    return keras.Model(images, scores, name="critic")


@keras.saving.register_keras_serializable(package="advanced_keras")
class Drawers(keras.layers.Layer):
    """Let a latent vector choose one of several drawers.

    The largest of the first ``count`` numbers decides. They are replaced by zeros and,
    in the place of the largest, the root of ``count``: their mean square stays 1. Out
    of one cloud come ``count`` clouds apart, so a continuous generator can put them
    into different places without drawing a thread between them.

    Args:
        count: how many, at least 2.

    Call arguments:
        z: latent vectors ``(batch, latent_dim)``, with ``latent_dim`` above ``count``.

    Returns:
        ``(batch, latent_dim)``.

    Raises:
        ValueError: if ``count`` is not an integer of at least 2, or z is too short.
    """

    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        if isinstance(count, bool) or not isinstance(count, int) or count < 2:
            raise ValueError(f"count must be an integer of at least 2, got {count!r}.")
        self.count = count

    def build(self, z_shape):
        """Check the length of z."""
        if z_shape[-1] <= self.count:
            raise ValueError(
                f"z must have more than count={self.count} numbers, got {z_shape[-1]}."
            )

    def call(self, z):
        """Zeros and a one for the first numbers; the others stay."""
        chosen = ops.argmax(z[:, : self.count], axis=-1)
        ones = ops.one_hot(chosen, self.count, dtype=z.dtype)
        return ops.concatenate([self.count**0.5 * ones, z[:, self.count :]], axis=-1)

    def compute_output_shape(self, z_shape):
        """The shape of z."""
        return z_shape

    def get_config(self):
        """The number of drawers."""
        return super().get_config() | {"count": self.count}


# -- A critic by itself ---------------------------------------------------------------


def build_line_critic(
    dimensions: int = 1, hidden: int = 64, seed: int | None = 0
) -> keras.Model:
    """A small critic of points: ``(batch, dimensions)`` to scores ``(batch, 1)``.

    Args:
        dimensions: coordinates of a point.
        hidden: units of each of the two hidden layers; 0 for none, which leaves a
            linear critic.
        seed: of the initial weights.
    """
    _checks.whole("dimensions", dimensions)
    _checks.whole("hidden", hidden, least=0)
    seeds = iter(np.random.default_rng(seed).integers(0, 2**31, 5).tolist())
    h = x = keras.Input((dimensions,), name="x")
    for _ in range(2 if hidden else 0):
        h = keras.layers.Dense(
            hidden,
            activation="relu",
            kernel_initializer=keras.initializers.HeUniform(next(seeds)),
            # The kinks of the function start in different places.
            bias_initializer=keras.initializers.RandomUniform(-1, 1, next(seeds)),
        )(h)
    last = keras.initializers.GlorotUniform(next(seeds))
    scores = keras.layers.Dense(1, kernel_initializer=last, dtype="float32")(h)
    return keras.Model(x, scores, name="critic")


class Distance(NamedTuple):
    """What a critic says of two distributions.

    Args:
        gap: difference of its mean scores.
        slope: mean length of its gradient between real and generated examples.
        steepest: its steepest rise from a generated to a real example, over all pairs,
            see :func:`steepest_rise`.
    """

    gap: float
    slope: float
    steepest: float

    @property
    def estimate(self):
        """The Wasserstein distance: the gap with the slope divided out."""
        return self.gap / self.slope

    @property
    def least(self):
        """A lower bound of the distance, whatever the critic is.

        No plan pays less for a pair than the rise of f over it, divided by the
        steepest rise; in total that is the gap, so divided.
        """
        return self.gap / self.steepest


def train_critic(
    critic: keras.Model,
    x: Tensor,
    generated: Tensor,
    steps: int = 800,
    *,
    penalty_weight: float | Sequence[float] = PENALTY_WEIGHT,
    penalty: Callable = gradient_penalty,
    batch: int = 256,
    learning_rate: float = 3e-3,
    seed: int | None = 0,
) -> None:
    """Train a critic between two fixed sets of examples: the critic's half of a GAN.

    The learning rate falls to zero in a straight line, in each round.

    Args:
        critic: a built model from examples to scores ``(batch, 1)``; it is changed.
        x, generated: examples ``(count, ...)``, from which batches are drawn.
        steps: how many updates.
        penalty_weight: lambda; or several, for as many rounds of ``steps`` updates.
        penalty: a function of the slopes ``(batch,)``.
        batch: examples of each kind in an update.
        learning_rate: at the start.
        seed: of the batches and of the interpolation.
    """
    _checks.function("penalty", penalty)
    _check_sets(critic, x, generated)
    _checks.whole("steps", steps)
    _checks.whole("batch", batch)
    _checks.positive("learning_rate", learning_rate)
    noise = keras.random.SeedGenerator(seed)
    optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.9)
    weights = critic.trainable_variables
    optimizer.build(weights)
    x, generated = (ops.convert_to_tensor(each, "float32") for each in (x, generated))

    def some(points):
        places = keras.random.randint((batch,), 0, len(points), seed=noise)
        return ops.take(points, places, axis=0)

    @tf.function(input_signature=[tf.TensorSpec((), "float32")])
    def run(lam):
        for step in tf.range(steps):
            left = 1 - ops.cast(step, "float32") / steps
            optimizer.learning_rate.assign(learning_rate * left)
            real, fake = some(x), some(generated)
            alpha = interpolation_weights(real, noise)
            with tf.GradientTape() as tape:
                scores = critic(ops.concatenate([real, fake]), training=True)
                gap = ops.mean(scores[:batch]) - ops.mean(scores[batch:])
                norms = slopes(critic, interpolate(real, fake, alpha))
                loss = -gap + lam * penalty(norms)
            optimizer.apply(tape.gradient(loss, weights), weights)

    round_of_steps = run.get_concrete_function()  # each critic has its own graph
    for lam in np.atleast_1d(penalty_weight):
        round_of_steps(tf.constant(lam, "float32"))


def measure(
    critic: keras.Model,
    x: Tensor,
    generated: Tensor,
    count: int = 20_000,
    seed: int | None = 0,
) -> Distance:
    """Ask a trained critic for the distance between two sets of examples.

    Args:
        critic: a model from examples to scores ``(batch, 1)``.
        x, generated: examples ``(count, ...)``.
        count: points between them at which the slope is measured.
        seed: of these points.

    Returns:
        A :class:`Distance`. Its ``least`` is a bound for these two sets of examples.
    """
    _check_sets(critic, x, generated)
    _checks.whole("count", count)
    noise = keras.random.SeedGenerator(seed)
    x, generated = (ops.convert_to_tensor(each, "float32") for each in (x, generated))
    real, fake = (
        ops.take(each, keras.random.randint((count,), 0, len(each), seed=noise), axis=0)
        for each in (x, generated)
    )
    alpha = interpolation_weights(real, noise)
    norms = slopes(critic, interpolate(real, fake, alpha))
    above, below = (np.ravel(critic(each)).astype(float) for each in (x, generated))
    gap = above.mean() - below.mean()
    steepest = steepest_rise(above, below, np.asarray(x), np.asarray(generated))
    return Distance(float(gap), float(ops.mean(norms)), steepest)


def steepest_rise(
    scores: np.ndarray,
    generated_scores: np.ndarray,
    x: np.ndarray,
    generated: np.ndarray,
) -> float:
    """Largest ``(f(x) - f(y)) / ||x - y||`` of all pairs of a real x, a generated y.

    Scores are float32, so a difference of less than 1e-5 of their range says nothing of
    a slope, and is left out.

    Args:
        scores, generated_scores: of the examples, ``(count,)`` each.
        x, generated: examples ``(count, ...)``.

    Returns:
        A positive number; if f rises over no pair, a tiny one.
    """
    _checks.axes(scores=(scores, "(count,)"), x=(x, "(count, ...)"))
    _checks.axes(
        generated_scores=(generated_scores, "(count,)"),
        generated=(generated, "(count, ...)"),
    )
    _checks.finite(scores=scores, generated_scores=generated_scores)
    _checks.alike(x=x[:1], generated=generated[:1])
    ends = [np.reshape(each, (len(each), -1)).astype(float) for each in (x, generated)]
    y_squares = np.sum(ends[1] ** 2, axis=1)
    rounding = 1e-5 * np.ptp(np.r_[scores, generated_scores])
    steepest = EPSILON
    for point, score in zip(ends[0], scores, strict=True):
        squares = point @ point - 2 * ends[1] @ point + y_squares
        rises = score - generated_scores - rounding
        distances = np.sqrt(np.maximum(squares, EPSILON))
        steepest = max(steepest, float(np.max(rises / distances)))
    return steepest


# -- Helpers --------------------------------------------------------------------------

REFUSED = ("loss", "real_target")
MIXING = (keras.layers.BatchNormalization,)


def _adam():
    return keras.optimizers.Adam(1e-3, beta_1=0.5, beta_2=0.9)


def _check_pairs(x, generated, alpha):
    """Refuse what would broadcast into something else than pairs of examples."""
    _checks.alike(x=x, generated=generated)
    given, wanted = _checks.shape_of("alpha", alpha), _checks.shape_of("x", x)
    if given is None or wanted is None:
        return
    pairs = list(zip(given, wanted, strict=False))
    clash = any(None not in pair and pair[0] not in (1, pair[1]) for pair in pairs)
    if clash or len(given) != len(wanted):
        raise ValueError(
            f"alpha must have the shape of x, {wanted}, or 1 on some axes, got {given}."
        )


def _check_sets(critic, x, generated):
    """Refuse two sets of examples that the critic can't compare."""
    _checks.instance("critic", critic, keras.Model, "a model")
    sizes = ", ".join(str(size or "...") for size in critic.input_shape[1:])
    for name, points in (("x", x), ("generated", generated)):
        _checks.axes(**{name: (points, f"(count, {sizes})")})
        _checks.finite(**{name: points})


def _check_settings(critic_updates, penalty_weight, others):
    for name in REFUSED:
        if name in others:
            raise TypeError(
                f"{name} is not an argument of WGANGP: its losses are fixed; got "
                f"{name}={others[name]!r}."
            )
    if (
        isinstance(critic_updates, bool)
        or not isinstance(critic_updates, int)
        or critic_updates < 1
    ):
        raise ValueError(
            f"critic_updates must be a positive integer, got {critic_updates!r}."
        )
    number = isinstance(penalty_weight, (int, float))
    number = number and not isinstance(penalty_weight, bool)
    if not number or not 0 < penalty_weight < math.inf:
        raise ValueError(
            f"penalty_weight must be a positive number, got {penalty_weight!r}."
        )


def _check_critic(critic):
    """The penalty asks for the gradient of one example's score, by that example."""
    for layer in critic._flatten_layers():
        if isinstance(layer, MIXING):
            raise ValueError(
                "critic must treat each example by itself: the gradient penalty is "
                f"per example. Layer {layer.name!r} normalizes over the batch; use "
                "LayerNormalization, or nothing."
            )
