"""The game of two networks as a Keras model with its own train step.

Chapter: *The GAN training loop*. The step is iteration t of Goodfellow et al. (2014),
algorithm 1: the discriminator first, then the generator against the discriminator
that has just been updated.
"""

from __future__ import annotations

import numbers
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from advanced_keras import _checks
from advanced_keras._types import Tensor

from ..training import batch_size
from .losses import GENERATOR_LOSSES, discriminator_loss
from .optimizers import PairedOptimizer

METRICS = ("d_loss", "g_loss", "d_real", "d_fake")


@keras.saving.register_keras_serializable(package="advanced_keras")
class GAN(keras.Model):
    """A generator and a discriminator, trained against each other by ``fit``.

    ``gan(z)`` and ``gan.predict(z)`` give what the generator makes of latent vectors
    ``z``, ``(batch, latent_dim)``. ``fit`` and ``evaluate`` take real examples, alone
    or with labels, which are not used.

    Each player also minimizes its layers' own losses, such as weight decay by a
    ``kernel_regularizer``; ``d_loss`` and ``g_loss`` are reported without them.

    A variant overrides :meth:`discriminator_loss`, :meth:`generator_loss`,
    :meth:`score`, or the defaults of :meth:`compile`.

    Args:
        generator: a built model from ``(batch, latent_dim)`` to examples.
        discriminator: a built model from examples to logits ``(batch, 1)``; the
            logit is positive for what it takes to be real.
        discriminator_updates: how often D is updated in a step. The batch is dealt
            out among these updates, so that each sees its own real examples.
        generator_updates: how often G is updated in a step, each time on fresh z.
        loss: of the generator, ``"non_saturating"`` or ``"minimax"``.
        real_target: what D shall say of real examples; 0.9 is one-sided smoothing.
        together: show D real and generated examples in one batch, or in two. It
            matters if D normalizes over the batch.
        seed: of the latent vectors.
        **kwargs: as for ``keras.Model``.

    Raises:
        TypeError: if a player is not a model.
        ValueError: if a player is not built or they don't fit together, or if another
            argument is out of range.

    Example:
        >>> from advanced_keras.gan import networks
        >>> points = networks.build_point_generator()
        >>> gan = GAN(points, networks.build_point_discriminator())
        >>> tuple(gan(gan.draw(3)).shape)
        (3, 2)
    """

    def __init__(
        self,
        generator,
        discriminator,
        *,
        discriminator_updates=1,
        generator_updates=1,
        loss="non_saturating",
        real_target=1.0,
        together=True,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_players(generator, discriminator)
        self.generator, self.discriminator = generator, discriminator
        self.discriminator_updates = _count(
            "discriminator_updates", discriminator_updates
        )
        self.generator_updates = _count("generator_updates", generator_updates)
        self.loss_name = _known("loss", loss, GENERATOR_LOSSES)
        self.real_target = _share("real_target", real_target)
        self.together = bool(together)
        self.noise = keras.random.SeedGenerator(seed)
        # a number also if None was given: evaluate repeats, and the file keeps it
        drawn = int(ops.convert_to_numpy(self.noise.state)[0])
        self.seed = drawn if seed is None else seed
        self.trackers = {name: keras.metrics.Mean(name=name) for name in METRICS}
        self.built = True

    # -- the two halves of a step

    def train_step(self, data):
        """Update D, then G, each as often as asked for.

        Args:
            data: real examples x, ``(batch, ...)``, alone or with labels.

        Returns:
            The mean over the epoch of both losses, of D(x) and of D(G(z)).
        """
        x = _examples(data)
        for part in self.deal(x):
            self.train_discriminator(part, self.draw(batch_size(part)))
        for _ in range(self.generator_updates):
            self.train_generator(self.draw(batch_size(part)))
        return self.report()

    def train_discriminator(self, x, z):
        """Change the weights of D once, and nothing of G.

        Args:
            x: real examples, ``(batch, ...)``.
            z: latent vectors, ``(batch, latent_dim)``.
        """
        generated = observe(self.generator, z)
        with tf.GradientTape() as tape:
            loss = self.discriminator_loss(x, generated, training=True)
            objective = _objective(loss, self.discriminator)
            scaled_loss = self.d_optimizer.scale_loss(objective)
        weights = self.discriminator.trainable_variables
        gradients = tape.gradient(scaled_loss, weights)
        self.d_optimizer.apply(gradients, weights)
        self.track(z, d_loss=loss)

    def train_generator(self, z):
        """Change the weights of G once, and nothing of D.

        Args:
            z: latent vectors, ``(batch, latent_dim)``.
        """
        with tf.GradientTape() as tape:
            generated = self.generator(z, training=True)
            logits = observe(self.discriminator, generated)
            loss = self.generator_loss(logits)
            objective = _objective(loss, self.generator)
            scaled_loss = self.g_optimizer.scale_loss(objective)
        weights = self.generator.trainable_variables
        gradients = tape.gradient(scaled_loss, weights)
        self.g_optimizer.apply(gradients, weights)
        self.track(z, g_loss=loss)

    # -- what the two players want

    def discriminator_loss(self, x, generated, training):
        """What D minimizes: minus the value function of the game.

        Args:
            x: real examples, ``(batch, ...)``.
            generated: generated ones, of the same shape.
            training: whether D is in training mode.

        Returns:
            A scalar.
        """
        real_logits, fake_logits = self.judge(x, generated, training)
        return discriminator_loss(real_logits, fake_logits, self.real_target)

    def generator_loss(self, fake_logits):
        """What G minimizes, given D's logits of its examples, ``(batch, 1)``."""
        return GENERATOR_LOSSES[self.loss_name](fake_logits)

    def judge(self, x, generated, training):
        """D's logits of real and of generated examples, ``(batch, 1)`` each."""
        _check_shape(x, generated)
        x = ops.cast(x, generated.dtype)
        if self.together:
            both = ops.concatenate([x, generated], axis=0)
            logits = self.discriminator(both, training=training)
            real_logits, fake_logits = ops.split(logits, 2)
        else:
            real_logits = self.discriminator(x, training=training)
            fake_logits = self.discriminator(generated, training=training)
        self.track(x, d_real=self.score(real_logits), d_fake=self.score(fake_logits))
        return real_logits, fake_logits

    def score(self, logits):
        """What is reported as ``d_real`` and ``d_fake``: the probability of real."""
        return ops.mean(ops.sigmoid(ops.cast(logits, "float32")))

    # -- noise, batches, reports

    def draw(self, count):
        """Fresh latent vectors, standard normal, ``(count, latent_dim)``."""
        return keras.random.normal((count, self.latent_dim), seed=self.noise)

    @property
    def latent_dim(self):
        """Length of a latent vector, m."""
        return self.generator.input_shape[-1]

    def deal(self, x):
        """Split a batch among the updates of D; the rows that are left over rest.

        If there are fewer rows than updates, the last row is used again.
        """
        updates = self.discriminator_updates
        if updates == 1:
            return [x]
        size = batch_size(x)
        part = ops.maximum(size // updates, 1)
        starts = [ops.minimum(k * part, size - part) for k in range(updates)]
        return [x[start : start + part] for start in starts]

    def track(self, examples, **values):
        """Add to the means that ``fit`` reports; a batch counts by its examples."""
        for name, value in values.items():
            weight = batch_size(examples)
            self.trackers[name].update_state(value, sample_weight=weight)

    def report(self):
        """The means so far, by name."""
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def test_step(self, data):
        """Measure both losses on real examples, and change nothing.

        Every batch meets the same latent vectors, so that two evaluations agree.
        """
        x = _examples(data)
        shape = (batch_size(x), self.latent_dim)
        generated = self.generator(keras.random.normal(shape, seed=self.seed))
        d_loss = self.discriminator_loss(x, generated, training=False)
        g_loss = self.generator_loss(self.discriminator(generated, training=False))
        self.track(x, d_loss=d_loss, g_loss=g_loss)
        return self.report()

    def call(self, z, training=None):
        """Generate: latent vectors ``(batch, latent_dim)`` to examples."""
        return self.generator(z, training=training)

    def compute_output_shape(self, input_shape):
        """Shape of what the generator makes."""
        return self.generator.compute_output_shape(input_shape)

    # -- optimizers, saving

    def compile(self, d_optimizer=None, g_optimizer=None, **kwargs):
        """Give each player its optimizer.

        Args:
            d_optimizer, g_optimizer: two optimizers, or their names; by default that
                of Radford et al. (2016) for each, ``Adam(2e-4, beta_1=0.5)``.
            **kwargs: ``jit_compile``, ``run_eagerly``, ``steps_per_execution``.

        Raises:
            TypeError: for ``loss``, ``metrics`` and the like: the losses are methods.
        """
        for name in ("optimizer", "loss", "metrics", "weighted_metrics"):
            if kwargs.get(name) is not None:
                raise TypeError(
                    f"compile takes d_optimizer and g_optimizer and no {name}: the "
                    f"losses of a GAN are its methods; got {name}={kwargs[name]!r}."
                )
        pair = PairedOptimizer(_optimizer(d_optimizer), _optimizer(g_optimizer))
        pair.build(
            self.discriminator.trainable_variables, self.generator.trainable_variables
        )
        super().compile(optimizer=pair, auto_scale_loss=False, **kwargs)
        self._compile_options = dict(kwargs)

    @property
    def d_optimizer(self):
        """The discriminator's optimizer."""
        return self._optimizers().discriminator

    @property
    def g_optimizer(self):
        """The generator's optimizer."""
        return self._optimizers().generator

    def _optimizers(self):
        if not self.compiled:
            raise AttributeError("The optimizers are there after compile; call it.")
        return self.optimizer

    def get_compile_config(self):
        """Both optimizers, and the options of :meth:`compile`."""
        if not self.compiled:
            return None
        serialize = keras.saving.serialize_keras_object
        return {
            "d_optimizer": serialize(self.d_optimizer),
            "g_optimizer": serialize(self.g_optimizer),
            "ratio": self.optimizer.ratio,
            **self._compile_options,
        }

    def compile_from_config(self, config):
        """Compile a loaded model as it was compiled when it was saved."""
        config = keras.saving.deserialize_keras_object(config)
        ratio = config.pop("ratio")
        self.compile(**config)
        self.optimizer.ratio = ratio

    def get_config(self):
        """Both players and every argument."""
        serialize = keras.saving.serialize_keras_object
        return {
            "generator": serialize(self.generator),
            "discriminator": serialize(self.discriminator),
            "discriminator_updates": self.discriminator_updates,
            "generator_updates": self.generator_updates,
            "loss": self.loss_name,
            "real_target": self.real_target,
            "together": self.together,
            "seed": self.seed,
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The same game, with weights of its own."""
        config = dict(config)
        for player in ("generator", "discriminator"):
            config[player] = keras.saving.deserialize_keras_object(
                config[player], custom_objects
            )
        return cls(**config)

    def save_own_variables(self, store):
        """Keep the states of all random generators, which Keras leaves out.

        Without them a training that is stopped and resumed draws other latent vectors
        and drops other units than one that is not.
        """
        for index, state in enumerate(self.seed_states):
            store[str(index)] = state

    def load_own_variables(self, store):
        """Put the random generators where they were."""
        for index, state in enumerate(self.seed_states):
            state.assign(store[str(index)])

    @property
    def seed_states(self):
        """States of the random generators: of z, and of the players' dropout."""
        return [v for v in self.variables if v.name == "seed_generator_state"]


def observe(network: keras.Model, inputs: Any) -> Tensor:
    """Call a network in training mode, and forget what it would write.

    Batch statistics and dropout are those of training. Moving averages and the states
    of random generators keep their values: a player that only helps the other one to
    learn is not to be changed by it.

    Args:
        network: a model.
        inputs: its inputs, ``(batch, ...)``.
    """
    _checks.function("network", network)
    with keras.StatelessScope():
        return network(inputs, training=True)


def _examples(data):
    """The real examples in what ``fit`` hands over.

    Raises:
        ValueError: if there are sample weights, which would be ignored.
    """
    x, _, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError("sample_weight must be None: a GAN does not weight examples.")
    return x


def _check_shape(x, generated):
    """Refuse real examples that are not shaped like generated ones.

    A size that a pipeline does not know yet (None) is given the benefit of the doubt.
    """
    sizes = zip(x.shape[1:], generated.shape[1:], strict=False)
    differ = any(None not in pair and pair[0] != pair[1] for pair in sizes)
    if differ or len(x.shape) != len(generated.shape):
        raise ValueError(
            "x must have the shape of what the generator makes, "
            f"(batch, {str(tuple(generated.shape[1:]))[1:-1].rstrip(',')}), "
            f"got {tuple(x.shape)}."
        )


def _optimizer(given):
    if given is None:
        return keras.optimizers.Adam(2e-4, beta_1=0.5)
    return keras.optimizers.get(given)


def _objective(loss, player):
    """What a player minimizes: its loss, and its layers' own terms, such as L2.

    On several devices the parts are added up, so each gives its share.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return (loss + sum(player.losses)) / replicas


def _check_players(generator, discriminator):
    players = {"generator": generator, "discriminator": discriminator}
    for name, player in players.items():
        if not isinstance(player, keras.Model):
            raise TypeError(f"{name} must be a keras.Model, got {player!r}.")
        if not player.built:
            raise ValueError(f"{name} must be built; {player.name!r} is not.")
    made, judged = generator.output_shape, discriminator.input_shape
    if made != judged or discriminator.output_shape[1:] != (1,):
        raise ValueError(
            "generator and discriminator must fit: examples from one to the other, "
            f"logits (batch, 1) at the end; got {made}, {judged} and "
            f"{discriminator.output_shape}."
        )


def _count(name, value):
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}.")
    return int(value)


def _known(name, value, known):
    if value not in tuple(known):  # not a look-up: a list can't be hashed
        raise ValueError(f"{name} must be one of {tuple(known)}, got {value!r}.")
    return value


def _share(name, value):
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 0 < value <= 1:
        raise ValueError(
            f"{name} must be a number above 0 and at most 1, got {value!r}."
        )
    return float(value)
