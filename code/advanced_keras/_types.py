"""The type that Keras has no public name for."""

from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor, symbolic or not, or what converts to one; its docstring says its shape."""
