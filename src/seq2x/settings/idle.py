"""Settings that change nothing beside others: said, with the reason, where somebody gave them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from seq2x.settings.table import COUNTED, Settings, tags

__all__ = ["without_effect"]

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
_RECURRENT_ONLY = (
    "bidirectional",
    "context",
    "context_use",
    "context_join",
    "output_from",
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
_OF_SOURCE = (
    "source_units",
    "joint_vocab",
    "max_source_length",
    "encoder_layers",
    "bidirectional",
    "context",
    "context_use",
    "context_join",
    *_OF_ATTENTION,
)
_LENGTH = ("length_penalty", "length_alpha")
_RANKING = (*_LENGTH, "coverage_beta", "eos_gamma")
_OF_LENGTHS = ("refine_iterations", "length_beam")
_AT_ONCE = (*_RANKING, "loops", "diversity_strength")
_BY_SYMBOLS = (*_OF_LENGTHS, "ctc_upsample")
_IDLE_WITH: Mapping[str, tuple[str, ...]] = {
    "standard": _BY_SYMBOLS,
    "coupled": (*_BY_SYMBOLS, "context_use", "input_feeding"),
    "mask_predict": ("ctc_upsample", "beam_size", "valid_beam_size", *_AT_ONCE),
    "ctc": (
        "decoder_layers",
        "context",
        "context_use",
        "context_join",
        "output_from",
        *_OF_ATTENTION,
        "label_smoothing",
        *_OF_LENGTHS,
        *_AT_ONCE,
    ),
}
"""What each way to write outputs does not know of."""
_WRITING = (
    "source_units",
    "target_units",
    "units",
    "joint_vocab",
    "unknown",
    "subword_dropout",
    "tied",
    "decoder_layers",
    "context",
    "context_use",
    "context_join",
    "output_from",
    *_OF_ATTENTION,
    "valid_beam_size",
    "beam_size",
    *_AT_ONCE,
    "diversity_groups",
    "min_length",
    "max_length",
    "no_repeat_ngram_size",
    "lm_use",
    "lm_weight",
    "backend",
)
"""What a tagger does not know of."""


def without_effect(settings: Settings, given: Collection[str], *, reranked: bool = False) -> list[str]:
    """One sentence for each name in `given` that changes nothing beside the others; `reranked`: another run has a say
    in which of the outputs is best.
    """
    found = {}
    if settings.model in COUNTED:
        found = dict.fromkeys(_trained(), f'model = "{settings.model}"; it is counted')
    if settings.model not in ("auto", "ngram"):
        found["order"] = f'model = "{settings.model}"; it is for model = ngram'
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
    found |= _idle_path(settings) | _idle_decoder(settings)
    if reranked:  # the outputs of both runs are weighed by their lengths, however each of them was found
        found = {name: why for name, why in found.items() if name not in _LENGTH}
    found |= _idle_text(settings) | _idle_training(settings) | _idle_search(settings)
    found |= _idle_tagging(settings) if tags(settings) else _idle_hmm('task = "generate"; it is for an HMM, which tags')
    if settings.task == "lm":
        found |= dict.fromkeys(_OF_SOURCE, 'task = "lm"; there is no source')
    return [f"{name} has no effect with {found[name]}" for name in sorted(given) if name in found]


def _trained() -> list[str]:
    """Every setting of models that are trained."""
    rooms = {field.name: field.metadata["room"] for field in dataclasses.fields(Settings)}
    kept = ("model", "order", "hmm_order", "em_steps", "seed", "seeds", "valid_metric", "valid_beam_size")
    return [name for name, room in rooms.items() if room in ("model", "training") and name not in kept]


def _idle_tagging(s: Settings) -> dict[str, str]:
    """What belongs to outputs that are written."""
    found = dict.fromkeys(_WRITING, 'task = "tag"; every token gets a label')
    if s.model == "hmm":
        return found | ({} if s.unlabelled else {"em_steps": "no unlabelled sources"})
    if s.crf:
        found["label_smoothing"] = "crf = true; it is whole sequences that are scored"
    return found | _idle_hmm(f'model = "{s.model}"; it is for an HMM')


def _idle_hmm(why: str) -> dict[str, str]:
    return dict.fromkeys(("hmm_order", "em_steps", "unlabelled"), why)


def _idle_decoder(s: Settings) -> dict[str, str]:
    """What belongs to another way to write outputs."""
    whose = {"ctc_upsample": "; it is for ctc", **dict.fromkeys(_OF_LENGTHS, "; it is for mask_predict")}
    if s.decoder == "coupled":
        why = "; it begins from zero, and its two cells say what joins what"
        whose |= dict.fromkeys(("context_use", "input_feeding"), why)
    return {name: f'decoder = "{s.decoder}"' + whose.get(name, "") for name in _IDLE_WITH[s.decoder]}


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
    if s.lm_weight == 0.0:
        found["lm_use"] = "lm_weight = 0"
    elif s.sample and s.lm_use == "rerank":
        found |= dict.fromkeys(("lm_use", "lm_weight"), "sample = true; draws are not ranked")
    if s.length_penalty == "none":
        found["length_alpha"] = 'length_penalty = "none"'
    elif s.length_alpha == 0.0:
        found["length_penalty"] = "length_alpha = 0"
    drawn = s.mbr is not None and s.mbr_from == "samples"
    if s.diversity_groups == 1:
        found["diversity_strength"] = "diversity_groups = 1"
    if s.sample or drawn:
        for name in ("beam_size", *_RANKING, "diversity_groups", "diversity_strength"):
            found[name] = "sample = true" if s.sample else f'mbr = "{s.mbr}"; it draws'
    else:
        for name in ("temperature", "top_k", "top_p"):
            found[name] = "sample = false"
    if s.mbr is None:
        found |= dict.fromkeys(("mbr_from", "samples"), "mbr = none")
    elif not drawn:
        found["samples"] = 'mbr_from = "beam"'
    return found
