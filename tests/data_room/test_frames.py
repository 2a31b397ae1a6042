"""Whether targets fit into their sources, at one frame or more for each symbol."""

import pytest

from seq2x.data import Notes
from seq2x.data.frames import Frames, needed
from seq2x.data.store import open_store
from seq2x.data.store_writer import write_store
from seq2x.errors import DataError
from seq2x.types import Example


class Bytes:
    size = 259

    def encode(self, text):
        return [byte + 3 for byte in text.encode()]


def write(folder, pairs, frames, notes=None):
    examples = [Example(source, (target,), line, file="f.tsv") for line, (source, target) in enumerate(pairs, 1)]
    return write_store(folder, examples, Bytes(), Bytes(), 10, 10, notes=notes, frames=frames, key="k")


def test_equal_neighbours_need_a_blank_between():
    assert [needed(target) for target in ([], [3], [3, 4], [3, 3], [3, 3, 3, 4, 4])] == [0, 1, 2, 3, 8]


def test_what_does_not_fit_is_set_aside_and_noted_again_when_opened(tmp_path):
    pairs = [("abc", "wxyz"), ("abc", "wxyy"), ("abc", "vwxyz"), ("ab", "x" * 11), ("a" * 11, "x"), ("abc", "x")]
    notes = Notes()
    store = write(tmp_path / "s", pairs, 1, notes)
    counts = {"target_without_room": 2, "target_too_long": 1, "source_too_long": 1}
    assert len(store) == 2 and notes.counts == counts
    assert notes.places["target_without_room"] == [("f.tsv", 2), ("f.tsv", 3)]
    again = Notes()
    open_store(tmp_path / "s", "k").note_set_aside(again, "train", 10)
    assert again.counts == counts
    assert "2 x target that does not fit into its source (decoder = ctc, see ctc_upsample), set aside" in notes.lost()
    assert len(write(tmp_path / "t", pairs, 0)) == 4  # any other decoder: they all fit
    assert len(write(tmp_path / "u", pairs, 2)) == 4


def test_where_most_do_not_fit_there_is_no_training_but_a_way_out(tmp_path):
    with pytest.raises(DataError) as caught:
        write(tmp_path / "s", [("abc", "z"), ("abc", "uvwxyz"), ("ab", "uvwxyz")], 1)
    assert str(caught.value) == (
        "f.tsv:2: 2 of 3 targets do not fit into their sources with ctc_upsample = 1; expected a frame for each target "
        'symbol, and one more between equals; ctc_upsample = 2, with which nearly all do; or decoder = "standard"'
    )
    with pytest.raises(DataError, match=r"with ctc_upsample = 2; .* ctc_upsample = 3"):
        write(tmp_path / "s", [("ab", "uvwxyzq")] * 2, 2)


def test_where_no_number_of_frames_would_do_another_decoder_is_named():
    frames = Frames(1)
    for line in range(3):
        assert frames.lack([], list(range(3, 300)), "f.tsv", line + 1)
    with pytest.raises(DataError, match=r'f.tsv:1: 3 of 3 .*; decoder = "standard", or "mask_predict"$'):
        frames.require_most()
    Frames(0).require_most()
    assert not Frames(0).lack([], [3] * 9, "f", 1)
