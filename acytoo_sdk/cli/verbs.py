"""The verbs: which there are, and what is nearly one."""

from __future__ import annotations

import click

VERBS = {
    "ask": "Sends a prompt, and prints the reply as it arrives.",
    "chat": "Holds a conversation.",
    "batch": "Asks many prompts, and goes on where it was stopped.",
    "doctor": "Looks step by step at what is between you and a reply.",
    "config": "Shows and changes your settings.",
    "serve": "Serves replies as bare text, from an OpenAI-compatible server or by itself.",
}
"""Every verb, and what `acytoo --help` says of it without importing it."""
WITHOUT_VERB = "ask"
LEFT_OUT = f"{__name__}.left_out"
"""Stands in the context's `meta` where the verb was left out."""

_CHANGES = ("get", "set", "unset")
_SECRETS = """
    apikey api-key api_key auth config-set key key_command login password set-key set_key setkey token
""".split()  # noqa: SIM905
_LONG = 6  # letters, from which on two slips still leave a word recognizable


def refuse_near_miss(words: tuple[str, ...]) -> None:
    """Refuses what looks like a mistyped command: it is not sent as a prompt, since a secret may be in it.

    Args:
        words: the arguments where no verb stands.

    Raises:
        click.UsageError: the first is a verb, or nearly one, or they speak of a setting.
    """
    if words[0] in VERBS:
        raise click.UsageError(f"the options of {words[0]} stand after it: acytoo {words[0]} ...")
    near = next((verb for verb in VERBS if is_near_miss(words[0], verb)), None)
    if near is None and _speaks_of_settings(" ".join(words).lower().split()):
        near = "config"
    if near is not None:
        raise click.UsageError(
            f"there is no such command: did you mean `acytoo {near}`? A prompt is sent by `acytoo ask`."
        )


def _speaks_of_settings(words: list[str]) -> bool:
    """Whether words, however they were quoted, are to set or to show a setting, as `key SECRET`."""
    from .settings.merging import SETTINGS  # `--help` does without

    for index, word in enumerate(words[:2]):
        if word in _CHANGES and words[index + 1 :] and words[index + 1].partition(".")[0] in SETTINGS:
            return True
    return len(words) == 2 and words[0] in _SECRETS


def is_near_miss(word: str, verb: str) -> bool:
    """Whether a word is a verb, or a beginning of one, or one with more letters behind or with a slip in it.

    The first letter is seldom a slip, unless it has changed its place: `what`, as many a question begins, is not nearly
    `chat`.
    """
    word = word.lower()
    if (len(word) >= 3 and verb.startswith(word)) or (len(verb) >= _LONG and word.isalpha() and word.startswith(verb)):
        return True
    begins_alike = word[:1] == verb[0] or word[:2] == verb[1] + verb[0]
    return len(word) >= 3 and begins_alike and _distance(word, verb) <= (2 if len(verb) >= _LONG else 1)


def _distance(word: str, verb: str) -> int:
    """How many letters are wrong, missing, too many, or in the place of their neighbour.

    Source: the optimal string alignment distance.
    """
    before, last = [0] * (len(verb) + 1), list(range(len(verb) + 1))
    for i, letter in enumerate(word):
        row = [i + 1]
        for j, wanted in enumerate(verb):
            row.append(min(last[j + 1] + 1, row[j] + 1, last[j] + (letter != wanted)))
            if i and j and letter == verb[j - 1] and word[i - 1] == wanted:
                row[-1] = min(row[-1], before[j - 1] + 1)
        before, last = last, row
    return last[-1]
