"""From a file to a model to outputs and figures, through the real command line."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import SMALL, Ended, cli, pairs, write

AWKWARD = (
    b"\xef\xbb\xbfabc\n"  # a byte order mark
    b"\n"
    b"a\xe2\x80\xa8b\n"  # U+2028 ends no line
    b"   \n"
    b"\x00\x1b[31m\n"
    b"crlf\r\n"
    b"</s> <pad> <unk>\n" + "你".encode() * 700 + b"\n"
    b"tab\tinside\n"
    b"\xe2\x80\xa9\n"
    b"no end"
)


def records(ended):
    return [json.loads(line) for line in ended.lines]


def sources(place):
    return b"".join(line.split(b"\t")[0] + b"\n" for line in (place / "test.tsv").read_bytes().splitlines())


def test_it_has_learned(place):
    results = json.loads(cli("evaluate", place / "a", place / "test.tsv", "--json").out)["results"]
    assert next(iter(results)) == "exact_match"
    assert results["exact_match"]["value"] >= 70


def test_n_records_in_n_records_out(run_a):
    for extra in (
        [],
        ["--beam-size", "1"],
        ["--n-best", "3"],
        ["--sample", "--seed", "3"],
        ["--window", "2"],
        ["--json"],
    ):
        if "--seed" in extra:
            extra = ["--sample", "--set", "temperature=2"]
        ended = cli("predict", run_a, *extra, stdin=AWKWARD)
        assert ended.code == 0, ended.err
        assert ended.out.count(b"\n") == 11 and ended.out.endswith(b"\n")
        assert b"\r" not in ended.out
        ended.out.decode("utf-8")
    lines = records(ended)
    assert [line["stopped"] == "empty" for line in lines] == [False, True, False, True] + [False] * 5 + [True, False]
    assert [line["truncated"] for line in lines][7] is True
    assert lines[0]["text"] == "cba" and lines[0]["source"] == "abc" and lines[2]["source"] == "a\u2028b"
    assert lines[5]["source"] == "crlf"
    assert "byte order mark" in ended.err and "longer than the model reads" in ended.err and "blank" in ended.err


def test_nothing_in_nothing_out(run_a):
    ended = cli("predict", run_a, stdin=b"")
    assert (ended.code, ended.out, ended.err) == (0, b"", "")


def test_one_text_may_stand_on_the_command_line(run_a):
    assert cli("predict", run_a, "--text", "abc").lines == ["cba"]


def test_a_file_beside_a_text_is_a_question(run_a, place):
    ended = cli("predict", run_a, place / "test.tsv", "--text", "abc")
    assert ended.code == 2 and "one of them" in ended.err and ended.out == b""


def test_inputs_are_not_written_over(run_a, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("abc\n")
    for out in (path, tmp_path / "." / "in.txt"):
        ended = cli("predict", run_a, path, "--out", out)
        assert ended.code == 2 and "is the file that is read" in ended.err
    with path.open() as file:
        line = [sys.executable, "-m", "seq2x", "predict", str(run_a), "--out", str(path)]
        assert subprocess.run(line, stdin=file, capture_output=True).returncode == 2
    assert path.read_text() == "abc\n"


def test_another_seed_draws_another_output(run_a):
    line = ["predict", run_a, "--sample", "--temperature", "20", "--text", "abcab"]
    first, again, other = (cli(*line, "--seed", seed).lines for seed in ("1", "1", "2"))
    assert first == again == cli(*line).lines != other
    assert "seed has no effect" in cli("predict", run_a, "--text", "abc", "--seed", "2").err


def test_batches_and_windows_change_nothing(place):
    expected = cli("predict", place / "a", place / "test.tsv", "--json")
    for extra in (["--batch-size", "1"], ["--window", "7"], ["--invariant"]):
        other = cli("predict", place / "a", place / "test.tsv", "--json", *extra)
        for one, two in zip(records(expected), records(other), strict=True):
            assert one["text"] == two["text"] and math.isclose(one["score"], two["score"], abs_tol=1e-5)


def test_score_of_the_predicted_tokens_is_what_predict_said(place, tmp_path):
    predicted = cli("predict", place / "a", "--json", stdin=sources(place) + AWKWARD)
    (tmp_path / "out.jsonl").write_bytes(predicted.out)
    scored = cli("score", place / "a", tmp_path / "out.jsonl", "--json")
    assert scored.code == 0, scored.err
    *lines, _ = records(scored)  # the last one holds the totals
    for one, two in zip(records(predicted), lines, strict=True):
        assert math.isclose(one["log_p"], two["log_p"], abs_tol=1e-5)
        assert one["ids"] == two["ids"] and one["tokens"] == two["tokens"]
        assert all(
            math.isclose(x, y, abs_tol=1e-5) for x, y in zip(one["token_log_p"], two["token_log_p"], strict=True)
        )
    assert "perplexity" in scored.err
    plain = cli("score", place / "a", tmp_path / "out.jsonl")
    assert [round(one["log_p"], 6) for one in lines] == [float(line) for line in plain.lines]


def test_score_counts_texts_that_are_cut_into_other_symbols(place, tmp_path):
    line = records(cli("predict", place / "a", "--json", "--text", "abc"))[0]
    spelled = {**line, "ids": [3 + byte for byte in line["text"].encode()], "stopped": "end"}
    (tmp_path / "out.jsonl").write_text(f"{json.dumps(line)}\n{json.dumps(spelled)}\n")
    ended = cli("score", place / "a", tmp_path / "out.jsonl")
    assert ended.code == 0 and len(set(ended.lines)) == 2
    assert "1 x text that is cut into other symbols" in ended.err


@pytest.mark.parametrize("ids", ["[1]", "[-1]", "[100000]", '["a"]', "3", "[true]", "null"])
def test_score_refuses_symbols_of_another_model(place, tmp_path, ids):
    (tmp_path / "out.jsonl").write_text(f'{{"source": "a", "text": "a", "ids": {ids}, "stopped": "end"}}\n')
    ended = cli("score", place / "a", tmp_path / "out.jsonl")
    assert ended.code == 3 and "out.jsonl:1" in ended.err and "Traceback" not in ended.err


def test_evaluate_judges_what_predict_writes(place):
    from seq2x.metrics import evaluate_pairs

    ended = cli("evaluate", place / "a", place / "test.tsv", "--json", "--metric", "exact_match", "--metric", "cer")
    found = json.loads(ended.out)
    outputs = cli("predict", place / "a", stdin=sources(place)).lines
    references = [line.split("\t")[1] for line in (place / "test.tsv").read_text().splitlines()]
    assert list(found["results"]) == ["exact_match", "cer"] and found["items"] == len(outputs)
    for name, result in found["results"].items():
        assert math.isclose(result["value"], evaluate_pairs(name, outputs, references).value)
        assert result["interval"][0] <= result["value"] <= result["interval"][1]
    right = sum(a == b for a, b in zip(outputs, references, strict=True))
    assert math.isclose(found["results"]["exact_match"]["value"], 100 * right / len(outputs))


def test_evaluate_says_what_flatters(place, tmp_path):
    trained = cli("evaluate", place / "a", place / "train.tsv")
    assert "warning" in trained.err and "occur in the training data" in trained.err
    fresh = write(tmp_path / "fresh.tsv", [("eeeee", "eeeee"), ("fghij", "jihgf"), ("fghij", "other")])
    ended = cli("evaluate", place / "a", fresh)
    assert "training data" not in ended.err and "1 sources occur with several targets" in ended.err
    merged = cli("evaluate", place / "a", fresh, "--references", "merge")
    assert "3 lines are 2 items" in merged.err and "2 items" in merged.out.decode()


def test_two_files_do_as_well_as_one(place, tmp_path):
    rows = [line.split("\t") for line in (place / "test.tsv").read_text().splitlines()]
    for column, name in enumerate(("src.txt", "tgt.txt")):
        (tmp_path / name).write_text("".join(row[column] + "\n" for row in rows))
    two = cli("evaluate", place / "a", tmp_path / "src.txt", tmp_path / "tgt.txt", "--json")
    assert (
        json.loads(two.out)["results"]
        == json.loads(cli("evaluate", place / "a", place / "test.tsv", "--json").out)["results"]
    )


def test_compare_shows_what_changed(place):
    ended = cli("compare", place / "a", place / "b", place / "test.tsv", "--json")
    found = json.loads(ended.out)
    assert ended.code == 0 and found["changed"] and 0 < found["p_value"] <= 1
    assert math.isclose(found["difference"], found["b"] - found["a"])
    first = found["changed"][0]
    assert first["a"] != first["b"] and first["line"] >= 1
    plain = cli("compare", place / "a", place / "b", place / "test.tsv", "--lines", "1").out.decode()
    assert f"line {first['line']}: {first['source']}" in plain and "difference" in plain
    same = json.loads(cli("compare", place / "a", place / "a" / "best", place / "test.tsv", "--json").out)
    assert same["changed"] == [] and same["difference"] == 0 and same["winner"] == ""


def test_an_ensemble_decides_together(place):
    together = cli("predict", place / "a", "--ensemble", place / "b", "--json", stdin=sources(place))
    assert together.code == 0, together.err
    alone = cli("predict", place / "a", "--json", stdin=sources(place))
    assert [r["log_p"] for r in records(together)] != [r["log_p"] for r in records(alone)]
    twins = cli("predict", place / "a", "--ensemble", place / "a" / "best", "--json", stdin=sources(place))
    for one, two in zip(records(alone), records(twins), strict=True):
        assert one["text"] == two["text"] and math.isclose(one["log_p"], two["log_p"], abs_tol=1e-4)


def test_compare_warns_of_what_either_was_trained_on(place, tmp_path):
    train = write(tmp_path / "other.tsv", pairs(60, 2))
    assert cli("train", train, "--out", tmp_path / "c", *SMALL, "--max-steps", "3", "--valid-size", "6").code == 0
    ended = cli("compare", place / "a", tmp_path / "c", place / "test.tsv", "--top-k", "3")
    assert "occur in the training data of b" in ended.err and "top_k has no effect" in ended.err


def test_what_people_read_cannot_drive_a_terminal(run_a, tmp_path):
    from seq2x.run import commit, load

    shutil.copytree(run_a / "best", tmp_path / "best")
    saved = load(tmp_path / "best")
    commit(tmp_path / "best", saved.step, saved.contents, {**saved.about, "parent": "\x1b[2J\u202e"})
    out = cli("info", tmp_path / "best").out
    assert b"began from" in out and b"\x1b" not in out and "\u202e".encode() not in out
    path = write(tmp_path / "test.tsv", [("ab\x1b[2J", "ba"), ("dcbaa", "aabcd")])
    out = cli("compare", run_a, run_a.parent / "b", path, "--beam-size", "1").out
    assert b"\x1b" not in out


def test_info_in_words_and_for_machines(run_a):
    ended = cli("info", run_a)
    assert ended.code == 0 and "Transformer, 1+1 layers of width 48" in ended.out.decode()
    assert "exact_match" in ended.out.decode() and "every sum agrees" in ended.out.decode()
    facts = json.loads(cli("info", run_a / "best", "--json").out)
    assert facts["model"]["width"] == 48 and facts["parameters"] > 10_000 and facts["source"]["units"] == "char"


def test_info_and_check_import_no_torch(place):
    for arguments in (["info", str(place / "a")], ["check", str(place / "train.tsv")]):
        code = f"import sys; from seq2x.cli import main; assert not main({arguments!r}) and 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_check_is_for_scripts(place, tmp_path):
    ended = cli("check", place / "train.tsv", "--test", place / "test.tsv", "--json")
    report = json.loads(ended.out)
    assert ended.code == 0 and report["facts"]["pairs"] == 600
    assert any(finding["code"] == "overlap" for finding in report["findings"])
    broken = tmp_path / "broken.tsv"
    broken.write_bytes(b"a\tb\nno tab\nc\td\n\xff\tx\n")
    ended = cli("check", broken)
    assert ended.code == 3 and "broken.tsv:2" in ended.out.decode() and "Traceback" not in ended.err


def test_training_again_is_resuming(place):
    again = cli("train", place / "train.tsv", "--out", place / "b", *SMALL, "--max-steps", "80", "--json")
    assert again.code == 0, again.err
    found = json.loads(again.out)
    assert found["run"] == str(place / "b") and found["steps"] == 80 and again.err == ""
    other = cli("train", place / "train.tsv", "--out", place / "b", *SMALL, "--max-steps", "80", "--width", "24")
    assert other.code == 2 and "width was 48, now 24" in other.err


def test_a_recipe_says_it_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "train.tsv", pairs(200, 3))
    write(tmp_path / "test.tsv", pairs(20, 4))
    (tmp_path / "small.toml").write_text(
        'train = "train.tsv"\ntest = "test.tsv"\n'
        'model = "gru"\nunits = "char"\nlayers = 1\nwidth = 16\nmax_steps = 4\nvalid_steps = 4\n'
        "probe = false\nbeam_size = 2\nvalid_size = 10\nthreads = 1\n"
    )
    ended = cli("train", "small.toml", "--seed", "5")
    assert ended.code == 0, ended.err
    assert ended.lines == ["runs/small"] and "test (test.tsv): exact_match" in ended.err
    again = json.loads(cli("train", "small.toml", "--seed", "5", "--json").out)
    assert again["test"] == json.loads(cli("evaluate", "runs/small", "test.tsv", "--json").out)["results"]
    other = json.loads(cli("train", "small.toml", "--seed", "5", "--json", "--test", "train.tsv").out)
    assert next(iter(other["test"].values()))["count"] == 200
    facts = json.loads(cli("info", "runs/small", "--json").out)
    assert facts["model"]["kind"] == "gru" and facts["task"]["search"] == {"beam_size": 2}
    (tmp_path / "empty.toml").write_text("layers = 1\n")
    assert cli("train", "empty.toml").code == 2


def test_bad_inputs_to_predict_are_said_with_their_line(run_a, tmp_path):
    for content, said in (
        (b"ok\n\xff\xfe\n", "standard input:2:1"),
        (b"a\0b\0c\0d\0e\0f\0g\0h\0", "UTF-16"),
        (b"x" * 2_000_000, "max_line_bytes"),
    ):
        ended = cli("predict", run_a, stdin=content)
        assert ended.code == 3 and said in ended.err and "Traceback" not in ended.err
    for path in (tmp_path, tmp_path / "nowhere.txt", "/dev/zero"):
        ended = cli("predict", run_a, path)
        assert ended.code == 3 and ended.out == b"", ended.err


def test_a_missing_device_is_said(run_a):
    ended = cli("predict", run_a, "--device", "cuda:99", "--text", "a")
    assert ended.code == 8 and "cpu" in ended.err


def test_broken_folders_are_refused(run_a, tmp_path):
    import shutil

    for number, spoil in enumerate(
        (lambda f: f.write_bytes(f.read_bytes()[:-1]), lambda f: f.unlink(), lambda f: f.write_bytes(b""))
    ):
        for pattern in ("manifest.json", "weights-*", "source-*"):
            folder = tmp_path / f"{number}{pattern[0]}"
            shutil.copytree(run_a / "best", folder)
            spoil(next(folder.glob(pattern)))
            for command in (["predict", folder, "--text", "a"], ["info", folder]):
                ended = cli(*command)
                assert ended.code == 4 and ended.out == b"" and "Traceback" not in ended.err
    (tmp_path / "empty").mkdir()
    assert cli("predict", tmp_path / "empty").code == 4
    assert cli("predict", run_a / "settings.toml").code == 4


def test_only_last_is_no_model_yet(tmp_path):
    (tmp_path / "run" / "last").mkdir(parents=True)
    ended = cli("info", tmp_path / "run")
    assert ended.code == 4 and "not validated" in ended.err


def test_an_output_file_that_cannot_be_written(run_a, tmp_path):
    ended = cli("predict", run_a, "--text", "a", "--out", tmp_path / "no" / "such")
    assert ended.code == 5 and "cannot be written" in ended.err
    if Path("/dev/full").exists():
        ended = cli("predict", run_a, "--text", "a", "--out", "/dev/full")
        assert ended.code == 5 and "space" in ended.err


def test_an_interrupted_output_is_gone_on_with(place, tmp_path):
    inputs = tmp_path / "in.txt"
    inputs.write_bytes(sources(place))
    command = ["predict", place / "a", inputs, "--window", "8"]
    assert cli(*command, "--out", tmp_path / "whole").code == 0
    whole = (tmp_path / "whole").read_bytes()
    ends = [0, 5, len(whole) // 2, len(whole) - 1, len(whole)]
    for number, end in enumerate(ends):
        path = tmp_path / f"part{number}"
        path.write_bytes(whole[:end])
        assert cli(*command, "--out", path, "--resume").code == 0
        assert path.read_bytes() == whole
    assert cli(*command, "--out", tmp_path / "new", "--resume").code == 0
    assert (tmp_path / "new").read_bytes() == whole


_HEARING = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("seq2x", run_name="__main__", alter_sys=True)
"""


def _real(*arguments, **more):
    """The command in a process of its own, which hears an interrupt even where the shell that started the tests in the
    background made them deaf to it."""
    return subprocess.Popen([sys.executable, "-c", _HEARING, *map(str, arguments)], stderr=subprocess.PIPE, **more)


def test_a_closed_pipe_ends_quietly(place, run_a):
    process = _real("predict", run_a, "--window", "1", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(b"abc\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"cba\n"  # line by line, though the input has not ended
    process.stdout.close()
    _, err = process.communicate(b"abc\n" * 2000)
    assert process.returncode == 128 + signal.SIGPIPE and err == b""


def test_closed_streams_are_said(run_a):
    code = f"import sys; sys.stdin = None; from seq2x.cli import main; sys.exit(main(['predict', {str(run_a)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 2 and b"closed" in done.stderr and b"Traceback" not in done.stderr


def test_an_interrupt_leaves_whole_lines(run_a, tmp_path):
    if os.name != "posix":
        pytest.skip("signals of POSIX")
    out = tmp_path / "out.txt"
    process = _real("predict", run_a, "--window", "4", "--out", out, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _ in range(40):
        process.stdin.write(b"abc\n" * 4)
    process.stdin.flush()
    while not out.exists() or not out.read_bytes():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and err == b""
    written = out.read_bytes()
    assert written.endswith(b"\n") and set(written.split(b"\n")[:-1]) == {b"cba"}


def test_doctor_finds_this_machine_all_right():
    ended: Ended = cli("doctor", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["ok"] and "torch" in found["libraries"] and len(found["self_test"]) == 5
    assert ended.err == ""


def test_check_writes_a_clean_copy(tmp_path):
    rows = [(f"a{number}", f"b{number}") for number in range(50)]
    path = write(tmp_path / "pairs.tsv", [*rows, ("x\u200by", "z"), ("", "lost"), rows[0]])
    ended = cli("check", path, "--fix", tmp_path / "clean.tsv")
    assert "51 pairs kept" in ended.err and "repaired" in ended.err and "left out" in ended.err
    assert (tmp_path / "clean.tsv").read_text().count("\n") == 51 and (tmp_path / "clean.tsv.log").read_text()
    assert cli("check", path, "--fix", path).code == 2
    path.write_bytes(b"id\tsource\ttarget\r\n" + b"".join(b"%d\ts%d\tt\r\n" % (n % 7, n) for n in range(50)))
    ended = cli("check", path, "--fix", tmp_path / "clean.tsv", "--columns", "source=source,target=target")
    assert "50 with further columns or fields ('id')" in ended.err, ended.err
    assert "51 carriage return at the end removed" in ended.err


def test_demo_is_handed_its_folder(monkeypatch):
    import seq2x.demo

    asked = []
    monkeypatch.setattr(seq2x.demo, "run", lambda out, as_json, tell: asked.append((out, as_json)) or 0)
    assert cli("demo").code == 0 and cli("demo", "--out", "x", "--json").code == 0
    assert asked == [("runs/demo", False), ("x", True)]
