"""A Transformer's weights as the native engine reads them."""

from __future__ import annotations

import ctypes
import threading
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from seq2x.models import AnyModel
from seq2x.models.encoder_decoder import EncoderDecoder
from seq2x.models.ngram import Ngram
from seq2x.models.no_encoder import NoEncoder
from seq2x.models.transformer_decoder import TransformerDecoder
from seq2x.models.transformer_encoder import TransformerEncoder
from seq2x.nn.norms import BatchNorm, LayerNorm, RMSNorm
from seq2x.nn.outputs import VocabularyOutput
from seq2x.nn.positions import Rotary
from seq2x.nn.transformer import DecoderLayer, EncoderLayer

from .library import Layer, Linear, Norm, Stack

__all__ = ["Packed", "suits"]

_PIECE = 4 << 20  # floats of memory that are asked for at a time
_LINE = 16  # floats of a cache line, at which every matrix begins
_T = TypeVar("_T")
_ACTIVATIONS = {"relu": 0, "gelu": 1, "gated": 2}


def suits(model: AnyModel) -> str:
    """Why the native engine cannot run `model`, empty if it can."""
    if isinstance(model, Ngram) or (isinstance(model, EncoderDecoder) and isinstance(model.encoder, NoEncoder)):
        return "it has no language models"
    if not isinstance(model, EncoderDecoder):
        return "it has decoders that write symbol by symbol only"
    encoder, decoder = model.encoder, model.decoder
    if not isinstance(encoder, TransformerEncoder) or not isinstance(decoder, TransformerDecoder):
        return "it has Transformers only"
    if not isinstance(model.output, VocabularyOutput):
        return "it does not copy"
    weights = list(model.parameters())
    if any(weight.device.type != "cpu" for weight in weights):
        return "it runs on processors only"
    if any(weight.dtype != torch.float32 for weight in weights):
        return "it computes in fp32 only"
    return ""


class Packed:
    """`encoder` and `decoder` as structures of the library, and all the memory that they point to.

    A copy: later changes of the model's weights do not show.
    """

    def __init__(self, model: EncoderDecoder, panel: int) -> None:
        self._panel, self._kept, self._room = panel, list[Any](), np.empty(0, np.float32)
        self._growing = threading.Lock()
        self.model = model
        self.encoder = self._stack(model.encoder)
        self.decoder = self._stack(model.decoder)
        assert isinstance(model.output, VocabularyOutput)  # `suits` has looked
        self.decoder.output = self._linear(model.output.weight, model.output.bias)

    def reach(self, source: int = 0, target: int = 0) -> None:
        """Make sure that tables of positions have so many rows. Raises `DataError` where a learned one has not."""
        if source <= self.encoder.places and target <= self.decoder.places:
            return
        with self._growing:  # several batches are decoded at once
            if source > self.encoder.places:
                self._places(self.encoder, self.model.encoder, source)
            if target > self.decoder.places:
                self._places(self.decoder, self.model.decoder, target)

    # -------------------------------------------------------------- parts

    def _stack(self, module: Any) -> Stack:
        layers = list(module.layers)
        first = layers[0]
        every = (Layer * len(layers))(*(self._layer(layer) for layer in layers))
        stack = Stack(
            width=module.embedding.width,
            heads=first.attention.heads,
            layers=len(layers),
            pre=int(first.pre),
            activation=_ACTIVATIONS[first.feedforward.activation],
            layer=ctypes.cast(self._keep(every), ctypes.POINTER(Layer)),
            norm=self._norm(module.norm),
            embedding=self._array(module.embedding.weight),
            symbols=module.embedding.size,
            scale=module.embedding.scale,
        )
        self._places(stack, module, 1)
        return stack

    def _places(self, stack: Stack, module: Any, end: int) -> None:
        """Point to the module's own tables of positions, made longer first."""
        width = stack.width // stack.heads
        if module.positions is not None:
            module.positions(torch.zeros(1, stack.width), end - 1)
            stack.positions = self._array(module.positions.table)
            stack.places = len(module.positions.table)
        else:
            rotary: Rotary = module.layers[0].attention.rotary
            rotary(torch.zeros(1, width), end - 1)
            stack.cosines, stack.sines = self._array(rotary.cosines), self._array(rotary.sines)
            stack.places = len(rotary.cosines)

    def _layer(self, layer: EncoderLayer | DecoderLayer) -> Layer:
        attention, think = layer.attention, layer.feedforward
        parts = {
            "attention_norm": self._norm(layer.attention_norm),
            "feedforward_norm": self._norm(layer.feedforward_norm),
            "qkv": self._linear(attention.qkv, attention.qkv_bias),
            "out": self._linear(attention.out, attention.out_bias),
            "inner": self._linear(think.inner, think.inner_bias),
            "outer": self._linear(think.out, think.out_bias),
        }
        if isinstance(layer, DecoderLayer):
            cross = layer.cross
            assert cross is not None and layer.cross_norm is not None  # a decoder of an encoder-decoder: see `suits`
            parts |= {
                "cross_norm": self._norm(layer.cross_norm),
                "query": self._linear(cross.query, cross.query_bias),
                "kv": self._linear(cross.kv, cross.kv_bias),
                "cross_out": self._linear(cross.out, cross.out_bias),
            }
        return Layer(**parts)

    def _norm(self, norm: LayerNorm | RMSNorm | BatchNorm | None) -> Norm:
        if norm is None:
            return Norm(kind=0)
        if isinstance(norm, BatchNorm):  # tracked statistics: a gain and a shift for each feature
            gain = norm.gain * torch.rsqrt(norm.variance + norm.eps)
            return Norm(kind=3, gain=self._array(gain), shift=self._array(norm.bias - norm.mean * gain))
        if isinstance(norm, RMSNorm):
            return Norm(kind=2, gain=self._array(norm.gain), eps=norm.eps)
        return Norm(kind=1, gain=self._array(norm.gain), shift=self._array(norm.bias), eps=norm.eps)

    def _linear(self, weight: Tensor, bias: Tensor) -> Linear:
        """W `[O, I]` in panels `[ceil(O / panel), I, panel]`."""
        outputs, inputs = weight.shape
        panels = -(-outputs // self._panel)
        whole = np.zeros((panels * self._panel, inputs), np.float32)
        whole[:outputs] = weight.detach().numpy()
        offset = np.zeros(panels * self._panel, np.float32)
        offset[:outputs] = bias.detach().numpy()
        turned = whole.reshape(panels, self._panel, inputs).transpose(0, 2, 1)
        return Linear(weight=self._copy(turned), bias=self._copy(offset), inputs=inputs, outputs=outputs)

    def _array(self, values: Tensor) -> int:
        """Where a copy of `values` is."""
        return self._copy(values.detach().numpy())

    def _copy(self, values: np.ndarray[Any, Any]) -> int:
        """Where a copy of `values` is, in one of a few large pieces of memory: numpy asks the system for large pages
        there, without which a processor spends as long on finding the weights as on reading them.
        """
        if self._room.size < values.size:
            self._room = self._keep(np.empty(max(_PIECE, values.size + _LINE), np.float32))
            self._room = self._room[-self._room.ctypes.data % (4 * _LINE) // 4 :]
        here, self._room = self._room[: values.size], self._room[-(-values.size // _LINE) * _LINE :]
        here.reshape(values.shape)[...] = values
        return int(here.ctypes.data)

    def _keep(self, what: _T) -> _T:
        self._kept.append(what)
        return what
