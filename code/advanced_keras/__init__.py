"""Tested layers, models and tools behind the executable book *Advanced Keras*.

One module a technique; each module has the name of its chapter.

Importing the package imports Keras on TensorFlow, without the lines that TensorFlow's
C++ side writes to the process's standard error before its log level applies.
"""

import os
import sys

from advanced_keras import _needs
from advanced_keras._quiet import quiet_stderr

__version__ = "0.1.0"

_needs.before_keras(sys.version_info, os.environ)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    if "tensorflow" not in sys.modules:
        with quiet_stderr():
            import keras
            import tensorflow  # noqa: F401
    else:
        import keras
except ModuleNotFoundError as error:
    raise _needs.missing(error) from error
_needs.after_keras(keras, os.environ)
