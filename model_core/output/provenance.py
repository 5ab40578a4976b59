"""The mark that every outgoing image carries: that an algorithm made it, and which one.

XMP with IPTC's DigitalSourceType and AI-system fields (IPTC Photo Metadata 2025.1): in JPEG and
WebP as Pillow writes it, in PNG as an iTXt chunk (Pillow ignores `xmp=` there), in GIF as Adobe's
application extension. Not covered: a signed manifest, an invisible watermark.
"""

from html import escape
from importlib.metadata import version

from PIL import PngImagePlugin

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = "trainedAlgorithmicMedia"  # every pixel comes from the generator
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"  # some of the photo's own pixels remain
SYSTEM = "wplus"
PNG_KEYWORD = "XML:com.adobe.xmp"
# Adobe's "magic trailer": lets readers that parse the packet as sub-blocks find the end.
GIF_TRAILER = b"\x01" + bytes(range(0xFF, -1, -1)) + b"\x00"


def system_version(generator_name: str) -> str:
    """Name the version of wplus and the generator that made an image, for `xmp_packet`."""
    return f"{version(SYSTEM)} ({generator_name})"


def xmp_packet(source_type: str, system_version: str, earlier: tuple[str, str] = ("", "")) -> bytes:
    """Write the XMP packet for an image.

    Args:
        source_type: GENERATED or COMPOSITE.
        system_version: Version of the service and name of the generator.
        earlier: AI system that changed the photo before, and its version; empty if unknown.
    """
    system, version = earlier
    if system.endswith(f"; {SYSTEM}"):  # our name and version came last, and will again
        system, version = system.removesuffix(f"; {SYSTEM}"), version.rpartition("; ")[0]
    if system in ("", SYSTEM):  # nothing to keep, or only our own name
        systems, versions = SYSTEM, system_version
    else:
        systems, versions = f"{system}; {SYSTEM}", f"{version or 'unknown'}; {system_version}"
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPES}{source_type}" '
        f'Iptc4xmpExt:AISystemUsed="{escape(systems)}" '
        f'Iptc4xmpExt:AISystemVersionUsed="{escape(versions)}"/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def png_info(xmp: bytes) -> PngImagePlugin.PngInfo:
    """Put a packet where PNG keeps XMP."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt(PNG_KEYWORD, xmp.decode())
    return info


def mark_gif(data: bytes, xmp: bytes) -> bytes:
    """Insert a packet into a GIF, after its header and global colour table."""
    flags = data[10]
    table_bytes = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    start = 13 + table_bytes
    extension = b"\x21\xff\x0bXMP DataXMP" + xmp + GIF_TRAILER
    return b"GIF89a" + data[6:start] + extension + data[start:]
