"""Signs of prompt injection in a text, and what they are worth. Nothing here knows the gateway, so that tests run in any Python.

A score says how likely one of the signals is to mean an attack: 1 - (1 - a) * (1 - b) * ... over the weights of those that are
there. Heuristics like these find what is copied from collections of attacks; they do not stop somebody who knows them.
"""

import base64
import binascii
import re
import unicodedata

#: The built-in signals with their weights.
WEIGHTS = {
    # Earlier instructions are to be ignored.
    "override": 0.7,
    # The instructions are to be shown.
    "reveal": 0.5,
    # The model is to be somebody without rules.
    "persona": 0.5,
    # Marks with which templates of models divide a chat.
    "markup": 0.6,
    # A line that claims to come from the system.
    "role-line": 0.3,
    # Characters that people do not see.
    "hidden": 0.4,
    # Any of the above, coded in Base64.
    "encoded": 0.8,
    # A picture or link is to carry what the model knows.
    "exfiltration": 0.5,
}

_OBJECT = r"(?:instructions?|prompts?|rules|guidelines|directions|messages|anweisungen|regeln|instrucciones|instructions précédentes)"
_PATTERNS = {
    "override": [
        rf"\b(?:ignore|disregard|forget|override|bypass)\b.{{0,40}}\b(?:previous|prior|above|earlier|preceding|all|any|your|the|system)\b.{{0,30}}\b{_OBJECT}\b",
        r"\b(?:ignoriere|vergiss|missachte)\b.{0,40}\b(?:anweisungen|regeln|vorgaben)\b",
        r"\b(?:ignora|olvida)\b.{0,40}\binstrucciones\b",
        r"\b(?:ignore[zr]?|oublie[zr]?)\b.{0,40}\b(?:instructions|consignes)\b.{0,20}\b(?:précédentes|ci-dessus)\b",
        r"(?:忽略|无视|忘记|忽視|無視).{0,10}(?:之前|以上|上面|前面|先前|所有).{0,10}(?:指令|指示|提示|规则|規則|要求)",
    ],
    "reveal": [
        r"\b(?:reveal|print|show|repeat|output|display|leak|tell me)\b.{0,40}\b(?:system|initial|hidden|secret|original|your)\b.{0,20}\b(?:prompt|instructions|rules|message)\b",
        r"\bwhat (?:is|are|was|were) your (?:system |initial |original )(?:prompt|instructions|rules)\b",
        r"\brepeat (?:everything|all|the (?:text|words)) above\b",
        r"(?:输出|显示|告诉我|重复|泄露).{0,10}(?:系统提示|提示词|初始指令|系统指令)",
    ],
    "persona": [
        r"\byou are now\b.{0,40}\b(?:dan|unrestricted|unfiltered|jailbroken|free of|without (?:any )?(?:rules|restrictions|limits))\b",
        r"\b(?:do anything now|developer mode|god mode|jailbreak)\b",
        r"\b(?:act|behave|respond|pretend)\b.{0,40}\b(?:no|without(?: any)?) (?:restrictions|rules|filters?|guidelines|limits)\b",
        r"(?:你现在是|假装你).{0,20}(?:没有限制|不受限制|无限制)",
    ],
    "markup": [
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id)\|>",
        r"\[/?INST\]|<</?SYS>>|<start_of_turn>|<end_of_turn>",
    ],
    "role-line": [
        r"^[#*\s\[<]{0,4}(?:system|developer|assistant)(?: (?:message|prompt|override))?[\]>*]{0,3}\s*:",
        r"^\W{0,6}(?:end|begin)(?:ning)? of (?:the )?(?:user|system) (?:input|prompt|message|instructions)",
    ],
    "exfiltration": [
        r"!\[[^\]]{0,200}\]\(\s*https?://[^)\s]{1,200}[?=][^)\s]{0,200}(?:\{|<|\$|%s|data|secret|prompt|chat)",
        r"\b(?:send|post|upload|append|encode)\b.{0,60}\b(?:conversation|history|prompt|secrets?|passwords?|keys?|data)\b.{0,60}https?://",
    ],
}

#: Characters without a shape or width, marks of direction, and tags.
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f]")
#: Emoji are joined by this.
_JOINER = re.compile("(?<=[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2600-\u27bf\U0001f000-\U0001faff])")
#: So many of them are no accident.
_HIDDEN_MIN = 3
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
#: How many runs in Base64 are decoded, and how much of each. Arbitrary: instructions are short.
_RUNS, _RUN = 20, 4000


class Heuristics:
    """The signals of one configuration. A `ValueError` names everything in it that cannot be."""

    def __init__(self, weights=None, patterns=(), max_chars=20_000):
        problems = [f"weights: there is no signal `{name}`; there are {', '.join(WEIGHTS)}" for name in weights or {} if name not in WEIGHTS]
        self.weights = WEIGHTS | (weights or {})
        self.max_chars = max_chars
        self._patterns = {name: [_compile(each) for each in group] for name, group in _PATTERNS.items()}
        for number, own in enumerate(patterns):
            name = own["name"]
            if name in self.weights:
                problems.append(f"patterns[{number}].name: there is a signal `{name}` already")
                continue
            try:
                self._patterns[name] = [_compile(own["pattern"])]
            except re.error as error:
                problems.append(f"patterns[{number}].pattern: {error}")
            self.weights[name] = own["weight"]
        if problems:
            raise ValueError("\n".join(problems))

    def signals(self, text):
        """The names of the signals that are in a text."""
        text = self._ends(text)
        found = set()
        if len(_HIDDEN.findall(_JOINER.sub("", text))) >= _HIDDEN_MIN:
            found.add("hidden")
        plain = plain_text(text)
        found.update(self._matches(plain))
        if any(self._matches(plain_text(coded)) for coded in _decoded(text)):
            found.add("encoded")
        return {name for name in found if self.weights[name] > 0}

    def score(self, signals):
        """What signals are worth together, from 0 to 1."""
        innocent = 1.0
        for name in signals:
            innocent *= 1 - self.weights[name]
        return round(1 - innocent, 3)

    def _matches(self, text):
        return [name for name, group in self._patterns.items() if any(each.search(text) for each in group)]

    def _ends(self, text):
        """A long text's beginning and end: instructions stand there, and the time for one is bounded."""
        if len(text) <= self.max_chars:
            return text
        half = self.max_chars // 2
        return text[:half] + "\n" + text[-half:]


def plain_text(text):
    """A text as people read it: wide and styled letters are letters, and what is not seen is not there."""
    return _HIDDEN.sub("", unicodedata.normalize("NFKC", text))


def _compile(pattern):
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)


def _decoded(text):
    """What runs of Base64 say, as far as it is text."""
    for run in _BASE64.findall(text)[:_RUNS]:
        run = run[:_RUN].rstrip("=")
        run = run[: len(run) - (len(run) % 4 == 1)]
        try:
            yield base64.b64decode(run + "=" * (-len(run) % 4), altchars=b"-_" if set(run) & set("-_") else None).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
