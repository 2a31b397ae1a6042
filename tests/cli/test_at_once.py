"""`--decoder mask_predict` and `--decoder ctc` from training to scores, and what is said where they cannot be."""

import json
import random

import pytest

from .conftest import SMALL, cli, write
from .refusals import refused

SHORT = (*SMALL, "--max-steps", "60", "--valid-steps", "60")


def words(count, most=5):
    draw = random.Random(5)
    return ["".join(draw.choices("abcdef", k=draw.randint(1, most))) for _ in range(count)]


@pytest.mark.parametrize(
    ("decoder", "said"),
    [
        ("mask_predict", "4 heads, writes all at once (mask_predict)"),
        ("ctc", "writes in place (ctc, 2 places for each"),
    ],
)
def test_a_run_from_training_to_scores(tmp_path, decoder, said):
    rows = [(word, word.upper()) for word in words(300)]
    run, data = tmp_path / "run", write(tmp_path / "pairs.tsv", rows)
    way = ("--ctc-upsample", "2", "--model", "gru") if decoder == "ctc" else ("--length-beam", "3", "--beam-size", "2")
    ended = cli("train", data, "--out", run, *SHORT, "--decoder", decoder, *way)
    assert ended.code == 0, ended.err
    assert said in cli("info", run).out.decode()
    asked = ("--refine-iterations", "1") if decoder == "mask_predict" else ()
    found = cli("predict", run, "--json", "--n-best", "2", *asked, stdin=b"abc\n\nfed\n")
    first, blank, _ = (json.loads(line) for line in found.lines)
    assert len(first["alternatives"]) == 2 and blank["stopped"] == "empty"
    if decoder == "ctc":  # 60 updates are enough to spell with
        assert first["text"] == "ABC" and first["stopped"] == "end"
    scored = cli("score", run, "-", stdin=found.out)
    assert [float(line) for line in scored.lines] == pytest.approx(
        [json.loads(line)["log_p"] for line in found.lines], abs=1e-4
    )
    assert ("log p is that of a single pass" in scored.err) == (decoder == "mask_predict")
    idle = cli("predict", run, "--length-alpha", "0.5", stdin=b"abc\n")
    assert f'length_alpha has no effect with decoder = "{decoder}"' in idle.err
    if decoder == "mask_predict":
        assert 'beam_size has no effect with decoder = "mask_predict"' in ended.err
    judged = json.loads(cli("evaluate", run, data, "--json").out)
    assert judged["items"] == 300 and (decoder != "ctc" or judged["results"]["exact_match"]["value"] > 50)


def test_targets_that_do_not_fit_are_named_or_refused_before_training(tmp_path):
    rows = [(word, word + word) for word in words(60)]
    data = write(tmp_path / "long.tsv", rows)
    line = "targets do not fit into their sources with ctc_upsample = 1; expected a frame for each target symbol"
    refused(["train", data, "--out", tmp_path / "a", *SHORT, "--decoder", "ctc"], 3, line)
    few = write(tmp_path / "few.tsv", [(word, word) for word in words(80)] + [("a", "abc"), ("ab", "bbbb")])
    ended = cli(
        "train", few, "--out", tmp_path / "b", *SHORT, "--max-steps", "1", "--decoder", "ctc", "--ctc-upsample", "1"
    )
    assert ended.code == 0 and "target that does not fit into its source (decoder = ctc, see ctc_upsample)" in ended.err


def test_a_recurrent_decoder_does_not_write_all_at_once(tmp_path):
    data = write(tmp_path / "pairs.tsv", [("a", "b")])
    wrong = ["train", data, "--out", tmp_path / "a", "--decoder", "mask_predict", "--model", "gru"]
    refused(wrong, 2, 'decoder = "mask_predict" and model = "gru"; its decoder writes one symbol after another')
    refused(["train", data, "--decoder", "cmlm"], 2, '"cmlm" is "mask_predict" here')
