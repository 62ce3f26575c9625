"""What Russian does with numbers, units, dates and words: decimal comma, thin groups, months, plurals."""

import re

from babel.dates import get_month_names

NBSP = "\u00a0"
UNITS = {
    "ms": "мс", "s": "с", "min": "мин", "h": "ч", "µs": "мкс", "B": "Б", "kB": "кБ", "MB": "МБ", "GB": "ГБ", "TB": "ТБ",
    "KiB": "КиБ", "MiB": "МиБ", "GiB": "ГиБ", "TiB": "ТиБ", "kB/s": "кБ/с", "MB/s": "МБ/с", "GB/s": "ГБ/с",
    "GiB/s": "ГиБ/с", "TB/s": "ТБ/с", "bit/s": "бит/с", "kbit/s": "кбит/с", "Mbit/s": "Мбит/с", "Gbit/s": "Гбит/с",
    "W": "Вт", "kW": "кВт", "Wh": "Вт·ч", "V": "В", "A": "А", "Hz": "Гц", "MHz": "МГц", "GHz": "ГГц", "J": "Дж",
    "tok/s": "токен/с", "tok/J": "токен/Дж", "tok": "токен", "1/s": "1/с", "chunks/s": "фрагмент/с", "mm": "мм",
    "GT/s": "GT/s", "MT/s": "MT/s", "GFLOP/s": "GFLOP/s", "TFLOP/s": "TFLOP/s", "°C": "°C", "%": "%", "×": "×",
}  # fmt: skip
_NUMBER = r"(?:[1-9]\d{0,2}(?:[ \u00a0\u202f,]\d{3})+|\d+)(?:\.\d+)?"
_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
# What is a quantity, not a version: alone, with a unit, as an end of an interval, or after a sign.
_LONE = re.compile(rf"[±+−-]?{_NUMBER}")
_QUANTITY = re.compile(
    rf"(?<![\w.,/])(?<!\w-)({_NUMBER})(?![\w.,]*\d)(?:([ \u00a0]?)({_UNIT})(?![\w/])|( … | to | – )(?={_NUMBER}))?"
)
_AFTER = (" … ", " to ", " – ", "±", "± ", "×", "× ")
_ISO = re.compile(r"(?<![\w/.-])(\d{4})-(\d\d)-(\d\d)(?![\w-])")
_ENGLISH, _RUSSIAN = (get_month_names(locale=language).values() for language in ("en", "ru"))
_MONTHS = dict(zip(_ENGLISH, _RUSSIAN, strict=True))
_NAMES = "|".join(_MONTHS)
_LONG = re.compile(rf"\b(\d{{1,2}}) ({_NAMES}) (\d{{4}})")
_MONTH = re.compile(rf"\b({_NAMES}) (?=\d{{4}}\b)")
_SHORT = "а в и к о с у я на не ни но из их до от по за без для при или"
_SHORT_WORD = re.compile(rf"(?<![\w-])({'|'.join(_SHORT.split())}) (?=[\w«`<{{])", re.IGNORECASE)
_DASH = re.compile(r" (?=[—–] )")
_NUMBER_WORD = re.compile(r"(?<=\d) (?=(?:%|°C|[a-zA-Zа-яА-Я/·]+(?:\W|$)))")


def number(text: str) -> str:
    """Return a number as Russian writes it: `1,234.5` becomes `1 234,5` with no-break spaces."""
    grouped = re.sub(r"(?<=\d)[,\u202f\u00a0 ](?=\d{3})", NBSP, text)
    return grouped.replace(".", ",")


def dates(text: str) -> str:
    """Return a text with its dates in Russian form: `30 ноября 2026`, `24.11.2026`."""
    text = _LONG.sub(lambda found: f"{found[1]}{NBSP}{_MONTHS[found[2]]} {found[3]}", text)
    text = _MONTH.sub(lambda found: f"{_MONTHS[found[1]]}{NBSP}", text)
    return _ISO.sub(r"\3.\2.\1", text)


def data(text: str) -> str:
    """Return what is no sentence with its numbers and units in Russian form; versions and names stay."""
    if _LONE.fullmatch(text.strip()):
        return number(text)
    return _QUANTITY.sub(_quantity, text)


def plural(text: str, one: str, few: str, many: str) -> str:
    """Return the form of a noun that a number asks for; a fraction takes the second, no number the third."""
    bare = re.sub(r"[ \u00a0\u202f,](?=\d{3})", "", text.strip())
    if re.fullmatch(r"\d+[.,]\d+", bare):
        return few
    if not bare.isdigit():
        return many
    count = int(bare)
    if count % 10 == 1 and count % 100 != 11:
        return one
    return few if count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14) else many


def typeset(text: str) -> str:
    """Return running text with the spaces that must not break: before a dash, after short words, before units."""
    text = _SHORT_WORD.sub(rf"\1{NBSP}", _SHORT_WORD.sub(rf"\1{NBSP}", text))
    return _NUMBER_WORD.sub(NBSP, _DASH.sub(NBSP, text))


def _quantity(found: re.Match[str]) -> str:
    written, gap, unit, between = found.groups()
    if unit:
        return f"{number(written)}{NBSP if gap else ''}{UNITS[unit]}"
    if between:
        return f"{number(written)}{' … ' if between == ' to ' else between}"
    counts = "," in written or found.string[: found.start()].endswith(_AFTER)
    return number(written) if counts else written
