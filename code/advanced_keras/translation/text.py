"""From sentences to token ids and back, and the teacher-forced dataset.

Chapter: *Where teacher forcing happens*.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

from advanced_keras import _checks
from advanced_keras._types import Tensor

PAD, UNKNOWN = 0, 1
"""Ids that `TextVectorization` reserves: padding, and any word it never saw."""

START, END = "[start]", "[end]"
"""Marks put around every target sentence; `[start]` is the shift by one."""

_OPENING, _CLOSING = "¿¡(«", "?!.,;:)»"


@keras.saving.register_keras_serializable(package="advanced_keras")
def standardize_text(text: Tensor) -> Tensor:
    """Lower-case the text and set punctuation apart, keeping accents and ¿ ¡.

    ``"¿Él come?"`` becomes ``"¿ él come ?"``. Keras's own standardization lowers
    ASCII letters only, so it would leave É, and would drop the question mark.

    Args:
        text: string tensor of any shape, UTF-8.

    Returns:
        A string tensor of the same shape, words and marks separated by spaces.

    Raises:
        TypeError: if ``text`` is not made of strings.

    Example:
        >>> standardize_text(["¿Dónde está?"]).numpy()[0].decode()
        '¿ dónde está ?'
    """
    try:
        text = tf.convert_to_tensor(text, tf.string)
    except (TypeError, ValueError):
        raise TypeError(f"text must be made of strings, got {text!r}.") from None
    text = tf.strings.lower(text, encoding="utf-8")
    # Keras splits at ASCII spaces only: a no-break space would glue two words.
    text = tf.strings.regex_replace(text, r"[\pZ\x{1c}-\x{1f}\x{85}]", " ")
    text = tf.strings.regex_replace(text, "[‘’]", "'")
    text = tf.strings.regex_replace(text, '([¿?¡!.,;:()«»"])', r" \1 ")
    return tf.strings.strip(text)


def join_tokens(tokens: Iterable[str]) -> str:
    """Put tokens together into a sentence: ``¿ él come ?`` to ``¿él come?``.

    Example:
        >>> join_tokens(["¿", "él", "come", "?"])
        '¿él come?'
    """
    if not isinstance(tokens, str):
        tokens = list(tokens)
    _checks.texts("tokens", tokens)
    text = " ".join(tokens)
    for mark in _OPENING:
        text = text.replace(f"{mark} ", mark)
    for mark in _CLOSING:
        text = text.replace(f" {mark}", mark)
    return text


def normalize(texts: Sequence[str]) -> list[str]:
    """Bring sentences to the form in which a translation is compared.

    Lower case, one space between words, punctuation attached. It does not go
    through a vocabulary, so an unknown word stays itself and can't match ``[UNK]``.

    Args:
        texts: sentences.

    Returns:
        The same sentences as :meth:`SentenceVectorization.to_text` writes them.

    Example:
        >>> normalize(["  El gato es NEGRO ."])
        ['el gato es negro.']
    """
    standard = standardize_text(tf.constant(_composed(texts), tf.string, (len(texts),)))
    return [join_tokens(text.decode().split()) for text in standard.numpy()]


def mark(texts: Sequence[str]) -> list[str]:
    """Put ``[start]`` before and ``[end]`` after every target sentence.

    Args:
        texts: target sentences without marks.

    Returns:
        The marked sentences.

    Raises:
        TypeError: if ``texts`` are not a list of strings.
        ValueError: if a sentence already contains a mark.

    Example:
        >>> mark(["el gato"])
        ['[start] el gato [end]']
    """
    _checks.texts("texts", texts)
    for text in texts:
        if START in text.lower() or END in text.lower():  # as they will be read
            raise ValueError(
                f"texts must come without the marks {START} and {END}, got {text!r}."
            )
    return [f"{START} {text} {END}" for text in texts]


@keras.saving.register_keras_serializable(package="advanced_keras")
class SentenceVectorization(keras.layers.TextVectorization):
    """`TextVectorization` that refuses a sentence that doesn't fit.

    The layer of Keras cuts a long sentence silently: its end, and `[end]` with it,
    is lost. This one raises. It can also turn ids back into text.

    Args:
        sequence_length: number of tokens of every output row; shorter sentences
            are padded with 0 on the right.
        max_tokens: most words to keep, the two reserved ids included. None: all.
        standardize: name or registered function, see :func:`standardize_text`.
        **kwargs: of `keras.layers.TextVectorization`.

    Input shape: `(B,)` strings. Output shape: `(B, sequence_length)` int64.

    Raises:
        ValueError: if ``sequence_length`` is not a positive integer; when called,
            if a sentence is too long (inside a graph:
            `tf.errors.InvalidArgumentError`).

    Example:
        >>> vectorization = SentenceVectorization(4)
        >>> vectorization.adapt(["el gato come"])
        >>> vectorization.to_text(vectorization(["el gato"]))
        ['el gato']
    """

    def __init__(
        self,
        sequence_length: int,
        max_tokens: int | None = None,
        standardize=standardize_text,
        **kwargs,
    ):
        length = sequence_length
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ValueError(
                f"sequence_length must be a positive integer, got {sequence_length!r}."
            )
        if max_tokens is not None:
            _checks.whole("max_tokens", max_tokens, least=2)
        # None: Keras pads to the longest sentence and cuts nothing. call() checks.
        kwargs["output_sequence_length"] = None
        super().__init__(max_tokens=max_tokens, standardize=standardize, **kwargs)
        self.sequence_length = sequence_length

    def call(self, inputs):
        """Map sentences to ids.

        Args:
            inputs: strings, `(B,)`.

        Returns:
            Token ids, `(B, sequence_length)`, padded with 0.
        """
        ids = super().call(inputs)
        # In a graph the check is an operation: the length has to wait for it.
        with tf.control_dependencies(self._refuse_long(ids)):
            room = tf.maximum(self.sequence_length - tf.shape(ids)[-1], 0)
        ids = tf.pad(ids, [[0, 0]] * (len(ids.shape) - 1) + [[0, room]])
        return tf.ensure_shape(ids, (*ids.shape[:-1], self.sequence_length))

    def _refuse_long(self, ids):
        """Raise if a row has more tokens than the model has positions."""
        longest = tf.shape(ids)[-1]
        if not tf.executing_eagerly():
            message = f"a sentence has more than {self.sequence_length} tokens"
            check = tf.debugging.assert_less_equal(
                longest, self.sequence_length, message=message
            )
            return [check]
        if longest > self.sequence_length:
            row = tf.argmax(tf.math.count_nonzero(ids, axis=-1))
            words = join_tokens(self.to_tokens(ids[row][None])[0])
            raise ValueError(
                f"a sentence has {int(longest)} tokens, but sequence_length is "
                f"{self.sequence_length}: {words!r}. Shorten it, or build the "
                "vectorization and the model with a larger sequence_length."
            )
        return []

    def token_id(self, token: str) -> int:
        """Return the id of one token.

        Raises:
            ValueError: if the token is not in the vocabulary.
        """
        vocabulary = self.get_vocabulary()
        if token not in vocabulary:
            raise ValueError(
                f"token must be in the vocabulary of {len(vocabulary)}, got {token!r}."
            )
        return vocabulary.index(token)

    def unknown_words(self, text: str) -> list[str]:
        """Return the words of a sentence that the vocabulary doesn't have."""
        known = set(self.get_vocabulary())
        standard = self._standardize(tf.constant(_composed([text])))[0]
        return [w for w in standard.numpy().decode().split() if w not in known]

    def to_tokens(self, ids) -> list[list[str]]:
        """Map ids to tokens; padding is left out, marks stay.

        Args:
            ids: token ids, `(B, T)`.

        Returns:
            One list of tokens per row.
        """
        vocabulary = self.get_vocabulary()
        rows = keras.ops.convert_to_numpy(ids)
        return [[vocabulary[i] for i in row if i != PAD] for row in rows]

    def to_text(self, ids) -> list[str]:
        """Map ids to sentences: up to `[end]`, without marks and padding.

        Args:
            ids: token ids, `(B, T)`.

        Returns:
            One sentence per row.
        """
        sentences = []
        for tokens in self.to_tokens(ids):
            tokens = tokens[: tokens.index(END)] if END in tokens else tokens
            sentences.append(join_tokens(t for t in tokens if t != START))
        return sentences

    def compute_output_shape(self, input_shape):
        """Return `(B, sequence_length)`."""
        return (input_shape[0], self.sequence_length)

    def get_config(self):
        """Return what rebuilds the layer; the adapted words are saved as an asset."""
        config = super().get_config()
        del config["output_sequence_length"]
        return {**config, "sequence_length": self.sequence_length}


def _composed(texts: Sequence[str]) -> list[str]:
    """Write every accented letter as one character (Unicode NFC)."""
    if isinstance(texts, str):
        raise TypeError(f"texts must be a list of sentences, got the string {texts!r}.")
    _checks.texts("texts", list(texts))
    return [unicodedata.normalize("NFC", text) for text in texts]


def make_vectorizations(
    pairs: Sequence[tuple[str, str]],
    sequence_length: int,
    max_tokens: int | None = None,
) -> tuple[SentenceVectorization, SentenceVectorization]:
    """Build the vocabularies of both languages from training pairs.

    Args:
        pairs: (source sentence, target sentence), the training split only.
        sequence_length: tokens of a model input, S and T alike. The target rows
            are one longer: the shift takes one away.
        max_tokens: most words to keep in either language.

    Returns:
        The source and the target vectorization, adapted.
    """
    sources, targets = _split(pairs)
    source = SentenceVectorization(
        sequence_length, max_tokens, name="source_vectorization"
    )
    target = SentenceVectorization(
        sequence_length + 1, max_tokens, name="target_vectorization"
    )
    source.adapt(_composed(sources))
    target.adapt(mark(_composed(targets)))
    return source, target


def format_dataset(
    source_ids: Tensor, target_ids: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Make a teacher-forced example: the decoder is fed what it should have said.

    At position t the decoder reads y_(t-1) and is asked for y_t. All of teacher
    forcing is in these two slices.

    Args:
        source_ids: source sentences, `(B, S)`.
        target_ids: marked target sentences, `(B, T + 1)`.

    Returns:
        `({"encoder_inputs": (B, S), "decoder_inputs": (B, T)}, targets (B, T))`.

    Example:
        >>> source, target = tf.constant([[7]]), tf.constant([[2, 5, 3]])
        >>> features, answers = format_dataset(source, target)
        >>> print(features["decoder_inputs"].numpy(), answers.numpy())
        [[2 5]] [[5 3]]
    """
    _checks.axes(
        source_ids=(source_ids, "(B, S)"), target_ids=(target_ids, "(B, T + 1)")
    )
    features = {"encoder_inputs": source_ids, "decoder_inputs": target_ids[:, :-1]}
    return features, target_ids[:, 1:]


def make_dataset(
    pairs: Sequence[tuple[str, str]],
    source_vectorization: SentenceVectorization,
    target_vectorization: SentenceVectorization,
    batch_size: int = 64,
    shuffle_seed: int | None = None,
) -> tf.data.Dataset:
    """Turn sentence pairs into batches for `fit` and `evaluate`.

    The sentences are vectorized once, here, and not in every epoch.

    Args:
        pairs: (source sentence, target sentence), without marks.
        source_vectorization: adapted, with S tokens a row.
        target_vectorization: adapted, with T + 1 tokens a row.
        batch_size: B.
        shuffle_seed: reshuffle in every epoch, starting from this seed.
            None: keep the order.

    Returns:
        A dataset of :func:`format_dataset` examples in batches.

    Raises:
        TypeError: if a vectorization is something else.
        ValueError: if there are no pairs, a sentence is too long, or ``batch_size``
            is not a positive integer.
    """
    _checks.whole("batch_size", batch_size)
    kind = SentenceVectorization
    what = "a SentenceVectorization"
    _checks.instance("source_vectorization", source_vectorization, kind, what)
    _checks.instance("target_vectorization", target_vectorization, kind, what)
    sources, targets = _split(pairs)
    examples = format_dataset(
        source_vectorization(_composed(sources)),
        target_vectorization(mark(_composed(targets))),
    )
    dataset = tf.data.Dataset.from_tensor_slices(examples)
    if shuffle_seed is not None:
        dataset = dataset.shuffle(len(pairs), seed=shuffle_seed)
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def with_mistakes(
    dataset: tf.data.Dataset, vocab_size: int, share: float, steps: int, seed: int = 0
) -> tf.data.Dataset:
    """Replace some decoder inputs by random tokens; the targets stay right.

    The share of wrong tokens rises from 0 to ``share`` over ``steps`` batches. It is
    the cheap relative of scheduled sampling (Bengio et al., 2015), which feeds the
    model's own guesses. `[start]` and padding are left alone.

    Args:
        dataset: from :func:`make_dataset`, repeated as many epochs as are wanted.
        vocab_size: V of the target.
        share: of the tokens, 0 to 1.
        steps: batches until the full share.
        seed: of the draws.

    Returns:
        A dataset of the same shapes.

    Raises:
        TypeError: if ``dataset`` is something else.
        ValueError: if ``share``, ``steps`` or ``vocab_size`` is out of range.
    """
    _checks.instance("dataset", dataset, tf.data.Dataset, "a tf.data.Dataset")
    _checks.whole("vocab_size", vocab_size, least=UNKNOWN + 2)
    _checks.whole("steps", steps)
    if not _checks.is_real(share) or not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share!r}.")

    def spoil(step, batch):
        features, targets = batch
        right = features["decoder_inputs"]
        now = share * tf.minimum(tf.cast(step + 1, "float32") / steps, 1.0)
        draw = tf.random.stateless_uniform(tf.shape(right), [seed, step])
        wrong = tf.random.stateless_uniform(
            tf.shape(right), [seed + 1, step], UNKNOWN + 1, vocab_size, tf.int64
        )
        is_word = (right != PAD) & (tf.range(tf.shape(right)[1]) > 0)
        inputs = tf.where((draw < now) & is_word, wrong, right)
        return {**features, "decoder_inputs": inputs}, targets

    return dataset.enumerate().map(spoil, tf.data.AUTOTUNE)


def keep_short(
    pairs: Sequence[tuple[str, str]], sequence_length: int
) -> list[tuple[str, str]]:
    """Keep the pairs that fit a model of this length, marks included.

    Args:
        pairs: (source sentence, target sentence), without marks.
        sequence_length: as for :func:`make_vectorizations`.

    Returns:
        The pairs with at most ``sequence_length`` source tokens and
        ``sequence_length - 1`` target tokens.

    Example:
        >>> keep_short([("a cat", "un gato"), ("a black cat", "un gato negro")], 3)
        [('a cat', 'un gato')]
    """
    _checks.whole("sequence_length", sequence_length)
    sources, targets = _split(pairs)
    lengths = zip(_count(sources), _count(targets), strict=True)
    fits = [s <= sequence_length and t < sequence_length for s, t in lengths]
    return [pair for pair, fit in zip(pairs, fits, strict=True) if fit]


def _count(texts: Sequence[str]) -> list[int]:
    """Count the tokens of every sentence."""
    standard = standardize_text(tf.constant(_composed(texts)))
    return [len(text.split()) for text in standard.numpy()]


def _split(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Separate pairs into sources and targets."""
    if not isinstance(pairs, (tuple, list)):
        raise TypeError(f"pairs must be a list of pairs of strings, got {pairs!r}.")
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(f"pairs must hold (source, target) pairs, got {pair!r}.")
        _checks.texts("each of pairs", pair)
    if len(pairs) == 0:
        raise ValueError("pairs must hold at least one (source, target) pair, got 0.")
    sources, targets = zip(*pairs, strict=True)
    return list(sources), list(targets)
