"""Threading: one function of a row, applied to every row of a tensor.

Chapter: *Threading: one matrix, many rows*. A layer threads over the leading axes
``(d_1, ..., d_N)`` of its input if it treats the tensor as ``M = d_1 ... d_N``
independent rows and does the same to each: flatten, apply, unflatten.

The second half diagnoses a function that somebody else wrote: does it thread over an
axis, and if not, what is it that fails?

Axes: d_1, ..., d_N leading axes (the batch is one of them), M rows, n features in,
u units out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from advanced_keras import _checks
from advanced_keras._types import Tensor

__all__ = [
    "Diagnosis",
    "Thread",
    "ThreadedDense",
    "ThreadingSteps",
    "diagnose",
    "flat_index",
    "flatten",
    "jacobian_blocks",
    "leading_index",
    "mixes_rows",
    "thread",
    "thread_gradients",
    "threading_steps",
    "unflatten",
]


# -- flatten, apply, unflatten


def flat_index(index: Sequence[int], leading: Sequence[int]) -> int:
    """Number of the row at ``index``: ``m = sum_k i_k d_(k+1) ... d_N``.

    Rows are numbered from 0 in the order in which the last index runs fastest. That
    is the order of ``reshape``.

    Args:
        index: ``(i_1, ..., i_N)``.
        leading: ``(d_1, ..., d_N)``.

    Raises:
        ValueError: if the lengths differ, or an index is no integer of its axis.

    Example:
        >>> flat_index((1, 2), (3, 4))
        6
    """
    leading = _sizes("leading", leading)
    if not isinstance(index, (tuple, list)):
        raise ValueError(f"index must be a tuple of integers, got {index!r}.")
    if len(index) != len(leading):
        raise ValueError(
            f"index must have one entry for each of leading={leading}, "
            f"got {tuple(index)}."
        )
    m = 0
    for i, d in zip(index, leading, strict=True):
        if not isinstance(i, (int, np.integer)) or isinstance(i, bool):
            raise ValueError(f"index must be made of integers, got {tuple(index)}.")
        if not 0 <= i < d:
            raise ValueError(f"index must lie inside {leading}, got {tuple(index)}.")
        m = m * d + i  # Horner's rule for the sum
    return int(m)


def leading_index(m: int, leading: Sequence[int]) -> tuple[int, ...]:
    """Undo :func:`flat_index`: digits of ``m`` in the mixed radix ``leading``.

    Args:
        m: number of a row.
        leading: ``(d_1, ..., d_N)``.

    Raises:
        ValueError: if there is no row ``m``.

    Example:
        >>> leading_index(6, (3, 4))
        (1, 2)
    """
    leading = _sizes("leading", leading)
    if not isinstance(m, (int, np.integer)) or isinstance(m, bool):
        raise ValueError(f"m must be an integer, got {m!r}.")
    if not 0 <= m < math.prod(leading):
        raise ValueError(
            f"m must be the number of one of {math.prod(leading)} rows, got {m!r}."
        )
    digits = []
    for d in reversed(leading):
        m, i = divmod(m, d)
        digits.append(int(i))
    return tuple(reversed(digits))


def flatten(x: Tensor, rank: int = 1) -> Tensor:
    """F: make one axis of the leading axes, ``(M, *example)``.

    No number is moved or changed: row ``flat_index(i)`` of the result is ``x[i]``.

    Args:
        x: ``(d_1, ..., d_N, *example)``.
        rank: how many axes one example has; 1 means that it is a row ``(n,)``.

    Raises:
        ValueError: if ``rank`` is not positive, or ``x`` has no leading axis.

    Example:
        >>> tuple(flatten(np.zeros((3, 4, 5))).shape)
        (12, 5)
    """
    _checks.axes(x=(x, "(...)"))
    (x,) = _checks.as_tensors(x)
    _check_rank(x.shape, rank)
    return ops.reshape(x, (-1, *ops.shape(x)[-rank:]))


def unflatten(rows: Tensor, leading: Sequence[Any]) -> Tensor:
    """U: give the leading axes back, ``(d_1, ..., d_N, *result)``.

    Args:
        rows: ``(M, *result)``.
        leading: ``(d_1, ..., d_N)``, as ``ops.shape(x)[:-1]`` has it.

    Raises:
        ValueError: if ``rows`` is known to have another number of rows.

    Example:
        >>> tuple(unflatten(np.zeros((12, 5)), (3, 4)).shape)
        (3, 4, 5)
    """
    _checks.axes(rows=(rows, "(M, ...)"))
    (rows,) = _checks.as_tensors(rows)
    leading = tuple(leading)
    known = all(isinstance(d, int) for d in leading) and rows.shape[0] is not None
    if known and rows.shape[0] != math.prod(leading):
        raise ValueError(
            f"rows must have {math.prod(leading)} rows to fill leading={leading}, "
            f"got shape {tuple(rows.shape)}."
        )
    return ops.reshape(rows, (*leading, *ops.shape(rows)[1:]))


def thread(function: Callable, rank: int = 1) -> Callable:
    """Turn a function of ``(M, *example)`` into one of ``(d_1, ..., d_N, *example)``.

    ``thread(f) = U . f . F``. The result threads if ``f`` does to every row the same,
    whatever the other rows are; see :func:`diagnose`.

    Args:
        function: takes ``(M, *example)``, returns ``(M, *result)``: for instance any
            Keras layer.
        rank: how many axes one example has.

    Returns:
        A function of one tensor; it raises ValueError if ``function`` returns
        another number of rows than it was given.

    Raises:
        TypeError: if ``function`` is not callable.
        ValueError: if ``rank`` is not a positive integer.

    Example:
        >>> thread(keras.layers.Dense(2))(keras.ops.ones((5, 4, 3))).shape
        TensorShape([5, 4, 2])
    """
    _check_function(function)
    _positive("rank", rank)

    def threaded(x):
        rows = flatten(x, rank)
        results = function(rows)
        if results.shape[0] != rows.shape[0]:
            raise ValueError(
                "function must return one result for each of "
                f"{rows.shape[0]} rows, got shape {tuple(results.shape)}."
            )
        return unflatten(results, ops.shape(x)[:-rank])

    return threaded


@keras.saving.register_keras_serializable(package="advanced_keras")
class ThreadedDense(keras.layers.Layer):
    """A dense layer written as the three steps: flatten, one product, unflatten.

    Does what ``keras.layers.Dense`` does, and shows how. Chapter: *Threading: one
    matrix, many rows*.

    Args:
        units: u, the number of features out.
        activation: name of an activation, or None for none.
        use_bias: whether to add a bias ``(u,)``.

    Call arguments:
        inputs: ``(d_1, ..., d_N, n)``.

    Returns:
        ``(d_1, ..., d_N, u)``.

    Raises:
        ValueError: if ``units`` is not a positive integer, or an input has another
            number of features than the kernel was made for.

    Example:
        >>> layer = ThreadedDense(2)
        >>> tuple(layer(np.zeros((3, 4, 5))).shape), layer.count_params()
        ((3, 4, 2), 12)
    """

    def __init__(self, units, activation=None, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.units = _positive("units", units)
        self.activation = keras.activations.get(activation)
        self.use_bias = bool(use_bias)
        self.supports_masking = True  # row i of the output belongs to row i: same mask

    def build(self, input_shape):
        """Make a kernel ``(n, u)`` and a bias ``(u,)``, whatever the leading axes."""
        _check_rank(input_shape, 1)
        n = input_shape[-1]
        if n is None:
            raise ValueError(
                "the last axis of inputs must be known, since the kernel has a row "
                f"for each feature; got shape {tuple(input_shape)}."
            )
        self.kernel = self.add_weight(shape=(n, self.units), name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.units,), initializer="zeros", name="bias"
            )
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: n})

    def call(self, inputs):
        """Apply ``activation(x W + b)`` to every row of ``inputs``."""
        leading = ops.shape(inputs)[:-1]
        rows = flatten(inputs)  # (d_1, ..., d_N, n) -> (M, n)
        product = ops.matmul(rows, self.kernel)  # (M, n) (n, u) -> (M, u)
        if self.use_bias:
            product = product + self.bias
        return self.activation(unflatten(product, leading))  # -> (d_1, ..., d_N, u)

    def compute_output_shape(self, input_shape):
        """Replace the last axis by ``units``."""
        return (*input_shape[:-1], self.units)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
        }


@keras.saving.register_keras_serializable(package="advanced_keras")
class Thread(keras.layers.Wrapper):
    """Thread any layer over any number of leading axes, in one call of the layer.

    ``TimeDistributed`` threads over the batch and one axis more, and calls the layer
    once for each slice of that axis if its size is known. This wrapper flattens all
    axes in front of an example: a recurrent layer, which takes ``(M, T, n)``, also
    takes ``(D, N, T, n)``, and is called once.

    Args:
        layer: takes ``(M, *example)`` and returns ``(M, *result)``.
        rank: how many axes one example has: 1 for a row, 2 for a series ``(T, n)``,
            3 for an image ``(h, w, c)``.

    Call arguments:
        inputs: ``(d_1, ..., d_N, *example)``.

    Returns:
        ``(d_1, ..., d_N, *result)``. A mask is passed on if ``rank`` is 1. For a
        larger rank it isn't, and Keras warns of that.

    Raises:
        TypeError: if ``layer`` is not a Keras layer.
        ValueError: if ``rank`` is not a positive integer.

    Example:
        >>> layer = Thread(keras.layers.Dense(2))
        >>> tuple(layer(np.zeros((3, 4, 5))).shape)
        (3, 4, 2)
    """

    def __init__(self, layer, rank=1, **kwargs):
        if not isinstance(layer, keras.layers.Layer):
            raise TypeError(f"layer must be a keras Layer, got {type(layer).__name__}.")
        super().__init__(layer, **kwargs)
        self.rank = _positive("rank", rank)
        self.supports_masking = self.rank == 1

    def build(self, input_shape):
        """Build the layer for ``(None, *example)``."""
        _check_rank(input_shape, self.rank)
        super().build((None, *input_shape[-self.rank :]))

    def call(self, inputs):
        """Flatten, call the layer once, unflatten."""
        results = self.layer(flatten(inputs, self.rank))
        return unflatten(results, ops.shape(inputs)[: -self.rank])

    def compute_output_shape(self, input_shape):
        """Put the leading axes in front of the shape of one result."""
        example = (None, *input_shape[-self.rank :])
        result = self.layer.compute_output_shape(example)
        return (*input_shape[: -self.rank], *result[1:])

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rank": self.rank}


def thread_gradients(x: Tensor, delta: Tensor) -> Tensor:
    """What each thread adds to the gradient of the kernel it shares with the others.

    With ``y = x W + b`` and ``delta`` the gradient of the loss with respect to ``y``,
    thread m contributes the outer product ``x_m^T delta_m``. The gradient of the
    kernel is the sum over m, that of the bias the sum of the ``delta_m``.

    Args:
        x: ``(d_1, ..., d_N, n)``, what went into the layer.
        delta: ``(d_1, ..., d_N, u)``.

    Returns:
        ``(M, n, u)``.

    Raises:
        ValueError: if the leading axes differ.

    Example:
        >>> tuple(thread_gradients(np.ones((3, 4, 5)), np.ones((3, 4, 2))).shape)
        (12, 5, 2)
    """
    _checks.axes(x=(x, "(..., n)"), delta=(delta, "(..., u)"))
    x, delta = _checks.as_tensors(x, delta)
    if tuple(x.shape[:-1]) != tuple(delta.shape[:-1]):
        raise ValueError(
            "x and delta must have the same leading axes, got "
            f"{tuple(x.shape)} and {tuple(delta.shape)}."
        )
    return ops.einsum("mn,mu->mnu", flatten(x), flatten(delta))


# -- does it thread?


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` found about one axis.

    Args:
        axis: the axis, counted from the front.
        kept: whether the output has an axis of that size in that place.
        leak: how far a row's output moves when only *other* rows of the input move,
            as a share of the largest output. NaN if the axis isn't kept.
        gap: how far ``f(permuted x)`` is from ``permuted f(x)``, as a share of the
            largest output. NaN if the axis isn't kept.
        tolerance: below it, ``leak`` and ``gap`` count as rounding.
    """

    axis: int
    kept: bool
    leak: float
    gap: float
    tolerance: float

    @property
    def mixes(self) -> bool:
        """Whether a row's output depends on another row."""
        return self.leak > self.tolerance

    @property
    def ordered(self) -> bool:
        """Whether the place of a row matters: permuting in doesn't permute out."""
        return self.gap > self.tolerance

    @property
    def threads(self) -> bool:
        """Whether every row is treated alone, and every row the same."""
        return self.kept and not self.mixes and not self.ordered

    @property
    def verdict(self) -> str:
        """The finding in words."""
        if not self.kept:
            return "axis gone"
        if self.mixes:
            return "mixes rows, by place" if self.ordered else "mixes rows, as a set"
        return "one function per row" if self.ordered else "threads"

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers and the verdict, ready for JSON (NaN becomes None)."""
        found = dataclasses.asdict(self)
        if not self.kept:
            found["leak"] = found["gap"] = None
        return {**found, "threads": self.threads, "verdict": self.verdict}


def diagnose(
    function: Callable,
    x: Tensor,
    axis: int = 1,
    *,
    seed: int = 0,
    tolerance: float = 1e-4,
) -> Diagnosis:
    """Find out whether a layer or function threads over one axis of its input.

    Two experiments. *Leak*: move one row of ``x``, for each row in turn, and watch
    the outputs of the other rows. *Gap*: swap two rows, and rotate all rows, and see
    whether the outputs are swapped and rotated the same way; these two permutations
    generate all others.

    A leak or gap that is found is a proof. That none is found is evidence: a function
    may mix rows only far from this ``x``. Ask again with another ``x`` or ``seed``.

    Args:
        function: takes one floating-point tensor, returns one; deterministic. A layer
            is called as it is; to fix ``training``, pass a lambda.
        x: where to look; at least two rows along ``axis``.
        axis: the axis whose slices are the rows; 0 asks about the batch.
        seed: seed of the moves.
        tolerance: what counts as rounding, as a share of the largest output.

    Raises:
        TypeError: if ``function`` is not callable or doesn't return one tensor, or
            ``x`` isn't floating-point.
        ValueError: if ``axis`` is not an axis of ``x`` or has one row only, or
            ``function`` gives two results for the same ``x`` or one with NaN.

    Example:
        >>> diagnose(keras.layers.Dense(2), np.ones((3, 4, 5))).kept
        True
    """
    _check_function(function)
    x, axis = _check_rows(x, axis)
    y = _evaluate(function, x)
    again = _evaluate(function, x)
    _checks.positive("tolerance", tolerance)
    if y.shape != again.shape or _share(y - again, y) > tolerance:
        raise ValueError(
            "function must be deterministic, but two calls on the same x differ; "
            "fix its seed or call it with training=False."
        )
    if y.ndim <= axis or y.shape[axis] != x.shape[axis]:
        return Diagnosis(axis, False, math.nan, math.nan, tolerance)
    leak = _leak(function, x, y, axis, np.random.default_rng(seed))
    return Diagnosis(axis, True, leak, _gap(function, x, y, axis), tolerance)


def mixes_rows(function: Callable, x: Tensor, axis: int = 1, **options: Any) -> bool:
    """Whether the output of one row depends on another row; see :func:`diagnose`.

    Args:
        function: takes one floating-point tensor, returns one.
        x: where to look.
        axis: the axis whose slices are the rows.
        **options: ``seed`` and ``tolerance`` of :func:`diagnose`.

    Raises:
        ValueError: if the output has no such axis, or as :func:`diagnose`.
        TypeError: as :func:`diagnose`.

    Example:
        >>> mixes_rows(lambda x: ops.cumsum(x, axis=1), np.ones((1, 4, 5)))
        True
    """
    found = diagnose(function, x, axis, **options)
    if not found.kept:
        raise ValueError(
            f"function must return an axis {found.axis} with "
            f"{np.shape(x)[found.axis]} rows, but that axis is gone."
        )
    return found.mixes


def jacobian_blocks(function: Callable, x: Tensor) -> np.ndarray:
    """Derivative of every output row with respect to every input row, at ``x``.

    The function threads if, for every ``x``, the blocks off the diagonal are 0 and
    those on it depend on nothing but their row. For a dense layer without activation
    each diagonal block is ``W^T``.

    Args:
        function: takes ``(1, M, n)`` and returns ``(1, M', u)``.
        x: ``(M, n)``, one example.

    Returns:
        ``(M', M, u, n)``; entry ``[m, k]`` is the matrix of ``dy_m / dx_k``.

    Raises:
        TypeError: if ``function`` is not callable.
        ValueError: if ``x`` or what ``function`` returns has another number of axes.

    Example:
        >>> print(jacobian_blocks(lambda x: 2 * x, np.ones((2, 1))).shape)
        (2, 2, 1, 1)
    """
    _checks.axes(x=(x, "(...)"))
    _check_function(function)
    x = tf.convert_to_tensor(x)
    if x.shape.rank != 2:
        raise ValueError(
            f"x must be one example (rows, features), got shape {tuple(x.shape)}."
        )
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        batch = function(x[None])
        if len(batch.shape) != 3:
            raise ValueError(
                "function must return (1, rows, units), got shape "
                f"{tuple(batch.shape)}."
            )
        y = batch[0]
    jacobian = tape.jacobian(
        y, x, unconnected_gradients="zero", experimental_use_pfor=False
    )
    return np.transpose(jacobian, (0, 2, 1, 3))  # (M', u, M, n) -> (M', M, u, n)


def _leak(function, x, y, axis, rng) -> float:
    """Move each row in turn; return the largest move seen in another row's output."""
    largest = 0.0
    for m in range(x.shape[axis]):
        moved = np.moveaxis(x.copy(), axis, 0)
        moved[m] += (1 + np.std(x)) * rng.normal(size=moved[m].shape)
        change = _evaluate(function, np.moveaxis(moved, 0, axis)) - y
        others = np.delete(change, m, axis=axis)
        largest = max(largest, _share(others, y))
    return largest


def _gap(function, x, y, axis) -> float:
    """Permute before and after; return the largest difference."""
    rows = np.arange(x.shape[axis])
    swapped, rotated = rows.copy(), np.roll(rows, 1)
    swapped[:2] = 1, 0
    return max(
        _share(_evaluate(function, np.take(x, p, axis)) - np.take(y, p, axis), y)
        for p in (swapped, rotated)
    )


def _evaluate(function, x) -> np.ndarray:
    """Call ``function`` and return what it gives as an array."""
    y = function(ops.convert_to_tensor(x))
    if not (isinstance(y, np.ndarray) or ops.is_tensor(y)):
        raise TypeError(f"function must return one tensor, got {type(y).__name__}.")
    y = np.asarray(ops.convert_to_numpy(y), dtype="float64")
    if not np.isfinite(y).all():
        raise ValueError("function must return finite numbers, got NaN or infinity.")
    return y


def _share(difference, y) -> float:
    """Return the largest difference, as a share of the largest output."""
    scale = np.abs(y).max(initial=0.0) or 1.0
    return float(np.abs(difference).max(initial=0.0) / scale)


# -- the three steps in numbers


@dataclass(frozen=True)
class ThreadingSteps:
    """Shapes and sizes of a dense layer on ``(d_1, ..., d_N, n)``, step by step.

    Args:
        leading: ``(d_1, ..., d_N)``.
        features: n.
        units: u.
        use_bias: whether there is a bias ``(u,)``.
    """

    leading: tuple[int, ...]
    features: int
    units: int
    use_bias: bool = True

    @property
    def rows(self) -> int:
        """M, the number of threads: the product of the leading sizes."""
        return math.prod(self.leading)

    @property
    def kernel_shape(self) -> tuple[int, int]:
        """``(n, u)``: no leading size in it."""
        return self.features, self.units

    @property
    def parameters(self) -> int:
        """``n u + u``, or ``n u`` without bias."""
        return (self.features + self.use_bias) * self.units

    @property
    def mixing_parameters(self) -> int:
        """What a dense layer from all ``M n`` numbers to all ``M u`` would need."""
        return (self.rows * self.features + self.use_bias) * self.rows * self.units

    @property
    def multiplications(self) -> int:
        """``M n u``: the work does grow with the threads."""
        return self.rows * self.features * self.units

    @property
    def steps(self) -> tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]:
        """For each of the three steps its name, the shape in and the shape out."""
        flat, product = (self.rows, self.features), (self.rows, self.units)
        return (
            ("flatten", (*self.leading, self.features), flat),
            ("multiply", flat, product),
            ("unflatten", product, (*self.leading, self.units)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain lists and numbers, ready for JSON."""
        return {
            "leading": list(self.leading),
            "features": self.features,
            "units": self.units,
            "use_bias": self.use_bias,
            "rows": self.rows,
            "steps": [
                {"name": name, "input": list(before), "output": list(after)}
                for name, before, after in self.steps
            ],
            "kernel_shape": list(self.kernel_shape),
            "parameters": self.parameters,
            "mixing_parameters": self.mixing_parameters,
            "multiplications": self.multiplications,
        }


def threading_steps(
    leading: Sequence[int], features: int, units: int, use_bias: bool = True
) -> ThreadingSteps:
    """Work out the three steps of a dense layer for given sizes.

    Args:
        leading: ``(d_1, ..., d_N)``; empty for a single row.
        features: n.
        units: u.
        use_bias: whether the layer has a bias.

    Raises:
        ValueError: if a size is not a positive integer.

    Example:
        >>> steps = threading_steps((3, 4), features=5, units=2)
        >>> steps.rows, steps.parameters
        (12, 12)
    """
    return ThreadingSteps(
        _sizes("leading", leading),
        _positive("features", features),
        _positive("units", units),
        bool(use_bias),
    )


# -- checks


def _positive(name, value):
    """Return ``value`` if it is a positive integer, else complain about ``name``."""
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not integer or value <= 0:
        raise ValueError(f"{name} must be a positive integer, got {value!r}.")
    return int(value)


def _sizes(name, values):
    """Return ``values`` as a tuple if all are positive integers."""
    try:
        return tuple(_positive(name, value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be a sequence of positive integers, got {values!r}."
        ) from None


def _check_function(function):
    if not callable(function):
        raise TypeError(f"function must be callable, got {type(function).__name__}.")


def _check_rank(shape, rank):
    """Complain if nothing is left in front of an example with ``rank`` axes."""
    _positive("rank", rank)
    if len(shape) <= rank:
        raise ValueError(
            f"inputs must have at least one axis in front of the last {rank}, "
            f"got shape {tuple(shape)}."
        )


def _check_rows(x, axis):
    """Return ``x`` as an array and ``axis`` counted from the front."""
    _checks.finite(x=x)
    x = np.asarray(x)
    if not np.issubdtype(x.dtype, np.floating):
        raise TypeError(
            "x must be floating-point (float16, float32 or float64), "
            f"got dtype {x.dtype}."
        )
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise TypeError(f"axis must be an integer, got {axis!r}.")
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis must be an axis of x with shape {x.shape}, got {axis}.")
    axis %= x.ndim
    if x.shape[axis] < 2:
        raise ValueError(
            f"x must have at least 2 rows along axis {axis}, got shape {x.shape}."
        )
    return x, axis
