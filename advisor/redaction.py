"""Redaction of secrets: passwords, keys and tokens are recognised by the names and the forms that they usually have.

Everything that is shown, stored for others or shared passes through a `Redactor`. It also replaces the values that it
recognised in the script's arguments and in the environment, wherever they stand.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .types import Command

T = TypeVar("T")

HIDDEN = "***"
"""Text in place of a secret."""
FEWEST_CHARACTERS = 6
"""Length from which a known value is replaced within other text; shorter ones are parts of ordinary words."""
PLAIN_WORD_CHARACTERS = 12
"""The same for a value of lower-case letters alone, which may be an ordinary word or a name in a path."""
ENVIRONMENT_CHARACTERS = 8


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SECRET = _set_of(
    "password passwd passphrase passcode pwd secret secrets apikey apitoken authtoken accesstoken accesskey secretkey "
    "privatekey credential credentials bearer authorization cookie"
)
"""Words that make a name secret wherever they stand in it."""
_NOT_ITSELF = _set_of(
    "file files path paths dir folder env var name length len size count field column prompt policy manager"
)
"""Last words of names that hold no secret, though a secret is what they are about."""
_KEY_TO = _set_of(
    "access account api auth aws azure bot comet encryption hf hub huggingface license master neptune openai private "
    "secret service signing ssh storage subscription user wandb"
)
"""Words before `key` or `tokens` that make it a secret; `label_key` and `sort_key` are none."""
_TOKEN_OF_TEXT = _set_of(
    "audio begin bos class classification cls end eos ignore image last mask max min new next num number pad padding "
    "per prev previous sep separator special start stop target text total unk unknown video"
)
"""Words before `token` that mean a piece of text."""
_PASS_OF = _set_of("admin db ftp mail mongo mysql pg postgres proxy redis root smtp user")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NO_SECRET = frozenset(("", "none", "null", "nil", "true", "false", "yes", "no", "on", "off", "auto", HIDDEN))
_PROSE = _set_of(
    "a an and are as can cannot expected for from has have if in instead invalid is may missing must need needs not of "
    "on only or out required requires should that the to too was were which with without"
)
"""Words behind a name in a sentence about it: `argument --token: expected one argument`."""
_NUMBER = re.compile(r"[-+]?\d[\d_.,]*(?:[eE][-+]?\d+)?")
_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w+/=-]{20,}")

_CREDENTIALS = re.compile(r"(?<=://)(?:[^/\s'\"<>]{1,300}|[^/\s:@'\"<>]{0,100}:(?!\d+/)[^\s'\"<>]{1,300})(?=@)")
"""User and password in a URL."""
_FORMS = re.compile(
    r"""
    -----BEGIN\ [A-Z ]{0,30}PRIVATE\ KEY-----[\s\S]{1,8000}?-----END\ [A-Z ]{0,30}PRIVATE\ KEY-----
    | (?<![A-Za-z0-9])(?:
        sk-(?=[\w-]{0,200}[0-9A-Z])[\w-]{6,200}                       # OpenAI, Anthropic and others
      | hf_(?=[A-Za-z0-9]{0,200}[0-9A-Z])[A-Za-z0-9]{6,200}           # Hugging Face
      | [sr]k_(?:live|test)_\w{10,200}                                # Stripe
      | gh[pousr]_[A-Za-z0-9]{20,255} | github_pat_\w{20,255}         # GitHub
      | glpat-[\w-]{16,200} | npm_[A-Za-z0-9]{30,} | pypi-[\w-]{40,}  # GitLab, npm, PyPI
      | (?:AKIA|ASIA)[A-Z0-9]{16}                                     # AWS
      | xox[abeprs]-[\w-]{10,200} | hooks\.slack\.com/services/[\w/]{10,200}
      | AIza[\w-]{30,60} | ya29\.[\w-]{20,500}                        # Google
      | r8_[A-Za-z0-9]{30,60} | wandb_v\d_\w{20,200}
      | eyJ[\w-]{10,2000}\.eyJ[\w-]{5,4000}\.[\w-]{5,2000}            # JSON web token
      )
    | (?<=[Bb]earer\ )[\w.~+/=-]{8,2000}
    """,
    re.VERBOSE,
)
_HINT = re.compile(r"pass|pwd|secret|key|token|credential|auth|bearer|cookie", re.IGNORECASE)
"""Cheap test before `_NAMED`."""
_VALUE = r"""(?P<quote>["'])(?P<quoted>[^"'\n]{1,500})(?P=quote)|(?P<bare>[^\s'"`,;<>(){}\[\]]{1,500})(?![(\[])"""
_NAMED = re.compile(
    rf"""(?<![\w.-])(?P<name>[\w.-]{{1,80}})(?P<between>["']?[ \t]{{0,4}}(?:=|:(?!//))[ \t]{{0,4}})(?:{_VALUE})"""
)
"""`name=value` and `"name": "value"`, in text and in source code."""
_OPTION = re.compile(rf"(?<![\w-])(?P<name>--?[A-Za-z][\w.-]{{1,80}})(?P<between>[ \t]{{1,4}})(?:{_VALUE})")
"""`--name value` in text."""
_PLAIN = frozenset((float, int, bool, type(None)))


def is_secret(name: str, value: str) -> bool:
    """Return whether an option, variable or key of this name and value holds a secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _NOT_ITSELF or value.lower() in _NO_SECRET or value.startswith("$"):
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if _SECRET.intersection(words) or (last == "pass" and before in _PASS_OF):
        return not (last == "pwd" and value.startswith(("/", "~")))  # that is the working folder
    if _NUMBER.fullmatch(value):
        return False
    return (
        (last in ("key", "keys", "tokens") and before in _KEY_TO)
        or (words == ["key"] and _RANDOM.fullmatch(value) is not None)
        or (last == "token" and before not in _TOKEN_OF_TEXT and not value.startswith(("<", "[", "|")))
        or (last == "auth" and ":" in value)
    )


@dataclass(frozen=True)
class Redactor:
    """Replacement of secrets by `HIDDEN`: those of usual names and forms, and `known` values."""

    known: tuple[str, ...] = ()

    @classmethod
    def of_words(cls, words: Sequence[str], environment: Mapping[str, str] | None = None) -> Redactor:
        """Return a redactor that also knows the secrets in a command line and in the environment."""
        given = [value for value in _secrets_in(words) if _is_distinct(value)]
        variables = [
            value
            for name, value in (environment or {}).items()
            if len(value) >= ENVIRONMENT_CHARACTERS and is_secret(name, value) and _is_distinct(value)
        ]
        return cls(known=tuple(sorted({*given, *variables}, key=lambda value: (-len(value), value))))

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        for value in self.known:
            if value in text:
                text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", HIDDEN, text)
        if "://" in text:
            text = _CREDENTIALS.sub(HIDDEN, text)
        text = _FORMS.sub(HIDDEN, text)
        if _HINT.search(text):
            text = _OPTION.sub(_without_value, _NAMED.sub(_without_value, text))
        return text

    def words(self, words: Sequence[str]) -> tuple[str, ...]:
        """Return the words of a command line without secrets; the names of their options stay."""
        return tuple(
            HIDDEN
            if _follows_secret(words, place)
            else f"{word.partition('=')[0]}={HIDDEN}"
            if _holds_secret(word)
            else self.text(word)
            for place, word in enumerate(words)
        )

    def command_line(self, line: str) -> str:
        """Return a command line for a shell without secrets; one that no shell would take is a text."""
        try:
            words = shlex.split(line)
        except ValueError:
            return self.text(line)
        shown = self.words(words)
        return line if list(shown) == words else shlex.join(shown)

    def of(self, value: T) -> T:
        """Return a value (dataclasses, mappings, sequences, text) without secrets; the same object if it has none."""
        found: T = self._of(value)
        return found

    def _of(self, value: Any) -> Any:
        found = value
        if isinstance(value, str):
            found = self.text(value)
        elif isinstance(value, Command):
            found = dataclasses.replace(value, args=self.words(value.args))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
            changed = {name: new for name, old in fields.items() if (new := self._of(old)) is not old}
            return dataclasses.replace(value, **changed) if changed else value
        elif isinstance(value, Mapping):
            found = {key: self._of(item) for key, item in value.items()}
        elif isinstance(value, tuple | list) and not _PLAIN.issuperset(map(type, value)):
            found = type(value)([self._of(item) for item in value])
        return value if found == value else found


def is_placeholder(word: str) -> bool:
    """Return whether a word of a command line holds `HIDDEN` where `Redactor.words` puts it."""
    return word == HIDDEN or word.endswith(f"={HIDDEN}") or f"://{HIDDEN}@" in word


def _secrets_in(words: Sequence[str]) -> Iterable[str]:
    for place, word in enumerate(words):
        if _follows_secret(words, place):
            yield word
        elif _holds_secret(word):
            yield word.partition("=")[2]
        else:
            for found in (*_CREDENTIALS.finditer(word), *_FORMS.finditer(word)):
                yield found[0]
                yield found[0].rpartition(":")[2]  # the password alone, too


def _follows_secret(words: Sequence[str], place: int) -> bool:
    """Return whether the word is the value of an option before it that holds a secret."""
    option = words[place - 1] if place else ""
    word = words[place]
    return option.startswith("-") and "=" not in option and not word.startswith("-") and is_secret(option, word)


def _holds_secret(word: str) -> bool:
    """Return whether the word is `--option=value` or `option=value` with a secret value."""
    name, equals, value = word.partition("=")
    return bool(equals) and "://" not in name and " " not in name and is_secret(name, value)


def _without_value(found: re.Match[str]) -> str:
    value = found["quoted"] or found["bare"] or ""
    # In source code, `api_key=args.api_key` passes a value on that is not a secret itself.
    if not is_secret(found["name"], value) or (found["bare"] and is_secret(value, "value")):
        return found[0]
    if found["bare"] and (value in _PROSE or ("=" in found["between"] and _is_expression(value))):
        return found[0]
    quote = found["quote"] or ""
    return f"{found['name']}{found['between']}{quote}{HIDDEN}{quote}"


def _is_expression(value: str) -> bool:
    """Return whether a bare value is more likely source code: `token = logits.argmax`, `password = None`."""
    return re.fullmatch(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", value) is not None


def _is_distinct(value: str) -> bool:
    """Return whether the value can be replaced within other text without hitting ordinary words."""
    if re.fullmatch(r"[a-z]+", value):
        return len(value) >= PLAIN_WORD_CHARACTERS
    return len(value) >= FEWEST_CHARACTERS and not _NUMBER.fullmatch(value)
