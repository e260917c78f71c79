"""Networks to look into: one that is trained here, one that is downloaded if asked."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from advanced_keras._types import Tensor

from ..progress import Progress
from . import checks
from .scenes import Scenes, load_scenes

SOURCES = ("scenes", "resnet50v2")
FILTERS = ((24, 5), (48, 3), (64, 3), (64, 3))  # filters and kernel of each block
CLASSES = 10


def build_network() -> keras.Model:
    """A small classifier of pictures of any size, four blocks deep, not trained.

    Between the blocks a *mean* of 2 x 2 halves the sides: a convolution with a stride
    would leave checkerboards in the gradient. Features are leaky, so that no filter
    is ever dead to the gradient.

    Returns:
        Pictures ``(batch, rows, columns, 3)`` from 0 to 1, to logits ``(batch, 10)``.
    """
    images = keras.Input((None, None, 3), name="images")
    features = images
    for depth, (filters, kernel_size) in enumerate(FILTERS, start=1):
        if depth > 1:
            features = layers.AveragePooling2D(2, name=f"halve_{depth}")(features)
        features = layers.Conv2D(
            filters, kernel_size, padding="same", use_bias=False, name=f"conv_{depth}"
        )(features)
        features = layers.BatchNormalization(name=f"norm_{depth}")(features)
        features = layers.LeakyReLU(0.1, name=f"features_{depth}")(features)
    pooled = layers.GlobalAveragePooling2D(name="pool")(features)
    logits = layers.Dense(CLASSES, name="logits")(pooled)
    return keras.Model(images, logits, name="network")


def load_network(
    source: str = "scenes",
    train: Scenes | None = None,
    epochs: int = 4,
    seed: int = 0,
    weights: str | None = "imagenet",
) -> keras.Model:
    """Load a trained network whose input is a picture with values from 0 to 1.

    Args:
        source: "scenes" for :func:`build_network`, trained here; "resnet50v2" for
            ResNet50V2 without its head, which is downloaded the first time.
        train: the :class:`~advanced_keras.feature_visualization.Scenes` to train on;
            by default those of :func:`load_scenes`. Only for "scenes".
        epochs, seed: of the training. Only for "scenes".
        weights: "imagenet", a file of weights, or None for random ones, which need
            no download. Only for "resnet50v2".

    Returns:
        A functional ``keras.Model``; :func:`feature_extractor` looks inside.

    Raises:
        ValueError: for an unknown ``source``, or if an argument does not fit.
        OSError: if the weights can't be downloaded; the message says what to do.
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {SOURCES}, got {source!r}.")
    if source == "resnet50v2":
        return _load_resnet(weights)
    checks.number("epochs", epochs, least=1, whole=True)
    train = load_scenes(seed=seed)[0] if train is None else train
    if not isinstance(train, Scenes):
        raise ValueError(f"train must be Scenes, got {type(train).__name__}.")
    keras.utils.set_random_seed(seed)
    network = build_network()
    _fit(network, train, epochs)
    return network


def _fit(network, train, epochs, batch_size=64, rate=3e-3):
    """Train with a rate that falls to almost nothing."""
    steps = epochs * -(-len(train) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.03)
    network.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    network.optimizer.build(network.trainable_variables)  # or fit traces twice
    network.fit(
        train.images,
        train.labels,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[Progress("training a network of scenes")],
        verbose=0,
    )


def _load_resnet(weights):
    """ResNet50V2 behind a layer that turns 0 to 1 into the -1 to 1 that it wants."""
    images = keras.Input((None, None, 3), name="images")
    centred = layers.Rescaling(2.0, -1.0, name="centre")(images)
    try:
        return keras.applications.ResNet50V2(
            include_top=False, weights=weights, input_tensor=centred
        )
    except Exception as error:  # get_file raises a bare Exception
        if weights != "imagenet":
            raise
        reason = " ".join(str(error).split())
        raise OSError(
            f"could not download the weights of ResNet50V2 ({reason}): connect to the "
            "network once, or use load_network('scenes'), which needs none."
        ) from None


def feature_extractor(network: keras.Model, layer: str) -> keras.Model:
    """The part of a functional network from its input to the output of one layer.

    Args:
        network: a functional ``keras.Model``.
        layer: the name of one of its layers.

    Returns:
        A ``keras.Model`` that shares its weights with ``network``.

    Raises:
        ValueError: if there is no such layer; the message lists some that exist.

    Example:
        >>> network = build_network()
        >>> feature_extractor(network, network.layers[1].name).output_shape
        (None, None, None, 24)
    """
    checks.one_input("network", network)
    names = [each.name for each in network.layers]
    if layer not in names:
        raise ValueError(
            f"layer must be the name of a layer of {network.name!r}, got {layer!r}; "
            f"the last ones are {', '.join(names[-4:])}."
        )
    (images,) = network.inputs  # a list of one would want a list in each call
    return keras.Model(images, network.get_layer(layer).output, name=layer)


def mean_activations(
    extractor: keras.Model, images: Tensor, batch_size: int = 500
) -> np.ndarray:
    """For each picture the mean of each of its feature maps.

    Args:
        extractor: a model from pictures to features ``(batch, ..., channels)``.
        images: ``(count, rows, columns, channels)``.
        batch_size: how many pictures go through the network at a time.

    Returns:
        NumPy ``(count, channels)``, float32.
    """
    images = checks.pictures("images", images)
    checks.fitting("extractor", extractor, images)
    checks.number("batch_size", batch_size, least=1, whole=True)
    means = []
    for begin in range(0, len(images), batch_size):
        features = extractor(images[begin : begin + batch_size], training=False)
        between = tuple(range(1, len(features.shape) - 1))
        means.append(ops.mean(ops.cast(features, "float32"), axis=between))
    return np.concatenate([ops.convert_to_numpy(mean) for mean in means])
