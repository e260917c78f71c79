"""What ``fit`` does, opened: the train step, its variants, and a recorder of one step.

Chapter: *A custom train step*.
"""

from .standard import StandardModel, StandardStep, batch_size

__all__ = ["StandardModel", "StandardStep", "batch_size"]
