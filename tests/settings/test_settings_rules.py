"""What one setting says about another (B23, B24), and what a setting beside others does not do."""

import pytest

from seq2x.errors import UsageError
from seq2x.settings import Settings, resolve, without_effect


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 30, "heads": 4}, "width = 30 and heads = 4; heads must divide width"),
        ({"width": 21, "positions": "rotary"}, 'width = 21 and positions = "rotary"; the width of a head must be even'),
        ({"width": 20, "heads": 4, "positions": "rotary"}, "width = 20, heads = 4 and positions"),
        ({"tied": "all", "joint_vocab": False}, 'tied = "all" and joint_vocab = false'),
        ({"tied": "all", "source_units": "char", "target_units": "bpe"}, 'tied = "all", but source_units'),
        ({"width": 10**9}, "parameters; choose smaller ones"),
        ({"layers": 10**6, "width": 512}, "parameters"),
        ({"vocab_size": 10**6, "embedding_width": 10**6}, "parameters"),
        ({"n_best": 6}, "n_best = 6 and beam_size = 5"),
        ({"min_length": 9, "max_length": 8}, "min_length = 9 and max_length = 8"),
        ({"context_use": "states"}, "expected some of state, first, every"),
        ({"context_use": "state+state"}, "each once"),
        ({"context_use": ""}, "context_use"),
        ({"joint_vocab": True, "source_units": "char", "target_units": "bpe"}, "both must be of one kind"),
        ({"device": "cuda:"}, "device"),
        ({"task": "lm", "references": "merge"}, "is for pairs"),
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
        {"width": 21, "positions": "rotary", "model": "gru"},
        {"tied": "all", "source_units": "char"},
        {"n_best": 6, "sample": True},
        {"context_use": "state+every+first"},
        {"min_length": 8, "max_length": 8},
        {"joint_vocab": True, "units": "bpe"},
        {"joint_vocab": True, "source_units": "char"},
        {"width": 4096, "layers": 48, "feedforward": 16384, "vocab_size": 256_000},
        {"device": "cuda:12"},
        {"task": "lm", "model": "ngram", "valid_metric": "loss", "vocab_from": "runs/a"},
        {"model": "ngram"},
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
        ({"model": "gru", "context_use": "every", "layers": 1}, ["context_use"]),
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
    ],
)
def test_settings_without_effect_are_named(values, idle):
    messages = without_effect(resolve(values, "x"), values)
    assert [message.split()[0] for message in messages] == idle
    assert all(" has no effect with " in message for message in messages)


def test_only_what_was_given_is_reported():
    assert without_effect(Settings(model="gru", length_penalty="none"), []) == []
