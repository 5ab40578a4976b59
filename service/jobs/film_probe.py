"""Look at a film in a process of its own, which is all that a hostile one can break.

    python film_probe.py FILE CONTAINERS CODECS MAX_PX

Only these containers and codecs are opened: others may name further files. Prints JSON: a
`problem`, `unsupported` or `broken`; or none, with what the header and the first frame say. Imports
nothing of the service, so that it starts in a moment.
"""

import json
import resource
import sys
from typing import Any

CPU_S = 10
MEMORY_BYTES = 4_000_000_000  # of address space: the decoder's threads reserve more than they use


def look(path: str, containers: str, codecs: str, max_px: str) -> dict[str, Any]:
    """Open a film and decode its first frame."""
    import av

    options = {
        "format_whitelist": containers,
        "codec_whitelist": codecs,
        "protocol_whitelist": "file",
    }
    try:
        with av.open(path, options=options, metadata_errors="replace") as film:
            covers = av.stream.Disposition.attached_pic
            pictures = [each for each in film.streams.video if not each.disposition & covers]
            if not pictures or pictures[0].codec_context is None:
                return {"problem": "unsupported"}
            stream = pictures[0]
            context = stream.codec_context
            if context.name not in codecs.split(","):  # the list bounds what looks for streams only
                return {"problem": "unsupported"}
            context.options = {"max_pixels": max_px}
            about = {
                "problem": None,
                "size_px": [context.width, context.height],
                "frames": stream.frames,
                "seconds": (film.duration or 0) / av.time_base,
            }
            if context.width * context.height > int(max_px):
                return about
            try:
                frame = next(film.decode(stream), None)
            except (av.FFmpegError, ValueError, MemoryError):
                frame = None
            return about if frame is not None else {"problem": "broken"}
    except (av.FFmpegError, ValueError):
        return {"problem": "unsupported"}


def main(*arguments: str) -> None:
    """Limit this process, then look at a file."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    print(json.dumps(look(*arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
