"""Feature extractors: functional models with one input and many outputs.

Every extractor takes images from 0 to 1 and returns a dictionary. The keys say what
an output is for: ``style_0``, ``style_1``, ... and ``content_1``, ....
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from advanced_keras import _checks

# Rows: light, red against green, blue against yellow. The colour axes are enlarged
# because in photographs colours differ less than brightness does.
COLOURS = np.array([[1, 1, 1], [4.5, -4.5, 0], [2.25, 2.25, -4.5]]) / 3
BINOMIAL = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64

VGG_STYLE = tuple(f"block{number}_conv1" for number in range(1, 6))
VGG_CONTENT = ("block4_conv2",)
VGG_MEANS = (103.939, 116.779, 123.68)  # of ImageNet: blue, green, red


@keras.saving.register_keras_serializable(package="advanced_keras")
class Pad(layers.Layer):
    """Continue an image beyond its border.

    Args:
        width: rows and columns that are added on each side.
        mode: ``"reflect"``: as in a mirror; ``"wrap"``: by the opposite side.

    Call arguments:
        images: ``(batch, rows, columns, channels)``.

    Returns:
        ``(batch, rows + 2 width, columns + 2 width, channels)``.

    Raises:
        ValueError: for a negative width or an unknown mode.
    """

    def __init__(self, width, mode="reflect", **kwargs):
        super().__init__(**kwargs)
        _at_least("width", width, 0)
        if mode not in ("reflect", "wrap"):
            raise ValueError(f"mode must be 'reflect' or 'wrap', got {mode!r}.")
        self.width, self.mode = width, mode
        self.input_spec = layers.InputSpec(ndim=4)

    def call(self, images):
        """Add rows, then columns."""
        p = self.width
        if p == 0:
            return images
        if self.mode == "reflect":
            return ops.pad(images, [(0, 0), (p, p), (p, p), (0, 0)], mode="reflect")
        tall = ops.concatenate([images[:, -p:], images, images[:, :p]], axis=1)
        return ops.concatenate([tall[:, :, -p:], tall, tall[:, :, :p]], axis=2)

    def compute_output_shape(self, images_shape):
        """Return the shape with larger sides; unknown sides stay unknown."""
        batch, h, w, c = images_shape
        more = 2 * self.width
        return batch, h and h + more, w and w + more, c

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "width": self.width, "mode": self.mode}


@keras.saving.register_keras_serializable(package="advanced_keras")
class Sides(layers.Layer):
    """Hand images on, after a look at their size.

    Args:
        multiple: what the numbers of rows and columns must be multiples of.

    Raises:
        ValueError: when called with images of another size.
    """

    def __init__(self, multiple, **kwargs):
        super().__init__(**kwargs)
        _at_least("multiple", multiple, 1)
        self.multiple = multiple

    def call(self, images):
        """Return the images."""
        sides = images.shape[1:3]
        if any(side is not None and side % self.multiple for side in sides):
            raise ValueError(
                f"images must have rows and columns that are multiples of "
                f"{self.multiple}, got {tuple(sides)}. Crop them first."
            )
        return images

    def compute_output_shape(self, images_shape):
        """Return the same shape."""
        return images_shape

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable(package="advanced_keras")
class VGGPreprocessing(layers.Layer):
    """From images 0 to 1 to what VGG19 was trained on.

    Pixels from 0 to 255, channels in the order blue, green, red, each minus its mean
    over ImageNet. Keeps the shape ``(batch, rows, columns, 3)``.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = layers.InputSpec(ndim=4, axes={-1: 3})

    def call(self, images):
        """Scale, turn the channels around, centre."""
        return images[..., ::-1] * 255 - ops.cast(VGG_MEANS, images.dtype)

    def compute_output_shape(self, images_shape):
        """Return the same shape."""
        return images_shape


def random_features(
    scales: int = 4,
    filters: int = 64,
    kernel_size: int = 7,
    padding: str = "reflect",
    seed: int = 0,
) -> keras.Model:
    """Build an extractor with random filters at several scales; nothing is trained.

    A Laplacian pyramid takes the image apart into details of the size of a pixel, of
    two, of four, ...; one layer of random filters looks at each. After
    Ustyuzhaninov et al. (2017), who use kernels of several sizes instead of a
    pyramid.

    Args:
        scales: bands of the pyramid, each with half as many rows and columns.
        filters: random filters for each band.
        kernel_size: of the filters; odd.
        padding: how images continue beyond the border: ``"reflect"`` or ``"wrap"``.
        seed: of the filters.

    Returns:
        A frozen model: images ``(batch, h, w, 3)``, 0 to 1, to ``style_i``
        ``(batch, h / 2**i, w / 2**i, filters)`` for all scales and ``content_i``
        ``(batch, h / 2**i, w / 2**i, 1)``, the light in band i, for i of 1 and 2 if
        there are so many bands. Both sides must be multiples of
        ``2 ** (scales - 1)``.

    Raises:
        ValueError: for a number out of range.

    Example:
        >>> extractor = random_features(scales=2, filters=8)
        >>> sorted(extractor(np.zeros((1, 32, 32, 3))))
        ['content_1', 'style_0', 'style_1']
    """
    for name, value in (("scales", scales), ("filters", filters)):
        _at_least(name, value, 1)
    _at_least("kernel_size", kernel_size, 1)
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, got {kernel_size}.")
    if padding not in ("reflect", "wrap"):
        raise ValueError(f"padding must be 'reflect' or 'wrap', got {padding!r}.")
    images = keras.Input((None, None, 3), name="images")
    colours = _fixed(layers.Conv2D(3, 1, use_bias=False, name="colours"), COLOURS.T)
    rest = colours(Sides(2 ** (scales - 1), name="sides")(images))
    outputs = {}
    for i in range(scales):
        band, rest = _split(rest, i, padding) if i < scales - 1 else (rest, None)
        padded = Pad(kernel_size // 2, padding, name=f"pad_{i}")(band)
        filter_bank = layers.Conv2D(
            filters,
            kernel_size,
            use_bias=False,
            activation="relu",
            kernel_initializer=keras.initializers.GlorotUniform(seed + i),
            name=f"random_{i}",
        )
        outputs[f"style_{i}"] = filter_bank(padded)
        if i in (1, 2) or scales == 1:
            outputs[f"content_{i}"] = band[..., :1]
    return _frozen(images, outputs, "random_features")


def _split(image, i, padding):
    """Take the details off an image: return them, and the rest in half the size."""
    blur = layers.DepthwiseConv2D(4, strides=2, use_bias=False, name=f"halve_{i}")
    kernel = np.repeat(BINOMIAL[:, :, None, None], 3, axis=2)
    half = _fixed(blur, kernel)(Pad(1, padding, name=f"edge_{i}")(image))
    around = Pad(1, padding, name=f"around_{i}")(half)
    double = layers.UpSampling2D(2, interpolation="bilinear", name=f"double_{i}")
    coarse = layers.Cropping2D(2, name=f"crop_{i}")(double(around))
    return layers.Subtract(name=f"details_{i}")([image, coarse]), half


def _fixed(layer, kernel):
    """A convolution with a given kernel."""
    kernel = np.asarray(kernel, "float32")
    layer.build((None, None, None, 3))
    layer.set_weights([kernel.reshape(layer.kernel.shape)])
    return layer


def vgg19_features(
    weights: str | None = None,
    style_layers: Sequence[str] = VGG_STYLE,
    content_layers: Sequence[str] = VGG_CONTENT,
    seed: int = 0,
) -> keras.Model:
    """Build an extractor from VGG19, with the layers of Gatys et al. (2016).

    Args:
        weights: ``"imagenet"`` downloads the trained weights (80 MB) at the first
            call; a path loads a file; None draws random ones.
        style_layers, content_layers: names of layers of VGG19.
        seed: of the random weights; also sets the global seed if they are drawn.

    Returns:
        A frozen model: images ``(batch, h, w, 3)``, 0 to 1, to ``style_i`` and
        ``content_i``, numbered in the order of the layers, from 0.

    Raises:
        ValueError: for a layer that is not there.
        OSError: if a download is needed and impossible.
    """
    if weights is None:
        keras.utils.set_random_seed(seed)
    try:
        network = keras.applications.VGG19(include_top=False, weights=weights)
    except OSError as error:
        raise OSError(
            f"weights={weights!r} could not be loaded ({error}). Without a connection "
            "use build_extractor('random'), or a weights file that you have."
        ) from error
    except Exception as error:
        if "URL fetch failure" not in str(error):
            raise
        raise OSError(
            f"weights={weights!r} could not be downloaded. Without a connection use "
            "build_extractor('random'), or a weights file that you have."
        ) from error
    found = pick(network, (*style_layers, *content_layers))
    images = keras.Input((None, None, 3), name="images")
    features = found(VGGPreprocessing(name="preprocessing")(images))
    outputs = {f"style_{i}": features[name] for i, name in enumerate(style_layers)}
    for i, name in enumerate(content_layers):
        outputs[f"content_{i}"] = features[name]
    return _frozen(images, outputs, "vgg19_features")


def pick(model: keras.Model, names: Sequence[str]) -> keras.Model:
    """Return a model that ends at several layers of another, and shares its weights.

    Args:
        model: a functional model.
        names: names of its layers.

    Returns:
        A functional model from the same input to a dictionary of the outputs of
        these layers.

    Raises:
        ValueError: if a layer is not there, or no name is given.
    """
    _checks.instance("model", model, keras.Model, "a model")
    known = [layer.name for layer in model.layers]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(
            f"names must be layers of {model.name!r}, some of {', '.join(known)}; got "
            f"{list(unknown or names)}."
        )
    outputs = {name: model.get_layer(name).output for name in names}
    return keras.Model(model.inputs[0], outputs, name=f"{model.name}_picked")


def build_extractor(source: str = "random", **options: Any) -> keras.Model:
    """Build a feature extractor: one function for all sources.

    Args:
        source: ``"random"`` (no download, see :func:`random_features`) or
            ``"vgg19"`` (see :func:`vgg19_features`; downloads only with
            ``weights="imagenet"``).
        options: passed on.

    Raises:
        ValueError: for an unknown source.
    """
    builders: dict[str, Callable] = {"random": random_features, "vgg19": vgg19_features}
    if source not in builders:
        raise ValueError(f"source must be 'random' or 'vgg19', got {source!r}.")
    return builders[source](**options)


def _frozen(images, outputs, name):
    model = keras.Model(images, outputs, name=name)
    model.trainable = False
    return model


def _at_least(name, value, least):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name} must be an integer, got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")
