"""A loaded run: one text or many, details, settings, streams, ensembles, folders that are none."""

import itertools
import math

import pytest

from seq2x import Prediction, load
from seq2x.errors import DataError, DeviceError, FolderError, UsageError
from seq2x.predict import model_folder
from seq2x.run import commit
from tasks.conftest import LINES, make_task

SHORT = {"max_length": 8, "beam_size": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    commit(place / "best", 1, make_task().to_files(), {})
    return place


@pytest.fixture(scope="module")
def run(folder):
    return load(folder, "cpu")


def test_one_text_gives_one_and_many_give_many(run):
    one = run("the cat", **SHORT)
    assert isinstance(one, str)
    assert run(["the cat", "", "a dog"], **SHORT) == [one, "", run("a dog", **SHORT)]
    assert run([], **SHORT) == [] and run("", **SHORT) == ""
    assert run((text for text in ("the cat",)), **SHORT) == [one]


@pytest.mark.parametrize("threads", [-1, 1025, 100_000, 2**31, "two", True, None, 1.0])
def test_threads_that_cannot_be(folder, threads):
    import torch

    before = torch.get_num_threads()
    with pytest.raises(UsageError, match=r"settings: threads = .*; expected an integer from 0 to 1024"):
        load(folder, "cpu", threads=threads)
    assert torch.get_num_threads() == before


def test_arguments_of_the_wrong_kind(folder, run):
    for wrong in (None, 3, b"run"):
        with pytest.raises(UsageError, match=r"run: a .*; expected a run folder"):
            load(wrong)
    with pytest.raises(UsageError, match="device: a NoneType"):
        load(folder, None)
    with pytest.raises(DeviceError, match='"gpu" is "cuda" here'):
        load(folder, "gpu")
    with pytest.raises(UsageError, match="input: a NoneType; expected a text, or several"):
        run(None)
    with pytest.raises(UsageError, match="input: a int; expected text"):
        run(b"the cat")


def test_a_setting_is_known_by_either_spelling(run):
    assert run(LINES, **{"beam-size": 2, "max-length": 8}) == run(LINES, **SHORT)
    with pytest.raises(UsageError, match="belongs to training"):
        run(LINES, **{"batch-tokens": 3})


def test_a_text_that_no_file_could_hold(run):
    with pytest.raises(DataError, match=r"input 2: not UTF-8 \(character 3: \\udcff\)") as caught:
        run(["the cat", "th\udcff"], **SHORT)
    assert caught.value.exit_code == 3
    with pytest.raises(DataError, match="prefix 1: not UTF-8"):
        run("the cat", prefix="\ud800", **SHORT)


def test_details(run):
    one = run("the cat", details=True, **SHORT)
    assert isinstance(one, Prediction) and one.value == run("the cat", **SHORT)
    several = run(LINES, n_best=3, details=True, max_length=8)
    assert all(len(prediction.alternatives) == 3 for prediction in several)
    broken = [f"<0x{byte:02X}>" for byte in range(128, 256)]  # whatever they spell, it is U+FFFD
    many = run("the cat", n_best=9, details=True, max_length=8, forbid=broken)
    assert len({one.value for one in many.alternatives}) == 9  # a beam wide enough comes by itself


def test_the_best_folder_alone_is_enough(folder, run):
    assert load(folder / "best", "cpu")(LINES, **SHORT) == run(LINES, **SHORT)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_beams": 3}, "beam_size"),
        ({"beam_sice": 3}, "beam_size"),
        ({"beam_size": "3"}, "beam_size"),
        ({"beam_size": 0}, "beam_size"),
        ({"beam_size": True}, "beam_size"),
        ({"temperature": math.nan}, "temperature"),
        ({"layers": 3}, "belongs to model"),
        ({"n_best": 2}, "details=True"),
        ({"n_best": 3, "beam_size": 2, "details": True}, "n_best"),
        ({"length_penalty": 0.6}, "length_alpha"),
    ],
)
def test_settings_are_strict(run, settings, said):
    with pytest.raises(UsageError, match=said):
        run("the cat", **settings)


def test_a_prefix_for_all_or_one_for_each(run):
    assert all(value.startswith("ab") for value in run(["the cat", "a dog"], prefix="ab", **SHORT))
    found = run(["the cat", "a dog", "", "x"], prefix=["ab", None, "c", ""], **SHORT)
    assert found[0].startswith("ab") and found[1] == run("a dog", **SHORT) and found[2] == ""
    assert run("the cat", prefix="ab", **SHORT) == found[0] == run("the cat", prefix=["ab"], **SHORT)
    assert run("the cat", prefix=None, **SHORT) == run("the cat", prefix="", **SHORT) == run("the cat", **SHORT)
    lazily = run.stream(iter(["the cat", "a dog"]), prefix=(p for p in ["ab", "c"]), window=1, **SHORT)
    assert [p.value[0] for p in lazily] == ["a", "c"]


def test_what_is_forbidden_does_not_occur(run):
    token = run("the cat", details=True, **SHORT).tokens[0]
    assert token not in run("the cat", details=True, forbid=[token], **SHORT).tokens
    with pytest.raises(UsageError, match='forbid: "the cat" is no token'):
        run([], forbid=["the cat"])
    with pytest.raises(UsageError, match="an argument of predict"):
        run.settings(prefix="x")


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        (["a"], "fewer than there are texts"),
        (["a"] * 3, "more than there are texts"),
        (["a", 3], "a int; expected text"),
        ([b"a", "b"], "a bytes; expected text"),
        (["a", "x" * 9], "input 2: a prefix of 9 symbols"),
    ],
)
@pytest.mark.parametrize("window", [1, 9])
def test_prefixes_that_cannot_be(run, prefix, said, window):
    with pytest.raises(UsageError, match=said):
        run(["the cat", "a dog"], prefix=prefix, window=window, **SHORT)


@pytest.mark.parametrize("texts", [[1], [b"bytes"], [None]])
def test_only_texts_are_texts(run, texts):
    with pytest.raises(UsageError, match="expected text"):
        run(texts, **SHORT)


def test_a_stream_reads_ahead_one_window_at_most(run):
    read = []

    def endless():
        for number in itertools.count():
            read.append(number)
            yield f"line {number}"

    found = run.stream(endless(), window=5, **SHORT)
    for number, prediction in enumerate(itertools.islice(found, 12)):
        assert len(read) <= number + 5
        assert prediction.value == run(f"line {number}", **SHORT)


def test_the_runs_own_search_settings_are_its_defaults(tmp_path):
    import dataclasses

    task = make_task()
    task.about = dataclasses.replace(
        task.about, search={"beam_size": 1, "max_length": 3, "columns": "source=2,target=1"}
    )
    commit(tmp_path, 1, task.to_files(), {})
    run = load(tmp_path, "cpu")
    assert (run.settings().beam_size, run.settings().max_length) == (1, 3)
    assert run.settings(beam_size=4).beam_size == 4
    assert len(run("the cat", details=True).ids) <= 4


def test_an_ensemble_must_share_its_symbols(folder, tmp_path, run):
    commit(tmp_path / "other", 1, make_task(seed=5).to_files(), {})
    commit(tmp_path / "bytes", 1, make_task(units="byte").to_files(), {})
    together = load(folder, "cpu", ensemble=[tmp_path / "other"])
    assert together("the cat", details=True, **SHORT).log_p != run("the cat", details=True, **SHORT).log_p
    with pytest.raises(FolderError, match="other target symbols"):
        load(folder, "cpu", ensemble=[tmp_path / "bytes"])


@pytest.mark.parametrize("device", ["cuda:77", "toaster", "cuda:x", ""])
def test_a_device_that_is_not_there(folder, device):
    with pytest.raises(DeviceError, match="cpu"):
        load(folder, device)


def test_the_number_of_threads_can_be_set(folder):
    import torch

    before = torch.get_num_threads()
    try:
        load(folder, "cpu", threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("name", "other"), [("device", "cuda:77"), ("device", "cuda"), ("threads", 77)])
def test_what_only_loading_can_obey_is_said(run, name, other):
    """A loaded model stays where it is: what would be ignored in silence is an error that says where to give it."""
    said = rf"{name}: {other}, but the run was loaded with .*seq2x\.load\(run, {name}={other!r}\)"
    for ask in (run, lambda *a, **k: next(run.stream(*a, **k)), lambda *a, **k: run.settings(**k)):
        with pytest.raises(UsageError, match=said):
            ask(["the cat"], **SHORT, **{name: other})


def test_what_is_so_already_may_be_said_again(run):
    import torch

    for same in ({"device": "cpu"}, {"device": "auto"}, {"threads": torch.get_num_threads()}, {"threads": 0}):
        assert run("the cat", **SHORT, **same) == run("the cat", **SHORT)


def test_folders_that_are_no_runs(tmp_path, folder):
    (tmp_path / "pairs").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(FolderError, match=r"did you mean .*pairs"):
        load(tmp_path / "paris")
    with pytest.raises(FolderError, match="not a folder"):
        load(tmp_path / "file")
    with pytest.raises(FolderError):
        load(tmp_path / "pairs")
    for path in ("a\0b", "x" * 5000):
        with pytest.raises((UsageError, FolderError)):
            load(path)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "best").symlink_to(folder / "best")
    with pytest.raises(FolderError, match="a link"):
        model_folder(tmp_path / "linked")
