"""The real service as a child process, and a photo to send it."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time

import skimage.data
from PIL import Image

START_S, STOP_S = 600, 60


def jpeg(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


ASTRONAUT = jpeg(skimage.data.astronaut())


class Service:
    """`python -m service` as a child process, its log kept."""

    def __init__(self, cache, port=0, **settings):
        settings = {"port": port, "cache": cache, "max_batch": 2} | settings
        variables = {f"WPLUS_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            env=os.environ | variables,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr))
        self._reader.start()

    @property
    def log(self):
        return "".join(self.lines)

    @property
    def url(self):
        """Where it listens, once the log says so."""
        found = re.search(r"running on (http://127\.0\.0\.1:\d+)", self.log)
        return found and found[1]

    def wait_for(self, condition, seconds=START_S):
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.05)

    def stop(self, number=signal.SIGINT):
        """Send a signal, answer the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join()
        self.process.stderr.close()
        return status
