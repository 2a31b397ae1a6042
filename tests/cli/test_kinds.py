"""Kinds of models and of decoders, through the real command line: trained, described, used, and refused."""

import shlex

import pytest

from .conftest import cli, pairs, write

TINY = shlex.split(
    "--units char --layers 1 --width 16 --max-steps 6 --valid-steps 6 --batch-tokens 64 --valid-size 4 --no-probe "
    "--device cpu --precision fp32 --threads 1 --max-length 8"
)


@pytest.mark.parametrize(
    ("options", "described"),
    [
        (
            ["--model", "conv", "--kernel-width", "2", "--positions", "learned", "--embedding-width", "8"],
            "convolutions, 1+1 layers of width 16, each sees 2 positions",
        ),
        (
            ["--decoder", "coupled", "--no-bidirectional"],
            "GRU, 1+1 layers of width 16, one direction, additive attention, coupled decoder",
        ),
    ],
)
def test_from_pairs_to_outputs(tmp_path, options, described):
    train = write(tmp_path / "train.tsv", pairs(60, 1))
    ended = cli("train", train, "--out", tmp_path / "run", *TINY, *options)
    assert ended.code == 0 and "has no effect" not in ended.err, ended.err
    assert described in cli("info", tmp_path / "run").out.decode()
    outputs = cli("predict", tmp_path / "run", "--n-best", "2", stdin=b"abc\n\nde\n")
    assert outputs.code == 0 and outputs.out.count(b"\n") == 3, outputs.err
    assert cli("predict", tmp_path / "run", "--backend", "native", "--text", "abc").code != 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "conv", "--positions", "rotary"], "sinusoidal or learned"),
        (["--model", "fconv"], '"fconv" is "conv" here'),
        (["--model", "cnn"], '"cnn" is "conv" here'),
        (["--cnn-kernel-width", "5"], "is called kernel_width here"),
        (["--decoder", "coupled", "--model", "transformer"], "two recurrent cells"),
        (["--kernel-width", "1"], "kernel_width = 1; expected an integer from 2 to 1024"),
    ],
)
def test_what_makes_no_sense_is_said_before_training(tmp_path, options, said):
    train = write(tmp_path / "train.tsv", pairs(60, 1))
    ended = cli("train", train, "--out", tmp_path / "run", *TINY, *options)
    assert ended.code == 2 and said in ended.err
    assert not (tmp_path / "run").exists()


def test_a_setting_for_another_kind_is_said_to_have_no_effect(tmp_path):
    train = write(tmp_path / "train.tsv", pairs(60, 1))
    ended = cli("train", train, "--out", tmp_path / "run", *TINY, "--model", "conv", "--heads", "2")
    assert ended.code == 0 and 'heads has no effect with model = "conv"; it is for the Transformer' in ended.err
