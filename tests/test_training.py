"""The train step of the book against stock ``fit``; the recorder against the truth."""

import ast
import functools
import json
import re
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from advanced_keras._notation import MACROS, written_out
from advanced_keras.display import Picture, use_style
from advanced_keras.training import (
    FEATURES,
    AccumulatingModel,
    ClippedModel,
    StandardModel,
    StandardStep,
    WeightedModel,
    batch_size,
    global_norm,
    make_payments,
    picture,
    record_step,
    train_by_hand,
)
from advanced_keras.training.picture import printed_table

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype("float32")
Y = RNG.normal(size=(50, 1)).astype("float32")
LABEL = RNG.integers(0, 2, 50)
WEIGHT = RNG.uniform(0.1, 2.0, 50).astype("float32")
BATCH = 16  # 50 examples: the last batch has 2


def everything(model):
    """Weights, state, optimizer and metrics, as arrays."""
    variables = model.variables + model.optimizer.variables + model.metrics_variables
    return [np.array(v.numpy()) for v in variables]


def distance(one, other):
    pairs = zip(everything(one), everything(other), strict=True)
    return max(float(np.abs(a.astype("f8") - b.astype("f8")).max()) for a, b in pairs)


def weights_distance(one, other):
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


# -- the models on which the default step is compared


def plain(cls):
    a = keras.Input((6,))
    model = cls(a, layers.Dense(1)(layers.Dense(5, activation="relu")(a)))
    model.compile(keras.optimizers.SGD(0.1), loss="mse", metrics=["mae"])
    return model, X, Y, {}


def everything_at_once(cls):
    """Regularization, activity losses, batch statistics, dropout, two of all."""
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    h = layers.Dense(8, activation="relu", kernel_regularizer="l2")(a)
    h = layers.Dropout(0.3, seed=5)(layers.BatchNormalization()(h))
    h = layers.ActivityRegularization(1e-2)(layers.Concatenate()([h, b]))
    price, label = layers.Dense(1, name="price")(h), layers.Dense(2, name="label")(h)
    model = cls([a, b], [price, label])
    model.compile(
        keras.optimizers.Adam(0.01, global_clipnorm=1.0),
        loss=["mse", keras.losses.SparseCategoricalCrossentropy(from_logits=True)],
        loss_weights=[0.3, 2.0],
        metrics=[["mae"], ["accuracy"]],
        weighted_metrics=[["mse"], []],
    )
    return model, [X, X[::-1]], [Y, LABEL], {"sample_weight": [WEIGHT, WEIGHT[::-1]]}


def several_steps_at_once(cls):
    model, x, y, options = plain(cls)
    model.compile("rmsprop", loss="mse", steps_per_execution=3)
    return model, x, y, options


def named(cls):
    """Dicts in and out, a shared input, and frozen weights."""
    a = keras.Input((6,), name="a")
    frozen = layers.Dense(4, trainable=False)
    model = cls({"a": a}, {"u": layers.Dense(1, name="u")(frozen(a))})
    model.compile("adam", loss={"u": "mae"})
    return model, {"a": X}, {"u": Y}, {}


def classes(cls):
    a = keras.Input((6,))
    model = cls(a, layers.Dense(1)(a))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.1, use_ema=True), loss=loss, metrics=["mse"])
    return model, X, LABEL, {"class_weight": {0: 1.0, 1: 7.0}}


MODELS = [plain, everything_at_once, several_steps_at_once, named, classes]


@pytest.mark.parametrize("build", MODELS)
def test_default_step_written_out_equals_fit_bit_for_bit(build):
    found = []
    for cls in (keras.Model, StandardModel):
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        model, x, y, options = build(cls)
        history = model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0, **options)
        options.pop("class_weight", None)
        after = everything(model)
        model.run_eagerly = True
        model.test_function = None
        scores = model.evaluate(x, y, verbose=0, return_dict=True, **options)
        found.append((after, history.history, scores))
    (weights, history, scores), (ours, our_history, our_scores) = found
    for one, other in zip(weights, ours, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history == our_history
    assert scores == our_scores


@settings(deadline=None, max_examples=8)
@given(
    n=st.integers(1, 5),
    u=st.integers(1, 4),
    count=st.integers(1, 9),
    strength=st.sampled_from([0.0, 0.5]),
    weighted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_one_step_of_any_shape_equals_stock(n, u, count, strength, weighted, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count, n)), rng.normal(size=(count, u))
    w = rng.uniform(size=count) if weighted else None
    models, logs = [], []
    for cls in (keras.Model, StandardModel):
        keras.utils.set_random_seed(seed)
        a = keras.Input((n,))
        b = layers.Dense(u, kernel_regularizer=keras.regularizers.L1(strength))(a)
        model = cls(a, b)
        model.compile("adam", loss="mse", metrics=["mae"], run_eagerly=True)
        logs.append(model.train_on_batch(x, y, sample_weight=w, return_dict=True))
        logs.append(model.test_on_batch(x, y, sample_weight=w, return_dict=True))
        models.append(model)
    assert distance(*models) == 0.0
    assert logs[:2] == logs[2:]


def test_a_model_with_its_own_call_takes_the_mixin():
    class Own(StandardStep, keras.Model):
        def __init__(self):
            super().__init__()
            self.head = layers.Dense(1)

        def call(self, inputs):  # no `training`: the step must not insist
            return self.head(inputs)

    class Stock(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = layers.Dense(1)

        def call(self, inputs):
            return self.head(inputs)

    models = []
    plain(StandardModel)  # a functional use of the class beside it changes nothing
    for cls in (Stock, Own):
        keras.utils.set_random_seed(3)
        model = cls()
        model.compile("sgd", loss="mse", run_eagerly=True)
        model.fit(X, Y, batch_size=BATCH, verbose=0)
        models.append(model)
    assert weights_distance(*models) == 0.0


def test_float16_needs_scale_loss():
    """The optimizer divides by the scale, whether or not the loss was scaled."""

    class Unscaled(StandardModel):
        def train_step(self, data):
            x, y, _ = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    after = {}
    for cls in (keras.Model, StandardModel, Unscaled, ClippedModel, AccumulatingModel):
        keras.utils.set_random_seed(1)
        a = keras.Input((6,))
        out = layers.Dense(1, dtype="mixed_float16")(a)
        model = cls(a, out)
        inner = keras.optimizers.SGD(0.01)
        scaled = keras.optimizers.LossScaleOptimizer(inner, initial_scale=64.0)
        model.compile(scaled, loss="mse", run_eagerly=True)
        model.train_on_batch(X, Y)
        after[cls] = model.get_weights()[0]
        if cls is keras.Model:
            keras.utils.set_random_seed(1)
            start = cls(a, layers.Dense(1, dtype="mixed_float16")(a)).get_weights()[0]
    moved = {cls: np.abs(kernel - start).max() for cls, kernel in after.items()}
    for cls in (StandardModel, AccumulatingModel):
        np.testing.assert_allclose(after[cls], after[keras.Model], atol=1e-6)
    assert moved[Unscaled] == pytest.approx(moved[keras.Model] / 64, rel=0.01)
    assert moved[ClippedModel] > 0.1 * moved[keras.Model]


# -- the step of the public guide, and what it gets wrong


class GuideModel(keras.Model):
    """The first step of the guide of keras.io, in our words."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for each in self.metrics:
            if each.name == "loss":
                each.update_state(loss)
            else:
                each.update_state(y, y_pred)
        return {each.name: each.result() for each in self.metrics}


def test_the_guide_weighs_a_short_last_batch_like_a_full_one():
    reported = {}
    for cls in (keras.Model, GuideModel):
        keras.utils.set_random_seed(1)
        a = keras.Input((6,))
        model = cls(a, layers.Dense(1)(a))
        still = keras.optimizers.SGD(0.0)  # the weights stay
        model.compile(still, loss="mse", run_eagerly=True)
        history = model.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0)
        reported[cls] = history.history["loss"][0]
    errors = (model(X).numpy() - Y) ** 2
    np.testing.assert_allclose(reported[keras.Model], errors.mean(), rtol=1e-6)
    batches = [errors[i : i + BATCH].mean() for i in range(0, 50, BATCH)]
    np.testing.assert_allclose(reported[GuideModel], np.mean(batches), rtol=1e-6)
    assert abs(reported[GuideModel] / reported[keras.Model] - 1) > 0.01


def test_the_guide_does_not_take_a_third_thing():
    model = plain(GuideModel)[0]
    model.compile("sgd", loss="mse", run_eagerly=True)
    with pytest.raises(ValueError, match="too many values to unpack"):
        model.train_on_batch(X, Y)


class LinkedModel(keras.Model):
    """The step of the guide that the course notes link to, in our words."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compiled_loss(y, y_pred, regularization_losses=self.losses)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.compiled_metrics.update_state(y, y_pred)
        return self.get_metrics_result()


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_the_older_guide_trains_right_and_reports_no_loss():
    models = []
    for cls in (keras.Model, LinkedModel):
        keras.utils.set_random_seed(1)
        a = keras.Input((6,))
        model = cls(a, layers.Dense(1, kernel_regularizer="l2")(a))
        model.compile("sgd", loss="mse", run_eagerly=True)
        y_pred = model(X).numpy()
        fit = {"batch_size": 50, "shuffle": False, "verbose": 0}
        models.append((model, model.fit(X, Y, **fit).history["loss"][0]))
    (stock, right), (linked, wrong) = models
    assert weights_distance(stock, linked) == 0.0
    assert right > 0
    assert wrong == pytest.approx(float(y_pred.mean()), rel=1e-5)  # no loss at all


def test_steps_per_execution_changes_no_weight():
    models = []
    for k in (1, 3):
        keras.utils.set_random_seed(1)
        model, x, y, _ = plain(StandardModel)
        model.compile("sgd", loss="mse", steps_per_execution=k)
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
        models.append(model)
    assert weights_distance(*models) <= 1e-6


def test_the_guide_fails_with_two_outputs():
    a = keras.Input((6,))
    both = [layers.Dense(1, name="u")(a), layers.Dense(1, name="v")(a)]
    model = GuideModel(a, both)
    model.compile("sgd", loss=["mse", "mse"], run_eagerly=True)
    stock = keras.Model(a, both)
    stock.compile("sgd", loss=["mse", "mse"], run_eagerly=True)
    right = stock.test_on_batch(X, [Y, Y], return_dict=True)["u_loss"]
    data = tf.constant(X), [tf.constant(Y), tf.constant(2 * Y)]
    try:
        wrong = float(model.train_step(data)["u_loss"])
    except (TypeError, ValueError, tf.errors.InvalidArgumentError):
        return
    assert abs(wrong - right) > 1e-3  # Mean(values=y, sample_weight=y_pred)


# -- variants


def classifier(cls, optimizer, *, eager=True, **options):
    keras.utils.set_random_seed(1)
    a = keras.Input((6,))
    l2 = keras.regularizers.L2(0.05)
    hidden = layers.Dense(8, activation="relu", kernel_regularizer=l2)(a)
    model = cls(a, layers.Dense(1)(hidden), **options)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss, metrics=["accuracy"], run_eagerly=eager)
    return model


def fitted(cls, optimizer=None, *, y=LABEL, fit=None, **options):
    """Trained by two epochs in the same order; eagerly unless asked otherwise."""
    model = classifier(cls, optimizer or keras.optimizers.SGD(0.5), **options)
    arguments = {"batch_size": BATCH, "epochs": 2, "verbose": 0, "shuffle": False}
    model.fit(X, y, **(arguments | (fit or {})))
    return model


@pytest.mark.parametrize("column", [False, True])
def test_weights_in_the_step_equal_class_weight_and_sample_weight(column):
    y = LABEL[:, None] if column else LABEL
    inside = fitted(WeightedModel, y=y, class_weight=(1.0, 7.0))
    outside = fitted(keras.Model, y=y, fit={"class_weight": {0: 1.0, 1: 7.0}})
    each = np.where(LABEL == 1, 7.0, 1.0)
    given_weights = fitted(keras.Model, y=y, fit={"sample_weight": each})
    assert weights_distance(inside, outside) == 0.0
    assert weights_distance(inside, given_weights) == 0.0
    assert weights_distance(inside, fitted(keras.Model, y=y)) > 1e-2


def test_weights_of_class_and_of_example_multiply():
    inside = fitted(WeightedModel, class_weight=(1, 7), fit={"sample_weight": WEIGHT})
    product = np.where(LABEL == 1, 7.0, 1.0) * WEIGHT
    outside = fitted(keras.Model, fit={"sample_weight": product})
    assert weights_distance(inside, outside) <= 1e-6


def test_weights_are_of_training_only():
    model = fitted(WeightedModel, class_weight=(1.0, 7.0))
    stock = keras.Model(model.inputs, model.outputs)
    stock.compile(loss=model.loss, run_eagerly=True)
    expected = stock.evaluate(X, LABEL, verbose=0)
    assert model.evaluate(X, LABEL, verbose=0)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("limit", [0.05, 1e6])
def test_clipping_in_the_step_equals_global_clipnorm(limit):
    sgd = keras.optimizers.SGD
    ours = fitted(ClippedModel, sgd(0.5), max_norm=limit)
    stock = fitted(keras.Model, sgd(0.5, global_clipnorm=limit))
    assert weights_distance(ours, stock) <= 1e-6
    assert (weights_distance(ours, fitted(keras.Model)) > 1e-3) == (limit == 0.05)


def test_clipped_model_reports_the_length_before_clipping():
    model = classifier(ClippedModel, keras.optimizers.SGD(0.5), max_norm=1e-3)
    with tf.GradientTape() as tape:
        y_pred = model(X, training=True)
        loss = model.compute_loss(X, LABEL, y_pred, None, training=True)
    true = tf.linalg.global_norm(tape.gradient(loss, model.trainable_variables))
    before = [np.array(w) for w in model.get_weights()]
    logs = model.train_on_batch(X, LABEL, return_dict=True)
    assert logs["gradient_norm"] == pytest.approx(float(true), rel=1e-5)
    moved = [a - b for a, b in zip(model.get_weights(), before, strict=True)]
    length = np.sqrt(sum(np.sum(m**2) for m in moved))
    assert length == pytest.approx(0.5 * 1e-3, rel=1e-3)
    assert set(model.test_on_batch(X, LABEL, return_dict=True)) == {"loss", "accuracy"}
    assert len(model.evaluate(X, LABEL, verbose=0)) == 2  # no length of no gradient


def test_zero_gradient_is_not_divided_by():
    model = classifier(ClippedModel, keras.optimizers.SGD(0.5), max_norm=1.0)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    balanced = np.concatenate([np.zeros(25), np.ones(25)])
    model.train_on_batch(np.zeros_like(X), balanced)
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())


def test_accumulated_parts_equal_one_batch():
    stock = fitted(keras.Model)
    for parts in (1, 3, 7):
        ours = fitted(AccumulatingModel, parts=parts)
        assert weights_distance(ours, stock) <= 1e-6
        for name, values in stock.history.history.items():
            np.testing.assert_allclose(ours.history.history[name], values, rtol=1e-5)


def test_more_parts_than_examples_in_a_graph():
    """The last batch has 2 examples, and the graph doesn't know it."""
    ours = fitted(AccumulatingModel, parts=3, eager=False)
    assert weights_distance(ours, fitted(keras.Model)) <= 1e-6


def test_accumulated_parts_with_example_weights():
    fit = {"sample_weight": WEIGHT}
    ours = fitted(AccumulatingModel, parts=3, fit=fit)
    assert weights_distance(ours, fitted(keras.Model, fit=fit)) <= 1e-6


def test_keras_accumulates_over_batches_instead():
    optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=4)
    four = classifier(keras.Model, optimizer)
    four.fit(X[:48], LABEL[:48], batch_size=4, shuffle=False, verbose=0)
    one = classifier(keras.Model, keras.optimizers.Adam(0.01))
    one.fit(X[:48], LABEL[:48], batch_size=16, shuffle=False, verbose=0)
    assert weights_distance(one, four) <= 1e-6
    assert int(four.optimizer.iterations) == 3


def test_sparse_gradients_of_an_embedding_are_accumulated_and_clipped():
    found = []
    sgd = keras.optimizers.SGD
    for cls, optimizer, options in (
        (keras.Model, sgd(1.0, global_clipnorm=0.01), {}),
        (ClippedModel, sgd(1.0), {"max_norm": 0.01}),
        (keras.Model, sgd(1.0), {}),
        (AccumulatingModel, sgd(1.0), {"parts": 2}),
    ):
        keras.utils.set_random_seed(2)
        a = keras.Input((3,), dtype="int32")
        pooled = layers.GlobalAveragePooling1D()(layers.Embedding(9, 4)(a))
        model = cls(a, layers.Dense(1)(pooled), **options)
        model.compile(optimizer, loss="mse", run_eagerly=True)
        model.train_on_batch(np.arange(12).reshape(4, 3) % 9, Y[:4])
        found.append(model)
    assert weights_distance(*found[:2]) <= 1e-6
    assert weights_distance(*found[2:]) <= 1e-6


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (StandardModel, {}),
        (WeightedModel, {"class_weight": (1.0, 5.0)}),
        (ClippedModel, {"max_norm": 0.25}),
        (AccumulatingModel, {"parts": 3}),
    ],
)
def test_save_and_load_without_custom_objects(cls, options, tmp_path):
    model = fitted(cls, eager=False, **options)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is cls
    np.testing.assert_array_equal(loaded(X), model(X))
    for name, value in options.items():
        assert getattr(loaded, name) == value
    for each in (model, loaded):  # and they go on alike
        each.run_eagerly, each.train_function = True, None
        each.train_on_batch(X, LABEL)
    assert weights_distance(model, loaded) == 0.0


def test_a_weight_moves_the_optimal_logit_by_its_log():
    """The equation of the chapter, for a model that is one number."""
    y = np.r_[np.ones(3), np.zeros(17)][:, None]
    z = tf.Variable(0.0)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    logits = {}
    for s in (1.0, 20.0):
        weight = np.where(y == 1, s, 1.0)[:, 0]
        for _ in range(60):  # Newton's method
            with tf.GradientTape() as outer:
                with tf.GradientTape() as inner:
                    value = loss(y, z + tf.zeros((20, 1)), sample_weight=weight)
                slope = inner.gradient(value, z)
            z.assign_sub(0.5 * slope / outer.gradient(slope, z))
        logits[s] = float(z)
    assert logits[1.0] == pytest.approx(np.log(3 / 17), abs=1e-4)
    assert logits[20.0] - logits[1.0] == pytest.approx(np.log(20.0), abs=1e-4)


def test_compute_loss_may_look_at_the_inputs():
    class ByInput(StandardModel):
        def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
            return super().compute_loss(x, y, y_pred, x[:, 0] ** 2)

    fit = {"sample_weight": X[:, 0] ** 2}
    assert weights_distance(fitted(ByInput), fitted(keras.Model, fit=fit)) <= 1e-6


# -- the loop by hand


def test_the_whole_loop_by_hand_equals_fit():
    stock = classifier(keras.Model, keras.optimizers.Adam(0.01))
    y = LABEL[:, None].astype("float32")
    history = stock.fit(X, y, batch_size=BATCH, epochs=3, shuffle=False, verbose=0)
    model = classifier(keras.Model, keras.optimizers.Adam(0.01))
    batches = tf.data.Dataset.from_tensor_slices((X, y)).batch(BATCH)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    losses = train_by_hand(model, keras.optimizers.Adam(0.01), loss, batches, 3)
    assert weights_distance(stock, model) <= 1e-6
    np.testing.assert_allclose(losses, history.history["loss"], rtol=1e-6)


def test_forgetting_the_regularization_changes_the_weights():
    y = LABEL[:, None].astype("float32")

    class Forgetful(StandardModel):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **_):
            return self._compile_loss(y, y_pred, sample_weight)

    right, wrong = fitted(StandardModel, y=y), fitted(Forgetful, y=y)
    assert weights_distance(right, wrong) > 1e-2


# -- clear refusals


@pytest.mark.parametrize("bad", [0, -1.0, "1", None, True, float("nan")])
def test_bad_max_norm(bad):
    with pytest.raises(ValueError, match="max_norm must be a positive number, got"):
        classifier(ClippedModel, "sgd", max_norm=bad)


@pytest.mark.parametrize("bad", [0, -2, 1.5, "2", None, True])
def test_bad_parts(bad):
    with pytest.raises(ValueError, match="parts must be a positive integer, got"):
        classifier(AccumulatingModel, "sgd", parts=bad)


@pytest.mark.parametrize(
    "bad", [3.0, (1.0,), (1.0, -1.0), (1, np.nan), [[1, 2]], "ab", {0: 1.0, 1: 2.0}]
)
def test_bad_class_weight(bad):
    with pytest.raises(ValueError, match="class_weight must be at least two finite"):
        classifier(WeightedModel, "sgd", class_weight=bad)


def test_labels_must_be_labels():
    model = classifier(WeightedModel, "sgd", class_weight=(1, 2))
    with pytest.raises(ValueError, match=r"y must be labels .* got shape \(5, 3\)"):
        model.weights_of(np.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"y must be labels .* got dict"):
        model.weights_of({"a": LABEL})


def test_bad_input_of_functions():
    with pytest.raises(ValueError, match="x must hold at least one array, got"):
        batch_size([None])
    with pytest.raises(ValueError, match="gradients must hold at least one tensor"):
        global_norm([None, None])
    with pytest.raises(ValueError, match="count must be an integer of at least 1"):
        make_payments(0, 0)
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.5"):
        make_payments(5, 0, fraud=1.5)
    model, loss = plain(keras.Model)[0], keras.losses.MeanSquaredError()
    sgd = keras.optimizers.SGD()
    with pytest.raises(TypeError, match="batches must be a dataset or a list"):
        train_by_hand(model, sgd, loss, iter([(X, Y)]), 1)
    with pytest.raises(ValueError, match="batches must hold at least one pair"):
        train_by_hand(model, sgd, loss, [], 1)
    with pytest.raises(ValueError, match="model must be built"):
        train_by_hand(keras.Sequential([layers.Dense(1)]), sgd, loss, [(X, Y)], 1)


@settings(deadline=None, max_examples=20)
@given(shapes=st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=4))
def test_global_norm_is_the_length_of_one_long_vector(shapes):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in shapes]
    long = np.concatenate([np.ravel(a) for a in arrays])
    found = global_norm([None, *map(tf.constant, arrays)])
    assert float(found) == pytest.approx(np.linalg.norm(long), rel=1e-6)


# -- the payments


def test_payments_are_as_promised():
    one, same, other = (make_payments(40_000, seed) for seed in (0, 0, 1))
    assert one.x.shape == (40_000, len(FEATURES)) and one.x.dtype == np.float32
    np.testing.assert_array_equal(one.x, same.x)
    assert np.abs(one.x - other.x).max() > 0
    assert one.y.mean() == pytest.approx(0.015, abs=0.002)
    np.testing.assert_allclose(np.log(one.amount), one.x[:, 0], atol=1e-5)
    np.testing.assert_allclose((one.x[:, 1:3] ** 2).sum(1), 1.0, atol=1e-5)
    fraud = one.y == 1  # the four directions that the docstring names
    assert one.x[fraud, 0].mean() > one.x[~fraud, 0].mean()
    assert one.x[fraud, 3].mean() > one.x[~fraud, 3].mean()
    assert one.x[fraud, 4].mean() < one.x[~fraud, 4].mean()
    assert one.x[fraud, 5].mean() < one.x[~fraud, 5].mean()


# -- what the chapter says of the tape


def test_tape_against_closed_forms():
    x = tf.Variable([1.0, -2.0, 0.5])
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            y = tf.reduce_sum(x**3)
        first = inner.gradient(y, x)
    second = outer.gradient(first, x)
    np.testing.assert_allclose(first, 3 * x.numpy() ** 2, rtol=1e-6)
    np.testing.assert_allclose(second, 6 * x.numpy(), rtol=1e-6)


def test_what_has_no_gradient():
    x = tf.Variable(2.0)
    with tf.GradientTape(persistent=True) as tape:
        through_numpy = tf.constant(np.square(x.numpy()))
        integer = tf.cast(tf.cast(x, "int32"), "float32") ** 2
        stopped = tf.stop_gradient(x) * x
        constant = tf.constant(3.0)
        square = constant**2
    assert tape.gradient(through_numpy, x) is None
    assert tape.gradient(integer, x) is None
    assert tape.gradient(square, constant) is None
    assert float(tape.gradient(stopped, x)) == 2.0


# -- the recorder: hand-written truth


def summary(record):
    """(line, names made, variables changed) of every event that did something."""
    return [
        (
            event.line,
            [product.path for product in event.produces],
            [change.variable for change in event.changes],
        )
        for event in record.events
        if event.produces or event.changes
    ]


def toy_step(w, b, x):
    y = w * x
    w.assign_sub(0.5 * y)
    z = y + b; b.assign(z)  # fmt: skip  # noqa: E702
    y = z
    return y, None


def test_toy_step_line_by_line():
    w, b = keras.Variable(2.0, name="w"), keras.Variable(1.0, name="b")
    x = tf.constant(3.0)
    record = record_step(toy_step, w, b, x, groups={"first": [w], "second": [b]})
    assert summary(record) == [
        (1, ["x"], []),
        (2, ["y"], []),
        (3, [], ["first[0]"]),
        (4, ["z"], ["second[0]"]),
        (5, ["y"], []),
        (6, ["return[0]", "return[1]"], []),
    ]
    assert [product.value for product in record.products("y")] == [6.0, 7.0]
    (_, change), (_, other) = record.changes()
    assert (change.norm, change.entries, change.created) == (3.0, 1, False)
    assert (other.norm, other.path) == (6.0, "b")
    assert record.result[0].numpy() == 7.0
    assert [e.id for e in record.events][:2] == ["toy_step:1/call#1", "toy_step:2#1"]
    assert record.at("z = y + b")[0].text == "z = y + b; b.assign(z)"
    assert record.at("y = z")[0].reads == ("toy_step:4#1/z",)
    assert record.at("return y")[0].kind == "return"


class TwoPlayers(keras.Model):
    """A critic with two updates and a generator with one: half must not move."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential(
            [keras.Input((2,)), layers.Dense(2), layers.BatchNormalization()]
        )
        self.critic = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
        self.g_optimizer = keras.optimizers.SGD(0.1)
        self.c_optimizer = keras.optimizers.SGD(0.1)
        self.c_loss = keras.metrics.Mean(name="c_loss")

    def train_step(self, data):
        for _ in range(2):
            loss = self.critic_step(data)
        with tf.GradientTape() as tape:
            fake = self.generator(data, training=True)
            g_loss = -tf.reduce_mean(self.critic(fake))
        weights = self.generator.trainable_variables
        gradients = tape.gradient(g_loss, weights)
        self.g_optimizer.apply(gradients, weights)
        self.c_loss.update_state(loss)
        return {"c_loss": self.c_loss.result()}

    def critic_step(self, real):
        with tf.GradientTape() as tape:
            fake = self.generator(real, training=False)
            loss = tf.reduce_mean(self.critic(fake) - self.critic(real))
        weights = self.critic.trainable_variables
        gradients = tape.gradient(loss, weights)
        self.c_optimizer.apply(gradients, weights)
        return loss


def players():
    keras.utils.set_random_seed(0)
    model = TwoPlayers()
    model.compile()
    model.g_optimizer.build(model.generator.trainable_variables)
    model.c_optimizer.build(model.critic.trainable_variables)
    return model


def groups(model):
    return {
        "generator": model.generator.trainable_variables,
        "critic": model.critic.trainable_variables,
        "state": model.generator.non_trainable_variables,
        "c_optimizer": model.c_optimizer,
        "g_optimizer": model.g_optimizer,
    }


def test_two_players_and_a_loop():
    model = players()
    record = record_step(
        model, X[:8, :2], groups=groups(model), follow=[model.critic_step]
    )
    where = [
        (event.function, event.line, group)
        for event in record.events
        for group in dict.fromkeys(change.group for change in event.changes)
    ]
    # the bias of the critic cancels in fake - real: only its kernel moves
    assert where == [
        ("critic_step", 7, "critic"),
        ("critic_step", 7, "c_optimizer"),
        ("critic_step", 7, "critic"),
        ("critic_step", 7, "c_optimizer"),
        ("train_step", 5, "state"),
        ("train_step", 9, "generator"),
        ("train_step", 9, "g_optimizer"),
    ]
    assert len(record.changed("critic")) == 1 and len(record.unchanged("critic")) == 1
    # the bias before a batch normalization has no gradient but rounding
    assert len(record.changed("generator")) >= 3
    assert len(record.at("self.c_optimizer.apply")) == 2
    assert [e.depth for e in record.at("self.c_optimizer.apply")] == [1, 1]
    ids = [event.id for event in record.events]
    assert len(set(ids)) == len(ids) and "critic_step:7#2" in ids


def test_one_player_alone_leaves_the_other_as_it_was():
    model = players()
    record = record_step(
        model.critic_step, tf.constant(X[:8, :2]), groups=groups(model)
    )
    for group in ("generator", "state", "g_optimizer"):
        assert record.changed(group) == ()
    assert record.unchanged("generator") == tuple(
        v.path for v in model.generator.trainable_variables
    )
    gradients = record.products("gradients")
    assert [g.kind for g in gradients] == ["gradient"] * 2
    assert [g.of for g in gradients] == [
        v.path for v in model.critic.trainable_variables
    ]
    assert gradients[1].norm == 0.0


def test_a_change_belongs_to_the_line_that_made_it():
    """Before the helper starts, its caller's line has changed v already."""
    v = tf.Variable(0.0, name="v")

    def helper(x):
        y = 2.0 * x
        v.assign(y)
        return y

    def step():
        z = helper(v.assign_add(3.0))
        return z

    record = record_step(step, groups={"v": [v]}, follow=[helper])
    assert [(e.text, c.norm) for e, c in record.changes()] == [
        ("z = helper(v.assign_add(3.0))", 3.0),
        ("v.assign(y)", 3.0),
    ]
    assert [e.depth for e in record.events] == [0, 0, 1, 1, 1, 1, 0]
    assert record.products("z")[0].id == "step:2#1/z"


def test_tapes_are_counted_and_the_end_of_a_block_is_an_event():
    v = tf.Variable(3.0, name="v")

    def step():
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                y = v**3
            slope = inner.gradient(y, v)
        bend = outer.gradient(slope, v)
        return bend

    record = record_step(step, groups={"v": [v]})
    kinds = [(e.line, e.kind, e.tapes) for e in record.events]
    assert kinds == [
        (1, "call", 0),
        (2, "line", 0),
        (3, "line", 1),
        (4, "line", 2),
        (3, "exit", 2),
        (5, "line", 1),
        (2, "exit", 1),
        (6, "line", 0),
        (7, "return", 0),
    ]
    assert record.products("slope")[0].value == 27.0
    assert record.products("bend")[0].value == 18.0
    assert record.products("bend")[0].of == "v:0"
    assert record.changed() == ()


@pytest.mark.parametrize("build", [plain, everything_at_once])
def test_recording_does_not_change_the_step(build):
    models = []
    for recorded in (False, True):
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        model, x, y, options = build(StandardModel)
        data = (x, y, options.get("sample_weight"))
        model.run_eagerly = True
        for _ in range(2):
            if recorded:
                model.reset_metrics()  # as train_on_batch does
                record_step(model, data)
            else:
                model.train_on_batch(*data)
        models.append(model)
    assert distance(*models) == 0.0


def test_default_groups_of_the_standard_step():
    model, x, y, options = everything_at_once(StandardModel)
    data = (x, y, options["sample_weight"])
    model.train_on_batch(*data)
    record = record_step(model, data)
    assert list(record.groups) == ["weights", "state", "optimizer", "metrics"]
    where = {
        group: [event.text.split("(")[0] for event, _ in record.changes(group)]
        for group in record.groups
    }
    assert set(where["weights"]) == {"self.optimizer.apply"}
    assert set(where["state"]) == {"y_pred = self"}
    assert set(where["optimizer"]) == {"self.optimizer.apply"}
    assert set(where["metrics"]) == {
        "loss = self.compute_loss",
        "self.track_loss",
        "return self.compute_metrics",
    }
    assert record.unchanged("weights") == ()
    assert [p.split("/")[1] for p in record.unchanged("optimizer")] == ["learning_rate"]
    norms = [product.norm for product in record.products("gradients")]
    assert len(norms) == len(model.trainable_variables) and min(norms) > 0


def test_new_variables_are_marked_as_created():
    model, x, y, _ = plain(StandardModel)
    model.compile("adam", loss="mse")
    record = record_step(model, (x, y))
    made = {change.path for _, change in record.changes("optimizer") if change.created}
    assert made  # the optimizer is built by its first step
    again = record_step(model, (x, y))
    assert not any(change.created for _, change in again.changes())
    fresh = plain(StandardModel)[0]
    fresh.compile("adam", loss="mse")
    with pytest.raises(ValueError, match="restore=True needs a step that makes no"):
        record_step(fresh, (x, y), restore=True)


def test_restore_puts_everything_back():
    model, x, y, options = everything_at_once(StandardModel)
    data = (x, y, options["sample_weight"])
    model.train_on_batch(*data)
    before = everything(model)
    first = record_step(model, data, restore=True)
    for one, other in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(one, other)
    # so that the same step can be recorded again: same ids, same numbers
    assert record_step(model, data, restore=True).to_dict() == first.to_dict()


def test_record_is_ready_for_json():
    v = keras.Variable([1.0, np.nan], name="v")

    def step():
        bad = v / 0.0
        v.assign(bad)

    found = record_step(step, groups={"v": [v]}).to_dict()
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    assert found["groups"]["v"][0]["id"] == "v[0]"
    (event,) = [e for e in found["events"] if e["produces"]]
    assert event["produces"][0]["norm"] == "nan"
    (event,) = [e for e in found["events"] if e["changes"]]
    assert event["changes"][0]["entries"] == 1  # nan stayed nan


def test_graph_functions_are_recorded_too():
    v = tf.Variable(1.0, name="v")

    @tf.function
    def step(x):
        total = v + x
        v.assign(total)
        return total

    step(tf.constant(1.0))  # traced before
    record = record_step(step, tf.constant(2.0), groups={"v": [v]})
    assert not tf.config.functions_run_eagerly()
    assert record.changed() == ("v:0",)
    assert record.products("total")[0].value == 4.0


def test_missing_and_sparse_gradients():
    table = tf.Variable(np.ones((4, 2), "float32"), name="table")
    idle = tf.Variable(1.0, name="idle")

    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table, [1, 1, 3]))
        gradients = tape.gradient(loss, [table, idle])
        return gradients

    record = record_step(step, groups={"all": [table, idle]})
    sparse, missing = record.products("gradients")
    assert (sparse.kind, sparse.shape, sparse.of) == ("gradient", (4, 2), "table:0")
    assert sparse.norm == pytest.approx(np.sqrt(2 * 4 + 2 * 1))
    assert (missing.kind, missing.norm) == ("none", None)


def test_a_failing_step_leaves_nothing_behind():
    v = tf.Variable(1.0, name="v")
    gradient = tf.GradientTape.gradient

    def step():
        v.assign(5.0)
        raise RuntimeError("no")

    before = sys.gettrace()
    with pytest.raises(RuntimeError, match="no"):
        record_step(step, groups={"v": [v]}, restore=True)
    assert sys.gettrace() is before
    assert tf.GradientTape.gradient is gradient
    assert not tf.config.functions_run_eagerly()
    assert float(v) == 1.0


def test_record_refuses_what_it_cannot_do():
    model, x, y, _ = plain(StandardModel)
    v = tf.Variable(1.0)
    uncompiled = keras.Model(model.inputs, model.outputs)
    with pytest.raises(ValueError, match="step must be a compiled model, got one"):
        record_step(uncompiled, (x, y))
    with pytest.raises(ValueError, match="a model needs one batch of data, got 2"):
        record_step(model, x, y)
    with pytest.raises(TypeError, match="step must be a compiled model or a function"):
        record_step(3, groups={"v": [v]})
    with pytest.raises(ValueError, match="groups must be given when step is a func"):
        record_step(len)
    with pytest.raises(ValueError, match="step and follow must be written in Python"):
        record_step(len, [1], groups={"v": [v]})
    with pytest.raises(
        ValueError, match="step and follow must be functions with a def"
    ):
        record_step(lambda: v.assign(2.0), groups={"v": [v]})
    scope = {}
    exec("def typed(): pass", scope)
    with pytest.raises(ValueError, match=r"source text can be read, got 'typed'"):
        record_step(scope["typed"], groups={"v": [v]})
    with pytest.raises(TypeError, match="groups must be a dict"):
        record_step(model, (x, y), groups=[v])
    with pytest.raises(TypeError, match=r"groups\['w'\] must be variables"):
        record_step(model, (x, y), groups={"w": 3})
    with pytest.raises(ValueError, match="groups must not share variables"):
        record_step(model, (x, y), groups={"a": [v], "b": [v]})
    record = record_step(model, (x, y))
    with pytest.raises(ValueError, match="group must be one of weights"):
        record.changed("generator")
    with pytest.raises(ValueError, match="name must be bound by 'train_step'"):
        record.products("nothing")
    with pytest.raises(ValueError, match="text must be part of a line"):
        record.at("nothing")


def test_record_is_shown_as_table_and_figure():
    model, x, y, _ = plain(StandardModel)
    model.train_on_batch(x, y)
    record = record_step(model, (x, y))
    shown = record.table()
    widest = max(len(line) for row in shown.rows for line in row[1].split("\n"))
    assert widest <= 42
    assert shown.columns == ["line", "statement", "makes", "changes"]
    lines = [row[1].replace("\u00a0", " ").strip() for row in shown.rows]
    assert "self.track_loss(loss, x)" in lines
    assert "(end of the block)" not in lines
    assert "block)" in str(record.table(silent=True))
    row = shown.rows[lines.index("y_pred = self(x, training=True)")]
    assert row[2] == "y_pred (50, 1)"
    row = shown.rows[[line.startswith("self.optimizer") for line in lines].index(True)]
    assert row[3].startswith("weights: 4 of 4, by ")
    with plt.rc_context():
        use_style()  # as in the book; warnings are errors
        drawn = record.figure()
    assert isinstance(drawn, Picture)
    assert "changes 4 of 4 in weights" in drawn.alt
    assert "y_pred = self(x, training=True)" in drawn.alt
    assert record.figure(alt="words").alt == "words"
    assert set(record._repr_mimebundle_()) == {"text/html", "text/latex", "text/plain"}


def one_kernel():
    return tf.Variable(1.0, name="v")


def passes_on(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


def test_decorated_steps_and_other_callables():
    v = one_kernel()

    @passes_on
    def step(x):
        v.assign(x)

    record = record_step(step, tf.constant(2.0), groups={"v": [v]})
    assert [(e.line, e.kind) for e in record.events] == [(2, "call"), (3, "line")]

    def scaled(x, factor):
        v.assign(factor * x)

    half = functools.partial(scaled, factor=0.5)
    assert record_step(half, tf.constant(2.0), groups={"v": [v]}).name == "scaled"

    @functools.wraps(scaled)
    def instead(x):
        return x

    with pytest.raises(ValueError, match="which ran another function in its place"):
        record_step(instead, 1.0, groups={"v": [v]})


def test_inherited_step_is_followed():
    class Mine(StandardModel):
        def train_step(self, data):
            logs = super().train_step(data)
            return logs

    model, x, y, _ = plain(Mine)
    model.train_on_batch(x, y)
    record = record_step(model, (x, y), follow=[StandardModel.train_step])
    assert record.name == "Mine.train_step"
    ((event, _), *_) = record.changes("weights")
    assert (event.function, event.depth) == ("StandardStep.train_step", 1)
    places = [row[0] for row in record.table().rows]
    assert places[0] == "Mine.train_step 1"
    assert "in the whole step" not in record.figure().alt


def test_a_shared_gradient_keeps_its_two_names():
    """In a + b, TensorFlow returns one tensor for both."""
    a, b = tf.Variable(1.0, name="a"), tf.Variable(2.0, name="b")

    def step():
        with tf.GradientTape() as tape:
            loss = a + b
        gradients = tape.gradient(loss, {"one": a, "two": b})
        one = gradients["one"]
        return one

    record = record_step(step, groups={"all": [a, b]})
    assert [each.of for each in record.products("gradients")] == ["a:0", "b:0"]
    assert record.products("one")[0].of == "a:0"


def test_what_surrounds_a_function_is_no_argument():
    rate, shift, v = 0.1, tf.constant(2.0), one_kernel()

    def step(x, *rest):
        y = x * rate + shift + rest[0]
        v.assign(y)

    record = record_step(step, 1.0, 2.0, groups={"v": [v]})
    assert [e.path for e in record.events[0].produces] == ["x", "rest[0]"]


def test_return_inside_a_block_and_several_lines():
    v = one_kernel()

    def step(x):
        for _ in range(2):
            with (
                tf.GradientTape() as one,
                tf.GradientTape() as two,
            ):
                ys = [
                    v * x * k
                    for k in range(2)
                ]  # fmt: skip
                if len(ys) == 2:
                    return (
                        ys[0],
                        one, two,
                    )  # fmt: skip

    record = record_step(step, tf.constant(3.0), groups={"v": [v]})
    kinds = [(e.line, e.kind, e.tapes) for e in record.events]
    assert kinds == [
        (1, "call", 0),
        (2, "line", 0),
        (3, "line", 0),
        (7, "line", 2),
        (11, "line", 2),
        (12, "return", 2),
        (3, "exit", 2),
    ]
    assert record.products("return")[0].id == "step:12#1/return[0]"
    assert len(record.products("ys")) == 2
    with pytest.raises(ValueError, match="name must be bound"):
        record.products("k")


def test_a_line_that_takes_back_its_change_changed_nothing():
    v = one_kernel()

    def helper():
        return float(v)

    def step():
        back = v.assign_add(1.0), helper(), v.assign_sub(1.0)
        return back[1]

    record = record_step(step, groups={"v": [v]}, follow=[helper])
    assert record.result == 2.0 and record.changes() == []


def test_numbers_that_overflow_and_other_dtypes():
    values = {
        "real": [np.inf, -np.inf, 1.0],
        "whole": np.array(2**62 + 1),
        "complex": np.array(1 + 2j),
        "half": np.array(1.0, "float16"),
        "text": np.array("a"),
        "truth": np.array(True),
    }
    variables = [tf.Variable(value, name=name) for name, value in values.items()]
    other = [[1.0, -np.inf, np.inf], 2**62, 2 - 1j, 2.0, "b", False]

    def step():
        for variable, value in zip(variables, other, strict=True):
            variable.assign(value)
        z = variables[0] * 2.0
        return z

    before = [variable.numpy() for variable in variables]
    record = record_step(step, groups={"all": variables}, restore=True)
    assert [change.entries for _, change in record.changes()] == [2, 1, 1, 1, 1, 1]
    assert record.changes()[2][1].norm == pytest.approx(np.sqrt(10))
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    json.dumps(record.to_dict(), allow_nan=False)


def test_freezing_inside_the_step_changes_no_number():
    """As GANs do: setting ``trainable`` moves variables from list to list."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(X, Y)
    first = model.layers[0]

    class Freezing:
        def __call__(self, x):
            first.trainable = False
            y = model(x)
            model.layers[1].bias.assign([5.0])
            first.trainable = True
            return y

    groups = {
        "weights": lambda: model.trainable_variables,
        "state": lambda: model.non_trainable_variables,
    }
    before = model.get_weights()
    record = record_step(Freezing(), tf.constant(X), groups=groups, restore=True)
    assert [c.path for _, c in record.changes()] == [model.layers[1].bias.path]
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_followed_layer_in_half_precision_and_in_a_graph():
    keras.utils.set_random_seed(0)

    class Layer(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(6, 1), name="kernel")
            self.built = True

        def call(self, x):
            y = x @ self.kernel  # in float16
            return y

    layer = Layer(dtype="mixed_float16")
    layer.build((None, 6))

    def step(x):
        y = layer(x)
        z = tf.vectorized_map(layer, x[:, None])  # builds a graph
        return y, z

    record = record_step(
        step, tf.constant(X), groups={"layer": layer}, follow=[layer.call]
    )
    assert record.changes() == []
    assert record.products("y")[0].dtype == "float16"
    assert sum(event.kind == "call" for event in record.events) == 3


def test_another_tracer_is_given_back():
    """Such as a debugger or coverage; and one record may be made inside another."""
    seen, v = [], one_kernel()

    def tracer(frame, event, arg):
        seen.append(event)

    def inner():
        v.assign_add(1.0)

    def outer():
        nested = record_step(inner, groups={"v": [v]})
        v.assign_add(1.0)
        return nested

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        record = record_step(outer, groups={"v": [v]})
        kept = sys.gettrace() is tracer
    finally:
        sys.settrace(before)
    assert kept and seen
    assert len(record.result.changes()) == 1
    assert [(e.line, c.norm) for e, c in record.changes()] == [(2, 1.0), (3, 1.0)]


def test_an_error_that_the_step_catches():
    v = one_kernel()

    def helper():
        with tf.GradientTape():
            v.assign(3.0)
            raise ValueError

    def step():
        try:
            helper()
        except ValueError:
            v.assign(4.0)
        return v.read_value()

    record = record_step(step, groups={"v": [v]}, follow=[helper])
    assert [(e.function, c.norm) for e, c in record.changes()] == [
        ("helper", 2.0),
        ("step", 1.0),
    ]
    assert [e.tapes for e in record.events if e.function == "step"] == [0] * 6


def test_long_names_of_groups_have_room(monkeypatch):
    names = ["discriminator_optimizer", "w"]
    variables = [keras.Variable(1.0) for _ in names]
    groups = {name: [v] for name, v in zip(names, variables, strict=True)}
    record = record_step(toy_step, *variables, tf.constant(1.0), groups=groups)
    monkeypatch.setattr(picture, "show", lambda figure, alt: figure)
    texts = {text.get_text(): text for text in record.figure().axes[0].texts}
    parts = ("discriminator_", "optimizer", "w")
    first, second, other = (texts[part].get_window_extent() for part in parts)
    assert first.x1 < other.x0 and second.y1 <= first.y0 + 2


# -- the record as a widget: what its script is told, and what stands without it

GROUPS = {"generator": 2, "critic": 3}


def half(v, x):
    """Move a variable.

    Two lines of this docstring are left out of the widget.
    """
    with tf.GradientTape() as tape:
        loss = x * v
    slope = tape.gradient(loss, v)
    v.assign_sub(
        0.5 * slope,
    )


def two_halves(a, b, x):
    half(a, x)
    half(b, x)
    return {"x": x}


def recorded(**options):
    groups = {name: [tf.Variable(float(n))] for name, n in GROUPS.items()}
    (a,), (b,) = groups.values()
    options = {"groups": groups, "follow": [half], **options}
    return record_step(two_halves, a, b, tf.constant(4.0), **options)


def page_of(record):
    return BeautifulSoup(record._repr_mimebundle_()["text/html"], "html.parser")


def told(record):
    """What the script of the widget is told."""
    script = page_of(record).find("ak-stepper").find("script", type="application/json")
    return json.loads(script.string)


def test_the_widget_has_the_code_of_all_functions_that_ran():
    data = told(recorded(follow=[half, toy_step]))  # toy_step doesn't run
    assert [each["name"] for each in data["functions"]] == ["two_halves", "half"]
    lines = dict(data["functions"][1]["lines"])
    assert lines[1] == "def half(v, x):"
    assert lines[2] == '    """Move a variable. …"""'
    assert 3 not in lines and 5 not in lines
    assert lines[7] == "        loss = x * v"
    assert lines[11] == "    )" and max(lines) == 11
    own = dict(data["functions"][0]["lines"])
    assert own[4] == '    return {"x": x}'


def test_the_widget_goes_through_every_event_and_knows_who_waits():
    record = recorded()
    data = told(record)
    assert len(data["events"]) == len(record.events)
    names = [each["name"] for each in data["functions"]]
    for event, row in zip(record.events, data["events"], strict=True):
        assert (names[row["function"]], row["line"]) == (event.function, event.line)
        assert len(row["callers"]) == event.depth
        waiting = [record.events[index].text for index in row["callers"]]
        assert all(text.startswith("half(") for text in waiting)
    waits = {tuple(row["callers"]) for row in data["events"]}
    assert len(waits) == 3  # no line, the first call, the second


def test_the_widget_says_what_each_line_did():
    data = told(recorded())
    by_line = {}
    for row in data["events"]:
        by_line.setdefault((row["title"], row["head"]), []).append(row)
    (first, second) = by_line["half, line 9", "Makes"]
    assert (first["line"], first["end"]) == (9, 11)
    assert first["notes"] == ["Run 1 of 2 of this line."]
    assert first["uses"] == ["slope = 4"]
    (change,) = first["changes"]
    assert (change["group"], change["text"]) == ("generator", "1 of 1 variables")
    assert change["norm"] == "2" and change["color"].startswith("#")
    assert change["variables"] == [["Variable:0", "()", "by 2"]]
    assert second["changes"][0]["group"] == "critic"
    assert "changes 1 of 1 in generator, by 2" in first["say"]
    (gradient, _) = by_line["half, line 8", "Makes"]
    assert gradient["makes"] == [["slope, ∂/∂ Variable:0", "()", "= 4"]]
    (call, _) = by_line["half, line 1", "Comes in"]
    assert call["makes"] == [["x", "()", "= 4"]]
    assert call["notes"][0] == "The function is called."
    starts, ends, *_ = by_line["half, line 6", "Makes"]
    assert starts["notes"][-1] == "A tape starts to record." and not starts["taped"]
    assert ends["notes"][-1] == "The tape stops recording." and not ends["taped"]
    assert by_line["half, line 7", "Makes"][0]["taped"]
    (back,) = by_line["two_halves, line 4", "Returns"]
    assert back["makes"] == [["return['x']", "()", "= 4"]]


def test_around_the_widget_stands_the_table_and_on_paper_it_is_alone():
    record = recorded()
    bundle = record._repr_mimebundle_()
    soup = page_of(record)
    static = soup.find("ak-stepper").find(class_="ak-static", recursive=False)
    plain_table = BeautifulSoup(
        record.table()._repr_mimebundle_()["text/html"], "html.parser"
    )
    assert static.table == plain_table.table
    assert not soup.find(class_="tex2jax_process")
    assert bundle["text/latex"] == record.table()._repr_mimebundle_()["text/latex"]
    assert soup.find_all("script", attrs={"data-ak-asset": "stepper"})


def test_a_source_that_looks_like_markup_stays_text():
    v = one_kernel()

    def step():
        text = "</script><b>&amp;"
        v.assign(2.0)
        return len(text)

    record = record_step(step, groups={"v": [v]})
    assert page_of(record).find("b") is None
    assert any(
        "</script><b>" in text for _, text in told(record)["functions"][0]["lines"]
    )


def test_mathematics_stands_with_its_lines():
    maths = {"loss = ": r"\loss = x v", ("half", "v.assign_sub("): "v < w"}
    record = recorded(maths=maths)
    rows = [row for row in told(record)["events"] if row["maths"]]
    assert [row["line"] for row in rows] == [7, 9, 7, 9]
    plain = r"{\mathcal{L}} = x v"  # a notebook lacks the macros of the book
    assert [row["maths"] for row in rows] == [plain, "v < w"] * 2
    cells = page_of(record).find(class_="tex2jax_process").tbody("tr")
    found = [row("td")[2].get_text() for row in cells]
    assert [text for text in found if text] == [rf"\({plain}\)", r"\(v < w\)"] * 2
    assert record.table().columns == ["line", "statement", "makes", "changes"]
    assert len(record.to_dict()["maths"]) == 4
    paper = record._repr_mimebundle_()["text/latex"]
    assert paper.count(r"\loss = x v") == paper.count("$v < w$") == 2
    assert paper.count(r"\texttt{half:}") == 2 and "b = " not in paper
    printed = printed_table(record)
    assert [row[0] for row in printed.rows] == ["", "7", "9"] * 2
    assert printed.rows[2][1] == "v.assign_sub(0.5 * slope)"
    assert printed.rows[2][3].startswith("changes 1 of 1 in ")
    json.dumps(record.to_dict(), allow_nan=False)


@pytest.mark.parametrize("name", MACROS)
def test_a_formula_is_written_out(name):
    body = MACROS[name]
    open_ = body[0] == "^" or "operator" in body
    full = body if open_ else f"{{{body}}}"
    plain = written_out(rf"\bar\{name} + \{name}\alpha_\{name} \{name}s")
    assert plain == rf"\bar{full} + {full}\alpha_{full} \{name}s"  # another name


def test_a_line_that_only_calls_keeps_its_formula():
    record = recorded(maths={"half(b, x)": "second"})
    assert "half(b, x)" not in str(record.table())
    cells = page_of(record).find(class_="tex2jax_process").tbody("tr")
    (row,) = (row for row in cells if row("td")[2].get_text())
    texts = [cell.get_text().replace("\u00a0", " ").strip() for cell in row("td")]
    assert texts == ["two_halves 3", "half(b, x)", r"\(second\)", "", ""]


def test_a_function_tells_apart_equal_lines():
    maths = {("half", "half("): "never"}
    with pytest.raises(ValueError, match=r"maths must name a line that ran, got \("):
        recorded(maths=maths)
    record = recorded(maths={("two_halves", "half("): "h"})
    assert len(record.maths) == 2
    with pytest.raises(ValueError, match="maths must name a line once, got 'loss'"):
        recorded(maths={"loss": "a", "loss = ": "b"})


@pytest.mark.parametrize(
    ("maths", "words"),
    [
        (["loss"], "maths must be a dict .* got list"),
        ({"loss": 3}, "maths must map .* got 'loss': 3"),
        ({("a", "b", "c"): "x"}, "maths must map"),
        ({3: "x"}, "maths must map"),
    ],
)
def test_bad_mathematics_is_refused_before_the_step_runs(maths, words):
    v = one_kernel()
    with pytest.raises(TypeError, match=words):
        record_step(half, v, tf.constant(1.0), groups={"v": [v]}, maths=maths)
    assert float(v) == 1.0


def test_the_anchor_of_a_record():
    assert told(recorded())["anchor"] == "two_halves"
    assert told(recorded(anchor="gan-2"))["anchor"] == "gan-2"
    for wrong in ("", "a b", "é", 3):
        with pytest.raises(ValueError, match="anchor must be letters"):
            recorded(anchor=wrong)


BOOK = Path(__file__).resolve().parents[1] / "book"
STEPPED = ("custom_train_step", "gan", "wgan_gp")


def maths_in(chapter):
    """The ``maths`` of a chapter's cells, and the formulas of its prose, without space.

    What only lays out an equation over several lines is left out.
    """
    text = (BOOK / f"{chapter}.md").read_text(encoding="utf-8")
    cells = re.findall(r"^```\{code-cell\}.*?\n(.*?)^```$", text, re.M | re.S)
    (cell,) = (each for each in cells if "maths = {" in each)
    code = re.sub(r"^(---\n.*?^---$|:tags:.*?$)", "", cell, count=1, flags=re.M | re.S)
    (found,) = (
        ast.literal_eval(node.value)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "maths"
    )
    prose = text.replace(cell, "")
    return found, re.sub(r"&|\\\\(?=\s)|\\quad|\s", "", prose)


@pytest.mark.parametrize("chapter", STEPPED)
def test_formulas_of_a_widget_are_those_of_its_chapter(chapter):
    found, prose = maths_in(chapter)
    assert found
    for latex in found.values():
        assert re.sub(r"\s", "", latex) in prose, latex


def test_the_widget_of_the_gan_has_the_formulas_of_its_table_in_order():
    text = (BOOK / "gan.md").read_text(encoding="utf-8")
    table = text.partition("| mathematics | code |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| .*?\$(.*?)\$ \|", table, re.M)
    assert list(maths_in("gan")[0].values()) == rows


def test_the_loss_is_told_whether_it_is_training():
    class Telling(StandardModel):
        def compute_loss(self, *args, training=None, **kwargs):
            told.append(training)
            return super().compute_loss(*args, training=training, **kwargs)

    told = []
    x = keras.Input((2,))
    model = Telling(x, keras.layers.Dense(1)(x))
    model.compile("sgd", "mse")
    batch = tf.ones((4, 2)), tf.ones((4, 1))
    model.train_step(batch)
    model.test_step(batch)
    assert told == [True, False]


def test_a_loop_by_hand_is_the_same_line_by_line_and_in_a_graph():
    def trained():
        keras.utils.set_random_seed(0)
        x = keras.Input((2,))
        model = keras.Model(x, keras.layers.Dense(1)(x))
        batches = [(tf.ones((4, 2)), tf.ones((4, 1)))] * 3
        loss = keras.losses.MeanSquaredError()
        return train_by_hand(model, keras.optimizers.SGD(0.1), loss, batches, 2)

    in_a_graph = trained()
    tf.config.run_functions_eagerly(True)
    try:
        np.testing.assert_allclose(trained(), in_a_graph, rtol=1e-5)
    finally:
        tf.config.run_functions_eagerly(False)
