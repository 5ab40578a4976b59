"""The real service as a child process, a photo to send it, and how long to wait for either."""

import functools
import http.client
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import skimage.data
from PIL import Image

IMPORT_S = 5.0  # of the application, on two cores that nobody else wants


@functools.cache
def slowness():
    """How many times slower than two idle cores this machine is; once measured.

    At least the number of processes that run tests, as the others may be at rest just now.
    """
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "import service.app"], check=True)
    processes = float(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    return max(processes, (time.monotonic() - started) / IMPORT_S)


def patience(seconds):
    """How long to wait for what takes two idle cores so many seconds at the very most."""
    return seconds * slowness()


def start_s():
    return patience(300)


def stop_s():
    return patience(60)


def jpeg(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


ASTRONAUT = jpeg(skimage.data.astronaut())


class Service:
    """`python -m service` as a child process, its log kept; as a context manager it is stopped."""

    def __init__(self, cache, port=0, **settings):
        limits = {"deadline_s": patience(120), "shutdown_grace_s": int(patience(120))}
        settings = {"port": port, "cache": cache, "max_batch": 2} | limits | settings
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

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def log(self):
        return "".join(self.lines)

    @property
    def url(self):
        """Where it listens, once the log says so."""
        found = re.search(r"running on (http://127\.0\.0\.1:\d+)", self.log)
        return found and found[1]

    @property
    def metrics_url(self):
        """Where its metrics are, if they have a port of their own."""
        found = re.search(r"metrics on (http://[\d.:]+/metrics)", self.log)
        return found and found[1]

    def wait_for(self, condition, seconds=None):
        """Wait for what something else brings about, while the service runs."""
        end = time.monotonic() + (seconds or start_s())
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.05)

    def ended(self, seconds=None):
        """Wait for its end, answer the exit status."""
        if self.process.stderr.closed:
            return self.process.returncode
        try:
            status = self.process.wait(seconds or stop_s())
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self._reader.join()
        self.process.stderr.close()
        return status

    def stop(self, number=signal.SIGINT):
        """Send a signal, answer the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()


class HeldUpload:
    """A request whose last bytes are held back: it is under way until `finish`."""

    def __init__(self, url, path, body, **headers):
        host, _, port = url.removeprefix("http://").partition(":")
        fields = {"Host": host, "Content-Length": len(body), "Connection": "close"} | headers
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        self._rest = body[-100:]
        self._socket = socket.create_connection((host, int(port)), timeout=stop_s())
        self._socket.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body[:-100])

    def finish(self):
        """Send the rest, answer the status and the body of the response."""
        self._socket.sendall(self._rest)
        with self._socket, http.client.HTTPResponse(self._socket, method="POST") as response:
            response.begin()
            return response.status, response.read()
