"""The report shows what `metrics.jsonl` says, and nothing that stands in data does anything."""

import json
from html.parser import HTMLParser

import pytest
from tests.training.runs import go, pairs

from seq2x.settings import Settings, dump_toml
from seq2x.training.log import read_metrics
from seq2x.training.page import number, table, visible
from seq2x.training.report import write_report

HOSTILE = "<script>alert(1)</script></dd>&amp; \x1b[31m \u202eevil \u2028 \x00 <img src=x onerror=y>"


class Page(HTMLParser):
    """Elements, their nesting, texts, and the exact numbers of each table by its caption."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts, self.tables = [], set(), [], [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        attrs = dict(attrs)
        if tag == "div" and attrs.get("class") == "scroll":
            self.rows = self.tables[attrs["aria-label"]] = []
        if tag == "tr":
            self.rows.append([])
        if tag == "data" and self.open[-1] in ("th", "td"):
            self.rows[-1].append(float(attrs["value"]))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)


def page_of(folder):
    write_report(folder)
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert not page.open  # every element is closed, in order
    return page


def write(folder, records):
    folder.mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def train(step, **more):
    values = {"loss": 3.0 / step, "gradient_norm": 1.5, "learning_rate": 0.001}
    return {"kind": "train", "step": step, **values, "time": {"seconds": step / 2, "tokens_per_second": 900.5}} | more


def valid(step, output="out", source="in", judgement="", **more):
    example = {"source": source, "output": output, "reference": "right"}
    values = {"metric": "bleu", "value": 12.25, "loss": 1.5, "best": 12.25, "best_step": step, "judgement": judgement}
    return {"kind": "valid", "step": step, **values, "examples": [example], "time": {"seconds": step / 2}} | more


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 12 steps; made once, as it takes a second."""
    folder = tmp_path_factory.mktemp("report")
    go(pairs(folder), folder / "run")
    return folder / "run"


def test_every_number_is_that_of_the_metrics(run):
    page, records = page_of(run), read_metrics(run)
    want = {
        "Training: every log line": [
            [r["step"], r["loss"], r["learning_rate"], r["gradient_norm"], r["time"]["tokens_per_second"],
             r["time"]["seconds"]]
            for r in records if r["kind"] == "train"
        ],
        "Validations": [
            [r["step"], r["loss"], r["value"], r["time"]["seconds"]] for r in records if r["kind"] == "valid"
        ],
    }  # fmt: skip
    assert len(want["Validations"]) == 2
    assert {name: page.tables[name][1:] for name in want} == want
    for record in records:
        for example in record.get("examples", ()):
            assert {example["source"], example["reference"]} <= set(page.texts)


def test_training_writes_it_and_says_what_what_for_and_with_what(run):
    page = Page((run / "report.html").read_text())
    assert "The run has made 12 updates of at most 12. It is finished." in page.text
    for words in ("max_steps = 12", "updates at most", "text on both sides", "torch", "sha256 of the data", "command"):
        assert words in page.text
    assert {"Chosen from the data and the machine", "What the run was made with"} <= page.tables.keys()
    assert "56" in page.text and "4" in page.texts  # training pairs, held-out pairs


def test_it_needs_nothing_but_itself(run):
    page = page_of(run)
    assert not page.tags & {"script", "img", "link", "iframe", "object", "base", "form", "use"}
    names = {name for name, _ in page.attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "srcset", "data", "action")}
    assert all(value.startswith("#") for name, value in page.attributes if name in ("href", "xlink:href"))
    anchors = {value for name, value in page.attributes if name == "id"}
    assert {value[1:] for name, value in page.attributes if name == "href"} == anchors
    raw = (run / "report.html").read_text()
    assert "url(" not in raw and "@import" not in raw and "default-src 'none'" in raw


def test_it_can_be_read_by_key_by_ear_and_in_the_dark(run):
    page, raw = page_of(run), (run / "report.html").read_text()
    assert {"main", "nav", "h1", "h2", "caption", "details"} <= page.tags
    assert ("lang", "en") in page.attributes and ("tabindex", "0") in page.attributes
    assert ("name", "viewport") in page.attributes and "prefers-color-scheme:dark" in raw
    assert raw.count("<svg") == raw.count('role="img"') == 5
    assert raw.count("<th ") == raw.count('scope="')


def test_hostile_text_is_inert(tmp_path):
    folder = tmp_path / "<b>run"
    write(folder, [train(5), valid(5, HOSTILE, HOSTILE, judgement=HOSTILE, metric="<i>", examples=[
        {"source": HOSTILE, "output": "\ud800 ok", "reference": HOSTILE}])])  # fmt: skip
    (folder / "log.txt").write_text(HOSTILE)
    page, raw = page_of(folder), (folder / "report.html").read_text(encoding="utf-8")
    assert not page.tags & {"script", "img", "b", "i"}
    assert not set(raw) & set("\x1b\u202e\u2028\x00") and "\\x1b[31m \\u202eevil" in page.text
    assert page.text.count("<script>alert(1)</script>") >= 4 and "\\ud800 ok" in page.texts


def test_scripts_keep_their_letters_and_their_direction(tmp_path):
    persian, chinese = "می\u200cخواهم", "我想去北京　。"
    raw_page = page_of(write(tmp_path / "run", [valid(1, persian, chinese)]))
    assert {persian, chinese} <= set(raw_page.texts)
    assert f'<span dir="auto">{persian}</span>' in (tmp_path / "run" / "report.html").read_text()


def test_before_anything_and_before_the_first_validation(tmp_path):
    assert "just begun" in page_of(write(tmp_path / "new", [])).text
    page = page_of(write(tmp_path / "run", [train(10), train(20, loss=None)]))
    assert "20 updates" in page.text and "no validation yet" in page.text
    assert page.tables["Training: every log line"][2] == [20.0, 0.001, 1.5, 900.5, 10.0]  # a dash for the loss
    assert "Validations" not in page.tables and "examples" not in dict(page.attributes).values()


def test_equal_outputs_stand_together(tmp_path):
    records = [valid(1, "a"), valid(2, "a"), valid(3, "right"), valid(4, "")]
    page = page_of(write(tmp_path / "run", records))
    assert page.tables["Outputs for example 1"][1:] == [[1, 2], [3], [4]]
    assert page.text.count("✓ right") == 1 and "(nothing)" in page.text


def test_judgements_are_all_listed(tmp_path):
    records = [valid(1, judgement="copies the input"), valid(2), valid(3, judgement="repeats itself")]
    page = page_of(write(tmp_path / "run", records))
    assert page.tables["What was found"][1:] == [[1], [3]]
    assert "1 of 3 validations found nothing wrong" in page.text
    assert "At the last validation: repeats itself" in page.text


def test_too_few_outputs_to_judge_are_not_called_right(tmp_path):
    page = page_of(write(tmp_path / "run", [valid(1, judged=5), valid(2, judged=5)]))
    assert "5 outputs are too few to judge them by" in page.text
    assert "found nothing wrong with the outputs" not in page.text
    assert "2 of all had too few outputs" in page.text


def test_a_long_run_keeps_its_peaks(tmp_path):
    records = (
        [train(step) for step in range(1, 5001)] + [train(5001, loss=99.5)] + [train(s) for s in range(5002, 9000)]
    )
    page = page_of(write(tmp_path / "run", records))
    rows = next(rows for name, rows in page.tables.items() if name.startswith("Training: "))
    assert len(rows) < 310
    assert 99.5 in [row[1] for row in rows[1:]] and rows[1][0] == 1
    assert (tmp_path / "run" / "report.html").stat().st_size < 200_000


def test_a_resumed_run_shows_the_settings_that_hold(run, tmp_path):
    page = page_of(run)
    assert "width = 16" in page.texts
    (tmp_path / "settings.toml").write_text(dump_toml(Settings(width=32), {"width": "because"}))
    assert {"width = auto", "because"} <= set(page_of(write(tmp_path, [])).texts)


def test_a_disk_that_refuses_the_report_stops_no_training(tmp_path, monkeypatch, fast_disk):
    def refuse(folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seq2x.training.session.write_report", refuse)
    assert go(pairs(tmp_path), tmp_path / "run", max_steps=2, valid_steps=2).steps == 2
    assert "report.html is not up to date" in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (visible("a&<\t"), "a&amp;&lt;\\t"),
        (number(None), "–"),
        (number(1 / 3, ".2f"), '<data value="0.3333333333333333">0.33</data>'),
        (number(61.2, shown="1 min"), '<data value="61.2">1 min</data>'),
    ],
)
def test_pieces(made, shown):
    assert made == shown


def test_a_table_names_itself_and_its_rows():
    made = Page(table("a & b", ["x", "y"], [["1", "2"]]))
    assert ("aria-label", "a & b") in made.attributes and ("scope", "row") in made.attributes
