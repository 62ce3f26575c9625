"""Words for the lexical index: Russian and English side by side, whatever their case, endings and dots on ё."""

import re
import unicodedata
from functools import lru_cache

import Stemmer

WORD = re.compile(r"[^\W_]+")
# `maxNumSeqs`, `HTTPServer`: people look for the parts as well as for the whole.
HUMP = re.compile(r"[A-ZА-Я]+(?![a-zа-я])|[A-ZА-Я]?[a-zа-я]+|\d+")
CYRILLIC = re.compile(r"[а-я]")
LONGEST = 64
# Words that stand in nearly every text say nothing about any, and are most of the work.
COMMON = (
    "a an and are as at be been but by can do for from had has have he her his how i if in into is it its me my no not "
    "of on or our she so than that the their them then there these they this to was we were what when where which who "
    "why will with would you your "
    "а без бы был была были было быть в вам вас во вот все всего вы где да для до его ее если есть еще же за и из или "
    "им их к как кто ли мне мы на над не нет них но о об он она они оно от по под при с со так там то того тоже только "
    "ты у уже что чтобы эта эти это этого этот я"
)
STOP = frozenset(COMMON.split())


def terms(text: str) -> list[str]:
    """Return the stems of a text's words, in order; a word with humps gives itself and its parts."""
    found: list[str] = []
    for word in WORD.findall(unicodedata.normalize("NFKC", text)):
        if len(word) > LONGEST:
            continue
        parts = _parts(word)
        for part in (word, *parts) if len(parts) > 1 else (word,):
            lowered = part.lower().replace("ё", "е")
            if lowered not in STOP:
                found.append(stem(lowered))
    return found


@lru_cache(maxsize=1 << 17)
def stem(word: str) -> str:
    """Return a word's stem: Russian for Cyrillic letters, else English."""
    stemmer = _stemmers()[bool(CYRILLIC.search(word))]
    return str(stemmer.stemWord(word))


@lru_cache(maxsize=1 << 16)
def _parts(word: str) -> tuple[str, ...]:
    if word.islower() or word.isupper() or word.istitle():
        return ()
    return tuple(HUMP.findall(word.replace("Ё", "Е").replace("ё", "е")))


@lru_cache(maxsize=1)
def _stemmers() -> tuple[Stemmer.Stemmer, Stemmer.Stemmer]:
    return Stemmer.Stemmer("english"), Stemmer.Stemmer("russian")
