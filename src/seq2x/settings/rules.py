"""Settings that contradict each other: refused before anything is read, with the reason and the nearest sense."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from seq2x import choices
from seq2x.settings.habits import habit
from seq2x.settings.table import AT_ONCE, Settings, tags

__all__ = ["LONGEST", "broken_rule", "is_clean"]

LONGEST = 4096
"""Characters of a text in a setting, as of a path."""

_MOST_PARAMETERS = 200e9  # beyond this a size is a slip of the finger, on any machine this program is for


def is_clean(text: str) -> bool:
    """Whether `text` may stand in a setting or be a path: not too long, no control character, good UTF-8."""
    return len(text) <= LONGEST and not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def broken_rule(settings: Settings) -> str:
    """The first rule between settings that does not hold, in words; nothing if all hold."""
    rules = (
        _task_rule,
        _model_rule,
        _coupled_rule,
        _at_once_rule,
        _alignment_rule,
        _text_rule,
        _training_rule,
        _search_rule,
        _machine_rule,
    )
    return next((problem for rule in rules if (problem := rule(settings))), "")


def _task_rule(s: Settings) -> str:
    if s.task == "generate" and s.model == "ngram":
        return 'model = "ngram" is a language model, without a source: one text a line, task = "lm"'
    if s.task == "generate" and s.vocab_from:
        return 'vocab_from is for a language model, task = "lm"; training on from a run with its vocabularies is --from'
    if s.task in ("generate", "lm") and (s.crf or s.model == "hmm"):
        named = "crf = true" if s.crf else 'model = "hmm"'
        return f'{named} and task = "{s.task}"; it labels tokens: task = "tag"'
    if s.unlabelled == "-":
        return 'unlabelled = "-"; it is read in every pass: save it to a file first'
    return _language_rule(s) if s.task == "lm" else _tagging_rule(s) if tags(s) else ""


def _tagging_rule(s: Settings) -> str:
    """What does not go together with a label for each token."""
    if s.model == "ngram":
        return 'model = "ngram" and task = "tag"; it is a language model: model = "hmm" is counted, and tags'
    if s.model == "hmm" and s.crf:
        return 'model = "hmm" and crf = true; an HMM counts its own transitions: crf = false, or model = "lstm"'
    if s.sample:
        return 'sample = true and task = "tag"; labels are not drawn, the best are found exactly (n_best: several)'
    if s.mbr is not None:
        return f'mbr = "{s.mbr}" and task = "tag"; the best labels are found exactly: mbr = none'
    for name, usual, why in (
        ("decoder", "standard", "labels stand on an encoder, and are not written"),
        ("copy", "none", "a token is no label"),
        ("direction", "left_to_right", "labels are not written from an end"),
        ("objective", "likelihood", "labels are not drawn, to be rewarded"),
        ("scheduled_sampling", "none", "no label is read before the next"),
        ("sampled_softmax", 0, "labels are few"),
        ("alignment_loss", 0.0, "each label belongs to its own token"),
        ("vocab_from", None, "that is for a language model"),
    ):
        if (found := getattr(s, name)) != usual:
            return f'{name} = {_shown(found)} and task = "tag"; {why}: {name} = {_shown(usual)}'
    return ""


def _language_rule(s: Settings) -> str:
    """What needs a source, which a language model does not have."""
    if s.valid_metric not in ("auto", "loss"):
        return f'valid_metric = "{s.valid_metric}" is of outputs; a language model is judged by valid_metric = "loss"'
    if s.tied == "all":
        return 'tied = "all" is for pairs: a language model has no source to share with; tied = "target" is right'
    for name, usual, why in (
        ("references", "each", "a text of a language model has no source that others could share"),
        ("decoder", "standard", "without a source there is nothing to ask, and nothing to write all at once from"),
        ("copy", "none", "a language model has nothing to copy from"),
        ("objective", "likelihood", "no output is right or wrong where nothing is given"),
        ("alignment_loss", 0.0, "there is no source to be aligned with"),
    ):
        if (found := getattr(s, name)) != usual:
            return f"{name} = {_shown(found)} is for pairs: {why}; {name} = {_shown(usual)}, or another task"
    return ""


def _model_rule(s: Settings) -> str:
    if s.model in ("auto", "transformer") and s.width is not None and s.heads is not None and s.width % s.heads:
        return f"width = {s.width} and heads = {s.heads}; heads must divide width"
    rotates = s.model in ("auto", "transformer") and s.positions == "rotary"
    if rotates and s.width is not None and (s.width // (s.heads or 1)) % 2:
        named = f"width = {s.width}" + (f", heads = {s.heads}" if s.heads else "")
        return f'{named} and positions = "rotary"; the width of a head must be even'
    if s.model in ("gru", "lstm", "rnn") and s.context == "attention":
        if s.width is not None and s.width % s.attention_heads:
            return f"width = {s.width} and attention_heads = {s.attention_heads}; the heads must divide width"
        if s.attention_heads > 1 and s.attention_path in choices.ONE_HEAD:
            return (
                f'attention_heads = {s.attention_heads} and attention_path = "{s.attention_path}"; such a path goes'
                ' from one place to the next, so it is for one head (attention_path = "local_p" is for several)'
            )
    if s.positions == "rotary" and s.model not in ("auto", "transformer"):
        nearest = "sinusoidal or learned" if s.model == "conv" else "leave it out, what is read in order needs none"
        return (
            f'model = "{s.model}" and positions = "rotary"; rotations are for the queries and keys of self-attention, '
            f"which it does not have: {nearest}"
        )
    uses = s.context_use.split("+")
    if len(set(uses)) < len(uses) or not set(uses) <= set(choices.CONTEXT_USES):
        known = ", ".join(choices.CONTEXT_USES)
        return f'context_use = "{s.context_use}"; expected some of {known}, joined by +, each once'
    if s.copy == "generator" and s.model in ("gru", "lstm", "rnn") and s.context != "attention":
        found = f'copy = "generator" and context = "{s.context}"; a pointer-generator copies by attention'
        return f'{found}: context = "attention", or copy = "pointer", which has its own'
    if s.copy == "generator" and s.model in ("gru", "lstm", "rnn") and s.attention_path in choices.LOSING:
        found = f'copy = "generator" and attention_path = "{s.attention_path}"; its weights may sum to less than one'
        return f"{found}, as probabilities may not: any, local_m or forward"
    if s.copy == "pointer" and s.subword_dropout:
        found = (
            f'copy = "pointer" and subword_dropout = {s.subword_dropout:g}; a target cut by other draws than its source'
        )
        return f"{found} cannot be pointed at"
    if (parameters := _parameters(s)) > _MOST_PARAMETERS:
        return (
            f"layers, width, feedforward and vocab_size ask for about {parameters:.1g} parameters; choose smaller ones"
        )
    return ""


def _alignment_rule(s: Settings) -> str:
    """What can be learned from given alignments, and how they are given."""
    if not s.alignment_loss:
        return ""
    said = f"alignment_loss = {s.alignment_loss:g}"
    if not re.search(r"(^|,)\s*alignment\s*=", s.columns):
        return f"{said} and columns = {s.columns}; say which column holds the links: source=1,target=2,alignment=3"
    if s.references == "merge":
        return f'{said} and references = "merge"; an alignment is of one output: references = "each"'
    if s.subword_dropout:
        return (
            f"{said} and subword_dropout = {s.subword_dropout:g}; links are those of one segmentation: one of them is 0"
        )
    return ""


def _coupled_rule(s: Settings) -> str:
    if s.decoder != "coupled":
        return ""
    if s.model in ("transformer", "conv"):
        return f'decoder = "coupled" and model = "{s.model}"; it is two recurrent cells: model = gru, lstm or rnn'
    if s.decoder_layers not in (None, 1):
        return f'decoder = "coupled" and decoder_layers = {s.decoder_layers}; it is two cells, one layer'
    return ""


def _at_once_rule(s: Settings) -> str:
    """What does not go together with outputs that are not written symbol by symbol."""
    if s.decoder not in AT_ONCE:
        return ""
    named = f'decoder = "{s.decoder}"'
    if s.decoder == "mask_predict" and s.model not in ("auto", "transformer"):
        return (
            f'{named} and model = "{s.model}"; its decoder writes one symbol after another: model = "transformer" can '
            'write all at once, and decoder = "ctc" goes with any encoder'
        )
    for name, usual, why in (
        ("copy", "none", "what writes all symbols at once has no place to copy from"),
        ("direction", "left_to_right", "all symbols are written at once, from no end"),
        ("scheduled_sampling", "none", "it reads no symbols that were written before"),
        ("objective", "likelihood", "only what is written symbol by symbol is drawn, to be rewarded"),
        ("sample", False, "only what is written symbol by symbol is drawn"),
        ("no_repeat_ngram_size", 0, "it does not see what it writes beside"),
        ("diversity_groups", 1, "there are no steps at which groups could differ"),
    ):
        if (found := getattr(s, name)) != usual:
            return f"{named} and {name} = {_shown(found)}; {why}: {name} = {_shown(usual)}"
    if s.mbr is not None and s.mbr_from == "samples":
        return f'{named} and mbr = "{s.mbr}"; only what is written symbol by symbol is drawn: mbr_from = "beam"'
    return _ctc_rule(s) if s.decoder == "ctc" else ""


def _ctc_rule(s: Settings) -> str:
    if s.tied in ("all", "target"):
        return f'decoder = "ctc" and tied = "{s.tied}"; it reads no targets, so nothing can be shared: tied = "none"'
    for name, usual, why in (
        ("subword_dropout", 0.0, "other segmentations may not fit into the source"),
        ("sampled_softmax", 0, "all symbols are added up over, at every place"),
        ("min_length", 0, "an output ends with its source"),
    ):
        if (found := getattr(s, name)) != usual:
            return f'decoder = "ctc" and {name} = {_shown(found)}; {why}: {name} = {_shown(usual)}'
    return ""


def _shown(value: Any) -> str:
    """A value as one writes it in a recipe."""
    if value is None:
        return "none"
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else f"{value:g}"


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
    if s.guided_attention and s.direction == "right_to_left":
        return (
            'guided_attention and direction = "right_to_left"; the diagonal leads from beginning to end, and '
            "such outputs do not: one of them"
        )
    if s.joint_vocab and source != target and "auto" not in (source, target):
        return (
            f'joint_vocab = true, but source_units = "{source}" and target_units = "{target}"; both must be of one kind'
        )
    return ""


def _training_rule(s: Settings) -> str:
    if s.objective == "reinforce" and s.reward_samples == 1:
        return (
            'objective = "reinforce" and reward_samples = 1; its baseline is the mean reward of the other samples: at '
            'least 2, or objective = "self_critical", for which one is enough'
        )
    for name, usual in (("objective", "likelihood"), ("scheduled_sampling", "none"), ("sampled_softmax", 0)):
        if s.copy != "none" and getattr(s, name) != usual:
            found = f'copy = "{s.copy}" and {name} = {getattr(s, name)}'
            return f'{found}; that is for outputs of a vocabulary alone: {name} = {usual}, or copy = "none"'
    return ""


def _search_rule(s: Settings) -> str:
    if tags(s):
        return ""  # the best labels are found without a beam, and are as many as the tokens
    drawn = s.mbr is not None and s.mbr_from == "samples"
    if s.mbr is not None and s.sample:
        return f'mbr = "{s.mbr}" and sample = true; mbr draws by itself (samples, temperature, top_k, top_p)'
    if s.mbr is not None and s.lm_use == "rerank":
        return f'mbr = "{s.mbr}" and lm_use = "rerank"; both rank the outputs anew: mbr = none, or lm_use = "fusion"'
    if drawn and s.n_best > s.samples:
        return f"n_best = {s.n_best} and samples = {s.samples}; there are no more draws than that to rank"
    if s.decoder == "mask_predict" and s.n_best > s.length_beam:
        return f"n_best = {s.n_best} and length_beam = {s.length_beam}; each length yields one output"
    if s.beam_size % s.diversity_groups and not (s.sample or drawn):
        return (
            f"diversity_groups = {s.diversity_groups} and beam_size = {s.beam_size}; groups must share the beam evenly"
        )
    if s.decoder != "mask_predict" and s.n_best > s.beam_size and not (s.sample or drawn):
        return f"n_best = {s.n_best} and beam_size = {s.beam_size}; a beam yields at most beam_size outputs"
    if s.max_length is not None and s.min_length > s.max_length:
        return f"min_length = {s.min_length} and max_length = {s.max_length}; no output is that short and that long"
    return ""


def _machine_rule(s: Settings) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", s.device):
        hint = habit("device", s.device)
        return f'device = "{s.device}"; expected auto, cpu, cuda or cuda:N' + (f"; {hint}" if hint else "")
    return ""
