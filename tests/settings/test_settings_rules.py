"""What one setting says about another (B23, B24), and what a setting beside others does not do."""

import pytest

from seq2x.errors import UsageError
from seq2x.settings import Settings, resolve, without_effect

ALIGNED = {"columns": "source=1,target=2,alignment=3"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 30, "heads": 4}, "width = 30 and heads = 4; heads must divide width"),
        ({"width": 21, "positions": "rotary"}, 'width = 21 and positions = "rotary"; the width of a head must be even'),
        ({"width": 20, "heads": 4, "positions": "rotary"}, "width = 20, heads = 4 and positions"),
        ({"tied": "all", "joint_vocab": False}, 'tied = "all" and joint_vocab = false'),
        ({"tied": "all", "source_units": "char", "target_units": "bpe"}, 'tied = "all", but source_units'),
        ({"model": "conv", "positions": "rotary"}, "self-attention, which it does not have: sinusoidal or learned"),
        ({"model": "lstm", "positions": "rotary"}, "what is read in order needs none"),
        ({"model": "conv", "decoder": "coupled"}, "it is two recurrent cells: model = gru, lstm or rnn"),
        ({"model": "transformer", "decoder": "coupled"}, "it is two recurrent cells"),
        ({"model": "gru", "decoder": "coupled", "decoder_layers": 2}, "it is two cells, one layer"),
        ({"guided_attention": 1.0, "direction": "right_to_left"}, "the diagonal leads from beginning to end"),
        ({"width": 10**9}, "parameters; choose smaller ones"),
        ({"layers": 10**6, "width": 512}, "parameters"),
        ({"vocab_size": 10**6, "embedding_width": 10**6}, "parameters"),
        ({"n_best": 6}, "n_best = 6 and beam_size = 5"),
        ({"min_length": 9, "max_length": 8}, "min_length = 9 and max_length = 8"),
        ({"context_use": "states"}, "expected some of state, first, every"),
        ({"context_use": "state+state"}, "each once"),
        ({"context_use": ""}, "context_use"),
        ({"joint_vocab": True, "source_units": "char", "target_units": "bpe"}, "both must be of one kind"),
        ({"objective": "reinforce", "reward_samples": 1}, 'at least 2, or objective = "self_critical"'),
        ({"device": "cuda:"}, "device"),
        ({"model": "gru", "width": 30, "attention_heads": 4}, "the heads must divide width"),
        ({"model": "gru", "attention_heads": 2, "attention_path": "monotonic"}, "so it is for one head"),
        ({"model": "lstm", "attention_heads": 2, "attention_path": "forward"}, "so it is for one head"),
        ({"alignment_loss": 1.0}, "say which column holds the links: source=1,target=2,alignment=3"),
        ({"alignment_loss": 1.0, "references": "merge", **ALIGNED}, 'references = "each"'),
        ({"alignment_loss": 1.0, "subword_dropout": 0.1, **ALIGNED}, "links are those of one segmentation"),
        ({"copy": "generator", "model": "gru", "context": "last"}, 'context = "attention", or copy = "pointer"'),
        ({"copy": "pointer", "subword_dropout": 0.1}, "cut by other draws than its source cannot be pointed at"),
        (
            {"decoder": "mask_predict", "model": "gru"},
            'model = "transformer" can write all at once, and decoder = "ctc"',
        ),
        ({"decoder": "ctc", "tied": "target"}, 'decoder = "ctc" and tied = "target"; it reads no targets'),
        ({"decoder": "ctc", "subword_dropout": 0.1}, "other segmentations may not fit"),
        ({"decoder": "ctc", "min_length": 2}, "an output ends with its source: min_length = 0"),
        ({"decoder": "ctc", "n_best": 6}, "n_best = 6 and beam_size = 5"),
        ({"decoder": "mask_predict", "n_best": 6}, "n_best = 6 and length_beam = 5"),
        ({"decoder": "mask_predict", "sample": True}, 'decoder = "mask_predict" and sample = true'),
        ({"decoder": "ctc", "no_repeat_ngram_size": 2}, "no_repeat_ngram_size = 0"),
        ({"decoder": "ctc", "copy": "pointer"}, 'has no place to copy from: copy = "none"'),
        ({"decoder": "mask_predict", "copy": "generator"}, 'has no place to copy from: copy = "none"'),
        ({"decoder": "ctc", "direction": "right_to_left"}, 'written at once, from no end: direction = "left_to_right"'),
        ({"decoder": "mask_predict", "scheduled_sampling": "linear"}, "it reads no symbols that were written before"),
        ({"decoder": "ctc", "objective": "minimum_risk"}, 'drawn, to be rewarded: objective = "likelihood"'),
        ({"decoder": "ctc", "sampled_softmax": 10}, "all symbols are added up over"),
        ({"decoder": "mask_predict", "beam_size": 4, "diversity_groups": 2}, "no steps at which groups could differ"),
        (
            {"decoder": "mask_predict", "mbr": "chrf"},
            'only what is written symbol by symbol is drawn: mbr_from = "beam"',
        ),
        ({"task": "tag", "decoder": "ctc"}, 'are not written: decoder = "standard"'),
        ({"crf": True, "copy": "pointer"}, 'copy = "pointer" and task = "tag"; a token is no label'),
        ({"task": "tag", "model": "ngram"}, 'model = "hmm" is counted, and tags'),
        ({"task": "tag", "vocab_from": "runs/a"}, "that is for a language model: vocab_from = none"),
        ({"task": "tag", "mbr": "chrf", "mbr_from": "beam"}, "the best labels are found exactly"),
        ({"task": "lm", "crf": True}, 'crf = true and task = "lm"; it labels tokens'),
        ({"task": "lm", "references": "merge"}, "is for pairs"),
        ({"task": "lm", "model": "gru", "decoder": "coupled"}, "without a source there is nothing to ask"),
        ({"task": "lm", "decoder": "mask_predict"}, "nothing to write all at once from"),
        ({"task": "lm", "copy": "pointer", "model": "gru"}, "nothing to copy from"),
        ({"task": "lm", "objective": "self_critical"}, "no output is right or wrong where nothing is given"),
        ({"task": "lm", "alignment_loss": 1.0, **ALIGNED}, "no source to be aligned with"),
        ({"mbr": "chrf", "lm_use": "rerank"}, 'both rank the outputs anew: mbr = none, or lm_use = "fusion"'),
        ({"task": "lm", "tied": "all"}, 'tied = "target" is right'),
        ({"task": "lm", "valid_metric": "bleu"}, 'valid_metric = "loss"'),
        ({"task": "generate", "model": "ngram"}, "without a source"),
        ({"task": "generate", "vocab_from": "runs/a"}, "--from"),
    ],
)
def test_contradictions(values, message):
    with pytest.raises(UsageError) as caught:
        resolve(values, "x")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"width": 30, "heads": 4, "model": "gru"},
        {"width": 20, "positions": "rotary"},
        {"tied": "all", "source_units": "char"},
        {"n_best": 6, "sample": True},
        {"context_use": "state+every+first"},
        {"min_length": 8, "max_length": 8},
        {"joint_vocab": True, "units": "bpe"},
        {"joint_vocab": True, "source_units": "char"},
        {"width": 4096, "layers": 48, "feedforward": 16384, "vocab_size": 256_000},
        {"device": "cuda:12"},
        {"model": "conv", "positions": "learned", "width": 30, "heads": 4},
        {"model": "gru", "decoder": "coupled", "decoder_layers": 1, "layers": 2},
        {"decoder": "coupled"},
        {"objective": "self_critical", "reward_samples": 1},
        {"reward_samples": 1},
        {"model": "gru", "width": 32, "attention_heads": 4, "attention_path": "local_p"},
        {"model": "gru", "attention_heads": 3, "attention_path": "forward", "context": "mean"},
        {"alignment_loss": 1.0, "columns": "source=1, alignment = al ,target=2"},
        {"copy": "generator", "context": "last"},
        {"copy": "pointer", "model": "gru", "context": "last"},
        {"copy": "generator", "subword_dropout": 0.1},
        {"decoder": "mask_predict", "min_length": 2, "n_best": 5, "beam_size": 1},
        {"decoder": "mask_predict", "tied": "all"},
        {"decoder": "ctc", "model": "lstm", "n_best": 5},
        {"decoder": "ctc", "model": "conv", "mbr": "chrf", "mbr_from": "beam"},
        {"decoder": "mask_predict", "sampled_softmax": 10, "guided_attention": 1.0},
        {"task": "lm", "model": "ngram", "valid_metric": "loss", "vocab_from": "runs/a"},
        {"model": "ngram"},
        {"task": "tag", "model": "conv", "crf": True},
        {"task": "tag", "n_best": 4, "beam_size": 2},
        {"model": "hmm", "n_best": 9, "diversity_groups": 3, "min_length": 4, "max_length": 2},
        {"model": "hmm", "hmm_order": 2, "unlabelled": "more.txt"},
        {"task": "lm", "model": "conv", "direction": "right_to_left", "sampled_softmax": 10},
    ],
)
def test_no_contradictions(values):
    resolve(values, "x")


@pytest.mark.parametrize(
    ("values", "idle"),
    [
        ({"model": "gru", "heads": 4, "norm": "rms"}, ["heads", "norm"]),
        ({"model": "transformer", "bidirectional": False}, ["bidirectional"]),
        ({"model": "auto", "heads": 4, "bidirectional": False}, []),
        (
            {"model": "lstm", "context": "mean", "attention": "dot", "input_feeding": True},
            ["attention", "input_feeding"],
        ),
        ({"model": "lstm", "attention": "dot"}, []),
        (
            {
                "model": "gru",
                "context": "last",
                "attention_history": "location",
                "attention_temperature": 0.5,
                "coverage_loss": 1.0,
                "guided_attention": 1.0,
            },
            ["attention_history", "attention_temperature", "coverage_loss", "guided_attention"],
        ),
        ({"model": "gru", "attention_history": "location", "coverage_loss": 1.0, "guided_attention": 1.0}, []),
        ({"model": "transformer", "attention_history": "location", "coverage_loss": 1.0}, ["attention_history"]),
        (
            {"model": "conv", "heads": 4, "norm": "rms", "bidirectional": False, "decoder": "standard"},
            ["bidirectional", "heads", "norm"],
        ),
        (
            {"model": "conv", "embedding_width": 4, "positions": "learned", "kernel_width": 5, "coverage_loss": 1.0},
            [],
        ),
        (
            {"model": "gru", "embedding_width": 4, "positions": "learned", "kernel_width": 5},
            ["kernel_width", "positions"],
        ),
        ({"model": "transformer", "embedding_width": 4, "kernel_width": 5}, ["embedding_width", "kernel_width"]),
        (
            {"model": "gru", "decoder": "coupled", "context_use": "every", "input_feeding": True, "layers": 1},
            ["context_use", "input_feeding"],
        ),
        (
            {
                "model": "gru",
                "context": "mean",
                "attention_path": "local_m",
                "attention_window": 3,
                "context_join": "sum",
            },
            ["attention_path", "attention_window"],
        ),
        ({"model": "gru", "context": "mean", "output_from": "state", "context_join": "sum"}, ["context_join"]),
        ({"model": "gru", "attention_window": 3, "attention_noise": 0.5}, ["attention_noise", "attention_window"]),
        ({"model": "gru", "attention_path": "local_p", "attention_window": 3}, []),
        ({"model": "gru", "attention_path": "monotonic_soft", "attention_noise": 0.5, "attention_alpha": 1.0}, []),
        ({"model": "transformer", "attention_heads": 4, "alignment_loss": 1.0, **ALIGNED}, ["attention_heads"]),
        ({"model": "gru", "context": "max", "alignment_loss": 1.0, **ALIGNED}, ["alignment_loss"]),
        (
            {"model": "gru", "context": "last", "copy": "pointer", "coverage_loss": 1.0, "input_feeding": True},
            ["input_feeding"],
        ),
        ({"copy": "pointer", "label_smoothing": 0.2}, ["label_smoothing"]),
        ({"copy": "generator", "label_smoothing": 0.2}, []),
        ({"model": "gru", "context_use": "every", "layers": 1}, ["context_use"]),
        ({"task": "tag", "model": "conv", "crf": True, "kernel_width": 5, "attention_heads": 2}, ["attention_heads"]),
        ({"model": "hmm", "hmm_order": 2, "order": 3, "width": 8, "dropout": 0.1}, ["dropout", "order", "width"]),
        ({"model": "gru", "hmm_order": 2, "em_steps": 3}, ["em_steps", "hmm_order"]),
        (
            {"task": "lm", "model": "gru", "encoder_layers": 2, "context": "last", "guided_attention": 1.0, "width": 8},
            ["context", "encoder_layers", "guided_attention"],
        ),
        ({"model": "ngram", "order": 3, "width": 8, "max_steps": 9, "seed": 2}, ["max_steps", "width"]),
        ({"model": "gru", "order": 3}, ["order"]),
        ({"lm_weight": 0.0, "lm_use": "rerank"}, ["lm_use"]),
        ({"sample": True, "lm_use": "rerank", "lm_weight": 0.5}, ["lm_use", "lm_weight"]),
        ({"model": "gru", "context_use": "state+every", "layers": 2, "decoder_layers": 1}, ["context_use"]),
        ({"model": "gru", "context_use": "every", "layers": 2}, []),
        ({"model": "gru", "context_use": "every"}, []),
        ({"model": "gru", "context_use": "every", "context": "mean", "layers": 1}, []),
        ({"length_penalty": "none", "length_alpha": 0.5}, ["length_alpha"]),
        ({"length_penalty": "wu", "length_alpha": 0.0}, ["length_penalty"]),
        ({"top_k": 5}, ["top_k"]),
        ({"top_k": 5, "sample": True, "beam_size": 9}, ["beam_size"]),
        ({"units": "byte", "vocab_size": 99, "subword_dropout": 0.1}, ["subword_dropout", "vocab_size"]),
        ({"units": "bpe", "subword_dropout": 0.1}, []),
        ({"units": "unigram", "subword_dropout": 0.1}, []),
        ({"source_units": "word", "target_units": "char", "subword_dropout": 0.1}, ["subword_dropout"]),
        ({"units": "char", "unknown": "closed"}, ["unknown"]),
        ({"source_units": "bpe", "target_units": "char", "unknown": "closed"}, ["unknown"]),
        ({"source_units": "char", "target_units": "word", "unknown": "closed"}, []),
        ({"source_units": "char", "unknown": "closed"}, []),
        ({"units": "bpe", "source_units": "char", "target_units": "word"}, ["units"]),
        ({"layers": 1, "encoder_layers": 2, "decoder_layers": 3}, ["layers"]),
        ({"valid": "dev.tsv", "valid_size": 5}, ["valid_size"]),
        ({"valid_metric": "loss", "valid_beam_size": 5}, ["valid_beam_size"]),
        ({"sampled_softmax": 100, "label_smoothing": 0.2}, ["label_smoothing"]),
        ({"sampled_softmax": 100, "label_smoothing": 0.0}, []),
        ({"sampled_softmax_proposal": "unigram"}, ["sampled_softmax_proposal"]),
        (
            {"scheduled_rate": 0.5, "scheduled_steps": 9, "scheduled_feed": "sample"},
            ["scheduled_feed", "scheduled_rate", "scheduled_steps"],
        ),
        ({"scheduled_sampling": "linear", "scheduled_rate": 0.5, "sampled_softmax": 100}, []),
        (
            {"reward": "chrf", "reward_samples": 9, "likelihood_weight": 1.0, "risk_alpha": 1.0},
            ["likelihood_weight", "reward", "reward_samples", "risk_alpha"],
        ),
        (
            {"objective": "reinforce", "risk_alpha": 1.0, "label_smoothing": 0.2, "loss_per": "sequence"},
            ["label_smoothing", "loss_per", "risk_alpha"],
        ),
        (
            {"objective": "minimum_risk", "scheduled_sampling": "linear", "coverage_loss": 1.0, "sampled_softmax": 100},
            ["coverage_loss", "sampled_softmax", "scheduled_sampling"],
        ),
        (
            {
                "objective": "minimum_risk",
                "risk_alpha": 1.0,
                "likelihood_weight": 0.1,
                "scheduled_sampling": "linear",
                "label_smoothing": 0.2,
            },
            [],
        ),
        (
            {"length_beam": 3, "refine_iterations": 4, "ctc_upsample": 2},
            ["ctc_upsample", "length_beam", "refine_iterations"],
        ),
        ({"decoder": "mask_predict", "length_beam": 3, "refine_iterations": 4, "min_length": 1}, []),
        ({"decoder": "mask_predict", "beam_size": 3, "length_alpha": 0.5}, ["beam_size", "length_alpha"]),
        (
            {"decoder": "ctc", "ctc_upsample": 2, "label_smoothing": 0.0, "decoder_layers": 2, "coverage_loss": 1.0},
            ["coverage_loss", "decoder_layers", "label_smoothing"],
        ),
        ({"decoder": "ctc", "model": "gru", "attention": "dot", "bidirectional": False}, ["attention"]),
        ({"decoder": "ctc", "beam_size": 3, "length_beam": 3}, ["length_beam"]),
    ],
)
def test_settings_without_effect_are_named(values, idle):
    messages = without_effect(resolve(values, "x"), values)
    assert [message.split()[0] for message in messages] == idle
    assert all(" has no effect with " in message for message in messages)


def test_only_what_was_given_is_reported():
    assert without_effect(Settings(model="gru", length_penalty="none"), []) == []


@pytest.mark.parametrize("decoder", ["ctc", "mask_predict"])
def test_a_run_that_re_ranks_weighs_outputs_by_their_lengths(decoder):
    lengths = {"length_alpha": 0.5, "length_penalty": "average"}
    settings = Settings(model="transformer", decoder=decoder, **lengths)
    assert len(without_effect(settings, lengths)) == 2
    assert without_effect(settings, lengths, reranked=True) == []
    unused = Settings(model="transformer", decoder=decoder, length_penalty="none")
    assert without_effect(unused, ["length_alpha"], reranked=True) == [
        'length_alpha has no effect with length_penalty = "none"'
    ]
