"""What the result says about itself: that it is AI-generated, by what, of whom and with whose consent."""

from __future__ import annotations

from collections.abc import Iterable

from vidswap.types import Identity

# IPTC's word for real footage with parts made by a trained model (newscodes, digital source type).
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def disclosure(version: str) -> str:
    """The sentence that every result carries."""
    return f"AI-generated: face swap (vidswap {version})"


def labels(played: Iterable[tuple[Identity, str]], version: str, **more: str) -> dict[str, str]:
    """Tags of the result's container, for identities with the engines that made them seen, by name and key. `comment`
    says all, because it is what mp4, mov and mkv all keep and players show; the others repeat it by name where the
    container has room for them (mkv). `more` are further facts."""
    facts = dict[str, dict[str, None]]()
    for identity, engine in played:
        consent = identity.consent
        own = {
            "engine": engine,
            "subject": consent.subject,
            "consent": consent.record,
            "uses": ", ".join(consent.uses),
            "until": consent.until.isoformat() if consent.until else "",
            **more,
            "DigitalSourceType": SOURCE_TYPE,
        }
        for name, value in own.items():
            facts.setdefault(name, {}).update({value: None} if value else {})
    said = {name: " + ".join(values) for name, values in facts.items() if values}
    comment = "; ".join([disclosure(version), *(f"{name}: {value}" for name, value in said.items())])
    return {"comment": comment, **{f"vidswap_{name.lower()}": value for name, value in said.items()}}
