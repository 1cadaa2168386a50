"""The words of who plays whom: one face, several roles, or a cast file."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from vidswap import Cast, Settings
from vidswap.casting import checked_cast
from vidswap.cli.people import cast_told, people_words
from vidswap.cli.words import Parser
from vidswap.errors import ConsentError, UsageError, VidswapError


def told(*words: str) -> Cast:
    parser = Parser()
    people_words(parser)
    options: argparse.Namespace = parser.parse_args(words)
    return cast_told(options, Settings())


def test_one_face_is_for_the_largest_person() -> None:
    ((person, (role,)),) = checked_cast(told("--face", "a.jpg", "--consent", "self")).items()
    assert (person, role.face, role.consent) == ("largest", Path("a.jpg"), "self")


def test_each_role_has_a_number_a_face_and_a_consent() -> None:
    cast = checked_cast(told("--role", "0=a.jpg", "--role", "3=b=c", "--consent", "self", "--consent", "3=b.toml"))
    assert {person: (str(role.face), role.consent) for person, (role,) in cast.items()} == {
        0: ("a.jpg", "self"), 3: ("b=c", "b.toml"),
    }  # fmt: skip


@pytest.mark.parametrize(("words", "kind", "said"), [
    ("", UsageError, "nobody's face was named"),
    ("--face a --role 0=b --consent self", UsageError, "--face and --role exclude each other"),
    ("--role 0=b --cast c.toml --consent self", UsageError, "--role and --cast exclude each other"),
    ("--cast c.toml --consent self", UsageError, "in a cast file each person has a consent"),
    ("--face a", ConsentError, "nobody's consent was named"),
    ("--face a --consent self --consent b.toml", UsageError, "for several people"),
    ("--face a --consent 0=self", UsageError, "for several people"),
    ("--role 0=a", ConsentError, "nobody's consent was named for person 0"),
    ("--role 0=a --consent 1=self", ConsentError, "nobody's consent was named for person 0"),
    ("--role 0=a --consent self --consent 1=b.toml", UsageError, "--consent 1=… is of nobody who plays"),
    ("--role 0=a --role 0=b --consent self", UsageError, "says twice who plays person 0"),
    ("--role a.jpg --consent self", UsageError, "N=PHOTO"),
    ("--role 0= --consent self", UsageError, "N=PHOTO"),
    ("--role -1=a --consent self", UsageError, "--role"),
])  # fmt: skip
def test_what_does_not_go_together_is_one_line(words: str, kind: type[VidswapError], said: str) -> None:
    with pytest.raises(kind) as raised:
        told(*words.split())
    assert said in str(raised.value)
