"""The transposed convolution: the matrix, the adjoint, the sizes, the checkerboards.

Oracles: the layers of Keras, SciPy's correlation, the loops of the definition, finite
sums of a Fourier transform, and singular values.

Keras computes in float32 and our matrices in float64, on numbers near 1 and sums of
at most a few hundred terms: values agree within 1e-4 absolute, inner products within
1e-5 relative.

TensorFlow 2.21 brings oneDNN 3.7, two of whose kernels for x86 are wrong for some
shapes; see `sound`. The strategies leave these shapes out.
"""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from keras import layers, ops
from scipy.signal import correlate, correlate2d

from advanced_keras.conv_transpose import (
    ResizeConv,
    checkerboard_share,
    conv_input_sizes,
    conv_matrix,
    conv_size,
    conv_transpose_size,
    output_padding_for,
    overlap,
    taps,
    transpose_of,
)
from solutions import run_solution

# A busy machine may be slow; that is no reason to fail.
BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# Against TensorFlow the same examples each time: a defect of one of its kernels must
# not come and go.
SOME = settings(max_examples=40, derandomize=True, **BUSY)
MANY = settings(max_examples=200, **BUSY)
ATOL = 1e-4


def sound(kernel_size, sizes, options, c_in):
    """False for the shapes for which oneDNN 3.7 is known to be wrong.

    - ``brg_conv_fwd`` (AVX-512) leaves a part of the output unset: one channel in,
      stride 1 down and more across, one column out, two examples or more.
    - The gradient for the weights of a 1 x 1 convolution with a stride writes past
      its workspace if there are few channels (oneDNN's issue 6035). The tape computes
      it along with the gradient for the input.
    """
    strides, padding = options["strides"], options["padding"]
    if max(kernel_size) == 1 and max(strides) > 1:
        return False
    if len(sizes) == 1 or c_in > 1 or strides[0] > 1 or strides[1] == 1:
        return True
    return conv_size(sizes[1], kernel_size[1], strides[1], padding) > 1


@st.composite
def cases(draw, rank, largest=9):
    """A convolution that Keras accepts, and a size that it can be applied to."""
    kernel_size = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    dilated = draw(st.booleans())
    span = st.integers(1, 3)
    strides = (1,) * rank if dilated else tuple(draw(span) for _ in range(rank))
    # Keras's Conv2D takes unequal dilations; TensorFlow's transpose does, too.
    rate = tuple(draw(span) for _ in range(rank)) if dilated else (1,) * rank
    padding = draw(st.sampled_from(["valid", "same"]))
    sizes = []
    for k, r in zip(kernel_size, rate, strict=True):
        least = (k - 1) * r + 1 if padding == "valid" else 1
        sizes.append(draw(st.integers(least, max(least, largest))))
    options = {"strides": strides, "padding": padding, "dilation_rate": rate}
    channels = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    assume(sound(kernel_size, sizes, options, channels[0]))
    return kernel_size, tuple(sizes), options, channels, draw(st.integers(0, 999))


def make(case, rank):
    """The Keras layer of a case with random weights, and its matrix."""
    kernel_size, sizes, options, (c_in, c_out), seed = case
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(*kernel_size, c_in, c_out)).astype("float32")
    Conv = layers.Conv1D if rank == 1 else layers.Conv2D
    conv = Conv(c_out, kernel_size, use_bias=False, **options)
    conv.build((None, *sizes, c_in))
    conv.set_weights([kernel])
    x = rng.normal(size=(2, *sizes, c_in)).astype("float32")
    return conv, conv_matrix(kernel, sizes, **options), x, rng


def flat(tensor):
    return np.asarray(tensor).reshape(len(tensor), -1)


def restorable(sizes, kernel_size, options):
    try:
        output_padding_for(sizes, kernel_size, **options)
    except ValueError:
        return False
    return True


# ---- The matrix ---------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2])
def test_matrix_is_the_convolution_of_keras(rank):
    @SOME
    @given(cases(rank))
    def check(case):
        conv, C, x, _ = make(case, rank)
        np.testing.assert_allclose(flat(conv(x)), flat(x) @ C.T, atol=ATOL)

    check()


@pytest.mark.parametrize("rank", [1, 2])
def test_transposed_matrix_is_conv_transpose_of_keras(rank):
    @SOME
    @given(cases(rank))
    def check(case):
        kernel_size, sizes, options, _, _ = case
        if not restorable(sizes, kernel_size, options):
            return
        conv, C, x, rng = make(case, rank)
        y = rng.normal(size=conv(x).shape).astype("float32")
        back = transpose_of(conv, sizes)(y)
        assert back.shape == x.shape
        np.testing.assert_allclose(flat(back), flat(y) @ C, atol=ATOL)

    check()


@SOME
@given(cases(2))
def test_adjoint_identity(case):
    kernel_size, sizes, options, _, _ = case
    if not restorable(sizes, kernel_size, options):
        return
    conv, _, x, rng = make(case, 2)
    forward = np.asarray(conv(x), float)
    y = rng.normal(size=forward.shape).astype("float32")
    back = np.asarray(transpose_of(conv, sizes)(y), float)
    left, right = np.sum(forward * y), np.sum(x * back)
    norm = np.linalg.norm
    # Both products bound both sides; one of them is small if a sum happens to cancel.
    scale = max(norm(forward) * norm(y), norm(x) * norm(back))
    assert abs(left - right) <= 1e-5 * scale


@SOME
@given(cases(2))
def test_gradients_are_the_transposes(case):
    kernel_size, sizes, options, _, _ = case
    conv, C, x, rng = make(case, 2)
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = conv(x)
        upstream = rng.normal(size=y.shape).astype("float32")
        loss = tf.reduce_sum(y * upstream)
    gradient = tape.gradient(loss, x)
    np.testing.assert_allclose(flat(gradient), flat(upstream) @ C, atol=ATOL)
    if not restorable(sizes, kernel_size, options):
        return
    transpose = transpose_of(conv, sizes)
    y = tf.constant(upstream)
    with tf.GradientTape() as tape:
        tape.watch(y)
        loss = tf.reduce_sum(transpose(y) * x)
    np.testing.assert_allclose(tape.gradient(loss, y), conv(x), atol=ATOL)


@MANY
@given(
    st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3),
    st.sampled_from(["valid", "same"]), st.integers(0, 99),
)  # fmt: skip
def test_matrix_is_the_sum_of_the_definition(size, k, s, r, padding, seed):
    """By loops, over an input with its zeros: also strides with dilations."""
    reach = (k - 1) * r + 1
    if padding == "valid" and size < reach:
        return
    rng = np.random.default_rng(seed)
    x, W = rng.normal(size=size), rng.normal(size=k)
    out = conv_size(size, k, s, padding, r)
    zeros = max((out - 1) * s + reach - size, 0) if padding == "same" else 0
    padded = np.pad(x, (zeros // 2, zeros - zeros // 2))
    y = [sum(W[j] * padded[p * s + j * r] for j in range(k)) for p in range(out)]
    C = conv_matrix(W[:, None, None], size, s, padding, r)
    np.testing.assert_allclose(C @ x, y, atol=1e-12)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_matrix_is_the_correlation_of_scipy(padding):
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=11), rng.normal(size=3)
    C = conv_matrix(W[:, None, None], 11, 1, padding)
    np.testing.assert_allclose(C @ x, correlate(x, W, padding), atol=1e-12)
    x, W = rng.normal(size=(7, 6)), rng.normal(size=(3, 5))
    C = conv_matrix(W[..., None, None], (7, 6), 1, padding)
    wanted = correlate2d(x, W, padding)
    np.testing.assert_allclose(C @ x.ravel(), wanted.ravel(), atol=1e-12)


def test_the_small_case_of_the_figure():
    C = conv_matrix(np.array([1, 2, 3]).reshape(3, 1, 1), 7, strides=2)
    wanted = [[1, 2, 3, 0, 0, 0, 0], [0, 0, 1, 2, 3, 0, 0], [0, 0, 0, 0, 1, 2, 3]]
    assert np.array_equal(C, wanted)


def test_each_tap_reads_one_position_or_a_zero():
    S = taps(6, 3, 1, "same")
    assert S.shape == (3, 6, 6)
    assert np.array_equal(S[1], np.eye(6))
    assert np.array_equal(S[0], np.eye(6, k=-1))
    assert np.array_equal(S[2], np.eye(6, k=1))


def test_the_shape_that_tensorflow_gets_wrong_is_right_when_turned():
    """The cure of the chapter, for the shapes that `sound` leaves out."""
    rng = np.random.default_rng(0)
    for k, s, w in [(2, 2, 3), (2, 3, 3), (3, 2, 4), (5, 3, 7)]:
        x = rng.normal(size=(3, 4, w, 1)).astype("float32")
        kernel = rng.normal(size=(1, k, 1, 2)).astype("float32")
        turned = ops.conv(
            x.swapaxes(1, 2), kernel.swapaxes(0, 1), strides=(s, 1), padding="valid"
        )
        C = conv_matrix(kernel, (4, w), (1, s))
        wanted = (flat(x) @ C.T).reshape(3, 4, 1, 2)
        np.testing.assert_allclose(np.swapaxes(turned, 1, 2), wanted, atol=ATOL)


# ---- Sizes --------------------------------------------------------------------------

GRID = [
    (k, s, r, padding)
    for k, s, r in itertools.product(range(1, 6), range(1, 5), (1, 2, 3))
    for padding in ("valid", "same")
    if s == 1 or r == 1  # Keras refuses both together
]


@pytest.mark.parametrize(("k", "s", "r", "padding"), GRID)
def test_sizes_against_keras(k, s, r, padding):
    options = {"strides": s, "padding": padding, "dilation_rate": r}
    conv = layers.Conv1D(1, k, **options)
    for size in range((k - 1) * r + 1 if padding == "valid" else 1, 14):
        assert conv.compute_output_shape((1, size, 1))[1] == conv_size(
            size, k, **options
        )
    for extra in (None, *range(s)):
        layer = layers.Conv1DTranspose(1, k, output_padding=extra, **options)
        for out in (1, 2, 5):
            says = layer.compute_output_shape((1, out, 1))[1]
            if says in conv_input_sizes(out, k, **options):
                ours = conv_transpose_size(out, k, output_padding=extra, **options)
                assert ours == says
            else:
                assert extra == 0 and padding == "same" and ((k - 1) * r) % 2
                with pytest.raises(ValueError, match="output_padding must not be 0"):
                    conv_transpose_size(out, k, output_padding=extra, **options)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_sizes_of_real_outputs(k, s, padding):
    """What comes out, in two dimensions, not what the layer says will come out."""
    y = np.ones((1, 2, 5, 1), "float32")
    for extra in (None, *range(s)):
        try:
            options = (k, s, padding, extra)
            wanted = [conv_transpose_size(out, *options) for out in (2, 5)]
        except ValueError:
            continue
        layer = layers.Conv2DTranspose(1, k, s, padding, output_padding=extra)
        assert layer(y).shape == (1, *wanted, 1)


def test_keras_accepts_and_then_fails_on_the_impossible_size():
    """If this fails, Keras has changed: mend the chapter and `conv_transpose_size`."""
    layer = layers.Conv2DTranspose(1, 4, 2, "same", output_padding=0)
    assert tuple(layer.compute_output_shape((1, 3, 3, 1))) == (1, 4, 4, 1)
    with pytest.raises((tf.errors.OpError, ValueError)):
        layer(np.ones((1, 3, 3, 1), "float32"))


@MANY
@given(
    st.integers(1, 60), st.integers(1, 7), st.integers(1, 5), st.integers(1, 3),
    st.sampled_from(["valid", "same"]),
)  # fmt: skip
def test_input_sizes_are_those_that_are_mapped_there(out, k, s, r, padding):
    possible = conv_input_sizes(out, k, s, padding, r)
    assert len(possible) == s
    assert {conv_size(size, k, s, padding, r) for size in possible} == {out}
    assert conv_size(possible[-1] + 1, k, s, padding, r) == out + 1
    if out > 1:
        assert conv_size(possible[0] - 1, k, s, padding, r) == out - 1


@MANY
@given(
    st.integers(1, 60), st.integers(1, 7), st.integers(1, 5),
    st.sampled_from(["valid", "same"]),
)  # fmt: skip
def test_output_padding_restores_every_size_of_one_axis(size, k, s, padding):
    if padding == "valid" and size < k:
        return
    extra = output_padding_for(size, k, s, padding)
    out = conv_size(size, k, s, padding)
    assert conv_transpose_size(out, k, s, padding, extra) == size


def test_output_padding_for_two_axes():
    assert output_padding_for((8, 8), 3, 2, "same") is None
    assert output_padding_for((8, 7), 3, 2, "same") == (1, 0)
    assert output_padding_for((9, 7), 4, 2, "same") == (1, 1)
    assert output_padding_for([8, 9], (4, 3), (2, 1), "valid") is None
    with pytest.raises(ValueError, match=r"input_size=\(8, 7\) can't be restored"):
        output_padding_for((8, 7), 4, 2, "same")


# ---- Values are lost ----------------------------------------------------------------


def haar():
    """The four 2 by 2 Haar filters, orthonormal: ``(2, 2, 1, 4)``."""
    half = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    return np.einsum("fa,gb->abfg", half, half).reshape(2, 2, 1, 4)


def test_orthogonal_blocks_are_inverted():
    C = conv_matrix(haar(), (6, 4), 2)
    np.testing.assert_allclose(C.T @ C, np.eye(24), atol=1e-12)


def test_orthonormal_rows_project_and_are_the_pseudo_inverse():
    C = conv_matrix(haar()[..., :1], (6, 4), 2)
    P = C.T @ C
    np.testing.assert_allclose(P @ P, P, atol=1e-12)
    assert not np.allclose(P, np.eye(24))
    np.testing.assert_allclose(np.linalg.pinv(C), C.T, atol=1e-12)


@SOME
@given(st.integers(1, 4), st.integers(2, 3), st.integers(0, 99))
def test_a_strided_convolution_with_one_filter_loses_values(k, s, seed):
    kernel = np.random.default_rng(seed).normal(size=(k, k, 1, 1))
    C = conv_matrix(kernel, (8, 8), s, "same")
    assert C.shape[0] < C.shape[1]
    lost = np.linalg.svd(C)[2][-1]  # an image of norm 1 that leaves no trace
    np.testing.assert_allclose(C @ lost, 0, atol=1e-9)
    assert not np.allclose(C.T @ C, np.eye(64))


# ---- Checkerboards ------------------------------------------------------------------


@MANY
@given(st.integers(1, 6), st.integers(1, 4), st.sampled_from(["valid", "same"]))
def test_overlap_is_even_if_and_only_if_the_stride_divides_the_kernel(k, s, padding):
    size = 8 * s + 5 * k
    counts = overlap(size, k, s, padding)
    ones = np.ones((k, 1, 1))
    C = conv_matrix(ones, size, s, padding)
    assert np.array_equal(counts, C.T @ np.ones(len(C)))
    inner = counts[2 * k : -2 * k]
    assert (len(set(inner)) == 1) == (k % s == 0)
    assert counts.dtype.kind == "i"


def test_share_is_one_for_a_pattern_and_zero_without():
    pattern = np.tile([[0.0, 1.0], [1.0, 0.0]], (4, 4))[None, :, :, None]
    assert checkerboard_share(pattern, 2) == pytest.approx(1)
    assert checkerboard_share(np.full((1, 8, 8, 3), 0.1), 2) == 0
    blocks = np.kron(np.random.default_rng(0).normal(size=(4, 4)), np.ones((2, 2)))
    assert checkerboard_share(blocks[None, ..., None], 2) == pytest.approx(0, abs=1e-12)


@SOME
@given(st.integers(2, 4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 999))
def test_share_is_the_energy_at_the_frequencies_of_the_stride(period, h, w, seed):
    """Parseval: the multiples of 1 / period, 0 excepted."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(h * period, w * period))
    energy = np.abs(np.fft.fft2(image)) ** 2
    energy[0, 0] = 0
    wanted = energy[::h, ::w].sum() / energy.sum()
    share = checkerboard_share(image[None, ..., None], period)
    assert share.shape == (1,)
    assert share[0] == pytest.approx(wanted, abs=1e-9)
    larger = np.pad(image, ((0, period - 1), (0, period - 1)), constant_values=9.0)
    assert checkerboard_share(larger[None, ..., None], period)[0] == pytest.approx(
        wanted
    )
    scaled = checkerboard_share(3 * image[None, ..., None] + 5, period)
    assert scaled[0] == pytest.approx(wanted)


def test_share_adds_channels_and_keeps_examples_apart():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 8, 8))
    a, b = (checkerboard_share(i[None, ..., None], 2)[0] for i in (one, two))
    both = checkerboard_share(np.stack([one, two])[..., None], 2)
    np.testing.assert_allclose(both, [a, b])
    joined = checkerboard_share(np.stack([one, two], -1)[None], 2)[0]
    wanted = (a * one.var() + b * two.var()) / (one.var() + two.var())
    assert joined == pytest.approx(wanted)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_resize_conv_keeps_a_flat_image_flat(interpolation):
    keras.utils.set_random_seed(0)
    images = np.full((1, 6, 6, 2), 0.7, "float32")
    out = np.asarray(ResizeConv(3, 3, 2, interpolation)(images))[:, 2:-2, 2:-2]
    assert out.std((1, 2)).max() <= 1e-6
    transposed = np.asarray(layers.Conv2DTranspose(3, 4, 2, "same")(images))
    assert transposed[:, 2:-2, 2:-2].std((1, 2)).max() > 1e-2


# ---- ResizeConv as a layer ----------------------------------------------------------


def test_resize_conv_is_up_sampling_then_convolution():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32")
    layer = ResizeConv(6, (3, 5), (2, 3), activation="relu")
    out = layer(images)
    large = images.repeat(2, axis=1).repeat(3, axis=2)
    wanted = keras.ops.relu(
        keras.ops.conv(large, layer.conv.kernel, padding="same") + layer.conv.bias
    )
    np.testing.assert_allclose(out, wanted, atol=1e-5)
    assert out.shape == layer.compute_output_shape(images.shape) == (2, 10, 12, 6)
    assert layer.compute_output_shape((None, None, None, 3)) == (None, None, None, 6)


def test_resize_conv_survives_saving(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 4, 3))
    layer = ResizeConv(
        6, 5, 3, "bilinear", activation="tanh", use_bias=False,
        kernel_initializer="he_normal", name="up",
    )  # fmt: skip
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "up.keras")
    loaded = keras.models.load_model(tmp_path / "up.keras")
    images = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32")
    assert np.array_equal(model(images), loaded(images))
    assert loaded.get_layer("up").get_config() == layer.get_config()
    assert len(loaded.weights) == 1


def test_resize_conv_keeps_its_dtype_and_trains():
    layer = ResizeConv(2, dtype="mixed_bfloat16")
    assert layer(np.ones((1, 2, 2, 1), "float32")).dtype == tf.bfloat16
    assert all(weight.dtype == "float32" for weight in layer.weights)
    model = keras.Sequential([keras.Input((2, 2, 1)), ResizeConv(1)])
    model.compile(loss="mse", optimizer="sgd")
    before = model.get_weights()
    model.fit(np.ones((2, 2, 2, 1)), np.zeros((2, 4, 4, 1)), verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])


# ---- Bad input ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conv_size(0, 3), "input_size must be at least 1, got 0"),
        (lambda: conv_size(5, 3.0), "kernel_size must be an integer, got 3.0"),
        (lambda: conv_size(5, 3, 0), "strides must be at least 1, got 0"),
        (lambda: conv_size(5, 3, True), "strides must be an integer, got True"),
        (lambda: conv_size(5, 3, 1, "full"), "padding must be 'valid' or 'same'"),
        (lambda: conv_size(5, 3, dilation_rate=-1), "dilation_rate must be at least"),
        (lambda: conv_size(4, 3, dilation_rate=2), "input_size must be at least 5"),
        (lambda: conv_input_sizes(0, 3), "output_size must be at least 1"),
        (lambda: conv_transpose_size(0, 3), "output_size must be at least 1"),
        (lambda: conv_transpose_size(3, 3, 2, "same", 2), "smaller than strides=2"),
        (lambda: conv_transpose_size(3, 3, 2, "same", -1), "output_padding must be"),
        (lambda: output_padding_for((8, 8), (3,)), "kernel_size must be an integer or"),
        (lambda: conv_matrix(np.ones(3), 5), r"got shape \(3,\)"),
        (lambda: conv_matrix(np.ones((3, 0, 1)), 5), r"got shape \(3, 0, 1\)"),
        (lambda: conv_matrix(np.ones((3, 1, 1)), (5, 5)), "input_size must be an int"),
        (lambda: conv_matrix(np.ones((3, 1, 1)), 2), "at least 3, the reach"),
        (lambda: overlap(2, 3), "at least 3, the reach"),
        (lambda: checkerboard_share(np.ones((8, 8)), 2), "images must have shape"),
        (lambda: checkerboard_share(np.ones((1, 2, 8, 1)), 3), "at least period=3"),
        (lambda: checkerboard_share(np.ones((1, 8, 8, 1)), 1), "period must be at l"),
        (lambda: ResizeConv(0), "filters must be at least 1, got 0"),
        (lambda: ResizeConv(4, kernel_size=0), "kernel_size must be at least 1"),
        (lambda: ResizeConv(4, scale=1.5), "scale must be an integer, got 1.5"),
        (lambda: ResizeConv(4, scale=(2, 2, 2)), "scale must be an integer or two"),
        (lambda: ResizeConv(4, interpolation="cubic"), "interpolation must be"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_transpose_of_refuses_what_it_cannot_transpose():
    with pytest.raises(TypeError, match="conv must be a Conv1D or Conv2D layer"):
        transpose_of(layers.Dense(3), 5)
    with pytest.raises(ValueError, match="conv must be built: call layer 'raw'"):
        transpose_of(layers.Conv2D(3, 3, name="raw"), (5, 5))
    grouped = layers.Conv2D(4, 3, groups=2)
    grouped.build((None, 5, 5, 4))
    with pytest.raises(ValueError, match="groups=1, got 'channels_last' and 2"):
        transpose_of(grouped, (5, 5))
    causal = layers.Conv1D(4, 3, padding="causal")
    causal.build((None, 5, 4))
    with pytest.raises(ValueError, match="'valid' or 'same', got 'causal'"):
        transpose_of(causal, 5)
    even = layers.Conv2D(1, 4, 2, "same")
    even.build((None, 8, 7, 1))
    with pytest.raises(ValueError, match="can't be restored"):
        transpose_of(even, (8, 7))


def test_transpose_of_leaves_the_layer_alone():
    conv = layers.Conv1D(4, 3, strides=2, activation="relu")
    conv.build((None, 9, 2))
    transpose = transpose_of(conv, 9)
    assert isinstance(transpose, layers.Conv1DTranspose) and not transpose.use_bias
    assert transpose.kernel.shape == conv.kernel.shape == (3, 2, 4)
    transpose.kernel.assign(transpose.kernel * 0)
    assert np.abs(conv.kernel).max() > 0


# ---- The solutions of the exercises -------------------------------------------------


@functools.cache
def solution(label):
    """What a solution defines."""
    rng = np.random.default_rng(0)
    return run_solution(
        "conv_transpose",
        label,
        np=np,
        keras=keras,
        layers=layers,
        ops=ops,
        conv_size=conv_size,
        output_padding_for=output_padding_for,
        normal=lambda *shape: rng.normal(size=shape).astype("float32"),
        table=lambda rows, columns: rows,
    )


@SOME
@given(
    st.integers(1, 3), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3),
    st.integers(1, 4), st.integers(0, 3), st.integers(0, 99),
)  # fmt: skip
def test_solution_zeros_between_and_around(batch, size, c_in, c_out, s, more, seed):
    kernel_size = s + more
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(batch, size, c_in)).astype("float32")
    kernel = rng.normal(size=(kernel_size, c_out, c_in)).astype("float32")
    h = (size - 1) * s + kernel_size
    # The kernel of the convolution whose transpose it is: c_out in, c_in out.
    C = conv_matrix(kernel, h, s)
    by_zeros = solution("ex-convt-zeros")["by_zeros"](y, kernel, s)
    assert by_zeros.shape == (batch, h, c_out)
    np.testing.assert_allclose(flat(by_zeros), flat(y) @ C, atol=ATOL)


def test_solution_odd_sizes_come_back():
    names = solution("ex-convt-odd")
    assert names["encoder_sizes"] == [25, 13, 7, 4, 2]
    assert names["naive"] == [2, 4, 8, 16, 32]
    assert names["repaired"] == [2, 4, 7, 13, 25]
    assert names["paddings"] == [None, 0, 0, 0]


@pytest.mark.parametrize(("k", "s"), [(2, 2), (4, 2), (6, 2), (3, 3), (6, 3)])
def test_solution_even_parts(k, s):
    kernel = np.random.default_rng(0).normal(size=(k, k, 3, 2)).astype("float32")
    even = np.asarray(solution("ex-convt-even")["even_parts"](kernel, s))
    sums = [even[i::s, j::s].sum((0, 1)) for i, j in np.ndindex(s, s)]
    np.testing.assert_allclose(sums, np.broadcast_to(sums[0], (s * s, 3, 2)), atol=1e-5)
    # The total and the differences inside a part stay what they were.
    np.testing.assert_allclose(even.sum((0, 1)), kernel.sum((0, 1)), atol=1e-4)
    change = even - kernel
    for i, j in np.ndindex(s, s):
        assert np.ptp(change[i::s, j::s], axis=(0, 1)).max() < 1e-5
    again = solution("ex-convt-even")["even_parts"](even, s)
    np.testing.assert_allclose(again, even, atol=1e-5)


def test_solution_the_transpose_of_copying_is_adding():
    names = solution("ex-convt-pool")
    assert names["left"] == pytest.approx(names["right"], rel=1e-3, abs=1e-3)
    wanted = names["large"].reshape(1, 5, 2, 6, 2, 3).sum((2, 4))
    np.testing.assert_allclose(names["added"], wanted, atol=ATOL)


def test_windows_move_by_one_unless_said_otherwise():
    kernel = np.array([1.0, 2.0]).reshape(2, 1, 1)
    expected = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 2.0]])
    np.testing.assert_array_equal(conv_matrix(kernel, 3), expected)
    assert conv_size(5, 2) == 4
    assert conv_transpose_size(4, 2) == 5
    assert conv_input_sizes(4, 2) == range(5, 6)
    assert output_padding_for(5, 2) is None
    np.testing.assert_array_equal(overlap(3, 2), [1, 2, 1])


def test_the_padding_of_one_axis_is_one_number():
    assert output_padding_for(28, kernel_size=3, strides=2) == 1
