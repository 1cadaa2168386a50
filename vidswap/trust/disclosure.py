"""What the result says about itself: that it is AI-generated, by what, of whom and with whose consent."""

from __future__ import annotations

from vidswap.types import Identity

# IPTC's word for real footage with parts made by a trained model (newscodes, digital source type).
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def disclosure(version: str) -> str:
    """The sentence that every result carries."""
    return f"AI-generated: face swap (vidswap {version})"


def labels(identity: Identity, engine: str, version: str) -> dict[str, str]:
    """Tags of the result's container. `comment` says all, because it is what mp4, mov and mkv all keep and players
    show; the others repeat it by name where the container has room for them (mkv). `engine` is its name and key."""
    consent = identity.consent
    facts = {
        "engine": engine,
        "subject": consent.subject,
        "consent": consent.record,
        "uses": ", ".join(consent.uses),
        "until": consent.until.isoformat() if consent.until else "",
        "DigitalSourceType": SOURCE_TYPE,
    }
    told = {name: value for name, value in facts.items() if value}
    comment = "; ".join([disclosure(version), *(f"{name}: {value}" for name, value in told.items())])
    return {"comment": comment, **{f"vidswap_{name.lower()}": value for name, value in told.items()}}
