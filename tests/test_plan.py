"""The plan: every gap filled, nothing given changed, sound choices for known kinds of data."""

import dataclasses
import random
import sys

import pytest
from hypothesis import given
from hypothesis import settings as quick
from hypothesis import strategies as st

from seq2x.metrics import Fit
from seq2x.models.shape import shape_of
from seq2x.plan import Profile, Side, estimate_seconds, plan, profile, task_of
from seq2x.settings import Settings, broken_rule, resolve
from seq2x.types import Example


def examples(pairs):
    return [Example(source, (target,), line) for line, (source, target) in enumerate(pairs, 1)]


def words(draw, letters, low, high, most=9):
    return " ".join(
        "".join(draw.choice(letters) for _ in range(draw.randint(2, most))) for _ in range(draw.randint(low, high))
    )


def pronunciations(lines=400):
    draw = random.Random(1)
    phones = [f"{a}{b}" for a in "abcde" for b in "XYZ"]
    letters = "abcdefghij"
    return [
        (words(draw, letters, 1, 1), " ".join(draw.choice(phones) for _ in range(draw.randint(3, 8))))
        for _ in range(lines)
    ]


def translations(lines=300):
    draw = random.Random(2)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [(words(draw, letters, 6, 15), words(draw, letters, 6, 15)) for _ in range(lines)]


def chosen(pairs, count=None, **given):
    return plan(profile(examples(pairs), count), Settings(**given))


def test_texts_that_stand_alone():
    texts = [("", text) for _, text in translations()]
    found = chosen(texts)
    assert (found.settings.task, found.settings.valid_metric, found.settings.units) == ("lm", "loss", "bpe")
    assert found.settings.source_units == "bpe" and found.settings.joint_vocab
    assert found.reasons["preset"].startswith("300 texts") and "learning_rate" in found.reasons
    counted = chosen(texts, model="ngram")
    assert counted.settings.valid_size == 30 and not {"layers", "learning_rate", "max_steps"} & set(counted.reasons)


def test_pronunciation():
    found = chosen(pronunciations(), 100_000).settings
    assert (found.source_units, found.target_units, found.joint_vocab) == ("char", "word", False)
    assert found.valid_metric == "word_errors"
    assert (found.layers, found.width, found.heads, found.feedforward) == (3, 256, 4, 1024)
    assert found.dropout == 0.1


@pytest.mark.parametrize(
    ("heads", "width"), [(1, 256), (2, 256), (3, 264), (5, 240), (7, 280), (12, 264), (16, 256), (300, 600)]
)
def test_the_width_follows_the_heads(heads, width):
    found = chosen(pronunciations(), 100_000, heads=heads)
    assert (found.settings.width, found.settings.feedforward) == (width, 4 * width)
    assert width % (2 * heads) == 0 and (width == 256 or f"{heads} heads" in found.reasons["width"])
    assert chosen(pronunciations(), 100_000, heads=heads, width=8 * heads).settings.width == 8 * heads
    assert chosen(pronunciations(), 100_000, heads=heads, model="gru").settings.width == 256


def test_data_that_fits_one_batch_is_not_said_to_give_no_update():
    assert "one update an epoch" in chosen(translations(3)).reasons["batch_tokens"]
    assert "updates per epoch" in chosen(translations()).reasons["batch_tokens"]


def test_translation():
    found = chosen(translations(), 29_000).settings
    assert (found.units, found.joint_vocab, found.vocab_size) == ("bpe", True, 6_000)
    assert found.valid_metric == "bleu"
    assert 1e-3 <= found.learning_rate <= 2e-3
    assert 400 <= found.warmup_steps <= 800
    assert 1_000 <= found.batch_tokens <= 2_500
    assert found.dropout == 0.2


def test_chinese_needs_no_blanks():
    draw = random.Random(3)
    characters = [chr(0x4E00 + i) for i in range(400)]
    pairs = [
        ("".join(draw.choices(characters, k=draw.randint(8, 30))), words(draw, "abcdefghijkl", 6, 12))
        for _ in range(300)
    ]
    plain = chosen(pairs, 26_000)
    found = plain.settings
    assert (found.source_units, found.target_units, found.joint_vocab) == ("char", "bpe", False)
    assert plain.reasons["source_units"] == "han script without blanks; 26,000 pairs are few for learned words"
    assert chosen(pairs, 200_000).settings.source_units == "bpe"
    turned = chosen([(b, a) for a, b in pairs], 26_000).settings
    assert (turned.source_units, turned.target_units, turned.valid_metric) == ("bpe", "char", "bleu")


def test_little_data_gets_a_small_model_and_much_dropout():
    found = chosen(pronunciations(), 800).settings
    assert (found.preset, found.width, found.dropout) == ("tiny", 128, 0.3)


def test_an_accelerator_affords_more():
    data = profile(examples(translations()), 2_000_000)
    assert plan(data, Settings()).settings.preset == "small"
    assert plan(data, Settings(), device="cuda").settings.preset == "base"
    assert plan(data, Settings(), device="cuda").settings.batch_tokens > plan(data, Settings()).settings.batch_tokens


def test_what_is_given_stays_and_what_follows_from_it_follows():
    found = chosen(translations(), 29_000, width=96, units="char", max_steps=40, model="gru", joint_vocab=False)
    assert (found.settings.width, found.settings.units, found.settings.max_steps) == (96, "char", 40)
    assert (found.settings.source_units, found.settings.target_units) == ("char", "char")
    assert found.settings.valid_steps <= 40
    assert "width" not in found.reasons and found.reasons["source_units"] == "as units says"
    wide = chosen(translations(), 29_000, width=102).settings
    assert wide.width % wide.heads == 0 and wide.feedforward == 408


def test_every_choice_has_its_reason():
    found = chosen(translations())
    default = Settings()
    changed = {
        f.name for f in dataclasses.fields(Settings) if getattr(found.settings, f.name) != getattr(default, f.name)
    }
    assert changed == set(found.reasons)
    assert all(reason and "\n" not in reason for reason in found.reasons.values())


SIDES = st.builds(
    Side,
    characters=st.integers(1, 5000),
    words=st.integers(1, 100_000),
    mean_characters=st.floats(1, 2000),
    mean_words=st.floats(0.1, 400),
    script=st.sampled_from(["latin", "han", "kana", "thai", "none", "arabic"]),
    symbols=st.booleans(),
)


@quick(max_examples=200, deadline=None)
@given(
    st.builds(
        Profile,
        pairs=st.integers(1, 10**9),
        source=SIDES,
        target=SIDES,
        shared=st.floats(0, 1),
        fit=st.builds(Fit, metrics=st.sampled_from([("bleu", "chrf"), ("word_errors",)]), reason=st.just("seen")),
    ),
    st.sampled_from(["cpu", "cuda"]),
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.sampled_from(["gru", "lstm"]),
            "preset": st.just("big"),
            "tied": st.just("all"),
            "joint_vocab": st.just(True),
            "positions": st.just("rotary"),
            "heads": st.integers(1, 20),
        },
    ).filter(lambda given: not broken_rule(Settings(**given))),
)
def test_any_data_gets_settings_that_hold_together(data, device, given):
    found = plan(data, Settings(**given), device=device).settings
    values = {f.name: getattr(found, f.name) for f in dataclasses.fields(Settings)}
    assert resolve({k: v for k, v in values.items() if v is not None}, "plan") == found
    shape_of(found, 300, 300, joint=bool(found.joint_vocab))
    named = ("layers", "width", "dropout", "learning_rate", "batch_tokens", "max_steps", "warmup_steps", "valid_steps")
    assert all(values[name] is not None for name in (*named, "vocab_size", "joint_vocab", "valid_size"))
    assert found.valid_steps <= found.max_steps and found.warmup_steps < found.max_steps


def test_the_estimate_says_where_it_comes_from():
    found = chosen(translations(), 29_000).settings
    tokens = found.max_steps * found.batch_tokens
    assert estimate_seconds(found, 7_000_000, 2_000.0)[0] == pytest.approx(tokens / 2_000)
    assert "not measured" in estimate_seconds(found, 7_000_000)[1]


def test_the_estimate_knows_how_much_there_is_and_what_validation_takes():
    found = Settings(max_steps=100, batch_tokens=1_000, valid_steps=30, valid_beam_size=2)
    assert estimate_seconds(found, 7, 10.0, epoch=600)[0] == pytest.approx(100 * 600 / 10)
    assert estimate_seconds(found, 7, 10.0, epoch=6_000)[0] == pytest.approx(100 * 1_000 / 10)
    assert estimate_seconds(found, 7, 10.0, held_out=50)[0] == pytest.approx((100 * 1_000 + 4 * 50 * 2) / 10)


def test_one_vocabulary_is_of_one_kind():
    """`_units` would choose char for the source and word for the target."""
    tied = chosen(pronunciations(), 100_000, tied="all")
    assert (tied.settings.joint_vocab, tied.reasons["joint_vocab"]) == (True, "tied = all is for one vocabulary")
    assert tied.settings.source_units == tied.settings.target_units == "char"
    found = chosen(pronunciations(), 100_000, tied="all", source_units="char")
    assert (found.settings.target_units, found.settings.joint_vocab) == ("char", True)
    assert found.reasons["target_units"] == "as on the other side: tied = all is for one vocabulary"
    found = chosen(pronunciations(), 100_000, joint_vocab=True, target_units="bpe")
    assert found.settings.source_units == "bpe"


@pytest.mark.parametrize(("width", "heads"), [(20, 2), (24, 4), (6, 3), (2, 1), (256, 4)])
def test_rotary_positions_get_heads_of_an_even_width(width, heads):
    assert chosen(pronunciations(), 100_000, width=width, positions="rotary").settings.heads == heads


def test_a_coupled_decoder_gets_recurrent_cells_one_layer_of_them():
    found = chosen(pronunciations(), 100_000, decoder="coupled")
    assert (found.settings.model, found.settings.layers, found.settings.decoder_layers) == ("gru", 1, 1)
    assert "two recurrent cells" in found.reasons["model"] and "two cells" in found.reasons["decoder_layers"]
    assert chosen(pronunciations(), 100_000, decoder="coupled", model="lstm", layers=2).settings.decoder_layers == 1


@pytest.mark.parametrize(("kernel", "reach"), [(3, 9), (5, 17)])
def test_convolutions_get_layers_enough_to_see_something(kernel, reach):
    found = chosen(pronunciations(), 100_000, model="conv", kernel_width=kernel)
    assert (found.settings.layers, found.settings.width) == (4, 256)
    assert f"sees {reach} symbols" in found.reasons["layers"] and "convolutions" in found.reasons["learning_rate"]
    assert found.settings.heads is None and found.settings.feedforward is None


def test_a_context_at_every_step_gets_a_layer_that_reads_it():
    found = chosen(pronunciations(), 100_000, model="gru", context_use="state+every")
    assert found.settings.layers == 2 and "above the first" in found.reasons["layers"]
    assert chosen(pronunciations(), 100_000, model="gru").settings.layers == 1
    assert chosen(pronunciations(), 100_000, model="gru", context="mean", context_use="every").settings.layers == 1


def test_empty_data_does_not_break_the_profile():
    assert profile([]).pairs == 0


def test_plan_needs_no_torch():
    import subprocess

    code = "import seq2x.plan, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_tagger_is_made_where_it_is_asked_for_and_is_only_mentioned_where_the_data_looks_like_one():
    tokens = examples([("the dog barks now", "D N V A"), ("a cat sat down", "D N V A")] * 60)
    looked = profile(tokens)
    assert looked.labels and plan(looked, Settings()).settings.task == "generate"
    assert "--task tag" in plan(looked, Settings()).reasons["task"]
    assert "--task tag" not in plan(dataclasses.replace(looked, labels=False), Settings()).reasons["task"]
    strange = [("the\u00a0dog barks now", "D V A"), ("a\u3000cat sat down", "D V A")] * 60  # blanks are U+0020 alone
    assert profile(examples(strange)).labels
    for asked in (Settings(task="tag"), Settings(crf=True), Settings(model="hmm")):
        found = plan(profile(tokens, task=task_of(asked)[0]), asked)
        assert (found.settings.task, found.settings.valid_metric) == ("tag", "accuracy")
        assert found.settings.model == ("hmm" if asked.model == "hmm" else "lstm")
        assert (found.settings.max_steps is None) == (asked.model == "hmm") and found.settings.valid_size
