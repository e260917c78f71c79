"""What did the code learn? Bounds, the latent plane, and the known factors of digits.

Chapter: *VAE*. Everything here looks at a trained model from outside, in NumPy.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import keras
import numpy as np
from keras import ops

from advanced_keras import _checks

from ..data.digits import FONTS, JITTER, Digits, draw_digit
from .model import ROUNDING, VAE
from .sampling import kl_by_dimension

FACTORS = ("label", "font", *JITTER)
"""What is known of a drawn digit."""


def encode(vae: VAE, images: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log variance of the codes of images, each ``(count, m)``, float64."""
    _check_images(vae, images)
    # called in pieces: predict would build a graph for each model that is looked at
    starts = range(0, len(images), 500)
    pieces = [vae.encoder(images[start : start + 500]) for start in starts]
    mean, log_var = (
        np.concatenate(each).astype(float) for each in zip(*pieces, strict=True)
    )
    return mean, log_var


def log_weights(vae: VAE, images: Any, draws: int = 16, seed: int = 0) -> np.ndarray:
    """log p(x|z) + log p(z) - log q(z|x) for codes z drawn from q(z|x).

    Their mean over the draws estimates the ELBO. The logarithm of the mean of their
    exponentials is a bound on log p(x) that is at least as tight: Burda et al.,
    *Importance Weighted Autoencoders* (2016).

    Args:
        vae: a trained :class:`VAE`, of any likelihood.
        images: ``(count, ...)``.
        draws: codes drawn for each image.
        seed: of the draws.

    Returns:
        ``(draws, count)``, in nats.
    """
    _check_images(vae, images)
    if vae.limits is not None:
        low, high = vae.limits
        _checks.between("images", images, low - ROUNDING, high + ROUNDING)
    mean, log_var = encode(vae, images)
    _checks.whole("draws", draws)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        epsilon = rng.normal(size=mean.shape)
        z = mean + np.exp(0.5 * log_var) * epsilon
        output = vae.decode(ops.convert_to_tensor(z, "float32"))
        reconstruction = vae.reconstruction(images, output)
        log_ratio = 0.5 * np.sum(epsilon**2 + log_var - z**2, axis=-1)
        found.append(log_ratio - np.asarray(reconstruction, float))
    return np.stack(found)


def active_dimensions(vae: VAE, images: Any, least: float = 0.01) -> int:
    """How many dimensions of the code depend on the image.

    A dimension counts if the variance of its mean over the images is at least
    ``least``: Burda et al. (2016).
    """
    return int(np.sum(encode(vae, images)[0].var(axis=0) >= least))


def kl_shares(vae: VAE, images: Any) -> np.ndarray:
    """KL divergence of each dimension of the code, mean over images: ``(m,)``."""
    pair = (ops.convert_to_tensor(each) for each in encode(vae, images))
    return ops.convert_to_numpy(kl_by_dimension(*pair)).mean(axis=0)


def latent_plane(points: int) -> np.ndarray:
    """A grid of codes with equal prior probability between neighbours.

    Args:
        points: on each side of the square.

    Returns:
        ``(points * points, 2)`` float32, row by row from the top left; the first
        number grows to the right and the second upwards.

    Raises:
        ValueError: if ``points`` is not an integer of at least 2.
    """
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise ValueError(f"points must be an integer of at least 2, got {points!r}.")
    shares = (np.arange(points) + 0.5) / points
    ticks = np.array([NormalDist().inv_cdf(share) for share in shares])
    across, up = np.meshgrid(ticks, ticks[::-1])
    return np.stack([across, up], axis=-1).reshape(-1, 2).astype("float32")


def redraw(digits: Digits, **factors: Any) -> Digits:
    """Draw digits again, with some of their factors replaced.

    Args:
        digits: drawn digits.
        **factors: ``label``, ``font`` or a jitter: one value for all, or one for each.

    Raises:
        ValueError: for an unknown factor, another number of values than of digits, or
            digits that were not drawn here.
    """
    known = factors_of(digits)
    for name, value in factors.items():
        if name not in known:
            raise ValueError(f"factors must be among {FACTORS}, got {name!r}.")
        if np.shape(value) not in [(), (len(digits),)]:
            raise ValueError(
                f"{name} must be one value, or one for each of {len(digits)} digits, "
                f"got shape {np.shape(value)}."
            )
        known[name] = np.broadcast_to(np.asarray(value), len(digits))
    rows = zip(*known.values(), strict=True)
    images = np.stack([draw_digit(*row) for row in rows])[..., None]
    jitter = {name: known[name] for name in JITTER}
    return Digits(images, known["label"], known["font"], jitter)


def factors_of(digits: Digits) -> dict[str, np.ndarray]:
    """All that is known of drawn digits: for each factor ``(count,)``.

    Raises:
        ValueError: if the digits were not drawn here.
    """
    _checks.instance("digits", digits, Digits, "Digits")
    if digits.fonts is None or not digits.jitter:
        raise ValueError(
            "digits must be drawn ones, load_digits('drawn'); of these only the label "
            "is known."
        )
    return {"label": digits.labels, "font": digits.fonts, **digits.jitter}


def share_alone(codes: Any, values: Any, bins: int = 20) -> float:
    """Share of the variance of codes that a factor explains by itself.

    The correlation ratio: the variance of the mean code given the factor, over the
    variance of the code, dimensions added up; corrected for the number of groups as
    an adjusted R^2 is. It is the first-order index of Sobol.

    Args:
        codes: ``(count, m)``.
        values: of the factor, ``(count,)``; integers are classes, others are cut
            into ``bins`` with equal numbers.
        bins: for values that are not integers.

    Example:
        >>> codes = np.array([0.0, 0.0, 1.0, 1.0])
        >>> print(share_alone(codes, np.array([5, 5, 7, 7])))
        1.0
    """
    _checks.axes(codes=(codes, "(count, ...)"), values=(values, "(count,)"))
    _checks.finite(codes=codes)
    _checks.whole("bins", bins)
    codes, values = np.asarray(codes, float), np.asarray(values)
    if values.dtype.kind not in "iub":
        order = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        values = order * bins // len(values)
    groups = [codes[values == value] for value in np.unique(values)]
    inside = sum(((group - group.mean(0)) ** 2).sum() for group in groups)
    total = ((codes - codes.mean(0)) ** 2).sum()
    freedom = (len(codes) - 1) / (len(codes) - len(groups))
    return float(1 - inside / total * freedom)


def share_redrawn(
    encoder: keras.Model, digits: Digits, name: str, seed: int = 0
) -> float:
    """Share of the variance of codes that is lost if only this factor is redrawn.

    Half the mean squared distance between the codes of a digit and of the same digit
    with another value of the factor, over the variance of the code: the total index
    of Sobol, as Jansen (1999) estimates it. It counts what the factor does alone and
    what it does together with others.

    Args:
        encoder: function from images to codes ``(count, m)``.
        digits: drawn digits.
        name: of the factor.
        seed: of the new values.

    Raises:
        TypeError: if ``encoder`` can't be called, or ``digits`` are something else.
        ValueError: for an unknown factor, or digits that were not drawn here.
    """
    _checks.function("encoder", encoder)
    factors_of(digits)
    new = new_values(name, len(digits), seed)
    before, after = (
        encoder(digits.images),
        encoder(redraw(digits, **{name: new}).images),
    )
    moved = 0.5 * np.sum((after - before) ** 2, axis=-1).mean()
    return float(moved / np.sum(before.var(axis=0)))


def new_values(name: str, count: int, seed: int = 0) -> np.ndarray:
    """Values of a factor as :func:`~advanced_keras.data.digits.draw_digits` draws them.

    Raises:
        ValueError: for an unknown factor.
    """
    _checks.whole("count", count)
    if name not in FACTORS:
        raise ValueError(f"name must be one of {FACTORS}, got {name!r}.")
    rng = np.random.default_rng(seed)
    if name in JITTER:
        return rng.uniform(*JITTER[name], size=count)
    return rng.integers(10 if name == "label" else len(FONTS), size=count)


def sample_prior(vae: VAE, count: int, seed: int = 0) -> np.ndarray:
    """New images from latent vectors drawn from N(0, 1): ``(count, ...)``."""
    _checks.instance("vae", vae, VAE, "a VAE")
    _checks.whole("count", count)
    latent_dim = vae.decoder.input_shape[-1]
    z = np.random.default_rng(seed).normal(size=(count, latent_dim))
    return vae.generate(z.astype("float32"))


def interpolate(start: Any, stop: Any, steps: int) -> np.ndarray:
    """Codes on the straight line from ``start`` to ``stop``: ``(steps, m)``.

    Example:
        >>> print(interpolate(np.array([0.0]), np.array([1.0]), steps=3).ravel())
        [0.  0.5 1. ]
    """
    _checks.axes(start=(start, "(m,)"), stop=(stop, "(m,)"))
    _checks.finite(start=start, stop=stop)
    _checks.whole("steps", steps)
    share = np.linspace(0, 1, steps)[:, None]
    return ((1 - share) * start + share * stop).astype("float32")


def _check_images(vae, images) -> None:
    """Refuse images of another shape than the model's, none at all, and nan."""
    _checks.instance("vae", vae, VAE, "a VAE")
    sizes = ", ".join(str(size or "...") for size in vae.encoder.input_shape[1:])
    _checks.axes(images=(images, f"(count, {sizes})"))
    _checks.finite(images=images)
