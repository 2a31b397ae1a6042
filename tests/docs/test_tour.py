"""The tour is a program: every line of it runs, and every value in it is what comes out."""

import doctest
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
TOUR = ROOT / "docs" / "tour.md"
STOP = re.compile(r"\[`(src/[\w/]+\.py)`\]\(\.\./([\w/]+\.py)\)\s+·\s+((?:`\w+`(?:,\s+)?)+)")


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_tour_runs(tmp_path, monkeypatch, one_thread):
    monkeypatch.chdir(tmp_path)
    text = re.sub(r"^```.*$", "", TOUR.read_text(encoding="utf-8"), flags=re.MULTILINE)  # a fence is no output
    test = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, "tour.md", str(TOUR), 0)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test, out=said.append)
    assert not result.failed, "".join(said)
    assert result.attempted > 60


def test_each_stop_names_what_is_there():
    text = TOUR.read_text(encoding="utf-8")
    stops = STOP.findall(text)
    headings = re.findall(r"^## \d+\. .*$", text, flags=re.MULTILINE)
    assert [int(heading.split()[1][:-1]) for heading in headings] == list(range(1, 15))
    assert len(stops) >= len(headings)
    for shown, linked, names in stops:
        assert shown == linked
        code = (ROOT / linked).read_text(encoding="utf-8")
        for name in re.findall(r"\w+", names):
            assert re.search(rf"^\s*(def|class) {name}\b", code, flags=re.MULTILINE), f"{name} is not in {shown}"
