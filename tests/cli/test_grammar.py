"""What can be said on the command line, frozen; and what becomes of what cannot."""

import subprocess
import sys

import pytest

from seq2x.cli.app import COMMANDS, build_parser

from .conftest import cli

OWN = {
    "demo": ["--out"],
    "check": ["--fix", "--set", "--test"],
    "train": ["--allow-change", "--from", "--out", "--restart", "--set", "--strict-repro", "--test"],
    "predict": [
        *(
            "--alignments",
            "--allow-only",
            "--ensemble",
            "--forbid",
            "--lm",
            "--out",
            "--pattern",
            "--prefix",
            "--require",
        ),
        *("--require-file", "--rerank", "--resume", "--set", "--text"),
    ],
    "evaluate": ["--ensemble", "--lm", "--metric", "--rerank", "--set"],
    "score": ["--ensemble", "--set"],
    "compare": ["--lines", "--metric", "--set"],
    "augment": [
        *("--copies", "--drop", "--infill", "--keep", "--level", "--mask", "--mask-token", "--out", "--set", "--side"),
        *("--swap", "--switch", "--tag"),
    ],
    "align": ["--iterations", "--keep-case", "--out", "--set", "--symmetry"],
    "info": [],
    "doctor": [],
}
"""Every option that is not a setting: taking one away or renaming it breaks somebody's script."""

ROOMS = {
    "check": ("data",),
    "train": ("data", "text", "model", "training", "search", "machine"),
    "predict": ("search", "machine"),  # and the seed, which sampling draws from
    "evaluate": ("search", "machine"),
    "score": ("machine",),
    "compare": ("search", "machine"),
    "augment": ("search", "machine"),
    "align": (),  # but how its files are read
}


def test_the_command_line_is_frozen():
    import dataclasses

    from seq2x import Settings

    assert list(COMMANDS) == list(OWN)
    parser = build_parser()
    for name, own in OWN.items():
        rooms = ROOMS.get(name, ())
        fields = [field for field in dataclasses.fields(Settings) if field.metadata["room"] in rooms]
        expected = {*own, "--json", "--debug", "--help", *(["--help-all"] if name in ROOMS else [])}
        file = {"--format", "--columns", "--on-bad-utf8", "--max-line-bytes"}  # of the data room, what reads a file
        expected |= {"--seed", *file} if name == "predict" else set()
        expected |= {"--seed", "--format", "--columns"} if name == "augment" else set()
        expected |= file if name == "align" else set()
        expected |= {"--references", *file} if name in ("evaluate", "score", "compare") else set()
        for field in fields:
            expected.add("--" + field.name.replace("_", "-"))
            if isinstance(field.default, bool):
                expected.add("--no-" + field.name.replace("_", "-"))
        found = {option for option in parser.command(name).options() if option.startswith("--") and "_" not in option}
        assert found == expected, name


@pytest.mark.parametrize("name", ["", *OWN])
def test_help_fits_a_terminal(name):
    ended = cli(name, "--help") if name else cli("--help")
    assert ended.code == 0 and ended.err == ""
    assert len(ended.lines) <= 23
    assert max(map(len, ended.lines)) < 80


@pytest.mark.parametrize("name", ROOMS)
def test_all_settings_are_explained_somewhere(name):
    ended = cli(name, "--help-all")
    assert ended.code == 0 and max(map(len, ended.lines)) < 80
    for option in build_parser().command(name).options():
        if option.startswith("--") and "_" not in option and not option.startswith("--no-"):
            assert option in ended.out.decode()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_no_command_is_a_question(arguments):
    ended = cli(*arguments)
    assert ended.code == 0
    assert all(f"  {name}" in ended.out.decode() for name in OWN)


def test_version():
    from seq2x import __version__

    assert cli("--version").out.decode() == f"seq2x {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help-all"], ["predict", "--nonsense"]])
def test_light_commands_import_no_torch(arguments):
    code = (
        f"import sys; from seq2x.cli import main; main({arguments!r}); print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.endswith("False\n")


BAD = {
    # command line: exit code, what the message says
    "tarin": (2, 'no command "tarin"; did you mean "train"?'),
    "train": (2, "required: FILE"),
    "train x.tsv --learnign-rate 3": (2, 'unknown option "--learnign-rate"; did you mean "--learning-rate"?'),
    "train x.tsv --num-beams 5": (2, "beam_size"),
    "train x.tsv --d-model 512": (2, "width"),
    "train x.tsv --set num_beams=5": (2, "beam_size"),
    "train x.tsv --set learnign_rate=1": (2, "learning_rate"),
    "train x.tsv --set seed": (2, "NAME=VALUE"),
    "train x.tsv --set seed=1 --seed 2": (2, "seed is given twice"),
    "train x.tsv --learning-rate NaN": (2, "learning_rate"),
    "train x.tsv --learning-rate 1e999": (2, "learning_rate"),
    "train x.tsv --learning-rate -1": (2, "learning_rate"),
    "train x.tsv --learning-rate true": (2, "learning_rate"),
    "train x.tsv --layers 0": (2, "layers"),
    "train x.tsv --layers 1.5": (2, "layers"),
    "train x.tsv --layers": (2, "expected one argument"),
    "train x.tsv --width 30 --heads 4": (2, "heads"),
    "train x.tsv --width 1000000000": (2, "parameters"),
    "train x.tsv --vocab-size -1": (2, "vocab_size"),
    "train x.tsv --batch-tokens 0": (2, "batch_tokens"),
    "train x.tsv --max-length 0": (2, "max_length"),
    "train x.tsv --beam-size 100000": (2, "beam_size"),
    "train x.tsv --model os.system": (2, "transformer"),
    "train x.tsv --model __import__('os').system('id')": (2, "transformer"),
    "train x.tsv --units sentencepiece": (2, "bpe"),
    "train x.tsv --lower=yes": (2, "--lower"),
    "train a.toml b.toml": (2, "2 recipes"),
    "train nowhere.toml": (2, "nowhere.toml"),
    "train x.tsv --device toaster": (2, "cuda:N"),
    "train nowhere.tsv": (3, "no such file"),
    "train -": (2, "standard input"),
    "train x.tsv --out x.tsv": (2, "out"),
    f"train x.tsv --out {'y' * 5000}": (2, "out"),
    "predict": (2, "required: RUN"),
    "predict nowhere": (4, "no such folder"),
    "predict nowhere --layers 3": (2, "--layers is not for this command"),
    "predict nowhere --beam 5": (2, "--beam"),
    "predict nowhere --beam-sice 5": (2, '"--beam-size"'),
    "predict nowhere --resume": (2, "no --out"),
    "predict a b c": (2, 'unexpected "c"'),
    "predict a --json b c": (2, 'unexpected "c"'),
    "predict a --beam-size": (2, "expected one argument"),
    "predict a --beam-size -o x": (2, "expected one argument"),
    "predict a --json=yes": (2, "--json"),
    "train --layers 2": (2, "required: FILE"),
    "predict nowhere -x": (2, 'unexpected "-x"'),
    "evaluate nowhere": (2, "required: FILE"),
    "evaluate nowhere x.tsv --valid x.tsv": (2, "--valid is not for this command"),
    "score nowhere x.tsv --valid-size 3": (2, "--valid-size is not for this command"),
    "compare a b x.tsv --max-source-length 3": (2, "--max-source-length is not for this command"),
    "evaluate nowhere x.tsv": (4, "no such folder"),
    "score nowhere x.tsv": (4, "no such folder"),
    "compare nowhere nowhere x.tsv": (4, "no such folder"),
    "compare a b x.tsv --lines many": (2, "--lines"),
    "check nowhere.tsv --columns nonsense": (2, "columns"),
    "info nowhere": (4, "no such folder"),
    "doctor now": (2, 'unexpected "now"'),
}


@pytest.mark.parametrize("line", BAD)
def test_bad_command_lines(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.tsv").write_text("a\tb\n")
    code, said = BAD[line]
    ended = cli(*line.split())
    assert ended.code == code, ended.err
    assert ended.out == b""
    last = [part for part in ended.err.split("\n") if part.startswith("error[")]
    assert len(last) == 1 and last[0].startswith(f"error[{code}] ")
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert ended.err.index("error[") > ended.err.rfind("note:")
    assert ended.err[ended.err.index("error[") :].count("\n") <= 2


ORDERS = {
    # command: (the same command line in several orders, what stands in its places)
    "predict": (
        ["RUN in --json -o x", "RUN --json in -o x", "--json -ox RUN in", "--out=x RUN --json in"],
        {"run": "RUN", "file": "in", "out": "x"},
    ),
    "evaluate": (["RUN --metric cer a b", "RUN a --metric cer b", "RUN a b --metric cer"], {"run": "RUN"}),
    "score": (["RUN --threads 1 a b", "RUN a --threads 1 b", "--threads 1 RUN a b"], {"files": ["a", "b"]}),
    "compare": (["A --lines 3 B --json x", "A B --lines -3 x", "--json A B x"], {"run_a": "A", "run_b": "B"}),
    "check": (["a --test t b", "a b --test t", "--test t a b"], {"files": ["a", "b"], "test": ["t"]}),
    "train": (["a --no-probe b", "a b", "--layers 2 a b --from -", "a --from x b"], {"files": ["a", "b"]}),
    "info": (["--json RUN", "RUN --json"], {"run": "RUN"}),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_options_may_stand_anywhere(name, monkeypatch):
    lines, expected = ORDERS[name]
    for line in lines:
        asked = []
        monkeypatch.setattr(COMMANDS[name], "run", lambda arguments, asked=asked: asked.append(vars(arguments)) or 0)
        assert cli(name, *line.split()).code == 0, line
        assert {place: asked[0][place] for place in expected} == expected, line


def test_what_looks_like_an_option_is_a_file_behind_two_dashes(monkeypatch):
    asked = []
    monkeypatch.setattr(COMMANDS["predict"], "run", lambda arguments: asked.append(arguments) or 0)
    assert cli("predict", "--", "RUN", "-x").code == cli("predict", "RUN", "--json", "--", "-x").code == 0
    assert [(one.run, one.file, one.json) for one in asked] == [("RUN", "-x", False), ("RUN", "-x", True)]
    assert cli("predict", "RUN", "-").code == 0 and asked[-1].file == "-"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--text", "-5 C today", "RUN"], "-5 C today"),
        (["RUN", "--text", "-5"], "-5"),
        (["RUN", "--text=-x y", "--json"], "-x y"),
        (["RUN", "--text", ""], ""),
        (["RUN", "--text", "-- quoted --"], "-- quoted --"),
    ],
)
def test_a_text_may_begin_with_a_dash(words, text, monkeypatch):
    asked = []
    monkeypatch.setattr(COMMANDS["predict"], "run", lambda arguments: asked.append(arguments) or 0)
    assert cli("predict", *words).code == 0
    assert (asked[0].run, asked[0].text, asked[0].file) == ("RUN", text, "-")


def test_debug_shows_the_traceback_too(tmp_path):
    ended = cli("info", tmp_path / "nowhere", "--debug")
    assert ended.code == 4 and "Traceback" in ended.err and ended.err.rstrip().split("\n")[-1].startswith("error[4]")


@pytest.mark.parametrize("name", ["\x1b[31mred", "‮abc", "x" * 5000, "a\nb", "\udc80"])
def test_names_cannot_drive_the_terminal(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in (
        ["predict", name],
        ["info", name],
        [name],
        ["train", name],
        ["check", name],
        ["predict", "x", "--" + name],
    ):
        ended = cli(*line)
        assert ended.code in (2, 3, 4), (line[0], ended.code, ended.err)
        shown = ended.err + ended.out.decode()
        assert "\x1b" not in shown and "‮" not in shown and "Traceback" not in shown
        assert len(ended.err) < 5000 and ended.err.count("\n") <= 2
        shown.encode()


def test_settings_are_said_in_any_of_three_ways(tmp_path, monkeypatch):
    from seq2x.cli import train
    from seq2x.cli.parser import given

    monkeypatch.chdir(tmp_path)
    expected = {"beam_size": 7, "lower": True, "learning_rate": 0.5, "valid_steps": None}
    for line in (
        "--beam-size 7 --lower --learning-rate 0.5 --valid-steps auto",
        "--beam_size=7 --lower --learning_rate=.5 --valid_steps=none",
        "--set beam_size=7 --set lower=true --set learning-rate=5e-1 --set valid_steps=auto",
    ):
        arguments = build_parser().parse_args(["train", "x", *line.split()])
        assert given(arguments, "train") == expected
    assert train.HELP


def test_internal_errors_are_called_so(monkeypatch, tmp_path):
    from seq2x.cli import info

    def broken(_):
        raise ValueError("\x1b[2J oops")

    monkeypatch.setattr(info, "run", broken)
    ended = cli("info", tmp_path)
    assert ended.code == 1 and "internal error, please report: ValueError" in ended.err and "\x1b" not in ended.err
    assert "Traceback" not in ended.err and "Traceback" in cli("info", tmp_path, "--debug").err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(32, "Broken pipe"), 141),
        (MemoryError(), 7),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 7),
        (OSError(28, "No space left on device", "/x"), 5),
        (OSError(5, "Input/output error"), 5),
        (SystemExit(3), 3),
        (RuntimeError("CUDA error: device-side assert triggered\nCompile with ..."), 8),
        (RecursionError("deep"), 1),
    ],
)
def test_every_end_has_its_code(monkeypatch, tmp_path, error, code):
    from seq2x.cli import info

    def ends(_):
        raise error

    monkeypatch.setattr(info, "run", ends)
    ended = cli("info", tmp_path)
    assert ended.code == code and "Traceback" not in ended.err


def test_a_closed_pipe_has_its_code_where_there_is_no_such_signal(monkeypatch, tmp_path):
    import signal

    from seq2x.cli import info

    def ends(_):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(info, "run", ends)
    monkeypatch.delattr(signal, "SIGPIPE")
    assert cli("info", tmp_path).code == 141
