"""The objective, a loss over pixels, and the loop that lowers it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from advanced_keras import _checks

from ..progress import Bar
from .losses import content_loss, gram, style_loss, total_variation

EDGE = 0.02  # pixels start this far from 0 and 1, where the sigmoid is flat


def noise_image(shape: Sequence[int], seed: int | None = 0) -> np.ndarray:
    """Return grey noise to start from, ``shape`` is ``(1, rows, columns, 3)``.

    Example:
        >>> noise_image((1, 8, 8, 3)).shape
        (1, 8, 8, 3)
    """
    _checks.widths("shape", shape, 4)
    return np.random.default_rng(seed).uniform(0.4, 0.6, shape).astype("float32")


class StyleObjective:
    """The loss of an image: style + content + total variation.

    The features of the fixed images are computed here, once. What is left to do in
    each step is one call of the extractor on one image. Gatys et al. (2016),
    equation 7, with losses in relative units.

    Args:
        extractor: a model that returns a dictionary with keys ``style_...`` and
            ``content_...``, see :func:`build_extractor`.
        style: image ``(1, rows, columns, 3)``, 0 to 1, of any size.
        content: the same, or None: then there is no content loss, and to lower the
            loss is texture synthesis.
        content_weight, variation_weight: of these losses; that of style is 1.
        layer_weights: weight of each style output, by name; the rest has 0. By
            default all have the same. They are divided by their sum.

    Raises:
        ValueError: for an extractor without style outputs, an image of another shape
            or range, a negative weight, or a layer that the extractor does not have.
    """

    def __init__(
        self,
        extractor,
        style,
        content=None,
        content_weight=0.01,
        variation_weight=0.0,
        layer_weights=None,
    ):
        _checks.function("extractor", extractor)
        self.extractor = extractor
        for name, weight in (
            ("content_weight", content_weight),
            ("variation_weight", variation_weight),
        ):
            if not weight >= 0:
                raise ValueError(f"{name} must be at least 0, got {weight!r}.")
        self.content_weight, self.variation_weight = content_weight, variation_weight
        features = self.features(_checked("style", style))
        self.grams = {k: gram(F) for k, F in features.items() if k[:5] == "style"}
        self.layer_weights = _shares(layer_weights, self.grams)
        self.contents, self.shape = {}, None
        if content is not None:
            content = _checked("content", content)
            features, self.shape = self.features(content), content.shape
            self.contents = {k: P for k, P in features.items() if k[:7] == "content"}
        # One compiled function for each objective: the targets are its constants.
        self.value_and_gradient = tf.function(self._value_and_gradient)

    def features(self, images):
        """Return what the extractor says, in float32: sums over places need it."""
        features = self.extractor(images)
        names = list(features) if isinstance(features, dict) else []
        if not any(name[:5] == "style" for name in names):
            raise ValueError(
                "extractor must return a dictionary with keys 'style_...', got "
                f"{names or type(features)}."
            )
        return {name: tf.cast(F, "float32") for name, F in features.items()}

    def terms(self, images):
        """Return the losses of one image: ``loss``, ``style``, ``content``, ...

        Args:
            images: ``(1, rows, columns, 3)``, 0 to 1, of the size of ``content``.
        """
        features = self.features(images)
        style = sum(
            weight * style_loss(gram(features[name]), self.grams[name])
            for name, weight in self.layer_weights.items()
        )
        content = tf.zeros(())
        for name, P in self.contents.items():
            content += content_loss(features[name], P) / len(self.contents)
        variation = total_variation(images)
        loss = style + self.content_weight * content + self.variation_weight * variation
        return {
            "loss": loss,
            "style": style,
            "content": content,
            "variation": variation,
        }

    def _value_and_gradient(self, logits):
        """Return the losses of ``sigmoid(logits)``, and the gradient for logits."""
        with tf.GradientTape() as tape:
            tape.watch(logits)  # a tensor, no variable: the tape must be told
            terms = self.terms(tf.sigmoid(logits))
        return terms, tape.gradient(terms["loss"], logits)


class Painter:
    """The loop over pixels: lowers an objective, starting from an image.

    What is trained are the ``logits`` of the pixels; the image is their sigmoid, so
    that no step can leave the range from 0 to 1.

    Args:
        objective: a :class:`StyleObjective`.
        start: image ``(1, rows, columns, 3)``, 0 to 1.
        optimizer: ``"lbfgs"`` (SciPy's L-BFGS, as in Gatys et al.), ``"adam"``, or an
            optimizer of Keras.

    Attributes:
        history: for each evaluation of the objective a dictionary of its losses.

    Raises:
        ValueError: for another optimizer, or an image of another shape or range.
    """

    def __init__(self, objective, start, optimizer="lbfgs"):
        start = _checked("start", start)
        if objective.shape not in (None, start.shape):
            raise ValueError(
                f"start must have the shape of content, {objective.shape}, got "
                f"{start.shape}."
            )
        if optimizer == "adam":
            optimizer = keras.optimizers.Adam(0.1, beta_2=0.99)
        if optimizer != "lbfgs" and not isinstance(
            optimizer, keras.optimizers.Optimizer
        ):
            raise ValueError(
                "optimizer must be 'lbfgs', 'adam' or an optimizer of Keras, got "
                f"{optimizer!r}."
            )
        self.objective, self.optimizer, self.history = objective, optimizer, []
        p = np.clip(start, EDGE, 1 - EDGE)
        self.logits = tf.Variable(np.log(p / (1 - p)))
        if optimizer != "lbfgs":
            optimizer.build([self.logits])

    @property
    def image(self):
        """The image as it stands, ``(1, rows, columns, 3)``."""
        return tf.sigmoid(self.logits).numpy()

    def run(self, steps):
        """Go on for a number of steps; return the image.

        Args:
            steps: evaluations of loss and gradient. L-BFGS may add a few, to end a
                line search. It forgets its memory between two runs, while an
                optimizer of Keras goes on as if there had been no pause.

        Raises:
            ValueError: if ``steps`` is not an integer of at least 1.
        """
        whole = isinstance(steps, (int, np.integer)) and not isinstance(steps, bool)
        if not whole or steps < 1:
            raise ValueError(f"steps must be an integer of at least 1, got {steps!r}.")
        with Bar("painting", steps) as self._bar:
            if self.optimizer == "lbfgs":
                self._run_lbfgs(steps)
                return self.image
            for _ in range(steps):
                gradient = self._evaluate(self.logits.value())
                self.optimizer.apply([gradient], [self.logits])
        return self.image

    def _evaluate(self, logits):
        terms, gradient = self.objective.value_and_gradient(logits)
        self.history.append({name: float(value) for name, value in terms.items()})
        self._bar.move(loss=self.history[-1]["loss"])
        return gradient

    def _run_lbfgs(self, steps):
        fmin_l_bfgs_b = _scipy()
        shape = self.logits.shape

        def function(vector):
            gradient = self._evaluate(tf.constant(vector.reshape(shape), "float32"))
            return self.history[-1]["loss"], np.ravel(gradient).astype("float64")

        begin = np.ravel(self.logits).astype("float64")
        with _one_thread():
            best, _, _ = fmin_l_bfgs_b(
                function, begin, m=10, factr=0, pgtol=0, maxfun=steps, maxiter=steps
            )
        self.logits.assign(best.reshape(shape))

    def save(self, path):
        """Write pixels and the optimizer's state to an ``.npz`` file."""
        state = [] if self.optimizer == "lbfgs" else self.optimizer.variables
        with open(path, "wb") as file:  # by name, savez would append ".npz" to it
            np.savez(file, self.logits.numpy(), *[np.asarray(v) for v in state])

    def restore(self, path):
        """Read what :meth:`save` wrote, for the same objective and optimizer.

        Raises:
            ValueError: if the file fits another image or optimizer.
        """
        with np.load(path) as file:
            arrays = [file[f"arr_{i}"] for i in range(len(file.files))]
        state = [] if self.optimizer == "lbfgs" else self.optimizer.variables
        mine = [self.logits, *state]
        if [a.shape for a in arrays] != [tuple(v.shape) for v in mine]:
            raise ValueError(
                f"path must hold {len(mine)} arrays, the first of shape "
                f"{tuple(self.logits.shape)}; got {len(arrays)}, {arrays[0].shape}."
            )
        for variable, array in zip(mine, arrays, strict=True):
            variable.assign(array)


def _scipy():
    try:
        from scipy.optimize import fmin_l_bfgs_b
    except ImportError as error:
        raise ImportError(
            "optimizer='lbfgs' needs SciPy, which is not installed: run pip install "
            "scipy, or use optimizer='adam'."
        ) from error
    return fmin_l_bfgs_b


def _one_thread():
    """SciPy's algebra in one thread: several would fight with TensorFlow's."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # comes with scikit-learn; only speed is lost without it
        return contextlib.nullcontext()
    return threadpool_limits(1, user_api="blas")


def _checked(name, image):
    _checks.shape_of(name, image)
    image = np.asarray(image, "float32")
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[-1] != 3:
        raise ValueError(
            f"{name} must have shape (1, rows, columns, 3), got {image.shape}."
        )
    if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        raise ValueError(
            f"{name} must be from 0 to 1, got {image.min():.3g} to {image.max():.3g}."
        )
    return image


def _shares(weights, known):
    weights = dict.fromkeys(known, 1.0) if weights is None else dict(weights)
    total = sum(weights.values())
    unknown = [name for name in weights if name not in known]
    if unknown or min(weights.values(), default=-1) < 0 or not total > 0:
        raise ValueError(
            f"layer_weights must give {', '.join(known)} weights of at least 0, not "
            f"all 0; got {weights}."
        )
    return {name: weight / total for name, weight in weights.items() if weight}
