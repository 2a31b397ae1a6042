"""The same model made fast for decoding: backends behind one protocol, `seq2x.types.Decoder` with an `encode`.

`torch` is the model itself, always there, on any device. `native` is fp32 on a processor: see `native.cpp`.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import torch

from seq2x.errors import UsageError
from seq2x.models import AnyModel, Ctc, EncoderDecoder, MaskPredict, Ngram
from seq2x.types import Array, Decoder, Padded

__all__ = ["AnyEngine", "Chosen", "Engine", "choose"]


class Engine(Decoder, Protocol):
    """A decoder that reads its own sources."""

    def encode(self, source: Padded, copy_ids: Array | None = None) -> Any:
        """The memory that `start` takes; `copy_ids` of a model that copies."""
        ...


AnyEngine: TypeAlias = Engine | MaskPredict | Ctc | Ngram
"""What reads sources and can be searched, each in its own way: the models that do not step are their own engines."""


def choose(model: AnyModel, backend: str = "auto") -> AnyEngine:
    """The engine to decode `model` with, its weights as they are now.

    auto: native where it can run this model, else torch. Raises `UsageError` where native is wanted and not to be had.
    """
    if backend == "torch" or (isinstance(model, Ngram) and backend != "native"):
        return model
    from . import library
    from .packing import Packed, suits

    why = suits(model)
    found = library.find() if not why else None
    if found is None or found.functions is None or not isinstance(model, EncoderDecoder):
        if backend == "native":
            raise UsageError("backend", f"native: {why or (found.why if found else '')}", "torch, or auto")
        return model
    from .native import NativeModel

    return NativeModel(Packed(model, found.panel), found.functions, torch.get_num_threads)


class Chosen:
    """The engine of one model, chosen anew only where its weights may have changed since."""

    def __init__(self, model: AnyModel) -> None:
        self._model, self._engines = model, dict[str, tuple[object, AnyEngine]]()

    def __call__(self, backend: str) -> AnyEngine:
        """See `choose`."""
        weights = [*self._model.parameters(), *self._model.buffers()]
        stamp = [(weight.data_ptr(), weight._version, weight.requires_grad) for weight in weights]
        frozen = not any(weight.requires_grad for weight in weights)  # an optimiser may go around the count of versions
        if not frozen or self._engines.get(backend, (None,))[0] != stamp:
            self._engines[backend] = stamp, choose(self._model, backend)
        return self._engines[backend][1]
