"""A convolution as a matrix, and its transpose as a layer that up-samples.

Chapter: *Conv2DTranspose: the transpose of a convolution*. The arithmetic of sizes is
that of Dumoulin and Visin, *A guide to convolution arithmetic for deep learning*
(2016), with the two paddings that Keras has; the resize-convolution is that of Odena,
Dumoulin and Olah, *Deconvolution and Checkerboard Artifacts* (2016).

Names: a convolution maps ``input_size`` positions to ``output_size`` positions on
each axis. ``reach`` is how many positions a kernel spans, ``(kernel_size - 1) *
dilation_rate + 1``. All sizes are those of Keras on TensorFlow, ``channels_last``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from advanced_keras import _checks
from advanced_keras._types import Tensor

PADDINGS = ("valid", "same")


def conv_size(
    input_size: int,
    kernel_size: int,
    strides: int = 1,
    padding: str = "valid",
    dilation_rate: int = 1,
) -> int:
    """Return the output size of a convolution on one axis.

    ``valid``: ``(input_size - reach) // strides + 1``, which is relationship 15 of
    Dumoulin and Visin (2016) with p = 0. ``same``: ``input_size / strides``, rounded
    up; Keras pads as much as that takes, so p is not given.

    Args:
        input_size: positions that go in, h.
        kernel_size: entries of the kernel on this axis, k.
        strides: positions from one window to the next, s.
        padding: ``"valid"`` or ``"same"``.
        dilation_rate: positions from one entry of the kernel to the next, r.

    Raises:
        ValueError: for an argument that is not a positive integer, another padding,
            or an input that is smaller than the kernel's reach (``valid``).

    Example:
        >>> conv_size(28, kernel_size=3, strides=2)
        13
    """
    _check(kernel_size, strides, padding, dilation_rate)
    _positive("input_size", input_size)
    reach = _reach(kernel_size, dilation_rate)
    if padding == "same":
        return -(-input_size // strides)
    if input_size < reach:
        raise ValueError(
            f"input_size must be at least {reach}, the reach of the kernel, with "
            f"padding='valid'; got {input_size}."
        )
    return (input_size - reach) // strides + 1


def conv_transpose_size(
    output_size: int,
    kernel_size: int,
    strides: int = 1,
    padding: str = "valid",
    output_padding: int | None = None,
    dilation_rate: int = 1,
) -> int:
    """Return the size that ``Conv1DTranspose`` makes of ``output_size`` positions.

    It is one of :func:`conv_input_sizes`: a size that the convolution maps to
    ``output_size``. ``output_padding`` says which.

    Args:
        output_size: positions that go into the transposed convolution, h'. They are
            the output positions of the convolution that it is the transpose of.
        kernel_size, strides, padding, dilation_rate: see :func:`conv_size`.
        output_padding: 0 to ``strides - 1``, or None for Keras's choice: the
            smallest size for ``valid`` (but at least ``output_size * strides``), the
            largest, ``output_size * strides``, for ``same``.

    Raises:
        ValueError: as :func:`conv_size`; for an ``output_padding`` out of range; or
            for one that asks for a size which no convolution maps to ``output_size``.

    Example:
        >>> conv_transpose_size(13, kernel_size=3, strides=2)
        27
    """
    _check(kernel_size, strides, padding, dilation_rate)
    _positive("output_size", output_size)
    smallest = _smallest(output_size, kernel_size, strides, padding, dilation_rate)
    if output_padding is None:
        largest = output_size * strides
        return largest if padding == "same" else max(smallest, largest)
    _check_output_padding(output_padding, strides)
    size = smallest + output_padding
    possible = conv_input_sizes(
        output_size, kernel_size, strides, padding, dilation_rate
    )
    if size not in possible:
        raise ValueError(
            f"output_padding must not be {output_padding} here: with padding='same' "
            f"and a kernel of even reach it asks for size {size}, but only "
            f"{possible[0]} to {possible[-1]} are mapped to output_size={output_size}."
        )
    return size


def conv_input_sizes(
    output_size: int,
    kernel_size: int,
    strides: int = 1,
    padding: str = "valid",
    dilation_rate: int = 1,
) -> range:
    """Return the range of input sizes that a convolution maps to ``output_size``.

    There are ``strides`` of them: a stride forgets the remainder of a division, the
    ``a`` of relationship 14 of Dumoulin and Visin (2016).

    Args:
        output_size: positions that come out of the convolution, h'.
        kernel_size, strides, padding, dilation_rate: see :func:`conv_size`.

    Raises:
        ValueError: as :func:`conv_size`.

    Example:
        >>> conv_input_sizes(13, kernel_size=3, strides=2)
        range(27, 29)
    """
    _check(kernel_size, strides, padding, dilation_rate)
    _positive("output_size", output_size)
    reach = _reach(kernel_size, dilation_rate) if padding == "valid" else 1
    start = (output_size - 1) * strides + reach
    return range(start, start + strides)


def output_padding_for(
    input_size: int | Sequence[int],
    kernel_size: int | Sequence[int],
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    dilation_rate: int | Sequence[int] = 1,
) -> int | tuple[int, ...] | None:
    """Return the ``output_padding`` with which the transpose gives ``input_size``.

    Args:
        input_size: the size to get back; an integer, or one for each axis.
        kernel_size, strides, padding, dilation_rate: see :func:`conv_size`; each an
            integer, or one for each axis.

    Returns:
        None if Keras's own choice is right on every axis; otherwise an integer, or a
        tuple with one for each axis.

    Raises:
        ValueError: as :func:`conv_size`; or if no ``output_padding`` that the layers
            of Keras accept gives these sizes (``same``, kernel of even reach, and
            one axis a multiple of its stride while another is not).

    Example:
        >>> output_padding_for(28, kernel_size=3, strides=2)
        1
    """
    rank = len(input_size) if isinstance(input_size, (tuple, list)) else 1
    axes = _axes(rank, input_size, kernel_size, strides, dilation_rate)
    found, default = [], True
    for size, k, s, r in axes:
        out = conv_size(size, k, s, padding, r)
        default &= conv_transpose_size(out, k, s, padding, None, r) == size
        found.append(size - _smallest(out, k, s, padding, r))
    if default:
        return None
    if any(extra >= axis[2] for extra, axis in zip(found, axes, strict=True)):
        raise ValueError(
            f"input_size={input_size} can't be restored: Keras takes one "
            f"output_padding for each axis, smaller than strides={strides}, but "
            f"{tuple(found)} would be needed. Pad or crop the input first."
        )
    return tuple(found) if isinstance(input_size, (tuple, list)) else found[0]


def taps(
    input_size: int,
    kernel_size: int,
    strides: int = 1,
    padding: str = "valid",
    dilation_rate: int = 1,
) -> np.ndarray:
    """Return the matrices S_0, ..., S_(k-1) that say which input each tap reads.

    ``S[j, p, i]`` is 1 if output position ``p`` reads input position ``i`` with entry
    ``j`` of the kernel, that is if ``i = strides * p + dilation_rate * j - before``,
    where ``before`` is the number of zeros put in front of the input.

    Args:
        input_size, kernel_size, strides, padding, dilation_rate: see
            :func:`conv_size`.

    Returns:
        Zeros and ones ``(kernel_size, output_size, input_size)``.

    Raises:
        ValueError: as :func:`conv_size`.

    Example:
        >>> print(taps(4, kernel_size=2, strides=2)[1].astype(int))
        [[0 1 0 0]
         [0 0 0 1]]
    """
    output_size = conv_size(input_size, kernel_size, strides, padding, dilation_rate)
    before = 0
    if padding == "same":
        reach = _reach(kernel_size, dilation_rate)
        before = max((output_size - 1) * strides + reach - input_size, 0) // 2
    p = np.arange(output_size)[None, :, None]
    j = np.arange(kernel_size)[:, None, None]
    i = np.arange(input_size)
    return (i == strides * p + dilation_rate * j - before).astype(float)


def conv_matrix(
    kernel: Any,
    input_size: int | Sequence[int],
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    dilation_rate: int | Sequence[int] = 1,
) -> np.ndarray:
    """Return the matrix C of a convolution: flattened output = C @ flattened input.

    With one axis, C is the sum of the Kronecker products of S_j (see :func:`taps`)
    and the transpose of ``kernel[j]``; with two axes, the sum over j and l of the
    products of S_j, S_l and the transpose of ``kernel[j, l]``. ``C.T`` is the matrix
    of the transposed convolution.

    Args:
        kernel: ``(k, c_in, c_out)``, or ``(k_h, k_w, c_in, c_out)``, as in
            ``keras.layers.Conv2D``. The kernel is not flipped.
        input_size: an integer, or one for each axis.
        strides, padding, dilation_rate: see :func:`conv_size`; integers, or one for
            each axis.

    Returns:
        ``(product of output sizes * c_out, product of input sizes * c_in)``, dense.

    Raises:
        ValueError: if the kernel has the wrong number of axes, and as
            :func:`conv_size`.

    Example:
        >>> kernel = np.array([1, 2]).reshape(2, 1, 1)
        >>> print(conv_matrix(kernel, 4, strides=2).astype(int))
        [[1 2 0 0]
         [0 0 1 2]]
    """
    _checks.shape_of("kernel", kernel)
    kernel = np.asarray(kernel)
    rank = kernel.ndim - 2
    if rank < 1 or 0 in kernel.shape:
        raise ValueError(
            "kernel must have the axes (k, c_in, c_out) or (k_h, k_w, c_in, c_out), "
            f"none of them empty; got shape {kernel.shape}."
        )
    axes = _axes(rank, input_size, kernel.shape[:rank], strides, dilation_rate)
    selections = [taps(size, k, s, padding, r) for size, k, s, r in axes]
    return sum(
        functools.reduce(
            np.kron,
            [S[j] for S, j in zip(selections, entry, strict=True)] + [kernel[entry].T],
        )
        for entry in np.ndindex(kernel.shape[:rank])
    )


def overlap(
    input_size: int,
    kernel_size: int,
    strides: int = 1,
    padding: str = "valid",
    dilation_rate: int = 1,
) -> np.ndarray:
    """Return how many terms the transposed convolution adds up at each position.

    It is C^T times ones, for a kernel of ones. Uneven counts are the first cause of
    checkerboards (Odena et al., 2016). On a picture, multiply the counts of rows and
    of columns.

    Args:
        input_size: positions that come *out* of the transposed convolution, h.
        kernel_size, strides, padding, dilation_rate: see :func:`conv_size`.

    Returns:
        Integers ``(input_size,)``.

    Raises:
        ValueError: as :func:`conv_size`.

    Example:
        >>> print(overlap(7, kernel_size=3, strides=2))
        [1 1 2 1 2 1 1]
    """
    S = taps(input_size, kernel_size, strides, padding, dilation_rate)
    return S.sum((0, 1)).astype(int)


def transpose_of(
    conv: keras.layers.Layer, input_size: int | Sequence[int]
) -> keras.layers.Layer:
    """Return the Keras layer that is the transpose of a convolution layer.

    The kernel is copied as it is: that of ``Conv2D`` is ``(k_h, k_w, c_in, c_out)``
    and that of ``Conv2DTranspose`` is ``(k_h, k_w, filters, c)``, where ``filters``
    is what comes out, the ``c_in`` of the convolution. A bias is not part of the
    matrix, and neither is an activation; the new layer has none.

    Args:
        conv: a built ``Conv1D`` or ``Conv2D``.
        input_size: the spatial size that goes into ``conv`` and shall come out of
            its transpose: an integer, or ``(rows, columns)``.

    Returns:
        A built ``Conv1DTranspose`` or ``Conv2DTranspose`` without bias.

    Raises:
        TypeError: if ``conv`` is another kind of layer.
        ValueError: if ``conv`` is not built, has groups, is causal or has channels
            first, or if :func:`output_padding_for` refuses ``input_size``.

    Example:
        >>> conv = keras.layers.Conv1D(4, 3, strides=2)
        >>> conv.build((None, 28, 1))
        >>> tuple(transpose_of(conv, 28)(np.zeros((1, 13, 4))).shape)
        (1, 28, 1)
    """
    classes = {
        keras.layers.Conv1D: keras.layers.Conv1DTranspose,
        keras.layers.Conv2D: keras.layers.Conv2DTranspose,
    }
    if type(conv) not in classes:
        raise TypeError(f"conv must be a Conv1D or Conv2D layer, got {conv!r}.")
    _check_layer(conv)
    sizes = (input_size,) if isinstance(input_size, int) else tuple(input_size)
    options = {
        "kernel_size": conv.kernel_size,
        "strides": conv.strides,
        "padding": conv.padding,
        "dilation_rate": conv.dilation_rate,
    }
    transpose = classes[type(conv)](
        filters=conv.kernel.shape[-2],
        output_padding=output_padding_for(sizes, **options),
        use_bias=False,
        dtype=conv.dtype_policy,
        **options,
    )
    transpose.build((None, *[None for _ in sizes], conv.filters))
    transpose.set_weights([keras.ops.convert_to_numpy(conv.kernel)])
    return transpose


def checkerboard_share(images: Tensor, period: int) -> np.ndarray:
    """Return the share of an image's variance that repeats with ``period``.

    Average the pixels that have the same row and column modulo ``period``. The
    variance of these ``period ** 2`` averages, divided by the variance of all pixels,
    is 0 if no place in the pattern is brighter than another, and 1 if the image is
    one pattern repeated. By Parseval's theorem it is the share of the energy at the
    frequencies that are multiples of 1 / ``period``, 0 excepted.

    Args:
        images: ``(batch, rows, columns, channels)``. Rows and columns that don't
            fill a whole period are left out, at the end.
        period: of the pattern, in pixels, for instance the stride.

    Returns:
        ``(batch,)``, from 0 to 1; 0 for an image of one colour. Channels are added
        up before the division.

    Raises:
        ValueError: if ``images`` does not have four axes, ``period`` is not an
            integer of at least 2, or an image is smaller than the period.

    Example:
        >>> board = (np.indices((8, 8)).sum(0) % 2).astype(float)
        >>> print(checkerboard_share(board[None, ..., None], period=2))
        [1.]
    """
    _checks.axes(images=(images, "(batch, rows, columns, channels)"))
    _checks.finite(images=images)
    images = np.asarray(images, dtype=float)
    _positive("period", period, least=2)
    if images.ndim != 4 or min(images.shape[1:3]) < period:
        raise ValueError(
            "images must have shape (batch, rows, columns, channels) with at least "
            f"period={period} rows and columns, got {images.shape}."
        )
    h, w = (size // period for size in images.shape[1:3])
    whole = images[:, : h * period, : w * period]
    cells = whole.reshape(len(images), h, period, w, period, images.shape[-1])
    pattern = cells.mean((1, 3)).var((1, 2)).sum(-1)
    total = cells.var((1, 2, 3, 4)).sum(-1)
    # Rounding leaves a constant image a variance near 1e-32 of its square.
    flat = total <= 1e-20 * (1 + (images**2).mean((1, 2, 3)))
    return np.where(flat, 0.0, pattern / np.where(flat, 1.0, total))


@keras.saving.register_keras_serializable(package="advanced_keras")
class ResizeConv(keras.layers.Layer):
    """Enlarge an image, then convolve it: an up-sampling without checkerboards.

    Every output pixel is the result of the same kernel on an evenly enlarged image,
    so no place in the pattern gets more terms than another. Odena, Dumoulin and Olah
    (2016), section "Better Upsampling". Chapter: *Conv2DTranspose*.

    Args:
        filters: channels that come out.
        kernel_size: of the convolution, which has stride 1 and padding ``same``.
        scale: how many times larger the image becomes; an integer, or one for rows
            and one for columns.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        activation, use_bias, kernel_initializer: as in ``keras.layers.Conv2D``.

    Call arguments:
        images: ``(batch, rows, columns, channels)``.

    Returns:
        ``(batch, rows * scale, columns * scale, filters)``.

    Raises:
        ValueError: for a number that is not a positive integer, or an unknown
            interpolation.
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        scale=2,
        interpolation="nearest",
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        _positive("filters", filters)
        self.kernel_size = _pair("kernel_size", kernel_size)
        self.scale = _pair("scale", scale)
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError(
                f"interpolation must be 'nearest' or 'bilinear', got {interpolation!r}."
            )
        self.resize = keras.layers.UpSampling2D(
            self.scale,
            interpolation=interpolation,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="resize",
        )
        self.conv = keras.layers.Conv2D(
            filters,
            self.kernel_size,
            padding="same",
            data_format="channels_last",
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            dtype=self.dtype_policy,
            name="conv",
        )

    def build(self, images_shape):
        """Create the kernel and the bias."""
        self.conv.build(self.resize.compute_output_shape(images_shape))
        channels = {-1: images_shape[-1]}
        self.input_spec = keras.layers.InputSpec(ndim=4, axes=channels)

    def call(self, images):
        """Enlarge, then convolve."""
        return self.conv(self.resize(images))

    def compute_output_shape(self, images_shape):
        """Return ``(batch, rows * scale, columns * scale, filters)``."""
        larger = self.resize.compute_output_shape(images_shape)
        return self.conv.compute_output_shape(larger)

    def get_config(self):
        """Return the arguments of the constructor."""
        inner = self.conv.get_config()
        names = ("filters", "activation", "use_bias", "kernel_initializer")
        return {
            **super().get_config(),
            **{name: inner[name] for name in names},
            "kernel_size": self.kernel_size,
            "scale": self.scale,
            "interpolation": self.resize.interpolation,
        }


def _reach(kernel_size, dilation_rate):
    """How many positions the kernel spans, from its first entry to its last."""
    return (kernel_size - 1) * dilation_rate + 1


def _smallest(output_size, kernel_size, strides, padding, dilation_rate):
    """The size that Keras gives for ``output_padding=0``."""
    reach = _reach(kernel_size, dilation_rate)
    least = reach if padding == "valid" else reach % 2
    return (output_size - 1) * strides + least


def _positive(name, value, least=1):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name} must be an integer, got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}.")


def _check(kernel_size, strides, padding, dilation_rate):
    _positive("kernel_size", kernel_size)
    _positive("strides", strides)
    _positive("dilation_rate", dilation_rate)
    if padding not in PADDINGS:
        raise ValueError(f"padding must be 'valid' or 'same', got {padding!r}.")


def _check_output_padding(output_padding, strides):
    _positive("output_padding", output_padding, least=0)
    if output_padding >= strides:
        raise ValueError(
            f"output_padding must be smaller than strides={strides}, "
            f"got {output_padding}."
        )


def _check_layer(conv):
    if not conv.built:
        raise ValueError(f"conv must be built: call layer {conv.name!r} first.")
    if conv.data_format != "channels_last" or conv.groups != 1:
        raise ValueError(
            "conv must have data_format='channels_last' and groups=1, got "
            f"{conv.data_format!r} and {conv.groups}."
        )
    if conv.padding not in PADDINGS:
        raise ValueError(
            f"conv must have padding 'valid' or 'same', got {conv.padding!r}."
        )


def _axes(rank, *arguments):
    """For each axis its ``(size, kernel_size, stride, dilation)``."""
    names = ("input_size", "kernel_size", "strides", "dilation_rate")
    columns = []
    for name, value in zip(names, arguments, strict=True):
        column = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
        if len(column) != rank:
            raise ValueError(
                f"{name} must be an integer or have {rank} entries, got {value!r}."
            )
        columns.append(column)
    return list(zip(*columns, strict=True))


def _pair(name, value):
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be an integer or two, got {value!r}.")
    for entry in pair:
        _positive(name, entry)
    return pair
