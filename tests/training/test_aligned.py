"""Learning from given alignments, through the commands: what a user gives, gets, and what resuming does with it."""

import random
import shutil

import pytest
from tests.training.runs import SETTINGS, content

import seq2x
from seq2x.errors import DataError
from seq2x.training import train

NAMES = "source=1,target=2,alignment=3"
SMALL = SETTINGS | {
    "model": "gru",
    "columns": NAMES,
    "alignment_loss": 1.0,
    "units": "char",
    "lr_scheduler": "constant",
}


def write(folder, lines=60):
    """Words copied in reverse order, in capitals; the links say so."""
    draw, rows = random.Random(1), []
    for _ in range(lines):
        words = ["".join(draw.choices("abcd", k=draw.randint(1, 2))) for _ in range(draw.randint(2, 4))]
        links = " ".join(f"{i}-{len(words) - 1 - i}" for i in range(len(words)))
        rows.append((" ".join(words), " ".join(word.upper() for word in reversed(words)), links))
    path = folder / "aligned.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
    return path, rows


def go(path, out, **changes):
    return train(path, out=out, settings=SMALL | changes, quiet=True)


def test_a_resumed_run_learns_from_the_same_links(tmp_path, fast_disk):
    """Also where the prepared pairs are gone, and made anew from the file."""
    path, _ = write(tmp_path)
    go(path, tmp_path / "whole")
    go(path, tmp_path / "plain", alignment_loss=0.0)
    for lost in (False, True):
        out = tmp_path / f"parts{lost}"
        go(path, out, max_steps=6)
        if lost:
            shutil.rmtree(out / "data")
        go(path, out)
        assert content(out) == content(tmp_path / "whole")
    assert content(tmp_path / "plain") != content(tmp_path / "whole")


@pytest.mark.slow
def test_attention_goes_where_the_links_say(tmp_path, fast_disk):
    path, rows = write(tmp_path, 120)
    learning = {"max_steps": 100, "valid_steps": 100, "width": 32, "batch_tokens": 500, "learning_rate": 0.01}
    go(path, tmp_path / "run", alignment_loss=2.0, valid_metric="loss", **learning)
    run, right, count = seq2x.load(tmp_path / "run", device="cpu"), 0, 0
    sources = [source for source, _, _ in rows[:40]]
    wanted = frozenset({"attention"})
    prefixes = [target for _, target, _ in rows[:40]]
    found = run(sources, details=True, want=wanted, beam_size=1, prefix=prefixes, max_length=20)
    for (source, target, links), one in zip(rows[:40], found, strict=True):
        given = {tuple(map(int, link.split("-"))) for link in links.split()}
        pairs = [pair for pair in run.align(source, one) if pair[1] < len(target.split())]
        right, count = right + sum(pair in given for pair in pairs), count + len(pairs)
    assert count > 80 and right > 0.9 * count


def test_alignments_that_are_not_there_are_said_before_training(tmp_path):
    path, rows = write(tmp_path, 30)
    (tmp_path / "bad.tsv").write_text("".join(f"{s}\t{t}\t9-0\n" for s, t, _ in rows))
    with pytest.raises(DataError, match=r"bad.tsv:\d+: the link 9-0, but the source has \d words"):
        go(tmp_path / "bad.tsv", tmp_path / "bad")
    (tmp_path / "two.tsv").write_text("".join(f"{s}\t{t}\n" for s, t, _ in rows))
    with pytest.raises(DataError, match=f"no alignments where columns = {NAMES} says"):
        go(tmp_path / "two.tsv", tmp_path / "two")
    assert path.exists()
