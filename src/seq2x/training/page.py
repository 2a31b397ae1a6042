"""Pieces of a page that needs nothing but itself: no script, no network, light and dark, wide and narrow.

Whatever comes from data is inert: characters of HTML are escaped, those that would steer a reader's display are made
visible, and every text stands in a direction of its own (`dir="auto"`), so that Arabic does not turn what is beside it.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["details", "number", "page", "prose", "section", "table", "visible"]

_STEERING = frozenset("\u061c\u200e\u200f\ufeff\u2028\u2029\ufff9\ufffa\ufffb")
_STYLE = """
:root{color-scheme:light dark;--ink:#1d2129;--soft:#566;--page:#fff;--card:#f3f5f7;--rule:#d4d9de;--link:#0b5cad;
--good:#146c34;--bad:#a1340a}
@media(prefers-color-scheme:dark){:root{--ink:#e4e7eb;--soft:#a9b2bc;--page:#14171b;--card:#1e2329;--rule:#39414a;
--link:#6cb2ff;--good:#5fd38a;--bad:#ff9d6b}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem 1rem 4rem;max-width:64rem;background:var(--page);color:var(--ink);
font:16px/1.55 system-ui,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC","Noto Sans Arabic",sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:1rem 0 .3rem;width:fit-content;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.5rem 0 .6rem;padding-bottom:.2rem;border-bottom:1px solid var(--rule)}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
p{margin:.4rem 0}a{color:var(--link)}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0}
nav a{display:inline-block;padding:.3rem 0}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;margin:1.2rem 0}
.facts div{background:var(--card);border-radius:.5rem;padding:.6rem .8rem}
.facts dt{color:var(--soft);font-size:.88rem}.facts dd{margin:0;font-size:1.3rem;font-weight:600;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1.2rem}
.charts svg{display:block;width:100%;height:auto}figure{margin:0}
.scroll{overflow-x:auto;margin:.6rem 0}
table{border-collapse:collapse;min-width:100%;font-size:.94rem}
caption{text-align:start;color:var(--soft);padding:.2rem 0}
th,td{border-bottom:1px solid var(--rule);padding:.35rem .9rem .35rem 0;text-align:start;vertical-align:top}
th{white-space:nowrap}tbody th{width:1%}td{overflow-wrap:anywhere;white-space:pre-wrap}
data{font-variant-numeric:tabular-nums;white-space:nowrap}
code{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:.9em;overflow-wrap:anywhere}
summary{cursor:pointer;padding:.4rem 0;color:var(--link)}
.pair{background:var(--card);border-radius:.5rem;padding:.1rem .8rem .5rem;margin:1rem 0}
.pair dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem .9rem;margin:.3rem 0}.pair dt{color:var(--soft)}
.pair dd{margin:0;justify-self:start;overflow-wrap:anywhere;white-space:pre-wrap}
.pair caption{position:absolute;clip-path:inset(50%)}.pair .scroll{position:relative}
.good{color:var(--good)}.bad{color:var(--bad)}.soft{color:var(--soft)}
@media print{details{display:block}body{max-width:none}}
""".replace("\n", "")


def visible(text: object) -> str:
    r"""`text`, inert in HTML: control characters and marks of direction are shown, joiners that a script needs stay.

    >>> visible("<b>\x1b[1m\u202e"), visible("می\u200cخواهم") == "می\u200cخواهم"
    ('&lt;b&gt;\\x1b[1m\\u202e', True)
    """
    return html.escape("".join(c.encode("unicode_escape").decode() if _steers(c) else c for c in str(text)))


def _steers(c: str) -> bool:
    """Whether `c` moves a display instead of being shown on it: controls, directions, tags, halves of characters."""
    bidirectional = "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"
    tag = "\U000e0000" <= c <= "\U000e007f"
    return c in _STEERING or bidirectional or tag or unicodedata.category(c) in ("Cc", "Cs")


def prose(text: object, tag: str = "span", style: str = "") -> str:
    """Text of unknown script as an element in its own direction."""
    named = f' class="{style}"' if style else ""
    return f'<{tag} dir="auto"{named}>{visible(text)}</{tag}>'


def number(value: float | None, form: str = ".4g", shown: str = "") -> str:
    """A number as people read it (or as `shown`), beside the exact one for machines; None is a dash."""
    if value is None:
        return "–"
    return f'<data value="{value!r}">{html.escape(shown or format(value, form))}</data>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells that are HTML already, the first of each a heading; it scrolls by itself where it is too wide."""
    top = "".join(f'<th scope="col">{visible(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>\n'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{visible(caption)}"><table>'
        f"<caption>{visible(caption)}</caption><thead><tr>{top}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def details(summary: str, body: str) -> str:
    """Something that opens when it is asked for, by mouse or key."""
    return f"<details><summary>{visible(summary)}</summary>{body}</details>"


def section(name: str, title: str, body: str) -> str:
    """A part of the page with the anchor `name`; nothing if it has no body."""
    if not body:
        return ""
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{visible(title)}</h2>\n{body}\n</section>\n'


def page(title: str, body: str) -> str:
    """The whole document. Its policy forbids scripts and every request, should anything ever slip through."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{visible(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
