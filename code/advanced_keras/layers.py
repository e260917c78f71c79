"""Layers from scratch: weights, sub-layers, state, masks, and how they are saved.

Chapter: *Custom layers: where weights are born*. Each layer shows one thing that a
custom layer may need, and does what a stock layer of Keras does, so that the two can
be compared:

- :class:`Linear`, weights: ``keras.layers.Dense``
- :class:`LayerNorm`, weights: ``keras.layers.LayerNormalization``
- :class:`Residual`, layers inside a layer
- :class:`Noise`, a random state: ``keras.layers.GaussianNoise``
- :class:`MovingStandardize`, a numerical state: ``keras.layers.BatchNormalization``
  without its scale and centre
- :class:`MaskMissing`, makes a mask: ``keras.layers.Masking``
- :class:`MaskedMean`, uses a mask up: ``keras.layers.GlobalAveragePooling1D``

Axes: B examples, T positions in time, n features in, u units out, E model width.
"""

from __future__ import annotations

import keras
from keras import ops


def _integer(name, value):
    """Return ``value`` if it is an integer and no bool, else complain."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    return value


def _number(name, value, allowed, what):
    """Return ``value`` if it is a number that is ``allowed``, else complain."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if not allowed(value):
        raise ValueError(f"{name} must be {what}, got {value!r}.")
    return value


def _positive(name, value):
    """Return ``value`` if it is a positive, finite number, else complain."""
    return _number(name, value, lambda v: 0 < v < float("inf"), "positive and finite")


def _not_negative(name, value):
    """Return ``value`` if it is 0 or a positive, finite number, else complain."""
    what = "0 or more, and finite"
    return _number(name, value, lambda v: 0 <= v < float("inf"), what)


def _boolean(name, value):
    """Return ``value`` if it is True or False, else complain."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}.")
    return value


def _width(inputs_shape):
    """Return n, the length of the last axis; complain if it is unknown."""
    if inputs_shape[-1] is None:
        raise ValueError(
            "inputs must have a known number of features (their last axis), "
            f"got shape {tuple(inputs_shape)}."
        )
    return inputs_shape[-1]


def _check_mask(mask, x, at_least=1):
    """Complain if the axes of ``mask`` are not leading axes of ``x``, or too few."""
    pairs = list(zip(mask.shape, x.shape[:-1], strict=False))
    clash = any(None not in pair and pair[0] != pair[1] for pair in pairs)
    if clash or not at_least <= len(mask.shape) < len(x.shape):
        raise ValueError(
            "mask must have the leading axes of inputs, without the last one, got "
            f"shape {tuple(mask.shape)} for inputs of shape {tuple(x.shape)}."
        )


@keras.saving.register_keras_serializable(package="advanced_keras")
class Linear(keras.layers.Layer):
    """Multiply by a matrix of weights, add a vector of weights: ``y = x W + b``.

    Chapter *Custom layers*. The same as ``keras.layers.Dense``.

    Args:
        units: u, the number of features that come out.
        activation: what is applied to ``y``: a name, a function, or None.
        use_bias: whether there is a ``b``.

    Call arguments:
        inputs: ``(..., n)``, at least two axes.

    Returns:
        ``(..., u)``. A mask passes through.

    Raises:
        TypeError: if ``units`` is not an integer, or ``use_bias`` not a bool.
        ValueError: if ``units`` is not positive, or n is unknown when the weights are
            made.

    Example:
        >>> layer = Linear(2)
        >>> tuple(layer(ops.ones((3, 4))).shape), layer.count_params()
        ((3, 2), 10)
    """

    def __init__(self, units, activation=None, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        if _integer("units", units) <= 0:
            raise ValueError(f"units must be positive, got {units!r}.")
        self.units = units
        self.activation = keras.activations.get(activation)
        self.use_bias = _boolean("use_bias", use_bias)
        self.supports_masking = True

    def build(self, inputs_shape):
        """Make the weights, now that n is known."""
        n = _width(inputs_shape)
        self.W = self.add_weight((n, self.units), name="W")
        if self.use_bias:
            self.b = self.add_weight((self.units,), initializer="zeros", name="b")
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: n})

    def call(self, inputs):
        """Return ``activation(x W + b)``."""
        y = ops.matmul(inputs, self.W)
        if self.use_bias:
            y = y + self.b
        return self.activation(y)

    def compute_output_shape(self, inputs_shape):
        """Return the shape of the input with u in place of n."""
        return (*inputs_shape[:-1], self.units)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
        }


@keras.saving.register_keras_serializable(package="advanced_keras")
class LayerNorm(keras.layers.Layer):
    """Give the features of each example mean 0 and variance 1, then rescale them.

    ``y = gamma (x - mean(x)) / sqrt(var(x) + epsilon) + beta``: Ba, Kiros and Hinton,
    *Layer Normalization* (2016), equations 3 and 4, for a feed-forward layer. Chapter
    *Custom layers*. The same as ``keras.layers.LayerNormalization``.

    Args:
        axis: the axis or axes to average over; not the batch axis.
        epsilon: added to the variance, so that a constant example does not divide by 0.

    Call arguments:
        inputs: for instance ``(B, T, E)``.

    Returns:
        The shape of the input. Computed in float32 at least. A mask passes through.

    Raises:
        TypeError: if ``axis`` is not made of integers, or ``epsilon`` not a number.
        ValueError: if ``epsilon`` is not positive, or ``axis`` does not fit the input.

    Example:
        >>> print(LayerNorm(epsilon=1e-6)(ops.array([[1.0, 3.0]])).numpy().round(3))
        [[-1.  1.]]
    """

    def __init__(self, axis=-1, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        axes = axis if isinstance(axis, (list, tuple)) else [axis]
        if not axes:
            raise ValueError("axis must name at least one axis, got none.")
        self.axis = [_integer("axis", each) for each in axes]
        self.epsilon = _positive("epsilon", epsilon)
        self.supports_masking = True

    def build(self, inputs_shape):
        """Make one gamma and one beta for each feature."""
        self.axes = self._check_axis(inputs_shape)
        shape = [inputs_shape[a] for a in self.axes]
        # autocast=False: they stay float32 when the rest of the model computes in less.
        self.gamma = self.add_weight(
            shape, initializer="ones", autocast=False, name="gamma"
        )
        self.beta = self.add_weight(
            shape, initializer="zeros", autocast=False, name="beta"
        )
        sizes = dict(zip(self.axes, shape, strict=True))
        self.input_spec = keras.layers.InputSpec(ndim=len(inputs_shape), axes=sizes)

    def _check_axis(self, inputs_shape):
        """Return the axes counted from the front; complain if they don't fit."""
        rank = len(inputs_shape)
        axes = sorted({a % rank for a in self.axis if -rank <= a < rank})
        if len(axes) < len(self.axis) or 0 in axes:
            raise ValueError(
                f"axis must name different axes of inputs and not the batch axis, got "
                f"{self.axis} for inputs of shape {tuple(inputs_shape)}."
            )
        if any(inputs_shape[a] is None for a in axes):
            raise ValueError(
                f"axis must name axes of known length, got {self.axis} for inputs of "
                f"shape {tuple(inputs_shape)}."
            )
        return axes

    def call(self, inputs):
        """Standardize each example by itself, then scale and shift each feature."""
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        x = ops.cast(inputs, dtype)
        centred = x - ops.mean(x, axis=self.axes, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=self.axes, keepdims=True)
        xhat = centred * ops.rsqrt(variance + self.epsilon)
        y = self._spread(self.gamma, x) * xhat + self._spread(self.beta, x)
        return ops.cast(y, self.compute_dtype)

    def _spread(self, weight, x):
        """Give ``weight`` the dtype of ``x`` and its axes, so that it broadcasts."""
        shape = [x.shape[a] if a in self.axes else 1 for a in range(len(x.shape))]
        return ops.reshape(ops.cast(weight, x.dtype), shape)

    def compute_output_shape(self, inputs_shape):
        """Return the shape of the input."""
        return tuple(inputs_shape)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="advanced_keras")
class Residual(keras.layers.Layer):
    """Add a layer's output to its input: ``y = x + inner(norm(x))``.

    He, Zhang, Ren and Sun, *Deep Residual Learning* (2016), equation 1, with a
    :class:`LayerNorm` before the inner layer ("pre-norm") or after the sum
    ("post-norm", ``y = norm(x + inner(x))``, as in the Transformer of Vaswani et al.,
    2017). Chapter *Custom layers*.

    Args:
        inner: a layer, or a list of layers called one after the other, with an output
            of the shape of the input. They find ``training`` and the mask by
            themselves, as any layer inside a layer does.
        norm_first: whether the norm stands before ``inner`` or after the sum.
        epsilon: see :class:`LayerNorm`.

    Call arguments:
        inputs: ``(..., E)``, at least two axes.

    Returns:
        The shape of the input. A mask passes through.

    Raises:
        TypeError: if ``inner`` is not made of layers, or ``norm_first`` is not a bool.
        ValueError: if ``inner`` is empty, or returns another shape: a sum would
            broadcast silently.

    Example:
        >>> layer = Residual(keras.layers.Dense(4))
        >>> tuple(layer(ops.ones((3, 4))).shape)
        (3, 4)
    """

    def __init__(self, inner, norm_first=True, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = _positive("epsilon", epsilon)
        self.norm = LayerNorm(epsilon=epsilon, dtype=self.dtype_policy, name="norm")
        self.inner = list(inner) if isinstance(inner, (list, tuple)) else [inner]
        if not self.inner:
            raise ValueError("inner must have at least one layer, got none.")
        for layer in self.inner:
            if not isinstance(layer, keras.layers.Layer):
                raise TypeError(f"inner must be made of Keras layers, got {layer!r}.")
        self.norm_first = _boolean("norm_first", norm_first)
        self.supports_masking = True

    def build(self, inputs_shape):
        """Give the layers inside their weights, each from its own input's shape."""
        self.norm.build(inputs_shape)
        shape = inputs_shape
        for layer in self.inner:
            if not layer.built:
                layer.build(shape)
            shape = layer.compute_output_shape(shape)
        if tuple(shape) != tuple(inputs_shape):
            raise ValueError(
                f"inner must return the shape of its input, {tuple(inputs_shape)}, "
                f"got {tuple(shape)}."
            )

    def call(self, inputs):
        """Return what came in, plus what the inner layers make of it."""
        if self.norm_first:
            return inputs + self._update(self.norm(inputs))
        return self.norm(inputs + self._update(inputs))

    def _update(self, states):
        """Call the inner layers, one after the other."""
        for layer in self.inner:
            states = layer(states)
        return states

    def compute_output_shape(self, inputs_shape):
        """Return the shape of the input."""
        return tuple(inputs_shape)

    def get_config(self):
        """Return the arguments of the constructor, each inner layer as its config."""
        return {
            **super().get_config(),
            "inner": [keras.saving.serialize_keras_object(e) for e in self.inner],
            "norm_first": self.norm_first,
            "epsilon": self.epsilon,
        }

    @classmethod
    def from_config(cls, config):
        """Make the inner layers first, then the layer around them."""
        inner = [keras.saving.deserialize_keras_object(e) for e in config["inner"]]
        return cls(**{**config, "inner": inner})


@keras.saving.register_keras_serializable(package="advanced_keras")
class Noise(keras.layers.Layer):
    """Add normal noise in training, nothing at inference.

    ``y = x + stddev z`` with z drawn from N(0, 1), afresh at each call. Chapter
    *Custom layers*. The same as ``keras.layers.GaussianNoise``.

    Args:
        stddev: standard deviation of the noise, in the units of the input. (The stock
            layer takes it for a rate, and refuses more than 1.)
        seed: an integer, or None to follow ``keras.utils.set_random_seed``. Two layers
            with the same integer draw the same noise; with None they don't.

    Call arguments:
        inputs: any shape.
        training: whether to add noise; found by itself in ``fit`` and ``predict``.

    Returns:
        The shape of the input. A mask passes through.

    Raises:
        TypeError: if ``stddev`` is not a number, ``seed`` not an integer, or what
            comes in is not floating-point.
        ValueError: if ``stddev`` is negative or infinite.

    Example:
        >>> layer = Noise(stddev=1.0, seed=0)
        >>> print(layer(ops.ones((1, 2)), training=False).numpy())
        [[1. 1.]]
    """

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.stddev = _not_negative("stddev", stddev)
        self.seed = seed if seed is None else _integer("seed", seed)
        # The state of the draw. Keras finds it here, as it finds weights; unlike them
        # it is not saved: a loaded layer draws from the beginning again.
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs, training=False):
        """Return ``x + stddev z`` in training, else ``x``."""
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        if not keras.backend.is_float_dtype(dtype):
            raise TypeError(f"inputs must be floating-point, got {dtype}.")
        if not training:
            return inputs
        z = keras.random.normal(
            ops.shape(inputs), dtype=self.compute_dtype, seed=self.seed_generator
        )
        return inputs + self.stddev * z

    def compute_output_shape(self, inputs_shape):
        """Return the shape of the input."""
        return tuple(inputs_shape)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


@keras.saving.register_keras_serializable(package="advanced_keras")
class MovingStandardize(keras.layers.Layer):
    """Standardize each feature: by its batch in training, by moving averages later.

    ``y = (x - mean) / sqrt(variance + epsilon)``, one mean and one variance for each
    feature, over all examples and positions. Chapter *Custom layers*. The same as
    ``keras.layers.BatchNormalization(scale=False, center=False)``; Ioffe and Szegedy,
    *Batch Normalization* (2015), algorithm 1 without gamma and beta.

    After each training step, ``moving = momentum moving + (1 - momentum) batch``. The
    moving mean starts at 0 and the moving variance at 1.

    Args:
        momentum: share of the moving averages that a step keeps, in [0, 1).
        epsilon: added to the variance.

    Call arguments:
        inputs: ``(B, ..., n)``.
        mask: True where a position counts, ``(B, T)`` or other leading axes of the
            input, all but the last; Keras fills it in.
        training: whether to use the batch and move the averages. A layer with
            ``trainable=False`` never does.

    Returns:
        The shape of the input. A mask passes through.

    Raises:
        TypeError: if an argument is not a number.
        ValueError: if ``momentum`` or ``epsilon`` is out of range, n is unknown when
            the averages are made, or the mask has another shape.

    Example:
        >>> layer = MovingStandardize()
        >>> x = ops.array([[0.0], [4.0]])
        >>> print(layer(x, training=True).numpy().round(3))
        [[-1.]
         [ 1.]]
    """

    def __init__(self, momentum=0.99, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum = _number("momentum", momentum, lambda v: 0 <= v < 1, "in [0, 1)")
        self.epsilon = _positive("epsilon", epsilon)
        self.supports_masking = True

    def build(self, inputs_shape):
        """Make the two averages: state, but nothing for the optimizer."""
        n = _width(inputs_shape)
        state = {"shape": (n,), "trainable": False, "autocast": False}
        self.moving_mean = self.add_weight(
            initializer="zeros", name="moving_mean", **state
        )
        self.moving_variance = self.add_weight(
            initializer="ones", name="moving_variance", **state
        )
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: n})

    def call(self, inputs, mask=None, training=False):
        """Standardize, and move the averages if this is a training step."""
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        if training and self.trainable:
            mean, variance, count = self._moments(x, mask)
            self._move(mean, variance, count)
        else:
            mean = ops.cast(self.moving_mean, x.dtype)
            variance = ops.cast(self.moving_variance, x.dtype)
        y = (x - mean) * ops.rsqrt(variance + self.epsilon)
        return ops.cast(y, self.compute_dtype)

    def _moments(self, x, mask):
        """Mean and variance ``(n,)`` of the rows of ``x`` that count, and how many."""
        share = ops.ones_like(x[..., :1])  # (B, ..., 1)
        if mask is not None:
            _check_mask(mask, x)
            missing = len(x.shape) - len(mask.shape)
            mask = ops.reshape(mask, (*ops.shape(mask), *[1] * missing))
            share = share * ops.cast(mask, x.dtype)
        rows = list(range(len(x.shape) - 1))
        count = ops.sum(share)
        share = share / ops.maximum(count, 1.0)
        mean = ops.sum(share * x, axis=rows)
        variance = ops.sum(share * ops.square(x - mean), axis=rows)
        return mean, variance, count

    def _move(self, mean, variance, count):
        """Move the averages towards the batch, unless the batch is all masked."""
        keep = ops.cast(ops.where(count > 0, self.momentum, 1.0), mean.dtype)
        averages = (self.moving_mean, mean), (self.moving_variance, variance)
        for moving, batch in averages:
            old, new = ops.cast(moving, mean.dtype), ops.stop_gradient(batch)
            moving.assign(ops.cast(keep * old + (1 - keep) * new, moving.dtype))

    def compute_output_shape(self, inputs_shape):
        """Return the shape of the input."""
        return tuple(inputs_shape)

    def get_config(self):
        """Return the arguments of the constructor."""
        config = {"momentum": self.momentum, "epsilon": self.epsilon}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="advanced_keras")
class MaskMissing(keras.layers.Layer):
    """Put 0 where a value is missing (NaN), and make the mask that says so.

    A position is masked if any of its features is missing. Then all its features
    become 0. Chapter *Custom layers*. ``keras.layers.Masking`` does the same for a
    number that stands for "missing", but only if all features have it.

    Call arguments:
        inputs: ``(B, T, n)``, with NaN where a value is missing.

    Returns:
        ``(B, T, n)`` without NaN, with the mask ``(B, T)``: True where all is there,
        and where the mask of the input, if it has one, is True too.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(min_ndim=3)

    def call(self, inputs):
        """Return the input with zeros at the masked positions."""
        there = self.compute_mask(inputs)
        return ops.where(ops.expand_dims(there, -1), inputs, 0.0)

    def compute_mask(self, inputs, previous_mask=None):
        """Return ``(B, T)``: True where no feature is missing."""
        there = ops.logical_not(ops.any(ops.isnan(inputs), axis=-1))
        if previous_mask is None:
            return there
        return ops.logical_and(there, previous_mask)

    def compute_output_shape(self, inputs_shape):
        """Return the shape of the input."""
        return tuple(inputs_shape)


@keras.saving.register_keras_serializable(package="advanced_keras")
class MaskedMean(keras.layers.Layer):
    """Average over time, over the positions that count: ``sum(m x) / sum(m)``.

    Chapter *Custom layers*. The same as ``keras.layers.GlobalAveragePooling1D``, but a
    sequence of which nothing counts gives 0, not NaN, and what stands at a masked
    position can't matter, not even NaN.

    Call arguments:
        inputs: ``(B, T, n)``.
        mask: True where a position counts, ``(B, T)``; Keras fills it in. None means
            that all count.

    Returns:
        ``(B, n)``, without a mask: there is no axis T left that it could describe.
        Summed in float32 at least.

    Raises:
        ValueError: if the mask has another shape.

    Example:
        >>> x = ops.array([[[1.0], [3.0], [9.0]]])
        >>> mask = ops.array([[True, True, False]])
        >>> print(MaskedMean()(x, mask=mask).numpy())
        [[2.]]
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, inputs, mask=None):
        """Return the average of the positions that count."""
        if mask is None:
            mask = ops.ones(ops.shape(inputs)[:2], "bool")
        _check_mask(mask, inputs, at_least=2)
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        m = ops.expand_dims(ops.cast(mask, "bool"), -1)  # (B, T, 1)
        total = ops.sum(ops.where(m, ops.cast(inputs, dtype), 0.0), axis=1)
        count = ops.sum(ops.cast(m, dtype), axis=1)
        return ops.cast(total / ops.maximum(count, 1.0), self.compute_dtype)

    def compute_mask(self, inputs, previous_mask=None):
        """Return None: the mask is used up."""
        return None

    def compute_output_shape(self, inputs_shape):
        """Return ``(B, n)``."""
        return (inputs_shape[0], inputs_shape[2])
