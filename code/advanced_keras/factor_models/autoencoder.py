"""Betas from characteristics by a network: the conditional autoencoder.

Chapter: *Factor models*, section "The conditional autoencoder". Gu, Kelly and Xiu
(2021): one network makes betas of characteristics, another makes factors of returns,
and their product is the return. :func:`make_model` is the course notes' version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from advanced_keras import _checks
from advanced_keras._types import Tensor

from ..data.panel import Panel, _check_whole
from ..progress import Progress
from .classical import _check_factors, _check_panel, managed_portfolios
from .model import FactorModel

DEPTHS = {"CA0": (), "CA1": (32,), "CA2": (32, 16), "CA3": (32, 16, 8)}
"""Hidden layers of the beta network in the paper's four models."""


def make_model(
    n_tickers: int, n_characteristics: int, hidden_units: int = 8, n_factors: int = 3
) -> keras.Model:
    """The conditional autoencoder of the course notes, line by line.

    Args:
        n_tickers: N.
        n_characteristics: P.
        hidden_units: of the beta side.
        n_factors: K.

    Returns:
        A compiled model: inputs ``(B, N, P)`` and ``(B, N)``, output ``(B, N)``. It
        has no place for missing tickers; see :func:`build_autoencoder`.

    Example:
        >>> make_model(n_tickers=5, n_characteristics=4).output_shape
        (None, 5)
    """
    input_beta = keras.Input((n_tickers, n_characteristics), name="input_beta")
    input_factor = keras.Input((n_tickers,), name="input_factor")

    hidden_layer = layers.Dense(
        units=hidden_units, activation="relu", name="hidden_layer"
    )(input_beta)
    batch_norm = layers.BatchNormalization(name="batch_norm")(hidden_layer)

    output_beta = layers.Dense(units=n_factors, name="output_beta")(batch_norm)

    output_factor = layers.Dense(units=n_factors, name="output_factor")(input_factor)

    output = layers.Dot(axes=(2, 1), name="output_layer")([output_beta, output_factor])

    model = keras.Model(inputs=[input_beta, input_factor], outputs=output)
    model.compile(loss="mse", optimizer="adam")
    return model


@keras.saving.register_keras_serializable(package="advanced_keras")
class FillMissing(layers.Layer):
    """Put zeros in the rows of missing tickers, whatever they held.

    Call arguments:
        characteristics: ``(B, N, P)``.
        present: ``(B, N)``, bool.

    Returns:
        ``(B, N, P)``. A product with the mask would not do: NaN times 0 is NaN.
    """

    def call(self, characteristics, present):
        """Choose, cell by cell."""
        _checks.axes(
            characteristics=(characteristics, "(B, N, P)"), present=(present, "(B, N)")
        )
        return ops.where(present[..., None], characteristics, 0.0)

    def compute_output_shape(self, characteristics_shape, present_shape=None):
        """The shape of the characteristics."""
        return characteristics_shape


@keras.saving.register_keras_serializable(package="advanced_keras")
def masked_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Squared errors of the returns that are there, one number for each date.

    Args:
        y_true: ``(B, N)``, NaN where missing.
        y_pred: ``(B, N)``, anything where missing.

    Returns:
        ``(B,)``. Their mean over the batch is the mean over all returns present in it:
        each counts the same, on a full date and on a sparse one.

    Example:
        >>> y_true, y_pred = np.array([[1.0, np.nan]]), np.array([[0.5, 7.0]])
        >>> print(masked_error(y_true, y_pred).numpy())
        [0.25]
    """
    _checks.axes(y_true=(y_true, "(B, N)"), y_pred=(y_pred, "(B, N)"))
    y_true, y_pred = _checks.as_tensors(y_true, y_pred)
    seen = ops.logical_not(ops.isnan(y_true))
    error = ops.where(seen, y_true - y_pred, 0.0)
    a_date = ops.mean(ops.sum(ops.cast(seen, error.dtype), axis=-1))
    return ops.sum(ops.square(error), axis=-1) / ops.maximum(a_date, 1.0)


@keras.saving.register_keras_serializable(package="advanced_keras")
class MaskedMeanSquaredError(keras.losses.Loss):
    """The mean squared error over the returns that are there; NaN means missing.

    Call arguments: see :func:`masked_error`.
    """

    def __init__(self, name="masked_mean_squared_error", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """One number for each date, ``(B,)``."""
        return masked_error(y_true, y_pred)


def build_autoencoder(
    num_characteristics: int,
    num_factors: int,
    hidden: Sequence[int] = (32,),
    l1: float = 1e-5,
    seed: int = 0,
) -> keras.Model:
    """The paper's model: any number of tickers, missing ones masked.

    Against :func:`make_model`: the factor side gets P managed portfolios in place of N
    returns, so that no weight belongs to a ticker; it has no bias, so that a factor is
    the return of a portfolio; and rows of missing tickers reach neither the betas of
    others nor the statistics of batch normalization.

    Args:
        num_characteristics: P.
        num_factors: K.
        hidden: units of the beta side's hidden layers; see :data:`DEPTHS`.
        l1: penalty on the kernels of the beta side.
        seed: of the initial weights.

    Returns:
        A model from ``characteristics`` (B, N, P), ``present`` (B, N) and
        ``portfolios`` (B, P) to returns (B, N). Its layers "betas" and "factors" give
        the two sides.

    Raises:
        TypeError: if ``hidden`` is no tuple or list.
        ValueError: for a number of factors or units that is not a positive integer.

    Example:
        >>> model = build_autoencoder(num_characteristics=4, num_factors=2)
        >>> [tuple(each.shape) for each in model.inputs]
        [(None, None, 4), (None, None), (None, 4)]
    """
    _check_whole("num_characteristics", num_characteristics, 1)
    _check_factors(num_factors, num_characteristics)
    if not isinstance(hidden, (tuple, list)):
        raise TypeError(f"hidden must be a tuple of units, got {hidden!r}.")
    for units in hidden:
        _check_whole("units in hidden", units, 1)
    characteristics = keras.Input((None, num_characteristics), name="characteristics")
    present = keras.Input((None,), dtype="bool", name="present")
    portfolios = keras.Input((num_characteristics,), name="portfolios")

    code = FillMissing(name="fill_missing")(characteristics, present)
    for number, units in enumerate(hidden, start=1):
        dense = _dense(units, f"hidden_{number}", seed + number, l1, activation="relu")
        norm = layers.BatchNormalization(momentum=0.9, name=f"batch_norm_{number}")
        code = norm(dense(code), mask=present)
    betas = _dense(num_factors, "betas", seed, l1)(code)

    factors = _dense(num_factors, "factors", seed + 100, 0.0, use_bias=False)(
        portfolios
    )
    returns = layers.Dot(axes=(2, 1), name="returns")([betas, factors])
    return keras.Model([characteristics, present, portfolios], returns)


def _dense(units, name, seed, l1, **options):
    return layers.Dense(
        units,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        kernel_regularizer=keras.regularizers.L1(l1) if l1 else None,
        name=name,
        **options,
    )


@dataclass(frozen=True)
class Autoencoder(FactorModel):
    """A trained conditional autoencoder.

    Args:
        model: see :func:`build_autoencoder`.
        history: what ``fit`` returned, a list for each name.
    """

    model: keras.Model
    history: dict

    def betas(self, panel: Panel) -> np.ndarray:
        """The beta network, threaded over dates and tickers, ``(D, N, K)``."""
        inputs = self.model.inputs[:2]
        side = keras.Model(inputs, self.model.get_layer("betas").output)
        Z = panel.characteristics.astype("float32")
        return np.asarray(side([Z, panel.present], training=False), float)

    def factors(self, panel: Panel) -> np.ndarray:
        """The factor network: portfolios of managed portfolios, ``(D, K)``."""
        return managed_portfolios(panel) @ np.asarray(
            self.model.get_layer("factors").kernel, float
        )


def fit_autoencoder(
    train: Panel,
    validation: Panel,
    num_factors: int = 3,
    hidden: Sequence[int] = (32,),
    seed: int = 0,
    epochs: int = 50,
    batch_size: int = 8,
    learning_rate: float = 0.02,
    l1: float = 1e-5,
    patience: int = 15,
) -> Autoencoder:
    """Train on one window, stop where the next window is predicted best.

    Returns are divided by their standard deviation in ``train``. There is no bias on
    the factor side, so the model is homogeneous in the returns, and the weights are
    right for returns in any unit.

    Args:
        train, validation: the windows; neither reads the other.
        num_factors: K.
        hidden, l1: see :func:`build_autoencoder`.
        seed: of the initial weights and of the order of dates.
        epochs, batch_size, learning_rate: of Adam; a minibatch is some *dates*.
        patience: stop after so many epochs without a better validation error; the
            weights of the best epoch are kept.

    Returns:
        An :class:`Autoencoder`.

    Raises:
        ValueError: for windows that are empty or have other characteristics, and
            for numbers that are out of range.
    """
    _check_panel(train, "train")
    _check_panel(validation, "validation")
    if not len(train) or not len(validation) or train.names != validation.names:
        raise ValueError(
            "train and validation must have dates and the same characteristics, got "
            f"{len(train)} dates of {train.names} and {len(validation)} of "
            f"{validation.names}."
        )
    _check_whole("epochs", epochs, 1)
    _check_whole("batch_size", batch_size, 1)
    _check_whole("patience", patience, 0)
    _checks.positive("learning_rate", learning_rate)
    scale = 1 / np.std(train.returns[train.present])
    model = build_autoencoder(len(train.names), num_factors, hidden, l1, seed)
    steps = max(1, len(train) // batch_size)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=MaskedMeanSquaredError(),
        metrics=[masked_error],  # without the penalty, for the validation window
        steps_per_execution=steps,
    )
    model.optimizer.build(model.trainable_variables)  # or fit traces its step twice
    stop = keras.callbacks.EarlyStopping(
        "val_masked_error", mode="min", patience=patience, restore_best_weights=True
    )
    fitted = model.fit(
        minibatches(examples(train, scale), batch_size, epochs, seed),
        validation_data=tf.data.Dataset.from_tensors(examples(validation, scale)),
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,  # minibatches are shuffled already
        callbacks=[stop, Progress("training an autoencoder")],
        verbose=0,
    )
    return Autoencoder(model, fitted.history)


def examples(panel: Panel, scale: float = 1.0) -> tuple[dict, np.ndarray]:
    """What the network gets, one example a date: inputs by name, and targets.

    Targets are NaN where missing, whatever the panel holds there.
    """
    _check_panel(panel)
    inputs = {
        "characteristics": panel.characteristics.astype("float32"),
        "present": panel.present,
        "portfolios": (scale * managed_portfolios(panel)).astype("float32"),
    }
    targets = np.where(panel.present, scale * panel.returns, np.nan)
    return inputs, targets.astype("float32")


def minibatches(data: Any, batch_size: int, epochs: int, seed: int) -> tf.data.Dataset:
    """Dates in a new order each epoch, in whole batches; the order is the seed's.

    The order is drawn here and not by tf.data, whose draws depend on the global seed.
    """
    count = len(data[1])
    size = min(batch_size, count)
    rng = np.random.default_rng(seed)
    whole = count // size * size
    order = [rng.permutation(count)[:whole].reshape(-1, size) for _ in range(epochs)]
    tensors = tf.nest.map_structure(tf.constant, data)
    places = tf.data.Dataset.from_tensor_slices(np.concatenate(order))
    return places.map(
        lambda place: tf.nest.map_structure(lambda x: tf.gather(x, place), tensors)
    ).prefetch(2)
