"""The same Transformer in `transformers`: a MarianMTModel with a seq2x model's weights.

Both are post-norm, with sinusoidal positions, ReLU and one matrix for all embeddings. They differ in the order of
the features: Marian puts all sines before all cosines, seq2x alternates them (Vaswani et al. 2017). The residual
stream may be permuted freely, so every weight that reads it or writes it is permuted, and the outputs agree to
rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seq2x.models import EncoderDecoder, ModelShape
from seq2x.types import BOS, EOS, PAD


def shape(
    size: int, width: int = 256, heads: int = 4, layers: int = 3, inner: int = 1024, dropout: float = 0.1
) -> ModelShape:
    """The shape of a seq2x model that a MarianMTModel can express."""
    return ModelShape(
        kind="transformer", source_size=size, target_size=size, encoder_layers=layers, decoder_layers=layers,
        width=width, embedding_width=width, heads=heads, feedforward=inner, dropout=dropout, norm_position="post",
        tied="all",
    )  # fmt: skip


def twin(model: EncoderDecoder, shape: ModelShape) -> torch.nn.Module:
    """A MarianMTModel with the weights of `model`."""
    from transformers import MarianConfig, MarianMTModel

    width = shape.width
    config = MarianConfig(
        vocab_size=shape.source_size, decoder_vocab_size=shape.source_size, d_model=width,
        encoder_layers=shape.encoder_layers, decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.heads, decoder_attention_heads=shape.heads,
        encoder_ffn_dim=shape.feedforward, decoder_ffn_dim=shape.feedforward, dropout=shape.dropout,
        attention_dropout=0.0, activation_dropout=0.0, activation_function="relu", scale_embedding=True,
        max_position_embeddings=512, pad_token_id=PAD, eos_token_id=EOS, bos_token_id=BOS, decoder_start_token_id=BOS,
        forced_eos_token_id=None, share_encoder_decoder_embeddings=True, tie_word_embeddings=True,
    )  # fmt: skip
    marian = MarianMTModel(config)
    order = torch.cat([torch.arange(0, width, 2), torch.arange(1, width, 2)])  # ours, in Marian's order
    target = marian.state_dict()
    with torch.no_grad():
        for name, tensor in _renamed(model, order).items():
            target[name].copy_(tensor)
    marian.load_state_dict(target)
    marian.tie_weights()
    return marian


def _renamed(model: EncoderDecoder, order: Tensor) -> dict[str, Tensor]:
    """Marian's names and feature order for every weight of `model`."""
    weights = dict(model.state_dict())
    embedding = model.output.weight.detach()[:, order]
    tied = ("model.shared", "model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head")
    out = {f"{name}.weight": embedding for name in tied}
    out["final_logits_bias"] = model.output.bias.detach()[None]
    for stack, layers in (("encoder", model.encoder.layers), ("decoder", model.decoder.layers)):
        for depth in range(len(layers)):
            ours, theirs = f"{stack}.layers.{depth}.", f"model.{stack}.layers.{depth}."
            _attention(
                out, weights, ours + "attention", theirs + "self_attn", order, "qkv", ("q_proj", "k_proj", "v_proj")
            )
            _norm(out, weights, ours + "attention_norm", theirs + "self_attn_layer_norm", order)
            if stack == "decoder":
                _attention(out, weights, ours + "cross", theirs + "encoder_attn", order, "query", ("q_proj",))
                _attention(out, weights, ours + "cross", theirs + "encoder_attn", order, "kv", ("k_proj", "v_proj"))
                _norm(out, weights, ours + "cross_norm", theirs + "encoder_attn_layer_norm", order)
            feed = ours + "feedforward."
            out[theirs + "fc1.weight"] = weights[feed + "inner"][:, order]
            out[theirs + "fc1.bias"] = weights[feed + "inner_bias"]
            out[theirs + "fc2.weight"] = weights[feed + "out"][order]
            out[theirs + "fc2.bias"] = weights[feed + "out_bias"][order]
            _norm(out, weights, ours + "feedforward_norm", theirs + "final_layer_norm", order)
    return out


def _attention(
    out: dict[str, Tensor],
    weights: dict[str, Tensor],
    ours: str,
    theirs: str,
    order: Tensor,
    name: str,
    parts: tuple[str, ...],
) -> None:
    """What reads the residual stream is permuted in its inputs, what writes it in its outputs."""
    matrices, biases = (weights[f"{ours}.{name}{end}"].chunk(len(parts)) for end in ("", "_bias"))
    for part, matrix, bias in zip(parts, matrices, biases, strict=True):
        out[f"{theirs}.{part}.weight"], out[f"{theirs}.{part}.bias"] = matrix[:, order], bias
    out[f"{theirs}.out_proj.weight"] = weights[f"{ours}.out"][order]
    out[f"{theirs}.out_proj.bias"] = weights[f"{ours}.out_bias"][order]


def _norm(out: dict[str, Tensor], weights: dict[str, Tensor], ours: str, theirs: str, order: Tensor) -> None:
    names = [name for name in weights if name.startswith(ours + ".")]
    for name in names:
        end = "bias" if "bias" in name else "weight"
        out[f"{theirs}.{end}"] = weights[name][order]
