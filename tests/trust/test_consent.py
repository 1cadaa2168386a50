from __future__ import annotations

from contextlib import nullcontext
from datetime import date
from pathlib import Path

import pytest

from vidswap.casting import Role
from vidswap.errors import ConsentError
from vidswap.measure.compare import MEASURED
from vidswap.pipeline import swap_clip
from vidswap.settings import Settings, SwapSettings
from vidswap.swap.engine import Advance, Needs
from vidswap.trust.consent import BENCH, REMOTE, SELF, SWAP, load_consent, permit
from vidswap.types import Consent, Crops, Identity, Swapped

SAMPLES = Path(__file__).parents[2] / "samples"


def test_self_is_consent_of_its_own() -> None:
    assert load_consent("self") == Consent("self", (), None, "self")


def test_a_record_says_who_what_for_and_until_when(tmp_path: Path) -> None:
    record = tmp_path / "anna.toml"
    record.write_text('subject = "Anna"\nuses = ["short film"]\nuntil = 2031-05-04\n')
    assert load_consent(str(record)) == Consent("Anna", ("short film",), date(2031, 5, 4), "anna.toml")


def test_the_last_day_of_consent_counts() -> None:
    anna = Consent("Anna", (), date(2025, 5, 4), "anna.toml")
    permit(anna, SWAP, today=date(2025, 5, 4))
    with pytest.raises(ConsentError, match="ended on 2025-05-04"):
        permit(anna, SWAP, today=date(2025, 5, 5))


@pytest.mark.parametrize(
    "text",
    ["subject = ", 'uses = ["film"]', 'subject = "  "', "subject = 3", 'subject = "A"\nuses = "film"',
     'subject = "A"\nuntil = "soon"', "#" * 70_000, 'subject = "A"\nuses = [" "]', 'subject = "A"\nutil = 2001-01-01'],
)  # fmt: skip
def test_a_bad_record_is_no_consent(tmp_path: Path, text: str) -> None:
    record = tmp_path / "bad.toml"
    record.write_text(text)
    with pytest.raises(ConsentError) as caught:
        load_consent(str(record))
    assert caught.value.hint


@pytest.mark.parametrize("word", ["missing.toml", "", "yes", "nul\0l"])
def test_any_other_word_is_no_consent(word: str) -> None:
    with pytest.raises(ConsentError, match="cannot read consent record"):
        load_consent(word)


def test_a_record_that_is_not_text_is_no_consent(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(bytes(range(256)))
    with pytest.raises(ConsentError):
        load_consent(str(tmp_path / "bytes.toml"))


@pytest.mark.parametrize(("uses", "covered"), [
    ((), {SWAP, BENCH, "our short film"}),
    (("remote",), {SWAP, BENCH, REMOTE, "our short film"}),
    (("our short film",), {SWAP, "our short film"}),
    (("Our Short Film", "Remote"), {SWAP, REMOTE, "our short film"}),
    (("swap",), {SWAP}),
    (("bench",), {BENCH}),
    (("bench", "remote"), {BENCH, REMOTE}),
])  # fmt: skip
def test_a_record_covers_its_uses_and_no_others(uses: tuple[str, ...], covered: set[str]) -> None:
    ada = Consent("Ada", uses, None, "ada.toml")
    for use in (SWAP, BENCH, REMOTE, "our short film"):
        if use in covered:
            permit(ada, use)
        else:
            with pytest.raises(ConsentError, match="Ada agreed to") as caught:
                permit(ada, use)
            assert f'"{use}"' in caught.value.hint


def test_who_swaps_themselves_may_ask_for_anything() -> None:
    for use in (SWAP, BENCH, REMOTE):
        permit(SELF, use)


def test_a_record_of_somebody_called_self_is_not_the_word_self() -> None:
    with pytest.raises(ConsentError):
        permit(Consent("self", (), None, "self.toml"), REMOTE)


class Far:
    """An engine on another machine."""

    key, exact = "remote", False
    needs = Needs(64, "aligned", 4, 1, uploads=True)

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        raise AssertionError("a face left this machine")


@pytest.mark.parametrize(("record", "said"), [
    ('uses = ["our short film"]', "another machine"),
    ('uses = ["bench"]', "does not cover a swap"),
    ('uses = ["our short film", "remote"]\nuntil = 2001-01-01', "ended on 2001-01-01"),
])  # fmt: skip
def test_a_swap_that_is_not_agreed_to_begins_nothing(tmp_path: Path, record: str, said: str) -> None:
    file = tmp_path / "ada.toml"
    file.write_text(f'subject = "Ada"\n{record}\n')
    settings = Settings(swap=SwapSettings("warp"))
    with pytest.raises(ConsentError, match=said):
        swap_clip(SAMPLES / "clip.mp4", Role(SAMPLES / "selfie.jpg", str(file)), tmp_path / "out.mp4", settings,
                  load=lambda *_: nullcontext(Far()))  # fmt: skip
    assert list(tmp_path.iterdir()) == [file]


def test_who_is_only_measured_is_not_said_to_have_agreed() -> None:
    assert "self" not in (MEASURED.subject, MEASURED.record)
    for use in (SWAP, REMOTE):
        with pytest.raises(ConsentError):
            permit(MEASURED, use)
