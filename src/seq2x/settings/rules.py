"""What one setting says about another."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from seq2x.settings.habits import habit
from seq2x.settings.table import Settings

__all__ = ["LONGEST", "broken_rule", "is_clean", "without_effect"]

LONGEST = 4096
"""Characters of a text in a setting, as of a path."""

_MOST_PARAMETERS = 200e9  # beyond this a size is a slip of the finger, on any machine this program is for
_CONTEXT_USES = ("state", "first", "every")

_TRANSFORMER_ONLY = ("heads", "feedforward", "attention_dropout", "norm", "norm_position", "activation")
_RECURRENT_ATTENTION = (
    "attention",
    "attention_history",
    "attention_temperature",
    "attention_heads",
    "attention_path",
    "attention_window",
    "attention_noise",
    "attention_alpha",
    "context_from",
    "input_feeding",
)
_ONE_HEAD = ("monotonic", "monotonic_soft", "forward")
_LOSING = ("local_p", "monotonic", "monotonic_soft")
_RECURRENT_ONLY = (
    "bidirectional",
    "context",
    "context_use",
    "context_join",
    "output_from",
    "decoder",
    *_RECURRENT_ATTENTION,
)
_IDLE = {  # what is for other kinds of models
    "transformer": (*_RECURRENT_ONLY, "embedding_width", "kernel_width"),
    "conv": (*_RECURRENT_ONLY, *_TRANSFORMER_ONLY),
    **dict.fromkeys(("gru", "lstm", "rnn"), (*_TRANSFORMER_ONLY, "positions", "kernel_width")),
}
_OF_ATTENTION = (*_RECURRENT_ATTENTION, "coverage_loss", "guided_attention", "alignment_loss")
_SCHEDULED = ("scheduled_sampling", "scheduled_rate", "scheduled_steps", "scheduled_feed")
_REWARDED = ("reward", "reward_samples", "risk_alpha", "likelihood_weight")
_LIKELIHOOD = (
    "label_smoothing",
    "coverage_loss",
    "guided_attention",
    "alignment_loss",
    "sampled_softmax",
    "sampled_softmax_proposal",
    *_SCHEDULED,
)


def is_clean(text: str) -> bool:
    """Whether `text` may stand in a setting or be a path: not too long, no control character, good UTF-8."""
    return len(text) <= LONGEST and not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def broken_rule(settings: Settings) -> str:
    """The first rule between settings that does not hold, in words; nothing if all hold."""
    return (
        _model_rule(settings)
        or _alignment_rule(settings)
        or _text_rule(settings)
        or _training_rule(settings)
        or _search_rule(settings)
        or _machine_rule(settings)
    )


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
        if s.attention_heads > 1 and s.attention_path in _ONE_HEAD:
            return (
                f'attention_heads = {s.attention_heads} and attention_path = "{s.attention_path}"; such a path goes'
                ' from one place to the next, so it is for one head (attention_path = "local_p" is for several)'
            )
    if s.model == "conv" and s.positions == "rotary":
        return (
            'model = "conv" and positions = "rotary"; rotations are for the queries and keys of self-attention, which '
            "convolutions do not have: sinusoidal or learned"
        )
    if problem := _coupled_rule(s):
        return problem
    uses = s.context_use.split("+")
    if len(set(uses)) < len(uses) or not set(uses) <= set(_CONTEXT_USES):
        return f'context_use = "{s.context_use}"; expected some of {", ".join(_CONTEXT_USES)}, joined by +, each once'
    if s.copy == "generator" and s.model in ("gru", "lstm", "rnn") and s.context != "attention":
        found = f'copy = "generator" and context = "{s.context}"; a pointer-generator copies by attention'
        return f'{found}: context = "attention", or copy = "pointer", which has its own'
    if s.copy == "generator" and s.model in ("gru", "lstm", "rnn") and s.attention_path in _LOSING:
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
    drawn = s.mbr is not None and s.mbr_from == "samples"
    if s.mbr is not None and s.sample:
        return f'mbr = "{s.mbr}" and sample = true; mbr draws by itself (samples, temperature, top_k, top_p)'
    if drawn and s.n_best > s.samples:
        return f"n_best = {s.n_best} and samples = {s.samples}; there are no more draws than that to rank"
    if s.beam_size % s.diversity_groups and not (s.sample or drawn):
        return (
            f"diversity_groups = {s.diversity_groups} and beam_size = {s.beam_size}; groups must share the beam evenly"
        )
    if s.n_best > s.beam_size and not (s.sample or drawn):
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
    for name in _IDLE.get(settings.model, ()):
        found[name] = f'model = "{settings.model}"; it is for {_for_whom(name)}'
    if recurrent and settings.context != "attention":
        idle = _OF_ATTENTION if settings.copy != "pointer" else _RECURRENT_ATTENTION
        found |= dict.fromkeys(idle, f'context = "{settings.context}"; there is no attention')
    elif recurrent and "every" in settings.context_use and (settings.decoder_layers or settings.layers) == 1:
        found["context_use"] = 'one decoder layer: with attention "every" is for the layers above the first'
    if recurrent and settings.context != "attention" and settings.output_from == "state":
        found["context_join"] = 'output_from = "state"; without attention the output then does not see C'
    found |= _idle_path(settings)
    if settings.decoder == "coupled":
        why = 'decoder = "coupled"; it begins from zero, and its two cells say what joins what'
        found |= dict.fromkeys(("context_use", "input_feeding"), why)
    found |= _idle_text(settings) | _idle_training(settings) | _idle_search(settings)
    return [f"{name} has no effect with {found[name]}" for name in sorted(given) if name in found]


def _for_whom(name: str) -> str:
    """The kinds of models that a setting is for."""
    if name == "kernel_width":
        return "convolutions"
    if name == "embedding_width":
        return "recurrent models and convolutions"
    if name == "positions":
        return "the Transformer and convolutions"
    return "the Transformer" if name in _TRANSFORMER_ONLY else "recurrent models"


def _idle_path(s: Settings) -> dict[str, str]:
    """What belongs to another `attention_path`; where there is no attention at all, that is said instead."""
    if s.model not in ("gru", "lstm", "rnn") or s.context != "attention":
        return {}
    found, path = {}, f'attention_path = "{s.attention_path}"'
    if s.attention_path not in ("local_m", "local_p"):
        found["attention_window"] = f"{path}; it is for local_m and local_p"
    if s.attention_path not in ("monotonic", "monotonic_soft"):
        found["attention_noise"] = f"{path}; it is for monotonic attention"
    return found


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
    if s.copy == "pointer":
        found["label_smoothing"] = 'copy = "pointer"; there is no vocabulary to spread it over'
    if s.encoder_layers is not None and s.decoder_layers is not None:
        found["layers"] = "both encoder_layers and decoder_layers given"
    if s.valid is not None:
        found["valid_size"] = "valid given; nothing is split off"
    if s.valid_metric == "loss":
        found["valid_beam_size"] = 'valid_metric = "loss"; nothing is decoded'
    return found | _idle_objective(s)


def _idle_objective(s: Settings) -> dict[str, str]:
    found = {}
    if s.sampled_softmax and s.label_smoothing:
        found["label_smoothing"] = f"sampled_softmax = {s.sampled_softmax:,}; nothing is spread over symbols not drawn"
    if not s.sampled_softmax:
        found["sampled_softmax_proposal"] = "sampled_softmax = 0"
    if s.scheduled_sampling == "none":
        found |= dict.fromkeys(_SCHEDULED[1:], 'scheduled_sampling = "none"')
    if s.objective == "likelihood":
        found |= dict.fromkeys(_REWARDED, 'objective = "likelihood"; it is for rewards')
        return found
    found["loss_per"] = f'objective = "{s.objective}"; a reward is of a whole output, so all is summed over sequences'
    if s.objective != "minimum_risk":
        found["risk_alpha"] = f'objective = "{s.objective}"; it is for minimum_risk'
    if not s.likelihood_weight:
        found |= dict.fromkeys(_LIKELIHOOD, f'objective = "{s.objective}" and likelihood_weight = 0')
    return found


def _idle_search(s: Settings) -> dict[str, str]:
    found = {}
    if s.length_penalty == "none":
        found["length_alpha"] = 'length_penalty = "none"'
    elif s.length_alpha == 0.0:
        found["length_penalty"] = "length_alpha = 0"
    drawn = s.mbr is not None and s.mbr_from == "samples"
    if s.diversity_groups == 1:
        found["diversity_strength"] = "diversity_groups = 1"
    if s.sample or drawn:
        of_beams = ("length_penalty", "length_alpha", "coverage_beta", "eos_gamma", "diversity_groups")
        for name in ("beam_size", *of_beams, "diversity_strength"):
            found[name] = "sample = true" if s.sample else f'mbr = "{s.mbr}"; it draws'
    else:
        for name in ("temperature", "top_k", "top_p"):
            found[name] = "sample = false"
    if s.mbr is None:
        found |= dict.fromkeys(("mbr_from", "samples"), "mbr = none")
    elif not drawn:
        found["samples"] = 'mbr_from = "beam"'
    return found
