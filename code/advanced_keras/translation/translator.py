"""A model and its two vocabularies: sentences in, sentences out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import keras
import numpy as np

from advanced_keras.progress import progress
from advanced_keras.translation.decoding import Decoding, cross_attention, decode_plain
from advanced_keras.translation.text import (
    END,
    START,
    SentenceVectorization,
    _composed,
)


@keras.saving.register_keras_serializable(package="advanced_keras")
class Translator(keras.Model):
    """A trained Transformer together with its two vectorizations.

    As a Keras model it is saved and loaded in one file, vocabularies included,
    without ``custom_objects``. Called with ids, it is the Transformer.

    Args:
        transformer: full model from :func:`advanced_keras.transformer.\
build_transformer`.
        source_vectorization: adapted, S tokens a row.
        target_vectorization: adapted, T + 1 tokens a row.

    Raises:
        ValueError: if the vocabularies or lengths don't fit the model.

    Example:
        >>> from advanced_keras.transformer import build_transformer
        >>> from advanced_keras.translation import make_vectorizations
        >>> pairs = [("the cat", "el gato"), ("the house", "la casa")]
        >>> source, target = make_vectorizations(pairs, sequence_length=4)
        >>> transformer = build_transformer(
        ...     sequence_length=4,
        ...     source_vocab_size=source.vocabulary_size(),
        ...     target_vocab_size=target.vocabulary_size(),
        ...     embed_dim=8,
        ...     dense_dim=8,
        ...     num_heads=2,
        ... ).transformer
        >>> translator = Translator(transformer, source, target)
        >>> len(translator.translate(["the cat"]))  # untrained: any words
        1
    """

    def __init__(
        self,
        transformer: keras.Model,
        source_vectorization: SentenceVectorization,
        target_vectorization: SentenceVectorization,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.transformer = transformer
        self.source_vectorization = source_vectorization
        self.target_vectorization = target_vectorization
        self.built = True
        self._check_sizes()

    def _check_sizes(self):
        """Raise if the embeddings and the vectorizations disagree."""
        encoder = self.transformer.get_layer("encoder_embedding")
        decoder = self.transformer.get_layer("decoder").get_layer("decoder_embedding")
        for name, embedding, vectorization, extra in (
            ("source_vectorization", encoder, self.source_vectorization, 0),
            ("target_vectorization", decoder, self.target_vectorization, 1),
        ):
            expected = (embedding.vocab_size, embedding.sequence_length + extra)
            got = (vectorization.vocabulary_size(), vectorization.sequence_length)
            # Before its words are loaded from a file, a vocabulary is empty.
            if got != expected and got[0] > 2:
                raise ValueError(
                    f"{name} must have the vocabulary size and the sequence length "
                    f"of the model, {expected}, got {got}."
                )

    def call(self, inputs, training=None):
        """Return the logits of the Transformer, `(B, T, V)`."""
        return self.transformer(inputs, training=training)

    @cached_property
    def decoding(self) -> Decoding:
        """The cached decoder; its graphs are traced when they are first used."""
        return Decoding(self.transformer, *self._marks)

    @property
    def _marks(self) -> tuple[int, int]:
        """Ids of `[start]` and `[end]`."""
        vectorization = self.target_vectorization
        return vectorization.token_id(START), vectorization.token_id(END)

    def source_ids(self, texts: Sequence[str]):
        """Return source ids `(B, S)`; refuse sentences that are too long."""
        return self.source_vectorization(_composed(texts))

    def decode_plain(self, text: str) -> str:
        """Translate one sentence with the plain loop of :func:`decode_plain`."""
        length = self.target_vectorization.sequence_length - 1
        ids = decode_plain(
            self.transformer, self.source_ids([text]), *self._marks, length
        )
        return self.target_vectorization.to_text([ids])[0]

    def decode_greedy(self, texts: Sequence[str]) -> np.ndarray:
        """Return the ids written by :meth:`Decoding.greedy`, `(B, T)`."""
        return self.decoding.greedy(self.source_ids(texts))

    def decode_beam(
        self, texts: Sequence[str], width: int = 4, length_penalty: float = 0.6
    ) -> tuple[list[list[str]], np.ndarray]:
        """Return the k best translations of every sentence, and their scores."""
        source = self.source_ids(texts)
        ids, scores = self.decoding.beam(source, width, length_penalty)
        return [self.target_vectorization.to_text(rows) for rows in ids], scores

    def translate(
        self,
        texts: Sequence[str],
        width: int = 1,
        length_penalty: float = 0.6,
        batch_size: int = 128,
    ) -> list[str]:
        """Translate sentences.

        Args:
            texts: source sentences.
            width: beams; 1 is greedy decoding.
            length_penalty: alpha of :meth:`Decoding.beam`.
            batch_size: sentences decoded together.

        Returns:
            One translation per sentence.

        Raises:
            ValueError: if a sentence is longer than the model's length.
        """
        translations = []
        for first in progress(range(0, len(texts), batch_size), "translating"):
            chunk = list(texts[first : first + batch_size])
            if width == 1:
                ids = self.decode_greedy(chunk)
                translations += self.target_vectorization.to_text(ids)
            else:
                best, _ = self.decode_beam(chunk, width, length_penalty)
                translations += [beams[0] for beams in best]
        return translations

    def attention(self, text: str) -> tuple[list[str], list[str], np.ndarray]:
        """Translate one sentence and return where each word looked.

        Args:
            text: a source sentence.

        Returns:
            Source tokens (S'), written tokens (T'), and cross-attention weights
            `(H, T', S')`, without the padding.
        """
        source, ids = self.source_ids([text]), self.decode_greedy([text])
        weights = cross_attention(self.transformer, source, ids, self._marks[0])
        (read,) = self.source_vectorization.to_tokens(source)
        (written,) = self.target_vectorization.to_tokens(ids)
        return read, written, weights[0, :, : len(written), : len(read)]

    def get_config(self):
        """Return what rebuilds the translator; weights and words are saved beside."""
        parts = ("transformer", "source_vectorization", "target_vectorization")
        own = {p: keras.saving.serialize_keras_object(getattr(self, p)) for p in parts}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        """Rebuild the translator from :meth:`get_config`."""
        parts = ("transformer", "source_vectorization", "target_vectorization")
        rebuilt = {p: keras.saving.deserialize_keras_object(config[p]) for p in parts}
        return cls(**{**config, **rebuilt})
