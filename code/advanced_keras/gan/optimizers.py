"""One optimizer for ``model.optimizer`` that is two: each player has its own.

Chapter: *The GAN training loop*.
"""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable(package="advanced_keras")
class PairedOptimizer(keras.optimizers.Optimizer):
    """The optimizers of both players, under the name that callbacks look for.

    Reading ``learning_rate`` gives the discriminator's. Setting it sets both, in the
    ratio that they had at the start, so that ``LearningRateScheduler`` and
    ``ReduceLROnPlateau`` slow both players down alike.

    Args:
        discriminator: optimizer of the discriminator.
        generator: optimizer of the generator, another object.
        ratio: the generator's learning rate divided by the discriminator's; by
            default what it is. If one of them is a schedule there is none, and the
            learning rate can't be set, as with any optimizer in Keras.

    Raises:
        ValueError: if both are the same object: it would mix up their states.
    """

    def __init__(self, discriminator, generator, ratio=None, **kwargs):
        if discriminator is generator:
            raise ValueError(
                "d_optimizer and g_optimizer must be two objects, got the same "
                f"{discriminator.name!r} twice."
            )
        super().__init__(learning_rate=0.0, **kwargs)
        self.discriminator, self.generator = discriminator, generator
        self.ratio = ratio if ratio is not None else _ratio(discriminator, generator)

    def build(self, discriminator_variables, generator_variables):
        """Make the state of both optimizers, each for its player's variables."""
        self.discriminator.build(discriminator_variables)
        self.generator.build(generator_variables)
        self.built = True

    @property
    def learning_rate(self):
        """The discriminator's."""
        return self.discriminator.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        if self.ratio is None:
            raise TypeError(
                "learning_rate can't be set: one of the two optimizers follows a "
                "schedule, or the discriminator's started at 0."
            )
        self.discriminator.learning_rate = value
        self.generator.learning_rate = value * self.ratio

    @property
    def iterations(self):
        """How often the discriminator was updated."""
        return self.discriminator.iterations

    @property
    def variables(self):
        """The state of both."""
        return self.discriminator.variables + self.generator.variables

    def apply(self, grads, trainable_variables=None):
        """Refuse: only one of the two can be meant."""
        raise TypeError(
            "a PairedOptimizer has two updates: use its .discriminator.apply or its "
            ".generator.apply."
        )

    def finalize_variable_values(self, var_list):
        """At the end of ``fit``: put averaged weights in place, if asked for."""
        for optimizer in (self.discriminator, self.generator):
            optimizer.finalize_variable_values(optimizer._trainable_variables)

    def save_own_variables(self, store):
        """Nothing: the two inner optimizers are saved each under its own name."""

    def load_own_variables(self, store):
        """Nothing, likewise."""

    def get_config(self):
        """Both optimizers with their settings."""
        serialize = keras.saving.serialize_keras_object
        return {
            "discriminator": serialize(self.discriminator),
            "generator": serialize(self.generator),
            "ratio": self.ratio,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The pair again, without state."""
        config = dict(config)
        for player in ("discriminator", "generator"):
            config[player] = keras.saving.deserialize_keras_object(config[player])
        return cls(**config)


def _ratio(discriminator, generator):
    """The quotient of the learning rates, or None where there is none."""
    rates = [_innermost(each)._learning_rate for each in (discriminator, generator)]
    if any(
        isinstance(r, keras.optimizers.schedules.LearningRateSchedule) for r in rates
    ):
        return None
    slow, fast = (float(keras.ops.convert_to_numpy(rate)) for rate in rates)
    return fast / slow if slow else None


def _innermost(optimizer):
    """What a ``LossScaleOptimizer`` wraps: the rate is there."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer
