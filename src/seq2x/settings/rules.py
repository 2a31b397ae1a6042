"""What one setting says about another."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from seq2x.settings.habits import habit
from seq2x.settings.table import Settings

__all__ = ["LONGEST", "broken_rule", "is_clean", "tags", "without_effect"]

LONGEST = 4096
"""Characters of a text in a setting, as of a path."""

_MOST_PARAMETERS = 200e9  # beyond this a size is a slip of the finger, on any machine this program is for
_CONTEXT_USES = ("state", "first", "every")

_TRANSFORMER_ONLY = ("heads", "feedforward", "attention_dropout", "norm", "norm_position", "positions", "activation")
_RECURRENT_ATTENTION = ("attention", "attention_history", "attention_temperature", "input_feeding")
_RECURRENT_ONLY = (
    "embedding_width",
    "bidirectional",
    "context",
    "context_use",
    "output_from",
    *_RECURRENT_ATTENTION,
)
_OF_ATTENTION = (*_RECURRENT_ATTENTION, "coverage_loss", "guided_attention")


def is_clean(text: str) -> bool:
    """Whether `text` may stand in a setting or be a path: not too long, no control character, good UTF-8."""
    return len(text) <= LONGEST and not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def broken_rule(settings: Settings) -> str:
    """The first rule between settings that does not hold, in words; nothing if all hold."""
    return (
        _task_rule(settings)
        or _model_rule(settings)
        or _text_rule(settings)
        or _search_rule(settings)
        or _machine_rule(settings)
    )


def _task_rule(s: Settings) -> str:
    if s.task == "generate" and (s.crf or s.model == "hmm"):
        named = "crf = true" if s.crf else 'model = "hmm"'
        return f'{named} and task = "generate"; it labels tokens: task = "tag"'
    if s.model == "hmm" and s.crf:
        return 'model = "hmm" and crf = true; an HMM counts its own transitions: crf = false, or model = "lstm"'
    if s.unlabelled == "-":
        return 'unlabelled = "-"; it is read in every pass: save it to a file first'
    if s.task == "tag" and s.sample:
        return 'sample = true and task = "tag"; labels are not drawn, the best are found exactly (n_best: several)'
    return ""


def _model_rule(s: Settings) -> str:
    if s.model in ("auto", "transformer") and s.width is not None and s.heads is not None and s.width % s.heads:
        return f"width = {s.width} and heads = {s.heads}; heads must divide width"
    rotates = s.model in ("auto", "transformer") and s.positions == "rotary"
    if rotates and s.width is not None and (s.width // (s.heads or 1)) % 2:
        named = f"width = {s.width}" + (f", heads = {s.heads}" if s.heads else "")
        return f'{named} and positions = "rotary"; the width of a head must be even'
    uses = s.context_use.split("+")
    if len(set(uses)) < len(uses) or not set(uses) <= set(_CONTEXT_USES):
        return f'context_use = "{s.context_use}"; expected some of {", ".join(_CONTEXT_USES)}, joined by +, each once'
    if (parameters := _parameters(s)) > _MOST_PARAMETERS:
        return (
            f"layers, width, feedforward and vocab_size ask for about {parameters:.1g} parameters; choose smaller ones"
        )
    return ""


def _parameters(s: Settings) -> float:
    """A lower estimate of the number of weights, from the sizes that were given."""
    heads = s.heads if s.model in ("auto", "transformer") else None
    width = float(s.width or max(64, heads or 0))
    layers = float((s.encoder_layers or s.layers or 1) + (s.decoder_layers or s.layers or 1))
    inner = float(s.feedforward or width)
    return layers * (4 * width * width + 2 * width * inner) + float(s.vocab_size or 0) * float(
        s.embedding_width or width
    )


def _text_rule(s: Settings) -> str:
    source, target = (one if one != "auto" else s.units for one in (s.source_units, s.target_units))
    if s.tied == "all" and s.joint_vocab is False:
        return (
            'tied = "all" and joint_vocab = false; that is for one vocabulary: joint_vocab = true, or tied = "target"'
        )
    if s.tied == "all" and source != target and "auto" not in (source, target):
        return (
            f'tied = "all", but source_units = "{source}" and target_units = "{target}"; both must be of one kind, '
            'or tied = "target"'
        )
    if s.joint_vocab and source != target and "auto" not in (source, target):
        return (
            f'joint_vocab = true, but source_units = "{source}" and target_units = "{target}"; both must be of one kind'
        )
    return ""


def _search_rule(s: Settings) -> str:
    if s.n_best > s.beam_size and not s.sample:
        return f"n_best = {s.n_best} and beam_size = {s.beam_size}; a beam yields at most beam_size outputs"
    if s.max_length is not None and s.min_length > s.max_length:
        return f"min_length = {s.min_length} and max_length = {s.max_length}; no output is that short and that long"
    return ""


def _machine_rule(s: Settings) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", s.device):
        hint = habit("device", s.device)
        return f'device = "{s.device}"; expected auto, cpu, cuda or cuda:N' + (f"; {hint}" if hint else "")
    return ""


def without_effect(settings: Settings, given: Collection[str]) -> list[str]:
    """One sentence for each name in `given` that changes nothing beside the others."""
    found = {}
    recurrent = settings.model in ("gru", "lstm", "rnn")
    for name in _TRANSFORMER_ONLY if recurrent else ():
        found[name] = f'model = "{settings.model}"; it is for the Transformer'
    for name in _RECURRENT_ONLY if settings.model == "transformer" else ():
        found[name] = 'model = "transformer"; it is for recurrent models'
    if recurrent and settings.context != "attention":
        found |= dict.fromkeys(_OF_ATTENTION, f'context = "{settings.context}"; there is no attention')
    elif recurrent and "every" in settings.context_use and (settings.decoder_layers or settings.layers) == 1:
        found["context_use"] = 'one decoder layer: with attention "every" is for the layers above the first'
    found |= _idle_text(settings) | _idle_training(settings) | _idle_search(settings)
    found |= _idle_tagging(settings) if tags(settings) else _idle_elsewhere()
    return [f"{name} has no effect with {found[name]}" for name in sorted(given) if name in found]


def tags(s: Settings) -> bool:
    """Whether a label is given to each token: as told, or because a setting is for taggers alone."""
    return s.task == "tag" or (s.task == "auto" and (s.crf or s.model == "hmm"))


_WRITING = (
    "source_units", "target_units", "units", "joint_vocab", "unknown", "subword_dropout", "tied", "decoder_layers",
    "context", "context_use", "attention", "attention_history", "attention_temperature", "output_from",
    "input_feeding", "coverage_loss", "guided_attention", "valid_beam_size", "beam_size", "length_penalty",
    "length_alpha", "coverage_beta", "eos_gamma", "min_length", "max_length", "no_repeat_ngram_size",
)  # fmt: skip
_GRADIENTS = (
    "preset", "layers", "encoder_layers", "width", "embedding_width", "heads", "feedforward", "dropout",
    "attention_dropout", "norm", "norm_position", "positions", "activation", "bidirectional", "batch_tokens",
    "max_steps", "accum_count", "learning_rate", "lr_scheduler", "warmup_steps", "weight_decay", "adam_beta1",
    "adam_beta2", "max_grad_norm", "label_smoothing", "loss_per", "precision", "average_last", "ema", "valid_steps",
    "early_stopping", "probe", "max_nonfinite", "save_seconds",
)  # fmt: skip
_EM = ("em_steps", "unlabelled")


def _idle_tagging(s: Settings) -> dict[str, str]:
    found = dict.fromkeys(_WRITING, 'task = "tag"; every token gets a label')
    if s.model == "hmm":
        found |= dict.fromkeys(_GRADIENTS, 'model = "hmm"; it is counted')
        return found | ({} if s.unlabelled else {"em_steps": "no unlabelled sources"})
    if s.crf:
        found["label_smoothing"] = "crf = true; it is whole sequences that are scored"
    return found | dict.fromkeys(("hmm_order", *_EM), f'model = "{s.model}"; it is for an HMM')


def _idle_elsewhere() -> dict[str, str]:
    return dict.fromkeys(("hmm_order", *_EM), 'task = "generate"; it is for an HMM, which tags')


def _idle_text(s: Settings) -> dict[str, str]:
    found = {}
    source, target = (one if one != "auto" else s.units for one in (s.source_units, s.target_units))
    if "auto" not in (s.source_units, s.target_units):
        found["units"] = "both source_units and target_units given"
    if source == target == "byte":
        found["vocab_size"] = 'units = "byte"; there are 256'
    if {source, target} <= {"byte", "char", "word"}:
        found["subword_dropout"] = f'units = "{source}"; it is for bpe and unigram'
    if "auto" not in (source, target) and "word" not in (source, target):
        kinds = " and ".join(f'"{one}"' for one in dict.fromkeys((source, target)))
        found["unknown"] = f"units = {kinds}; it is for word units"
    return found


def _idle_training(s: Settings) -> dict[str, str]:
    found = {}
    if s.encoder_layers is not None and s.decoder_layers is not None:
        found["layers"] = "both encoder_layers and decoder_layers given"
    if s.valid is not None:
        found["valid_size"] = "valid given; nothing is split off"
    if s.valid_metric == "loss":
        found["valid_beam_size"] = 'valid_metric = "loss"; nothing is decoded'
    return found


def _idle_search(s: Settings) -> dict[str, str]:
    found = {}
    if s.length_penalty == "none":
        found["length_alpha"] = 'length_penalty = "none"'
    elif s.length_alpha == 0.0:
        found["length_penalty"] = "length_alpha = 0"
    if s.sample:
        for name in ("beam_size", "length_penalty", "length_alpha", "coverage_beta", "eos_gamma"):
            found[name] = "sample = true"
    else:
        for name in ("temperature", "top_k", "top_p"):
            found[name] = "sample = false"
    return found
