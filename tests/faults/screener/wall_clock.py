"""A wall clock for one process that can be set while it runs, by LD_PRELOAD (`tests/faults/clock.c`)."""

import struct
import subprocess
import threading
import time

from .campaign import ROOT, NotHere, need_tools

# The clock is a file of this: nanoseconds ahead of this machine's.
OFFSET = struct.Struct("=q")


class WallClock:
    """`environment` is for the process; without it the process has this machine's clock."""

    def __init__(self, directory):
        need_tools("cc")
        self.file, library, self.offset_s = directory / "offset", directory / "clock.so", 0.0
        built = subprocess.run(
            ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-o", library, ROOT / "tests/faults/clock.c"],
            capture_output=True, text=True,
        )
        if built.returncode:
            raise NotHere(f"tests/faults/clock.c does not compile here: {built.stderr}")
        self.file.write_bytes(OFFSET.pack(0))
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(self.file)}

    def now(self):
        """Seconds since 1970, as the process sees them."""
        return time.time() + self.offset_s

    def shift(self, offset_s):
        """Sets the clock so far ahead of this machine's."""
        with open(self.file, "r+b") as file:
            file.write(OFFSET.pack(int(offset_s * 1e9)))
        self.offset_s = offset_s

    def set(self, seconds):
        """Sets the clock to a time."""
        self.shift(seconds - time.time())


class Jitter:
    """Within it the clock jumps by up to five seconds every second."""

    REACH_S = 5

    def __init__(self, clock, dice):
        self.clock, self.dice, self.ended = clock, dice, threading.Event()
        self.thread = threading.Thread(target=self.jump, daemon=True)

    def jump(self):
        while not self.ended.wait(1.0):
            self.clock.shift(self.dice.uniform(-self.REACH_S, self.REACH_S))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.clock.shift(0)
