"""A hidden Markov model that tags: counted, not trained by gradients (Rabiner 1989).

    p(X, Y) = prod_t p(y_t | y_{t-k} .. y_{t-1}) p(x_t | y_t)  p(</s> | ..)

The labels are the states; k is 1 (pairs of labels) or 2 (triples: Brants 2000). What tags is p(Y|X), the same thing
normalised over Y, so that its log-probabilities stand beside those of a recurrent tagger or a CRF.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from seq2x.errors import FolderError
from seq2x.nn.chain import Chain, of_labels
from seq2x.types import NOTHING, Batch, Padded, Scored, Want

from .hmm_counts import UNKNOWN, Batches, count, log, of_letters, of_rare, totals

__all__ = ["MOST_LABELS", "Hmm", "HmmShape"]

MOST_LABELS: Mapping[int, int] = {1: 1000, 2: 80}
"""Symbols of the target at most, by order: the table of transitions has V^(k+1) entries."""

_INTEGERS = {
    "source_size": (4, 1 << 24), "target_size": (4, 1 << 24), "order": (1, 2), "max_source_length": (1, 1 << 24)
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class HmmShape:
    """The sizes of an HMM: `order` is k, `target_size` V."""

    kind: Literal["hmm"] = "hmm"
    source_size: int
    target_size: int
    order: int = 1
    max_source_length: int = 512

    source: ClassVar[bool] = True
    attends: ClassVar[bool] = False
    decoder: ClassVar[str] = "standard"
    copy: ClassVar[str] = "none"
    layers: ClassVar[int] = 0

    def to_json(self) -> dict[str, str | int | float | bool]:
        """Plain values, one per field."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_json(cls, mapping: Mapping[Any, Any], where: str) -> HmmShape:
        """The shape that `to_json` wrote. Raises `FolderError` for anything else, or one too large."""
        names = {field.name for field in fields(cls)}
        if mapping.keys() != names or mapping["kind"] != "hmm":
            raise FolderError(where, "other values than those of an HMM", ", ".join(sorted(names)))
        for name, (low, high) in _INTEGERS.items():
            if type(mapping[name]) is not int or not low <= mapping[name] <= high:
                raise FolderError(where, f"{name}: {mapping[name]!r:.80}", f"an integer from {low} to {high}")
        if mapping["target_size"] > (most := MOST_LABELS[mapping["order"]]):
            raise FolderError(
                where, f"{mapping['target_size']} labels with order {mapping['order']}", f"at most {most}"
            )
        return cls(**mapping)


class Hmm(nn.Module):
    """Three tables of counts, from which every probability is made where it is needed.

        transitions   `[V] * (k + 1)`   labels after labels, `</s>` before the first and after the last
        words         `[S,V]`           words, and `<unk>` for all that is rarer, under labels
        letters       `[S,V]`           shapes and endings of rare words under labels; at `<unk>` of all rare words

    What p(x|y) of an unknown word lacks comes from its letters, `p(y|letters) / p(y|rare)`, by which the probability of
    `<unk>` is multiplied: the known distribution of labels given letters, turned round (Brants 2000, eq. 6).
    """

    transitions: Tensor
    words: Tensor
    letters: Tensor

    def __init__(self, shape: HmmShape) -> None:
        super().__init__()
        V, S = shape.target_size, shape.source_size
        self.shape = shape
        sizes = {"transitions": [V] * (shape.order + 1), "words": [S, V], "letters": [S, V]}
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros(size, dtype=torch.float64))

    # -------------------------------------------------------------- use

    def chain(self, source: Padded) -> Chain:
        """What the model says of all label sequences of tokens `source` `[B,S,F]`: log p(X,Y), and Z is p(X)."""
        words_SV, transitions = self._probabilities()
        return Chain(self._emitted(source.values, words_SV), source.lengths, transitions)

    def log_prob(self, batch: Batch, want: Want = NOTHING) -> Scored:
        """log p(Y|X) of the batch's labels: `total` `[B]` and `items` `[B,S]`, see `Chain.items`."""
        if batch.source is None or batch.target is None:
            raise ValueError("a tagger scores labels of a source")
        items = self.chain(batch.source).items(batch.target.values)
        return Scored(items.sum(1), items)

    def _probabilities(self) -> tuple[Tensor, Tensor]:
        """(log p(word | y) `[S,V]`, log p(y | labels before) as the transitions lie)."""
        return log(self.words / totals(self.words, 0)), log(self.transitions / totals(self.transitions, -1))

    def _emitted(self, tokens_BSF: Tensor, words_SV: Tensor) -> Tensor:
        """u: log p(x_t | y), `[B,S,V]`, with `words_SV` = log p(word | y); special symbols emit nothing."""
        words_BS = tokens_BSF[..., 0]
        odds_BSV = log(of_letters(self.letters, tokens_BSF)) - log(of_rare(self.letters))
        unknown_BS1 = (words_BS == UNKNOWN)[..., None]
        return of_labels(words_SV[words_BS] + torch.where(unknown_BS1, odds_BSV, 0.0))

    # -------------------------------------------------------------- counting

    @torch.no_grad()
    def fit(self, number: int, tagged: Batches, unlabelled: Batches | None = None) -> float | None:
        """Pass `number` from 1 on. The first counts `tagged`; each further one adds to those counts what the model, as
        it is, expects in `unlabelled`: the EM algorithm (Baum et al. 1970), and what was counted is its prior.

        Returns, of a pass of EM, what it began from and makes no lower: log p(X) of all of `unlabelled` and the
        logarithm of that prior.
        """
        found = count(tagged, self.shape.source_size, self.shape.target_size, self.shape.order)
        before = None
        if number > 1 and unlabelled is not None:
            before = self._log_prior(found[0], found[1])
            for batch in unlabelled():
                log_z, *more = self._expected(batch)
                before += log_z
                for table, expected in zip(found, more, strict=False):  # letters stay as they were counted
                    table += expected
        for name, table in zip(("transitions", "words", "letters"), found, strict=True):
            getattr(self, name).copy_(table)
        return before

    def _expected(self, batch: Batch) -> tuple[float, Tensor, Tensor]:
        """(log p(X) of the batch; how often each transition and each word under each label is expected in it).

        Expected counts are the gradient of log Z: what the forward-backward algorithm computes (Eisner 2016).
        """
        assert batch.source is not None  # it is all that such a batch has
        values, lengths = (torch.as_tensor(part) for part in batch.source)
        words, transitions = self._probabilities()
        with torch.enable_grad():
            words.requires_grad_(), transitions.requires_grad_()
            log_z = Chain(self._emitted(values, words), lengths, transitions).log_z().sum()
            expected = torch.autograd.grad(log_z, (transitions, words))
        return float(log_z), expected[0], expected[1]

    def _log_prior(self, transitions: Tensor, words: Tensor) -> float:
        """sum of count log p: the Dirichlet prior, but for a constant."""
        log_words, log_transitions = self._probabilities()
        return float((transitions * log_transitions).sum() + (words * log_words).sum())
