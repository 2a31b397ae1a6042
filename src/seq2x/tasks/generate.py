"""Texts in, texts out: codecs, an encoder-decoder and a search, bound into one task.

    text --codec--> symbols, </s> --encoder--> Memory --search over decoder.step--> symbols --codec--> text

All that is stored with a run for use stands here too, so that `best/` is complete in itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from seq2x.codecs.text import TextCodec
from seq2x.errors import DataError, FolderError, OutOfMemory
from seq2x.models import EncoderDecoder, build
from seq2x.objectives.likelihood import Likelihood
from seq2x.saved import Saved
from seq2x.search import Ensemble, Rules, Sampling, limits, sample, search
from seq2x.settings import Settings
from seq2x.tasks.about import MODEL_FILE, TASK_FILE, About
from seq2x.tasks.weights import fill, own_tensors, pack, verify
from seq2x.tasks.workers import in_order
from seq2x.types import EOS, NOTHING, PAD, Alternative, Batch, Hypotheses, Memory, Objective, Padded, Prediction, Want

if TYPE_CHECKING:
    from seq2x.types import Decoder

__all__ = ["Generate", "TargetScore", "objective"]

WEIGHTS_FILE = "weights.safetensors"
SOURCE_FILE = "source.json"
TARGET_FILE = "target.json"


@dataclass(frozen=True, slots=True)
class TargetScore:
    """log p of one given output: `log_p` is the sum of `token_log_p`, whose last entry is that of `</s>` unless the
    output was cut by a limit. `truncated`: the source was longer than the model reads, and its end was not seen.
    """

    log_p: float
    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    token_log_p: tuple[float, ...]
    truncated: bool = False


class _Source(NamedTuple):
    ids: list[int]  # with </s>; empty for a blank text
    truncated: bool
    key: int  # of the text alone: what a draw for it depends on beside the seed


class Generate:
    """One trained (or training) model with all it needs to turn raw texts into raw texts.

    `team`: further models over the same target symbols; together they decode as an ensemble (the mean of their
    probabilities at every step), alone they do not know of each other.
    """

    def __init__(
        self,
        source_codec: TextCodec,
        target_codec: TextCodec,
        model: EncoderDecoder,
        about: About,
        team: Sequence[Generate] = (),
    ) -> None:
        self.source_codec, self.target_codec = source_codec, target_codec
        self.model, self.about, self.team = model, about, tuple(team)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def with_team(self, others: Sequence[Generate]) -> Generate:
        """This model and `others` as an ensemble."""
        return Generate(self.source_codec, self.target_codec, self.model, self.about, others)

    # -------------------------------------------------------------- use

    def prepare(self, texts: Sequence[str]) -> tuple[Padded, np.ndarray]:
        """(the symbols of `texts` with `</s>`, `[B,S]` on the model's device; `[B]` bool: cut to what it reads)."""
        sources = [self._read(text) for text in texts]
        return self._padded([source.ids or [EOS] for source in sources]), np.array([s.truncated for s in sources], bool)

    def predict(self, texts: Sequence[str], settings: Settings, want: Want = NOTHING) -> list[Prediction]:
        """One Prediction per text, in order: a search, or draws if `settings.sample`.

        Texts are decoded `settings.batch_size` together, the longest first, so that little is padding, on a CPU as
        many such batches at once as torch has threads. A blank text has a blank output. With `settings.invariant` each
        text is decoded alone: the same bits whatever stands beside it.
        """
        sources = [self._read(text) for text in texts]
        results = [Prediction("", stopped="empty")] * len(sources)
        rows = sorted((row for row, s in enumerate(sources) if s.ids), key=lambda row: -len(sources[row].ids))
        size = 1 if settings.invariant else settings.batch_size
        parts = [rows[begin : begin + size] for begin in range(0, len(rows), size)]

        def work(part: list[int]) -> list[Prediction]:
            return self._decode([texts[row] for row in part], settings, want)

        with _evaluating([self, *self.team]):
            found = in_order(work, parts, self.device, settings.invariant)
        for row, result in zip(rows, chain.from_iterable(found), strict=True):
            results[row] = result
        return results

    def score(
        self, sources: Sequence[str], targets: Sequence[str | Sequence[int]], batch_size: int = 64
    ) -> list[TargetScore]:
        """log p of given targets: raw texts, or symbols as in `Prediction.ids` with `</s>` where it was produced.

        A blank text given for a blank source costs nothing: that is what `predict` answers.
        """
        if len(sources) != len(targets):
            raise DataError("score", f"{len(sources)} sources", f"as many as targets ({len(targets)})")
        read = [self._read(text) for text in sources]
        wanted = [[*self.target_codec.encode(t), EOS] if isinstance(t, str) else list(t) for t in targets]
        results = [TargetScore(0.0, (), (), ())] * len(sources)
        rows = [row for row, (s, ids) in enumerate(zip(read, wanted, strict=True)) if s.ids or ids not in ([], [EOS])]
        rows.sort(key=lambda row: -(len(read[row].ids) + len(wanted[row])))
        parts = [rows[begin : begin + batch_size] for begin in range(0, len(rows), batch_size)]

        def work(part: list[int]) -> list[TargetScore]:
            return self._score([read[row].ids or [EOS] for row in part], [wanted[row] for row in part])

        with _evaluating([self]):
            found = in_order(work, parts, self.device)
        for row, result in zip(rows, chain.from_iterable(found), strict=True):
            results[row] = replace(result, truncated=read[row].truncated)
        return results

    # -------------------------------------------------------------- storage

    def to_files(self, weights: Mapping[str, torch.Tensor] | None = None) -> dict[str, bytes]:
        """Everything a reader needs, by file name; `weights` (an average, say) instead of the model's own."""
        own = own_tensors(self.model)
        chosen = own if weights is None else {name: weights[name] for name in own}
        return self.about.to_files() | {
            WEIGHTS_FILE: pack(chosen),
            SOURCE_FILE: self.source_codec.to_bytes(),
            TARGET_FILE: self.target_codec.to_bytes(),
        }

    @classmethod
    def from_saved(cls, saved: Saved, device: str | torch.device = "cpu") -> Generate:
        """The task that `to_files` stored, on `device`, ready to predict.

        Codecs, sizes, names, shapes and values are checked before a weight is used; `FolderError` otherwise.
        """
        where = str(saved.path)
        about = About.from_files(saved.read(MODEL_FILE), saved.read(TASK_FILE), where)
        source = TextCodec.from_bytes(saved.read(SOURCE_FILE), saved.where(SOURCE_FILE))
        target = TextCodec.from_bytes(saved.read(TARGET_FILE), saved.where(TARGET_FILE))
        for side, codec, size in (
            ("source", source, about.shape.source_size),
            ("target", target, about.shape.target_size),
        ):
            if codec.size != size:
                raise FolderError(where, f"the {side} codec has {codec.size} symbols", f"{size}, as {MODEL_FILE} says")
        arrays = saved.tensors(WEIGHTS_FILE)
        layers = about.shape.encoder_layers + about.shape.decoder_layers
        if layers > len(arrays):  # said at once: building thousands of layers takes a while even without memory
            raise FolderError(saved.where(WEIGHTS_FILE), f"{len(arrays)} tensors for {layers} layers", "more")
        with torch.device("meta"):  # shapes without memory: what a damaged file claims is not allocated
            empty = build(about.shape)
        verify(arrays, empty, saved.where(WEIGHTS_FILE))
        model = build(about.shape)
        fill(model, arrays)
        model.to(device).eval().requires_grad_(False)
        return cls(source, target, model, about)

    # -------------------------------------------------------------- within

    def _read(self, text: str) -> _Source:
        """A blank text, also one of which the codec leaves nothing, has no symbols."""
        ids = self.source_codec.encode(text) if text.strip() else []
        if not ids:
            return _Source([], False, 0)
        most = self.about.shape.max_source_length
        key = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=7).digest(), "little")
        return _Source([*ids[:most], EOS], len(ids) > most, key)

    def _padded(self, sequences: Sequence[Sequence[int]]) -> Padded:
        lengths = np.array([len(ids) for ids in sequences], np.int64)
        values = np.full((len(sequences), int(lengths.max(initial=0))), PAD, np.int64)
        for row, ids in enumerate(sequences):
            values[row, : len(ids)] = ids
        return Padded(torch.from_numpy(values).to(self.device), torch.from_numpy(lengths).to(self.device))

    def _decode(self, texts: Sequence[str], settings: Settings, want: Want) -> list[Prediction]:
        """Decode together; where memory does not suffice, in two halves."""
        try:
            return self._decode_batch(texts, settings, want)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if len(texts) == 1:
                todo = "try a smaller beam_size, or a machine with more memory"
                raise OutOfMemory(
                    "memory", f"one input of {len(texts[0]):,} characters is too much", todo=todo
                ) from error
        half = len(texts) // 2
        return self._decode(texts[:half], settings, want) + self._decode(texts[half:], settings, want)

    def _decode_batch(self, texts: Sequence[str], settings: Settings, want: Want) -> list[Prediction]:
        sources = [self._read(text) for text in texts]
        lengths = np.array([len(source.ids) for source in sources], np.int64)
        decoder, memory = self._team_up(sources, texts)
        most = self._limits(lengths, settings)
        if settings.sample:
            sampling = Sampling(
                temperature=settings.temperature,
                top_k=settings.top_k,
                top_p=settings.top_p,
                seed=settings.seed,
                n=settings.n_best,
                min_length=settings.min_length,
                no_repeat_ngram_size=settings.no_repeat_ngram_size,
            )
            found = sample(decoder, memory, lengths, most, sampling, np.array([s.key for s in sources], np.int64))
        else:
            found = search(decoder, memory, lengths, most, _rules(settings), None, want)
        return [self._prediction(found, row, source.truncated, settings.n_best) for row, source in enumerate(sources)]

    def _team_up(self, sources: Sequence[_Source], texts: Sequence[str]) -> tuple[Decoder, Any]:
        """The decoder that search drives, and its memory: this model alone, or all of the team, each of which reads
        the texts with its own source codec."""
        memory = self.model.encode(self._padded([source.ids for source in sources]))
        if not self.team:
            return self.model, memory
        memories: list[Memory] = [memory]
        memories += [member.model.encode(member.prepare(texts)[0]) for member in self.team]
        return Ensemble([self.model, *(member.model for member in self.team)]), memories

    def _limits(self, lengths: np.ndarray, settings: Settings) -> np.ndarray:
        """`[B]`: how many symbols each output may have, `</s>` counted; learned positions end somewhere."""
        shapes = [member.about.shape for member in (self, *self.team)]
        bound = [shape.max_target_length + 1 for shape in shapes if shape.positions == "learned"]
        most = min(bound, default=None)
        return limits(lengths, max_length=settings.max_length, ratio=self.about.length_ratio, most=most)

    def _prediction(self, found: Hypotheses, row: int, truncated: bool, n: int) -> Prediction:
        """Row `row` of `found`. A hypothesis that does not exist is left out."""
        best = [
            self._alternative(found, row, rank)
            for rank in range(found.tokens.shape[1])
            if found.stopped[row, rank] >= 0
        ]
        if not best:  # everything was forbidden
            return Prediction("", stopped="length", truncated=True)
        first = best[0]
        return Prediction(
            value=first.value,
            tokens=first.tokens,
            ids=first.ids,
            score=first.score,
            log_p=first.log_p,
            token_log_p=first.token_log_p,
            alternatives=tuple(best[:n]) if n > 1 else (),
            truncated=truncated or first.stopped == "length",
            stopped=first.stopped,
            attention=None if found.attention is None else found.attention[row, 0, : found.lengths[row, 0]],
        )

    def _alternative(self, found: Hypotheses, row: int, rank: int) -> Alternative:
        ended = found.stopped[row, rank] == 1
        length = int(found.lengths[row, rank])
        token_log_p = tuple(found.log_p[row, rank, :length].tolist())
        ids = tuple(found.tokens[row, rank, : length - 1 if ended else length].tolist())
        return Alternative(
            value=_one_line(self.target_codec.decode(ids)),
            tokens=tuple(self.target_codec.tokens(ids)),
            ids=ids,
            score=float(found.scores[row, rank]),
            log_p=float(sum(token_log_p)),
            token_log_p=token_log_p,
            stopped="end" if ended else "length",
        )

    def _score(self, sources: list[list[int]], targets: list[list[int]]) -> list[TargetScore]:
        source, target = self._padded(sources), self._padded(targets)
        scored = self.model.log_prob(Batch(source, target, np.arange(len(sources))))
        assert scored.items is not None  # every generating model has them
        items = scored.items.double().cpu().numpy()
        results = []
        for row, ids in enumerate(targets):
            symbols = tuple(ids[:-1] if ids and ids[-1] == EOS else ids)
            token_log_p = tuple(items[row, : len(ids)].tolist())
            tokens = tuple(self.target_codec.tokens(symbols))
            results.append(TargetScore(float(sum(token_log_p)), tokens, symbols, token_log_p))
        return results


def objective(settings: Settings) -> Objective:
    """What training minimises: the smoothed negative log-likelihood of the targets."""
    return Likelihood(settings.label_smoothing, settings.loss_per)


@contextmanager
def _evaluating(members: Sequence[Generate]) -> Iterator[None]:
    """No dropout and no gradients inside; each model goes back to what it was doing."""
    training = [member.model.training for member in members]
    for member in members:
        member.model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for member, mode in zip(members, training, strict=True):
            member.model.train(mode)


def _out_of_memory(error: BaseException) -> bool:
    """The CPU's allocator has no exception of its own."""
    return (
        not isinstance(error, RuntimeError)
        or isinstance(error, torch.OutOfMemoryError)
        or "DefaultCPUAllocator" in str(error)
    )


def _rules(settings: Settings) -> Rules:
    return Rules(
        beam_size=settings.beam_size,
        n_best=settings.n_best,
        length_penalty=settings.length_penalty,
        length_alpha=settings.length_alpha,
        coverage_beta=settings.coverage_beta,
        eos_gamma=settings.eos_gamma,
        min_length=settings.min_length,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
    )


def _one_line(text: str) -> str:
    """`text` without line ends: what a model says must not become two records. A final CR would be lost, too."""
    return text.replace("\r", " ").replace("\n", " ")
