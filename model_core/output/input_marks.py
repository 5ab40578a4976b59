"""The AI marks that a photo carries when it arrives, to keep them on images that show it.

The XMP packet is searched for in the file's bytes, as XMP's specification (part 3) intends for
programs that do not know the format. Not covered: compressed packets, as in some PNG files.
"""

import re
from dataclasses import dataclass
from html import unescape

from model_core.output.provenance import COMPOSITE, GENERATED, xmp_packet

AI_SOURCE_TYPES = (
    GENERATED,
    COMPOSITE,
    "compositeSynthetic",
    "algorithmicMedia",
    "algorithmicallyEnhanced",
)
"""IPTC's digital source types of images that an algorithm made, wholly or in part."""

PACKET_START, PACKET_END = b"<x:xmpmeta", b"</x:xmpmeta>"
MAX_PACKET_BYTES = 1_000_000
MAX_TEXT = 200  # characters of a name that are kept


@dataclass(frozen=True, slots=True)
class InputMarks:
    """The mark of a photo that an algorithm has made or changed before.

    Attributes:
        source_type: IPTC's digital source type, one of AI_SOURCE_TYPES.
        system: Name of the AI system; empty if it is not named.
        system_version: Version of that system; empty likewise.
    """

    source_type: str
    system: str = ""
    system_version: str = ""

    @property
    def composite_type(self) -> str:
        """Source type of a composite of the photo and of what the generator makes."""
        return GENERATED if self.source_type == GENERATED else COMPOSITE


def xmp_after(source_type: str, system_version: str, marks: InputMarks | None) -> tuple[str, bytes]:
    """Write the XMP packet of an image that shows a photo with marks; return its source type too.

    Args:
        source_type: GENERATED or COMPOSITE; kept without marks.
        system_version: As for `xmp_packet`.
        marks: The photo's; None if it has none, or the image does not show it.
    """
    if marks is None:
        return source_type, xmp_packet(source_type, system_version)
    source_type = marks.composite_type
    earlier = marks.system, marks.system_version
    return source_type, xmp_packet(source_type, system_version, earlier)


def read_marks(photo: bytes) -> InputMarks | None:
    """Read a photo's AI mark; None if it has none.

    Args:
        photo: The whole file, in any format.
    """
    start = photo.find(PACKET_START)
    end = photo.find(PACKET_END, start, start + MAX_PACKET_BYTES)
    if start < 0 or end < 0:
        return None
    packet = photo[start:end].decode("utf-8", "replace")
    source_type = _value(packet, "DigitalSourceType").rstrip("/").rpartition("/")[2]
    if source_type not in AI_SOURCE_TYPES:
        return None
    system, version = (_value(packet, name) for name in ("AISystemUsed", "AISystemVersionUsed"))
    return InputMarks(source_type, system, version)


def _value(packet: str, name: str) -> str:
    """Return a property, written as an attribute, an element or a resource; empty without it."""
    # An element matches wherever it is opened. If it had to be closed too, a packet that opens
    # thousands and closes none would be searched to its end from each of them.
    found = re.search(
        rf""":{name}\s*=\s*(?:"([^"<]*)"|'([^'<]*)')|:{name}\s*>([^<]*)"""
        rf"""|:{name}\s+rdf:resource\s*=\s*["']([^"'<]*)["']""",
        packet,
    )
    text = next((group for group in found.groups() if group is not None), "") if found else ""
    words = " ".join(unescape(text).split())
    return "".join(filter(str.isprintable, words))[:MAX_TEXT]  # XML allows no control characters
