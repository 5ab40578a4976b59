import signal
import subprocess
import sys
import time

IN_C = """
import hashlib
from service.process import stop_on_signals
is_stopping = stop_on_signals()
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)  # hours, in C and without the GIL
"""
STOPPABLE = """
import time
from service.process import stop_on_signals
is_stopping = stop_on_signals()
print("ready", flush=True)
while not is_stopping():
    time.sleep(0.01)
print("stopped", flush=True)
"""


def start(source):
    process = subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_second_signal_ends_a_process_that_computes_in_c():
    with start(IN_C) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT


def test_the_first_signal_only_asks_to_stop():
    with start(STOPPABLE) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(60) == 0
