"""What the package needs around it, said in one sentence where it is not there.

Plain syntax and the standard library only: an old Python has to read this far.
"""

import importlib.metadata
import warnings
from collections.abc import Mapping, MutableMapping
from types import ModuleType

OLDEST_PYTHON = (3, 11)
OLDEST_KERAS = (3, 13)
BACKEND = "tensorflow"


def before_keras(python: tuple, environ: MutableMapping) -> None:
    """Look at what can be known without Keras; choose the backend if nobody has.

    Args:
        python: the version, such as ``sys.version_info``.
        environ: the environment variables; ``KERAS_BACKEND`` is set.

    Raises:
        ImportError: for an old Python, an old Keras, or another backend.
    """
    if tuple(python[:2]) < OLDEST_PYTHON:
        raise ImportError(
            f"advanced_keras needs Python {_dotted(OLDEST_PYTHON)} or newer, and this "
            f"is {_dotted(python[:2])}: run it with a newer one."
        )
    _check_keras_version()
    chosen = environ.get("KERAS_BACKEND")
    if chosen and chosen != BACKEND:
        raise ImportError(
            "advanced_keras needs Keras on TensorFlow, and the environment variable "
            f"KERAS_BACKEND is {chosen!r}: unset it, or set it to {BACKEND!r}."
        )
    environ["KERAS_BACKEND"] = BACKEND  # stronger than the file keras.json


def _check_keras_version():
    try:
        version = importlib.metadata.version("keras")
    except importlib.metadata.PackageNotFoundError:
        return  # perhaps a checkout of Keras; if there is none, the import says so
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST_KERAS:
        wanted = _dotted(OLDEST_KERAS)
        raise ImportError(
            f"advanced_keras needs Keras {wanted} or newer, and this is Keras "
            f'{version}: pip install "keras>={wanted}"'
        )


def _dotted(numbers):
    return ".".join(str(number) for number in numbers)


def missing(error: ModuleNotFoundError) -> ImportError:
    """The error to raise for a module that could not be imported."""
    if error.name not in ("keras", "tensorflow"):
        return error
    called = "Keras" if error.name == "keras" else "TensorFlow"
    return ModuleNotFoundError(
        f"advanced_keras needs {called}, which is not installed here: pip install "
        f"{error.name}",
        name=error.name,
    )


def after_keras(keras: ModuleType, environ: Mapping) -> None:
    """Look at how Keras was set up, perhaps by an import before ours.

    Raises:
        ImportError: if it runs on another backend.

    Warns:
        UserWarning: for settings with which a part of the package does not work.
    """
    backend = keras.config.backend()
    if backend != BACKEND:
        raise ImportError(
            "advanced_keras needs Keras on TensorFlow, and Keras was imported before "
            f"with the backend {backend!r} (of KERAS_BACKEND, or of keras.json in "
            f"~/.keras): set it to {BACKEND!r} and start Python again."
        )
    if keras.config.image_data_format() != "channels_last":
        warnings.warn(
            "the image models of advanced_keras have their channels last, and "
            "keras.json says otherwise: call "
            "keras.config.set_image_data_format('channels_last') before building one.",
            stacklevel=3,
        )
    if environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
        warnings.warn(
            "TF_USE_LEGACY_KERAS is set, so tf.keras is Keras 2, whose models cannot "
            "hold layers of advanced_keras: use `import keras`, or unset it.",
            stacklevel=3,
        )
