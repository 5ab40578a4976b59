"""Tell whether a file is a film, in a process of its own: `python film_probe.py FILE`.

A hostile file can at most end that process. It prints JSON: an `error` in a sentence, or the size
in pixels and the frames, if the file says how many. Imports nothing of the service.
"""

import json
import resource
import sys

CPU_S = 10
MEMORY_BYTES = (
    4_000_000_000  # of address space, which the decoder's threads take more of than memory
)
FORMATS = "mov,mp4,matroska,webm,avi,mpegts"
"""Containers that are opened; others may name further files, which would be read."""
OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}


def probe(path: str) -> dict[str, object]:
    """Open a film and decode its first frame."""
    import av

    try:
        with av.open(path, options=OPTIONS) as film:
            if not film.streams.video:
                return {"error": "film must have moving pictures, got none"}
            stream = film.streams.video[0]
            frame = next(film.decode(stream), None)
            if frame is None:
                return {"error": "film must have frames, got none"}
            return {"width_px": frame.width, "height_px": frame.height, "frames": stream.frames}
    except (av.FFmpegError, OSError, ValueError, MemoryError) as err:
        return {
            "error": "film must be an MP4, MOV, MKV, WebM, AVI or MPEG-TS file that can be "
            f"decoded, got another or a damaged one ({type(err).__name__})"
        }


def main(path: str) -> None:
    """Limit this process, then probe a file."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    print(json.dumps(probe(path)))


if __name__ == "__main__":
    main(*sys.argv[1:])
