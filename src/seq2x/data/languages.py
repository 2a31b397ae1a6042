"""The names of languages, as they stand above columns: codes, English names, and what each calls itself."""

from __future__ import annotations

import re

__all__ = ["language_of"]

_NAMES = {
    "ar": "ara arabic العربية 阿拉伯语",
    "bg": "bul bulgarian български",
    "bn": "ben bengali বাংলা",
    "ca": "cat catalan català",
    "cs": "ces cze czech čeština",
    "da": "dan danish dansk",
    "de": "deu ger german deutsch 德语 德文",
    "el": "ell gre greek ελληνικά",
    "en": "eng english 英语 英文 英語",
    "es": "spa spanish español castellano 西班牙语",
    "et": "est estonian eesti",
    "fa": "fas per persian farsi فارسی",
    "fi": "fin finnish suomi",
    "fr": "fra fre french français francais 法语 法文",
    "he": "heb hebrew עברית",
    "hi": "hin hindi हिन्दी",
    "hr": "hrv croatian hrvatski",
    "hu": "hun hungarian magyar",
    "id": "ind indonesian",
    "it": "ita italian italiano 意大利语",
    "ja": "jpn japanese 日本語 日语 日文",
    "ko": "kor korean 한국어 韩语",
    "la": "lat latin",
    "lt": "lit lithuanian lietuvių",
    "lv": "lav latvian latviešu",
    "nl": "nld dut dutch nederlands",
    "no": "nor nob norwegian norsk bokmål",
    "pl": "pol polish polski",
    "pt": "por portuguese português portugues",
    "ro": "ron rum romanian română",
    "ru": "rus russian русский 俄语",
    "sk": "slk slo slovak slovenčina",
    "sl": "slv slovenian slovene slovenščina",
    "sr": "srp serbian српски",
    "sv": "swe swedish svenska",
    "sw": "swa swh swahili kiswahili",
    "ta": "tam tamil தமிழ்",
    "th": "tha thai ไทย",
    "tr": "tur turkish türkçe",
    "uk": "ukr ukrainian українська",
    "ur": "urd urdu اردو",
    "vi": "vie vietnamese",
    "zh": "zho chi cmn chinese mandarin 中文 汉语 漢語 华语 普通话 國語 国语",
}
_CODES = {name: code for code, names in _NAMES.items() for name in (code, *names.split())}
_REGION = re.compile(r"[-_]([a-z]{2,4}|\d{3})")  # en-US, zh_Hans, es-419
_REMARK = re.compile(r"\s*\(.*\)")  # Chinese (Simplified)


def language_of(name: str) -> str:
    """What language `name` is the name of: its code, with the region if one is named; empty for any other word.

    >>> language_of("English"), language_of("zh_TW"), language_of("dog")
    ('en', 'zh-tw', '')
    """
    plain = name.strip().casefold()
    region = _REGION.search(plain)
    if region and region.end() == len(plain):
        code = _CODES.get(plain[: region.start()], "")
        return f"{code}-{region[1]}" if code else ""
    return _CODES.get(_REMARK.sub("", plain), "")
