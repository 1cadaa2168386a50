"""What an engine opens, what that may be used for, and which engine is taken where the choice is left to us."""

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from types import MappingProxyType, ModuleType

import pytest

from vidswap.cli import engines as listed
from vidswap.cli import main as cli
from vidswap.cli.words import in_flags
from vidswap.errors import InstallError, ModelError, UsageError
from vidswap.models import hub
from vidswap.settings import ReadSettings, Setting, Settings, SwapSettings, number, one_of
from vidswap.swap import choice, engine
from vidswap.swap.choice import Accelerator, best, models_of, offer, openings, refuse_missing, refuse_uncommercial
from vidswap.swap.engine import load_engine
from vidswap.swap.engines import ENGINES
from vidswap.types import EngineChoice

FULL = Accelerator("a card", 80.0)


@dataclass(frozen=True)
class Toy:
    """The settings of an engine on Stable Diffusion, with an adapter that is not for money."""

    adapter: Setting[str, str] = Setting(one_of(("none", "faceid")), "none", "what knows the face")
    vram: Setting[float | None, float | None] = Setting(number(0.5, 1000), None, "GB")


@pytest.fixture
def sd15(monkeypatch, tmp_path):
    """An engine of that name, in place of whatever is, and nothing pulled."""
    module = ModuleType("sd15")
    module.Settings = Toy
    module.models = lambda settings: (
        "sd15-inpainting",
        *(("faceid-sd15", "buffalo_l") if settings.adapter != "none" else ()),
    )
    monkeypatch.setitem(sys.modules, "vidswap.swap.engines.sd15", module)
    known = MappingProxyType({"embedded": "ours", "sd15": "Stable Diffusion"})
    for place in (choice, engine):
        monkeypatch.setattr(place, "ENGINES", known)
    monkeypatch.setattr(hub, "home", lambda: tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return module


def pulled(*names):
    """Have models be there."""
    for name in names:
        (hub.home() / name).mkdir(parents=True)
        (hub.home() / name / "config.json").write_text("{}")
        hub.seal(name)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_says_which_models_it_opens_and_they_are_listed(name):
    found = models_of(EngineChoice(name))
    assert found
    assert all(each.licence and each.bytes for each in found)
    assert offer(name).speed in listed.SPEEDS


def test_what_ships_opens_only_what_ships_and_may_be_used_for_money():
    opened = [each.name for each in models_of(EngineChoice("embedded"))]
    assert opened == ["face", "expressions", "parts", "light", "swapper"]
    actors = EngineChoice("warp", (("complexion", "actor"),))
    assert [each.name for each in models_of(actors)] == ["face", "expressions", "parts"]
    for name in choice.SHIPS:
        assert (offer(name).commercial, offer(name).lacks) == (True, "")


def test_what_ships_is_opened_without_waiting_to_hear_what_it_is(monkeypatch):
    monkeypatch.setattr(choice, "models_of", lambda _choice: pytest.fail("its libraries were loaded"))
    assert choice.uncommercial([EngineChoice(name) for name in choice.SHIPS]) == []
    openings([EngineChoice("embedded")], Settings(swap=SwapSettings(commercial=True)), load_engine)


def test_an_adapter_that_is_not_for_money_is_refused_with_what_is_allowed(sd15):
    strict = Settings(swap=SwapSettings(commercial=True))
    faceid = EngineChoice("sd15", (("adapter", "faceid"),))
    refuse_uncommercial([EngineChoice("embedded"), EngineChoice("sd15"), EngineChoice("somebody's")], strict)
    refuse_uncommercial([faceid], Settings())
    with pytest.raises(UsageError) as caught:
        refuse_uncommercial([EngineChoice("embedded"), faceid], strict)
    assert in_flags(str(caught.value)) == (
        "--commercial is wanted, and the engine sd15 opens 'faceid-sd15' and 'buffalo_l': "
        "research only, as its makers say; non-commercial research only, as insightface says "
        "(allowed, with their settings as they are: embedded, sd15)"
    )


def test_a_face_pack_that_is_not_for_money_is_refused():
    strict = Settings(ReadSettings(face_pack="buffalo_l"), SwapSettings(commercial=True))
    with pytest.raises(UsageError, match=r"`swap\.commercial` is wanted, and face pack 'buffalo_l': non-commercial"):
        refuse_uncommercial([EngineChoice("embedded")], strict)


@pytest.mark.parametrize("more", [[], ["--preview"]])
def test_the_command_refuses_before_it_reads_anything(capsys, more):
    words = ["swap", "none.mp4", "--face", "a.jpg", "--consent", "self", "-o", "out.mp4", "--commercial", *more]
    assert cli.main([*words, "--engine", "inswapper"]) == UsageError.code
    assert "--commercial is wanted, and the engine inswapper opens 'inswapper_128'" in capsys.readouterr().err


def test_what_lacks_is_told_with_the_command_and_what_a_setting_opens(sd15):
    found = offer("sd15")
    assert (found.commercial, found.memory, found.bytes) == (True, 4.0, 2_140_000_000)
    assert found.lacks.startswith("'sd15-inpainting' is not here: `vidswap models pull sd15-inpainting` gets it")
    assert [each.name for each in found.variants["adapter=faceid"]] == ["faceid-sd15", "buffalo_l"]
    pulled("sd15-inpainting")
    assert (offer("sd15").lacks, offer("sd15").bytes) == ("", 2)


def test_several_models_that_are_missing_are_one_command(sd15):
    faceid = EngineChoice("sd15", (("adapter", "faceid"),))
    with pytest.raises(ModelError) as caught:
        openings([EngineChoice("embedded"), faceid], Settings(), load_engine)
    assert str(caught.value) == (
        "the engine sd15, as it is chosen, lacks sd15-inpainting and faceid-sd15 and buffalo_l "
        "(`vidswap models pull sd15-inpainting faceid-sd15 buffalo_l` gets them; sd15-inpainting: about 2.1 GB; "
        "CreativeML OpenRAIL-M, which forbids some uses; faceid-sd15: about 148 MB; research only, as its makers say; "
        "no commercial use; buffalo_l: about 288 MB; non-commercial research only, as insightface says; "
        "no commercial use)"
    )
    openings([faceid], Settings(), lambda *_: nullcontext())
    refuse_missing([EngineChoice("sd15"), EngineChoice("sd15", (*faceid.options, ("weights", "mine")))])


def test_libraries_that_are_missing_are_told(sd15, monkeypatch):
    def fail(_choice):
        raise InstallError("the library peft is not installed", "pip install peft")

    monkeypatch.setattr(choice, "models_of", fail)
    assert offer("sd15").lacks == "the library peft is not installed: pip install 'vidswap[big]'"


def test_the_choice_is_of_what_is_here_and_fits(sd15):
    assert best(None) == ("embedded", "there is no GPU")
    name, why = best(FULL)
    assert name == "embedded"
    assert why.startswith("for sd15 'sd15-inpainting' is not here: `vidswap models pull sd15-inpainting`")
    pulled("sd15-inpainting")
    assert best(FULL) == best(FULL) == ("sd15", "its models are here, and a card has 80 GB")
    assert best(Accelerator("a small card", 3.0)) == best(FULL, vram=3.0) == ("embedded", "sd15 needs 4 GB")
    sd15.models = lambda _settings: ("sd15-inpainting", "faceid-sd15")
    assert best(FULL, commercial=True)[0] == "embedded"


def test_auto_becomes_a_name_before_anything_is_made_of_it(sd15, monkeypatch, capsys):
    words = ["swap", "none.mp4", "--face", "a.jpg", "--consent", "self", "-o", "out.mp4", "--engine", "auto"]
    heard = []
    monkeypatch.setattr("vidswap.swap_clip", lambda *given, **_more: heard.append(given[3].swap.choice) or 1 / 0)
    monkeypatch.setattr(choice, "accelerator", lambda: FULL)
    pulled("sd15-inpainting")
    for more in ([], ["--vram", "6"], ["--vram", "2"]):
        with pytest.raises(ZeroDivisionError):
            cli.main([*words, *more])
    assert heard == [EngineChoice("sd15"), EngineChoice("sd15", (("vram", "6"),)), EngineChoice("embedded")]
    assert capsys.readouterr().err.splitlines() == [
        "vidswap: --engine auto takes sd15: its models are here, and a card has 80 GB",
        "vidswap: --engine auto takes sd15: its models are here, and a card has 6 GB",
        "vidswap: --engine auto takes embedded: sd15 needs 4 GB",
    ]
    assert cli.main([*words, "--vram", "lots"]) == UsageError.code
    assert "--vram is 'lots' (allowed: 0.5 to 1000)" in capsys.readouterr().err


def test_the_table_says_what_there_is(capsys):
    assert cli.main(["engines"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("engine      here  commercial")
    assert "\nwarp        yes   yes         8 MB      1.5 GB   frames a second  nothing\n" in out
    assert "--engine auto takes embedded" in out
