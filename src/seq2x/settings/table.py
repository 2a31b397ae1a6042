"""Every setting there is: flat names, one type, one range, one sentence each.

The same names serve the command line (`--beam-size 5`), recipes (`beam_size = 5`) and Python
(`train(..., beam_size=5)`). `None` or `"auto"` means: chosen from the data by `seq2x.plan`, with its reason.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args

from annotated_types import Ge, Gt, Le, Lt

from seq2x import choices

__all__ = ["ALLOWABLE", "AT_ONCE", "COUNTED", "READING", "Allowable", "Settings", "several", "tags"]

_Count = Annotated[int, Ge(1), Le(2**31)]
_Zero = Annotated[int, Ge(0), Le(2**31)]
_Threads = Annotated[int, Ge(0), Le(1024)]  # a system that is asked for many thousands ends the process
_Share = Annotated[float, Ge(0.0), Lt(1.0)]
_Positive = Annotated[float, Gt(0.0), Le(1e9)]


Allowable = Literal["shifted", "identical", "one_source", "one_target", "one_symbol", "too_long"]
"""Errors of the check that judge readable data, and may judge it wrongly (see `seq2x.data.check`)."""
ALLOWABLE: tuple[Allowable, ...] = get_args(Allowable)

Metric = Literal[
    "bleu", "bleu_tokens", "chrf", "ter", "rouge1", "rouge2", "rougeL",
    "exact_match", "accuracy", "cer", "wer", "per", "word_errors",
]  # fmt: skip
"""The rows of `seq2x.metrics.METRICS`."""

AT_ONCE = ("mask_predict", "ctc")
"""Values of `decoder` with which no output is written symbol by symbol."""
COUNTED = ("ngram", "hmm")
"""Values of `model` that are counted: no gradients, and no updates."""
READING = ("format", "columns", "on_bad_utf8", "max_line_bytes")
"""Names of the settings of how a file is read."""

_T = TypeVar("_T", bound=str)


def several(value: _T | tuple[_T, ...] | None) -> tuple[_T, ...]:
    """What stands in a setting that may hold none, one or several."""
    return () if value is None else (value,) if isinstance(value, str) else value


def _setting(default: Any, room: str, text: str, *, harmless: bool = False, several: bool = False) -> Any:
    """A field with its room (`--help-all` groups by it), its sentence, whether a resumed run may change it, and whether
    it may be given `several` times (none is None, one is itself, more are a tuple).
    """
    about = {"room": room, "text": text, "harmless": harmless, "several": several}
    return dataclasses.field(default=default, metadata=about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of a run. Every field is immutable; `dataclasses.replace` makes a changed copy."""

    # --- data
    task: Literal["auto", "generate", "lm", "tag"] = _setting(
        "auto",
        "data",
        "generate writes outputs, tag labels each token, lm is a language model; auto: from what the columns hold, and "
        "tag where a setting is for taggers alone",
    )
    format: Literal["auto", "tsv", "lines", "jsonl"] = _setting("auto", "data", "how to read the files")
    columns: str = _setting(
        "auto", "data", "which columns: source=1,target=2 (names for JSONL; ref repeatable; alignment)"
    )
    references: Literal["each", "merge"] = _setting(
        "each",
        "data",
        "each: every line is an item; merge: lines with the same source are one with several right outputs",
    )
    on_bad_utf8: Literal["error", "skip"] = _setting("error", "data", "what to do with a line that is not UTF-8")
    max_line_bytes: _Count = _setting(1_000_000, "data", "longer lines are an error, not read whole")
    valid: str | tuple[str, ...] | None = _setting(
        None,
        "data",
        "a file to validate on, or its two sides (give it twice); none: split off from the training file",
        several=True,
    )
    unlabelled: str | None = _setting(
        None, "data", "sources alone, one a line or in JSON lines: an HMM is improved on them by EM (Baum-Welch)"
    )
    valid_size: _Count | None = _setting(None, "data", "how many examples to split off")
    allow: Allowable | tuple[Allowable, ...] | None = _setting(
        None, "data", "an error of the check that is to be a warning: the data is meant so", harmless=True, several=True
    )
    max_source_length: _Count = _setting(
        512, "data", "longer sources (in symbols) are set aside in training, flagged in use"
    )
    max_target_length: _Count = _setting(512, "data", "longer targets (in symbols) are set aside in training")

    # --- text
    units: Literal["auto", "byte", "char", "word", "bpe", "unigram"] = _setting("auto", "text", "what a symbol is")
    source_units: Literal["auto", "byte", "char", "word", "bpe", "unigram"] = _setting(
        "auto", "text", "units of the source alone"
    )
    target_units: Literal["auto", "byte", "char", "word", "bpe", "unigram"] = _setting(
        "auto", "text", "units of the target alone"
    )
    vocab_size: Annotated[int, Ge(8), Le(1_000_000)] | None = _setting(
        None, "text", "how many symbols at most; less if the data supports less"
    )
    joint_vocab: bool | None = _setting(None, "text", "one vocabulary for source and target")
    normalise: Literal["nfc", "nfkc", "none"] = _setting("nfc", "text", "Unicode form, on both sides, also in use")
    lower: bool = _setting(False, "text", "lower-case everything, outputs too; metrics keep case")
    unknown: Literal["bytes", "closed"] = _setting("bytes", "text", "word units: what an unknown word becomes")
    direction: Literal["left_to_right", "right_to_left"] = _setting(
        "left_to_right", "text", "outputs are written from their beginning, or from their end"
    )
    vocab_from: str | None = _setting(
        None, "text", "a run whose target vocabulary is taken: for a language model that is to help it (predict --lm)"
    )
    subword_dropout: _Share = _setting(
        0.0, "text", "BPE-dropout: segment differently in every epoch (Provilkov et al. 2020)"
    )

    # --- model
    preset: Literal["auto", "tiny", "small", "base", "big"] = _setting("auto", "model", "a set of sizes")
    model: Literal["auto", choices.Kind, "ngram", "hmm"] = _setting(
        "auto",
        "model",
        "the kind of encoder and decoder; counted: ngram, a language model, and hmm, a hidden Markov model that tags",
    )
    order: Annotated[int, Ge(1), Le(10)] = _setting(5, "model", "symbols of the longest n-grams; model = ngram only")
    crf: bool = _setting(False, "model", "a tagger scores whole sequences of labels, by a linear-chain CRF")
    hmm_order: Annotated[int, Ge(1), Le(2)] = _setting(1, "model", "labels before it that a label of an HMM depends on")
    layers: _Count | None = _setting(None, "model", "layers of the encoder and of the decoder")
    encoder_layers: _Count | None = _setting(None, "model", "layers of the encoder alone")
    decoder_layers: _Count | None = _setting(None, "model", "layers of the decoder alone")
    width: _Count | None = _setting(None, "model", "width of the states (D)")
    embedding_width: _Count | None = _setting(None, "model", "width of the embeddings; not of a Transformer")
    heads: _Count | None = _setting(None, "model", "attention heads of the Transformer (H); divides width")
    feedforward: _Count | None = _setting(None, "model", "inner width of the Transformer's feed-forward layers")
    dropout: _Share | None = _setting(None, "model", "dropout of embeddings and of each sub-layer's output")
    attention_dropout: _Share = _setting(0.0, "model", "dropout of attention weights (0 keeps the fused kernel)")
    norm: choices.Norm = _setting("layer", "model", "normalisation of the Transformer")
    norm_position: choices.NormPosition = _setting("pre", "model", "normalise before or after a sub-layer")
    positions: choices.Positions = _setting(
        "sinusoidal", "model", "how Transformers and convolutions see positions (rotary: Transformers)"
    )
    kernel_width: Annotated[int, Ge(2), Le(1024)] = _setting(3, "model", "positions that one convolution sees (k)")
    activation: choices.Activation = _setting("relu", "model", "the feed-forward layer's non-linearity")
    tied: Literal["auto", choices.Tied] = _setting(
        "auto", "model", "share embeddings: all three, target with output, none"
    )
    bidirectional: bool = _setting(True, "model", "recurrent encoder reads both directions")
    context: choices.Context = _setting(
        "attention", "model", "C = q(h1..hT): what a recurrent decoder gets of the source"
    )
    context_use: str = _setting(
        "state",
        "model",
        "where C goes: state, first, every, or several joined by + (state: as the first state)",
    )
    attention: choices.AttentionScore = _setting("additive", "model", "score of recurrent attention")
    attention_history: choices.AttentionHistory = _setting(
        "none", "model", "what recurrent attention sees of its own former weights: the last, their sum, or both"
    )
    attention_temperature: Annotated[float, Gt(0.0), Le(100.0)] = _setting(
        1.0, "model", "scores of recurrent attention are divided by it; below 1: sharper"
    )
    attention_heads: _Count = _setting(
        1, "model", "heads of recurrent attention; divides width (the Transformer's: heads)"
    )
    attention_path: choices.AttentionPath = _setting(
        "any",
        "model",
        "where recurrent attention may go: any place, a window (local_m: moves on by one; local_p: predicted), on only"
        " (monotonic: decides in use; monotonic_soft: never), on by one at most (forward)",
    )
    attention_window: Annotated[int, Ge(1), Le(65536)] = _setting(
        5, "model", "positions that local attention sees to either side (D of Luong et al. 2015)"
    )
    attention_noise: Annotated[float, Ge(0.0), Le(100.0)] = _setting(
        1.0, "model", "monotonic attention: standard deviation of the noise on its scores in training"
    )
    attention_alpha: Annotated[float, Ge(0.0), Le(100.0)] = _setting(
        0.0, "model", "weight of a score of recurrent attention from the state and the position alone; 0: none"
    )
    context_from: choices.ContextFrom = _setting(
        "sum", "model", "C_t of recurrent attention: the weighted sum of the states, or their mean (the sum / S)"
    )
    context_join: choices.ContextJoin = _setting(
        "concat", "model", "how C meets the state at the recurrent output: [h; C], h + W C, or a gate between the two"
    )
    output_from: choices.OutputFrom = _setting(
        "all", "model", "the recurrent output sees: the state alone, or state, previous symbol and context"
    )
    input_feeding: bool = _setting(False, "model", "the last attention vector joins the next input (Luong et al. 2015)")
    decoder: choices.Decoder = _setting(
        "standard",
        "model",
        "how outputs are written: symbol by symbol (coupled: by two recurrent cells, the second reads what was said); "
        "all at once and the least certain again; or at the source's places",
    )
    ctc_upsample: Annotated[int, Ge(1), Le(64)] = _setting(
        1, "model", "ctc: places for a symbol that each source symbol gives, for outputs longer than their sources"
    )

    copy: choices.Copy = _setting(
        "none",
        "model",
        "outputs from the source itself: generator copies or generates (See et al. 2017), pointer only copies "
        "(Vinyals et al. 2015)",
    )

    # --- training
    seed: _Zero = _setting(1, "training", "every draw follows from it")
    max_steps: _Count | None = _setting(None, "training", "updates at most", harmless=True)
    batch_tokens: _Count | None = _setting(
        None, "training", "target tokens of one update (all ranks and micro-batches)"
    )
    accum_count: _Count = _setting(1, "training", "micro-batches per update")
    learning_rate: Annotated[float, Gt(0.0), Le(100.0)] | None = _setting(None, "training", "peak learning rate")
    lr_scheduler: Literal["inverse_sqrt", "cosine", "constant"] = _setting(
        "inverse_sqrt", "training", "shape of the learning rate"
    )
    warmup_steps: _Zero | None = _setting(None, "training", "updates of linear warm-up")
    weight_decay: Annotated[float, Ge(0.0), Le(10.0)] = _setting(0.01, "training", "of AdamW, on matrices only")
    adam_beta1: _Share = _setting(0.9, "training", "AdamW")
    adam_beta2: _Share = _setting(0.98, "training", "AdamW")
    max_grad_norm: Annotated[float, Ge(0.0), Le(1e9)] = _setting(
        1.0, "training", "gradients are clipped to this norm; 0: never"
    )
    label_smoothing: _Share = _setting(0.1, "training", "share of probability spread over the vocabulary")
    coverage_loss: Annotated[float, Ge(0.0), Le(1e6)] = _setting(
        0.0, "training", "weight of the loss on looking twice at the same place (See et al. 2017)"
    )
    guided_attention: Annotated[float, Ge(0.0), Le(1e6)] = _setting(
        0.0, "training", "weight of the loss on attention far from the diagonal (Tachibana et al. 2018)"
    )
    alignment_loss: Annotated[float, Ge(0.0), Le(1e6)] = _setting(
        0.0, "training", "weight of the loss on attention away from given alignments (columns: alignment=3; links i-j)"
    )
    scheduled_sampling: Literal["none", "linear", "exponential", "inverse_sigmoid"] = _setting(
        "none", "training", "how fast the decoder comes to read symbols of its own in training (Bengio et al. 2015)"
    )
    scheduled_rate: Annotated[float, Gt(0.0), Le(1.0)] = _setting(
        0.25, "training", "share of its own symbols that the decoder reads in the end; 1: free running"
    )
    scheduled_steps: _Count | None = _setting(None, "training", "updates until the share is scheduled_rate")
    scheduled_feed: Literal["argmax", "sample"] = _setting(
        "argmax", "training", "a symbol of its own is the best one, or drawn from the model"
    )
    sampled_softmax: _Zero = _setting(
        0,
        "training",
        "learn from so many symbols at a time, without label smoothing (Jean et al. 2015); 0: from all. For large "
        "vocabularies",
    )
    sampled_softmax_proposal: choices.ProposalFrom = _setting(
        "log_uniform", "training", "which symbols are drawn: by the logarithm of their rank, or as often as they occur"
    )
    objective: Literal["likelihood", "reinforce", "self_critical", "minimum_risk"] = _setting(
        "likelihood",
        "training",
        "learn the right symbols, or (after --from RUN) by rewards of whole outputs",
    )
    reward: Literal["auto", Metric] = _setting("auto", "training", "which metric of an output is its reward")
    reward_samples: Annotated[int, Ge(1), Le(1000)] = _setting(
        5, "training", "outputs drawn for each source, to be rewarded"
    )
    risk_alpha: Annotated[float, Gt(0.0), Le(100.0)] = _setting(
        0.005, "training", "minimum risk: sharpness of the distribution over the outputs drawn (Shen et al. 2016)"
    )
    likelihood_weight: Annotated[float, Ge(0.0), Le(1e6)] = _setting(
        0.0, "training", "weight of the likelihood beside the reward (Wu et al. 2016: 0.017)"
    )
    em_steps: Annotated[int, Ge(1), Le(1000)] = _setting(5, "training", "passes of EM over the unlabelled sources")
    loss_per: Literal["token", "sequence"] = _setting("token", "training", "what the loss is averaged over")
    precision: Literal["auto", "fp32", "bf16"] = _setting("auto", "training", "of matrix work in training")
    average_last: _Count = _setting(1, "training", "best/ is the average of this many last validated weights")
    ema: Annotated[float, Ge(0.0), Lt(1.0)] = _setting(
        0.0, "training", "decay of an exponential moving average of the weights; 0: none"
    )
    valid_steps: _Count | None = _setting(None, "training", "updates between validations")
    valid_metric: Literal["auto", Metric, "loss"] = _setting(
        "auto", "training", "which metric chooses best/ and stops early"
    )
    valid_beam_size: _Count = _setting(1, "training", "beam size at validation")
    early_stopping: _Zero = _setting(
        8, "training", "stop after so many validations without a better one; 0: never", harmless=True
    )
    probe: bool = _setting(
        True, "training", "fresh runs first try on a copy whether the loss falls at all", harmless=True
    )
    seeds: _Count = _setting(1, "training", "train this many runs, seeds seed, seed+1, ...")
    max_nonfinite: _Count = _setting(
        3, "training", "updates in a row with non-finite values before training gives up", harmless=True
    )
    save_seconds: _Positive = _setting(60.0, "training", "last/ is saved at least this often", harmless=True)

    # --- search
    beam_size: Annotated[int, Ge(1), Le(1000)] = _setting(
        5, "search", "hypotheses kept per sentence; 1: greedy", harmless=True
    )
    n_best: Annotated[int, Ge(1), Le(1000)] = _setting(
        1,
        "search",
        "outputs per input; of equal texts cut differently the best counts, and others of the beam take their places",
        harmless=True,
    )
    length_penalty: Literal["none", "wu", "average"] = _setting(
        "wu", "search", "score = log P / lp(Y): none 1, wu ((5+|Y|)/6)^alpha, average |Y|^alpha", harmless=True
    )
    length_alpha: Annotated[float, Ge(0.0), Le(10.0)] = _setting(
        1.0, "search", "exponent of the length penalty", harmless=True
    )
    coverage_beta: Annotated[float, Ge(0.0), Le(10.0)] = _setting(
        0.0, "search", "weight of the coverage term cp (Wu et al. 2016)", harmless=True
    )
    rerank_weight: Annotated[float, Ge(0.0), Le(1e6)] = _setting(
        1.0, "search", "of the other run's score beside the run's own where they re-rank (--rerank)", harmless=True
    )
    eos_gamma: Annotated[float, Ge(0.0), Le(100.0)] = _setting(
        0.0, "search", "weight of the end-of-sentence term |X|/|Y|", harmless=True
    )
    refine_iterations: Annotated[int, Ge(1), Le(1000)] = _setting(
        10, "search", "mask_predict: how often symbols are filled in; 1: all at once, 4: fast", harmless=True
    )
    length_beam: Annotated[int, Ge(1), Le(1000)] = _setting(
        5, "search", "mask_predict: lengths tried per sentence; the best output counts", harmless=True
    )
    min_length: _Zero = _setting(
        0,
        "search",
        "symbols at least, </s> not counted (learned positions may end sooner, which is said)",
        harmless=True,
    )
    max_length: _Count | None = _setting(
        None,
        "search",
        "symbols at most, </s> counted; none: grows with the input and leaves room for min_length",
        harmless=True,
    )
    no_repeat_ngram_size: _Zero = _setting(0, "search", "no sequence of n symbols twice; 0: allowed", harmless=True)
    sample: bool = _setting(False, "search", "draw instead of searching", harmless=True)
    temperature: Annotated[float, Gt(0.0), Le(100.0)] = _setting(1.0, "search", "of sampling", harmless=True)
    top_k: _Zero = _setting(0, "search", "sample among the k best; 0: all", harmless=True)
    top_p: Annotated[float, Gt(0.0), Le(1.0)] = _setting(
        1.0, "search", "sample among the smallest set with this mass", harmless=True
    )
    loops: Literal["stop", "allow"] = _setting(
        "stop",
        "search",
        "stop: end what says one phrase 8 times in a row, and over more than 80 symbols; allow: up to its limit",
        harmless=True,
    )
    diversity_groups: Annotated[int, Ge(1), Le(1000)] = _setting(
        1,
        "search",
        "diverse beam search: so many groups share the beam, each kept from what those before it say",
        harmless=True,
    )
    diversity_strength: Annotated[float, Ge(0.0), Le(1e6)] = _setting(
        0.5, "search", "how much log p a symbol costs for each beam of an earlier group that has it", harmless=True
    )
    mbr: Literal["bleu", "bleu_tokens", "chrf", "ter", "exact_match", "cer", "wer", "per", "word_errors"] | None = (
        _setting(None, "search", "minimum Bayes risk: the output nearest to all others, by this metric", harmless=True)
    )
    mbr_from: Literal["samples", "beam"] = _setting(
        "samples", "search", "what it compares: draws of the model, or what the beam holds", harmless=True
    )
    samples: Annotated[int, Ge(1), Le(1000)] = _setting(
        32, "search", "draws to compare for mbr; the time of the comparison grows with their square", harmless=True
    )

    lm_weight: Annotated[float, Ge(0.0), Le(10.0)] = _setting(
        0.3, "search", "with --lm: score = log p + lm_weight * log p of the language model", harmless=True
    )
    lm_use: Literal["fusion", "rerank"] = _setting(
        "fusion",
        "search",
        "with --lm: at every step of the search (same symbols), or to rank the beam's outputs anew (any symbols)",
        harmless=True,
    )

    # --- machine
    device: str = _setting("auto", "machine", "auto, cpu, cuda or cuda:N", harmless=True)
    threads: _Threads = _setting(0, "machine", "CPU threads, 1,024 at most; 0: all", harmless=True)
    backend: Literal["auto", "torch", "native"] = _setting(
        "auto",
        "machine",
        "what decodes; auto: native where it can run the model (see doctor), else torch",
        harmless=True,
    )
    batch_size: _Count = _setting(64, "machine", "sentences decoded together", harmless=True)
    window: _Count = _setting(4096, "machine", "records that predict reads ahead at most", harmless=True)
    invariant: bool = _setting(
        False, "machine", "the same bits whatever stands beside a sentence in its batch", harmless=True
    )


def tags(settings: Settings) -> bool:
    """Whether a label is given to each token: as told, or because a setting is for taggers alone."""
    alone = settings.crf or settings.model == "hmm"
    return settings.task == "tag" or (settings.task == "auto" and alone)
