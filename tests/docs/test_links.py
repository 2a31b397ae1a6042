"""Every relative link in every page leads somewhere, and every page of docs/ is in its index."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".venv", ".git", "build", "dist", "runs", "node_modules"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part in SKIPPED or part.startswith(".") for part in path.relative_to(ROOT).parts)
)
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|(?:src|href)=\"([^\"]+)\"")


def prose(page):
    """The page without its code, in which brackets mean something else."""
    text = re.sub(r"^(```|~~~).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?<!\[)`[^`\n]*`(?!\])", "", text)


def links(page):
    return [first or second for first, second in LINK.findall(prose(page))]


def anchors(page):
    """The anchors that headings get: lower case, blanks to hyphens, punctuation gone."""
    headings = re.findall(r"^#+\s+(.*?)\s*$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page):
    for link in links(page):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        assert ROOT in (target, *target.parents), f"{page.name}: {link} leads out of the project"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: no heading for {link}"


def test_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('[a](b.md) ![c](<d.svg>) [`e`](f.py "g") <img src="h.png">\n```\n[no](no.md)\n```\n`[no](no.md)`\n')
    assert links(page) == ["b.md", "d.svg", "f.py", "h.png"]


def test_the_index_of_docs_is_complete():
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link).resolve() for link in links(index)} | {index}
    missing = [page for page in PAGES if index.parent in page.parents and page not in listed]
    assert not missing, f"docs/README.md does not name {[str(page.relative_to(ROOT)) for page in missing]}"
