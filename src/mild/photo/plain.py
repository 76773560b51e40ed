"""Is a piece of text only text? Pictures hide in text: in base64, in hexadecimal, as lists of numbers.

Metadata is kept by allow-list, and what is on the list is still held against this: a caption field with a picture in it
is no caption.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

#: The longest text that is kept, in characters; a picture needs room, a caption does not.
LONGEST = 16_000
#: Up to this many characters no encoding of text holds a picture that shows anybody.
SHORT = 160
#: A text of more characters must be made of words to at least this share.
PROSE = 0.6
#: All texts of one place (a packet, a record, a directory) may hold this many characters that are no words: names of
#: files, ids, codes. Dealt out to fields that are short each, a picture needs more.
MOST_OPAQUE = 800
_LONGEST_WORD = 120
#: Bits a letter, and the share of vowels: what is coded has all letters alike and few vowels; no language does.
_EVEN, _VOWELS, _JUDGED = 4.42, 0.27, 120
#: Of so many letters of another script, more than this share may not differ; nor be of more scripts.
_MANY, _VARIED, _SCRIPTS = 300, 0.8, 6

# The first bytes of JPEG, PNG, GIF, WebP (RIFF) and TIFF, and of gzip, in base64 and in hexadecimal.
_STARTS = re.compile(
    r"(?:/9j/|_9j_|iVBORw0KGgo|R0lGOD|UklGR|SUkqA|TU0AK|H4sI|ZnR5c|data:[\w/+.-]*;base64)[\w+/=%-]{24}"
    r"|(?i:ff ?d8 ?ff|89 ?50 ?4e ?47|52 ?49 ?46 ?46|47 ?49 ?46 ?38)[\s0-9a-f]{24}"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
_URL = re.compile(r"https?://[\w./?=&%#:~+-]{1,180}")
_WORDS = r"(?:[A-Z]?[a-z]{1,29}|[A-Z]{1,12}|\d{1,17}[A-Za-z]{0,2})"
_CODE, _CODE_IN_URL = re.compile(r"[A-Za-z0-9+/=_-]{44,}"), re.compile(r"[A-Za-z0-9+=_-]{44,}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?")
_ACCENTED, _ALNUM = re.compile(r"[^\W\d_a-zA-Z]"), re.compile(r"[^\W_]")
_JOINED = re.compile(rf"[\W_]*{_WORDS}(?:[\W_]+{_WORDS})*[\W_]*")


def is_plain(text: str) -> bool:
    """Can this text be kept, holding no picture in any encoding?"""
    if len(text) > LONGEST or _CONTROL.search(text) or _STARTS.search(text):
        return False
    words = text.split()
    if len(words) > 1 and _STARTS.search("".join(words)):
        return False
    if any(_is_code(word) for word in words):
        return False
    if any(len(word) > _LONGEST_WORD and not _URL.fullmatch(word) and not _foreign(word) for word in words):
        return False
    if len(text) <= SHORT:
        return True
    digits = sum(character.isdigit() for character in text)
    good = sum(len(word) for word in words if _is_word(word))
    return good >= PROSE * sum(map(len, words)) and digits <= 0.3 * len(text) and _reads(text)


def opaque(texts: Iterable[str]) -> int:
    """How many characters of some texts belong to words that are no words, numbers, addresses or other scripts'."""
    words = (word for text in texts for word in text.split())
    return sum(len(word) for word in words if len(word) > 4 and not (_TIME.fullmatch(word) or _is_word(word)))


def _reads(text: str) -> bool:
    """Are the letters of a long text spread as a language spreads them?"""
    letters = [c for c in text.casefold() if c.isascii() and c.isalpha()]
    if len(letters) >= _JUDGED:
        counts = Counter(letters)
        spread = -sum(n / len(letters) * math.log2(n / len(letters)) for n in counts.values())
        if spread > _EVEN and sum(counts[vowel] for vowel in "aeiou") < _VOWELS * len(letters):
            return False
    foreign = [character for character in text if ord(character) > 0x2FF]
    if sum(unicodedata.category(character) in ("Co", "Cn") or character == "\ufffd" for character in foreign) > 2:
        return False
    if len(foreign) >= _JUDGED:
        scripts = {unicodedata.name(character, "?").split(" ")[0] for character in foreign if character.isalpha()}
        return len(scripts) <= _SCRIPTS and (len(foreign) < _MANY or len(set(foreign)) <= _VARIED * len(foreign))
    return True


def decoded(raw: bytes) -> str:
    """Bytes of a text field as text: UTF-8 where they are, else Latin-1; trailing zeros and spaces are cut."""
    raw = raw.rstrip(b"\0 ")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _is_code(word: str) -> bool:
    """Does a word hold a long run of letters and digits that are no words, as hashes and keys do?"""
    runs = (_CODE_IN_URL if _URL.fullmatch(word) else _CODE).findall(word)
    return any(not _JOINED.fullmatch(run) for run in runs)


def _is_word(word: str) -> bool:
    """One word or several joined by marks, numbers, an address; or nothing but marks."""
    plain = _ACCENTED.sub("a", word)
    return bool(_JOINED.fullmatch(plain) or _URL.fullmatch(word)) or _foreign(word) or not _ALNUM.search(word)


def _foreign(word: str) -> bool:
    """A word in another script than Latin's ASCII, whose length says nothing (Chinese has no spaces)."""
    letters = sum(character.isalpha() and ord(character) > 127 for character in word)
    return 0 < len(word) <= 2_000 and letters >= 0.2 * len(word) and sum(map(str.isdigit, word)) <= 0.5 * len(word)
