"""The variational autoencoder: a model that computes its loss in its own step.

Chapter: *VAE*. Kingma and Welling, *Auto-Encoding Variational Bayes* (2014); the
weight beta of the KL term is that of Higgins et al. (2017).
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from advanced_keras import _checks
from advanced_keras._types import Tensor

from ..training import StandardStep, batch_size
from .sampling import Sampling, kl_divergence

ROUNDING = 1e-6  # a grey value may miss its limit by this much


@keras.saving.register_keras_serializable(package="advanced_keras")
class VAE(StandardStep, keras.Model):
    """Encoder, noise, decoder; trained on the negative ELBO, with binary pixels.

    The loss of an image is ``reconstruction + beta * kl``, in nats: the cross-entropy
    of its grey values summed over pixels (from logits), and the KL divergence of its
    code from the prior N(0, 1). Both are averaged over the batch. ``loss``,
    ``reconstruction`` and ``kl`` are reported as means over the epoch.

    Args:
        encoder: model from images to the pair (mean, log_var), each ``(batch, m)``.
        decoder: model from ``(batch, m)`` to logits of the images' shape.
        beta: weight of the KL term; 1 gives the ELBO.
        seed: of the noise; see :class:`Sampling`.
        **kwargs: as for ``keras.Model``.

    Call arguments:
        images: ``(batch, rows, columns, channels)``, grey values from 0 to 1.
        training: True decodes a drawn code, otherwise the mean is decoded.

    Returns:
        Logits ``(batch, rows, columns, channels)``, float32.

    Raises:
        TypeError: if a part is not a Keras model, or ``seed`` not an integer.
        ValueError: if a part is neither functional nor sequential, the encoder does
            not return a pair that fits the decoder, or ``beta`` is not a number of
            at least 0. ``fit``, ``evaluate`` and a step without a graph also refuse
            arrays whose grey values are not from 0 to 1; into a dataset they don't
            look.

    Example:
        >>> from advanced_keras.vae import build_vae
        >>> vae = build_vae(latent_dim=2, seed=0)
        >>> tuple(vae(ops.zeros((1, 28, 28, 1))).shape)
        (1, 28, 28, 1)
    """

    limits: tuple[float, float] | None = (0.0, 1.0)  # of what is reconstructed

    def __init__(self, encoder, decoder, beta=1.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        _check_parts(encoder, decoder)
        self.encoder, self.decoder = encoder, decoder
        self.beta = _check_beta(beta)
        self.sampling = Sampling(seed, dtype="float32", name="sampling")
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction")
        self.kl_tracker = keras.metrics.Mean(name="kl")
        self.build(encoder.input_shape)

    def build(self, input_shape):
        """The parts bring their weights along; only the layer that draws has none."""
        self.sampling.build([tensor.shape for tensor in self.encoder.outputs])
        self.built = True

    def call(self, images, training=None):
        """Images to logits: encode, draw, decode."""
        mean, log_var = self.encoder(images, training=training)
        z = self.sampling((mean, log_var), training=training)
        return self.decode(z, training)

    def compute_output_shape(self, input_shape):
        """That of the images."""
        return (input_shape[0], *self.decoder.output_shape[1:])

    def fit(self, x=None, y=None, *args, **kwargs):
        """As ``keras.Model.fit``; arrays are looked at first.

        Raises:
            ValueError: if what is to be reconstructed is not from 0 to 1.
        """
        _check_limits(x, y, self.limits)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As ``keras.Model.evaluate``; arrays are looked at first.

        Raises:
            ValueError: if what is to be reconstructed is not from 0 to 1.
        """
        _check_limits(x, y, self.limits)
        return super().evaluate(x, y, *args, **kwargs)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Change the weights once, by one batch.

        Args:
            data: ``x``, ``(x, y)`` or ``(x, y, sample_weight)``. ``y`` is what to
                reconstruct; without it, that is ``x``.

        Returns:
            The running value of every metric of the epoch.
        """
        images, target, sample_weight = self.unpack(data)
        with tf.GradientTape() as tape:
            mean, log_var = self.encoder(images, training=True)
            z = self.sampling((mean, log_var), training=True)
            logits = self.decode(z, training=True)
            each = self.reconstruction(target, logits)
            reconstruction = average(each, sample_weight)
            kl = average(kl_divergence(mean, log_var), sample_weight)
            loss = self.total(reconstruction, kl)
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.track(images, loss, reconstruction, kl)
        return self.compute_metrics(images, target, logits, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure one batch at the means of the codes: no noise, no tape, no update.

        Args:
            data: as for :meth:`train_step`.
        """
        images, target, sample_weight = self.unpack(data)
        mean, log_var = self.encoder(images, training=False)
        logits = self.decode(mean, training=False)
        each = self.reconstruction(target, logits)
        reconstruction = average(each, sample_weight)
        kl = average(kl_divergence(mean, log_var), sample_weight)
        self.track(images, self.total(reconstruction, kl), reconstruction, kl)
        return self.compute_metrics(images, target, logits, sample_weight)

    def reconstruction(self, target, logits):
        """-log p(x|z) for binary pixels, summed over pixels: ``(batch,)``, nats.

        A pixel with logit a and grey value x costs ``softplus(a) - x a``.
        """
        target = ops.cast(target, logits.dtype)
        pixels = ops.softplus(logits) - target * logits
        return ops.sum(pixels, axis=tuple(range(1, len(logits.shape))))

    def total(self, reconstruction, kl):
        """The loss of a batch; on several devices, this device's share of it."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return (reconstruction + self.beta * kl + sum(self.losses)) / replicas

    def track(self, images, loss, reconstruction, kl):
        """Add a batch to the means of the epoch; it counts by its examples."""
        self.track_loss(loss, images)
        count = batch_size(images)
        self.reconstruction_tracker.update_state(reconstruction, sample_weight=count)
        self.kl_tracker.update_state(kl, sample_weight=count)

    def decode(self, z, training=None):
        """Logits in float32: a sum over many pixels would lose digits in half."""
        return ops.cast(self.decoder(z, training=training), "float32")

    def generate(self, z):
        """Grey values from 0 to 1 for latent vectors ``(batch, m)``, as NumPy."""
        _check_codes(z, self.decoder)
        return ops.convert_to_numpy(ops.sigmoid(self.decode(ops.convert_to_tensor(z))))

    def unpack(self, data: Any):
        """What ``fit`` hands over, as images, target and weights or None.

        Raises:
            ValueError: if ``y`` does not have the shape of the images, if
                ``compile`` was given a loss, or, without a graph, if grey values are
                not from 0 to 1.
        """
        images, target, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self.loss is not None:
            raise ValueError(
                f"loss must not be given to compile, got {self.loss!r}: a VAE computes "
                "its own."
            )
        target = images if target is None else target
        if len(target.shape) != len(images.shape) or any(
            None not in pair and pair[0] != pair[1]
            for pair in zip(target.shape[1:], images.shape[1:], strict=True)
        ):
            raise ValueError(
                "y must be what to reconstruct, of the shape of x, "
                f"{tuple(images.shape)}; got {tuple(target.shape)}. Labels are not "
                "needed: call fit(x)."
            )
        given = None if target is images else target
        _check_limits(images, given, self.limits)
        return images, target, sample_weight

    def get_config(self) -> dict[str, Any]:
        """The parts, beta and the seed."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "encoder": serialize(self.encoder),
            "decoder": serialize(self.decoder),
            "beta": self.beta,
            "seed": self.sampling.seed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the parts, then the whole."""
        deserialize = keras.saving.deserialize_keras_object
        parts = {
            part: deserialize(config[part], custom_objects=custom_objects)
            for part in ("encoder", "decoder")
        }
        return cls(**{**config, **parts})


@keras.saving.register_keras_serializable(package="advanced_keras")
class GaussianVAE(VAE):
    """The VAE for real numbers: p(x|z) is normal, with one variance for all of them.

    Written as a difference from :class:`VAE`: another reconstruction term, one more
    weight, the logarithm of the variance, and no sigmoid: what the decoder returns
    is a mean ``(batch, n)``.

    Args:
        encoder, decoder, beta, seed, **kwargs: as for :class:`VAE`.
        noise: the variance if it is fixed, a positive number; None learns it,
            from 1.

    Raises:
        ValueError: also if ``noise`` is not None or a positive number.
    """

    limits = None  # any number

    def __init__(self, encoder, decoder, beta=1.0, seed=None, noise=None, **kwargs):
        if noise is not None and not (_number(noise) and noise > 0):
            raise ValueError(f"noise must be None or a positive number, got {noise!r}.")
        self.noise = noise  # before the base class, which calls build
        super().__init__(encoder, decoder, beta, seed, **kwargs)

    def build(self, input_shape):
        """Add the weight; the rest is as before."""
        self.log_noise = self.add_weight(
            name="log_noise",
            initializer=keras.initializers.Constant(math.log(self.noise or 1.0)),
            trainable=self.noise is None,
            dtype="float32",
        )
        super().build(input_shape)

    def reconstruction(self, target, logits):
        """-log p(x|z) = |x - xhat|^2 / (2 s^2) + n/2 log(2 pi s^2), ``(batch,)``."""
        axes = tuple(range(1, len(logits.shape)))
        square = ops.square(ops.cast(target, logits.dtype) - logits)
        log_noise = ops.convert_to_tensor(self.log_noise)
        constant = log_noise + math.log(2 * math.pi)
        return 0.5 * ops.sum(square * ops.exp(-log_noise) + constant, axis=axes)

    def generate(self, z):
        """Means of p(x|z) for latent vectors ``(batch, m)``, as NumPy; no sigmoid."""
        _check_codes(z, self.decoder)
        return ops.convert_to_numpy(self.decode(ops.convert_to_tensor(z)))

    def get_config(self) -> dict[str, Any]:
        """Also the fixed variance."""
        return {**super().get_config(), "noise": self.noise}


def average(each: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    """Mean of ``(batch,)`` over the batch, times weights if there are any."""
    _checks.axes(each=(each, "(batch,)"))
    if sample_weight is not None:
        given = sample_weight, "(batch, ...)"
        _checks.axes(each=(each, "(batch,)"), sample_weight=given)
        (each,) = _checks.as_tensors(each)
        each = each * ops.reshape(ops.cast(sample_weight, each.dtype), (-1,))
    return ops.mean(each)


def _check_limits(x, y, limits) -> None:
    """Look at what is to be reconstructed, if its numbers are there to be seen."""
    name, values = ("x", x) if y is None else ("y", y)
    seen = isinstance(values, np.ndarray) or (
        tf.is_tensor(values) and hasattr(values, "numpy")
    )
    if limits is None or not seen or 0 in values.shape:
        return
    _checks.shape_of(name, values)
    if y is not None and tuple(y.shape) != tuple(getattr(x, "shape", ())):
        return  # labels, say: the step has a word about them
    least, most = float(np.min(values)), float(np.max(values))
    if not limits[0] - ROUNDING <= least <= most <= limits[1] + ROUNDING:
        raise ValueError(
            f"{name} must hold grey values from 0 to 1, got {least:.3g} to {most:.3g}; "
            "divide 0 to 255 by 255, and for other numbers take GaussianVAE."
        )


def _check_codes(z, decoder) -> None:
    _checks.axes(z=(z, f"(batch, {decoder.input_shape[-1]})"))


def _number(value) -> bool:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return real and math.isfinite(value)


def _check_beta(beta) -> float:
    if not _number(beta) or beta < 0:
        raise ValueError(f"beta must be a number of at least 0, got {beta!r}.")
    return float(beta)


def _check_parts(encoder, decoder) -> None:
    for name, part in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(part, keras.Model):
            raise TypeError(f"{name} must be a Keras model, got {part!r}.")
        if not getattr(part, "inputs", None) or not getattr(part, "outputs", None):
            raise ValueError(
                f"{name} must be functional or sequential and built, so that its "
                f"shapes are known; {part.name!r} has no inputs and outputs."
            )
    codes = [tuple(tensor.shape) for tensor in encoder.outputs]
    if len(codes) != 2 or codes[0] != codes[1]:
        raise ValueError(
            "encoder must return a pair (mean, log_var) of equal shapes, got outputs "
            f"of shapes {codes}."
        )
    if tuple(decoder.input_shape) != codes[0]:
        raise ValueError(
            f"decoder must take codes of shape {codes[0]}, which the encoder gives; "
            f"got {tuple(decoder.input_shape)}."
        )
    if tuple(decoder.output_shape) != tuple(encoder.input_shape):
        raise ValueError(
            f"decoder must return the encoder's input shape, {encoder.input_shape}; "
            f"got {decoder.output_shape}."
        )
