"""Real data out of a library: dates as people write them in forty languages, and what they mean.

CLDR, the Unicode project's locale data (through `babel`), knows how each language writes a date in four lengths,
with which month names, weekdays and digits. To that we add what people do to it: typos, other case, missing dots
and commas, ordinals, shortened weekdays. The target is always ISO 8601: `Samstag, 9. März 2024` -> `2024-03-09`.

Two rules keep it honest. A string with two readings (`03/04/24` is April in some languages and March in others;
`listopad` is October in Croatian and November in Czech) is left out and counted. And the split is by date: a date
held out for the test is never seen in training, in any language.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seq2x.errors import UsageError

__all__ = ["LANGUAGES", "Counts", "DatePair", "pairs", "read_by_rules", "write"]

LANGUAGES: dict[str, str] = {
    "am": "Amharic", "ar": "Arabic", "bg": "Bulgarian", "bn": "Bangla", "ca": "Catalan", "cs": "Czech",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian",
    "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian",
    "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese",
    "ka": "Georgian", "ko": "Korean", "lt": "Lithuanian", "mr": "Marathi", "my": "Burmese", "nb": "Norwegian",
    "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "th": "Thai", "tr": "Turkish", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip

LENGTHS = ("short", "medium", "long", "full")

# Digits of the languages that have their own; the first character of each run of ten is zero.
_DIGITS = {
    "ar": "٠١٢٣٤٥٦٧٨٩", "fa": "۰۱۲۳۴۵۶۷۸۹", "bn": "০১২৩৪৫৬৭৮৯", "hi": "०१२३४५६७८९", "mr": "०१२३४५६७८९",
    "my": "၀၁၂၃၄၅၆၇၈၉", "th": "๐๑๒๓๔๕๖๗๘๙",
}  # fmt: skip
_HAN = "〇一二三四五六七八九"

_FIRST, _LAST = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)
"""One hundred years, so that two digits name one year."""

_INVISIBLE = re.compile("[\u200e\u200f\u061c]")
_BLANKS = re.compile("[\u00a0\u202f\u2009]")


@dataclass(frozen=True, slots=True)
class DatePair:
    """One example: the text, the ISO date, the language's code, and what was done to the text."""

    text: str
    iso: str
    language: str
    style: str


@dataclass(slots=True)
class Counts:
    """How many pairs were made, and how many strings were left out because they have two readings."""

    train: int = 0
    test: int = 0
    two_readings: int = 0
    examples_of_two: list[str] = field(default_factory=list)


class _Calendar:
    """What CLDR says of one language, looked up once."""

    def __init__(self, code: str) -> None:
        try:
            from babel import Locale
            from babel.dates import format_date
        except ImportError:
            raise UsageError("demo", "the package babel is not installed", todo="pip install 'seq2x[demo]'") from None
        self.code, self.locale, self._format = code, Locale.parse(code), format_date

    def write(self, date: datetime.date, style: str) -> str:
        """`date` in one of the four lengths or in a CLDR pattern, plain blanks, no invisible marks."""
        text = self._format(date, style, locale=self.locale)
        return " ".join(_BLANKS.sub(" ", _INVISIBLE.sub("", text)).split())

    def numeric_order(self) -> str:
        """The order of the short form: `ymd`, `dmy` or `mdy`."""
        pattern = self.locale.date_formats["short"].pattern
        return "".join(sorted("ymd", key=lambda letter: pattern.lower().find(letter)))


def _readings(text: str, orders: set[str]) -> set[tuple[int, int, int]]:
    """All dates that a string of three numbers may mean under `orders`; empty if it is not three numbers."""
    latin = "".join(str(int(c)) if c.isdecimal() else c for c in text)
    numbers = re.fullmatch(r"\D{0,3}(\d{1,4})\D{1,3}(\d{1,2})\D{1,3}(\d{1,4})\D{0,3}", latin)
    if not numbers or any(c.isalpha() for c in latin):
        return set()
    found = set()
    for order in orders:
        values = dict(zip(order, map(int, numbers.groups()), strict=True))
        digits = dict(zip(order, map(len, numbers.groups()), strict=True))
        year = values["y"]
        if digits["y"] <= 2:
            year += 2000 if year < 50 else 1900
        if digits["d"] > 2 or digits["m"] > 2:
            continue
        try:
            found.add(datetime.date(year, values["m"], values["d"]).timetuple()[:3])
        except ValueError:
            continue
    return found


def _two_meanings(calendars: list[_Calendar]) -> set[str]:
    """Words-and-days (the year cut off) that different languages give to different days of a year."""
    meanings: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for calendar, style in itertools.product(calendars, ("d MMM", "d MMMM", "d. MMM", "d. MMMM")):
        for month in range(1, 13):
            text = calendar.write(datetime.date(2024, month, 28), style).lower().replace(".", "")
            meanings[text].add((month, 28))
    return {text.split(" ", 1)[-1] for text, days in meanings.items() if len(days) > 1}


def _month_of_two(text: str, homonyms: set[str]) -> bool:
    """Whether the month is written as another language writes another month: a weekday before it hardly settles it."""
    bare = re.sub(r"[\d.,]", " ", text.lower())
    return " ".join(bare.split()) in homonyms or not homonyms.isdisjoint(bare.split())


def _held_out(date: datetime.date) -> bool:
    """One date in twenty belongs to the test, whatever the seed."""
    return hashlib.sha256(date.isoformat().encode()).digest()[0] % 20 == 0


def _han_number(digits: str) -> str:
    """Years digit by digit (`2024` -> 二〇二四), months and days as numerals (`21` -> 二十一)."""
    if len(digits) > 2:
        return "".join(_HAN[int(digit)] for digit in digits)
    tens, ones = divmod(int(digits), 10)
    return (_HAN[tens] if tens > 1 else "") + ("十" if tens else "") + (_HAN[ones] if ones or not tens else "")


def _native(text: str, language: str, rng: random.Random) -> str:
    """The language's own digits, always where CLDR has them as default, else in three cases of ten."""
    if language in ("zh", "ja") and "年" in text and rng.random() < 0.3:
        return re.sub(r"\d+", lambda number: _han_number(number.group()), text)
    digits = _DIGITS.get(language)
    always = language in ("fa", "bn", "mr", "my")  # CLDR's own default for these
    if digits and (always or rng.random() < 0.3):
        return text.translate(str.maketrans("0123456789", digits))
    return text


def _typo(text: str, rng: random.Random) -> str:
    """One slip inside a word of at least six letters: two swapped, one doubled, one lost. Never a digit."""
    words = list(re.finditer(r"[^\W\d_]{6,}", text))
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 2)
    kind = rng.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at] + text[at:] if kind == 1 else text[:at] + text[at + 1 :]


def _ordinal(text: str, date: datetime.date, language: str) -> str:
    """`March 9` -> `March 9th`, `1 mars` -> `1er mars`; other languages stay as they are."""
    if language == "en":
        ending = "th" if 10 < date.day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(date.day % 10, "th")
        return re.sub(rf"\b{date.day}\b(?!\d)", f"{date.day}{ending}", text, count=1)
    if language in ("fr", "ca") and date.day == 1:
        return re.sub(r"\b1\b", "1er", text, count=1)
    return text


def _spoil(text: str, date: datetime.date, language: str, rng: random.Random) -> tuple[str, str]:
    """What people do to a date: (text, name of what was done), untouched in half of the cases."""
    kind = rng.choice(("", "", "", "", "lower", "upper", "dots", "typo", "ordinal", "spaces"))
    changed = text
    if kind == "lower":
        changed = text.lower()
    elif kind == "upper":
        changed = text.upper()
    elif kind == "dots":
        changed = re.sub(r"[.,](?=\s|$)", "", text)
    elif kind == "typo":
        changed = _typo(text, rng)
    elif kind == "ordinal":
        changed = _ordinal(text, date, language)
    elif kind == "spaces":
        changed = text.replace(". ", ".").replace(", ", ",")
    return (changed, kind) if changed != text else (text, "")


def pairs(per_language: int, seed: int = 1, held_out: bool = False, counts: Counts | None = None) -> Iterator[DatePair]:
    """`per_language` examples of each language, in an order that follows from `seed` alone.

    `held_out` chooses the dates that training never sees. Strings with two readings are left out and counted.
    """
    counts = counts if counts is not None else Counts()
    calendars = [_Calendar(code) for code in LANGUAGES]
    orders = {calendar.numeric_order() for calendar in calendars}
    homonyms = _two_meanings(calendars)
    rng = random.Random(f"{seed} {held_out}")
    days = (_LAST - _FIRST).days + 1
    made: Counter[str] = Counter()
    for calendar in itertools.cycle(calendars):
        if made[calendar.code] >= per_language:
            if sum(made.values()) >= per_language * len(calendars):
                return
            continue
        date = _FIRST + datetime.timedelta(rng.randrange(days))
        if _held_out(date) != held_out:
            continue
        style = rng.choice((*LENGTHS, "EEE d MMM y"))
        text = calendar.write(date, style)
        text, spoiled = _spoil(text, date, calendar.code, rng)
        text = _native(text, calendar.code, rng)
        if len(_readings(text, orders)) > 1 or _month_of_two(text, homonyms):
            counts.two_readings += 1
            if len(counts.examples_of_two) < 5:
                counts.examples_of_two.append(text)
            continue
        made[calendar.code] += 1
        yield DatePair(text, date.isoformat(), calendar.code, "+".join(filter(None, (style.split()[0], spoiled))))


def write(folder: Path, per_language: int = 1500, test_per_language: int = 50, seed: int = 1) -> Counts:
    """Write `train.tsv` and `test.tsv` (text, ISO date, language) into `folder`; say what was made.

    Nothing is written, not even the folder, before all has been made; a file that holds this already is left as it
    is. Raises `UsageError` where babel is missing, and where a file of that name holds anything else.
    """
    counts, made = Counts(), dict[Path, bytes]()
    for name, size, held_out in (("train", per_language, False), ("test", test_per_language, True)):
        rows = list(pairs(size, seed, held_out, counts))
        random.Random(seed).shuffle(rows)
        made[folder / f"{name}.tsv"] = "".join(f"{row.text}\t{row.iso}\t{row.language}\n" for row in rows).encode()
        setattr(counts, name, len(rows))
    missing = [path for path, data in made.items() if not _holds(path, data)]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        fresh = path.with_name(f".{path.name}.new")  # in one rename: a kill leaves nothing that is not the demo's
        fresh.write_bytes(made[path])
        fresh.replace(path)
    return counts


def _holds(path: Path, data: bytes) -> bool:
    """Whether `path` holds just this; False if there is nothing, `UsageError` if there is something else."""
    if not path.exists():
        return False
    if not path.is_file() or path.read_bytes() != data:
        raise UsageError("out", f"{path} is not what this demo writes", "a new folder", "choose another --out")
    return True


def read_by_rules(text: str, language: str) -> str:
    """What `babel.dates.parse_date` makes of the same string, told its language: an ISO date, or empty."""
    from babel.dates import parse_date

    try:
        return parse_date(text, locale=language).isoformat()
    except (ValueError, IndexError):  # what babel raises for a string it cannot read
        return ""
