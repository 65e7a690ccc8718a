"""A writer that answers without fsync, to show that a cut sees it."""

import subprocess
import sys
import time

from .disk import Disk, cut_power

FORGETFUL = """
import os, sys
with open(sys.argv[1], "ab", buffering=0) as log:
    for number in range(1 << 30):
        log.write(b"%08d\\n" % number)
        # Answered without fsync: this is the fault that a cut must be able to see.
        print(number, flush=True)
        sys.stdin.readline()
"""


def cut_forgetful(directory, dice):
    """The same cut against it: answered records, and those that the copy lacks."""
    before, after = Disk(directory / "disk.img", directory / "disk"), Disk(directory / "after.img", directory / "after")
    writer = None
    try:
        before.make()
        before.mount()
        path = before.mountpoint / "log"
        path.touch()
        before.sync()
        writer = subprocess.Popen(
            [sys.executable, "-c", FORGETFUL, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        until, answered = time.monotonic() + dice.uniform(0.1, 1.0), 0
        while time.monotonic() < until:
            answered = int(writer.stdout.readline()) + 1
            writer.stdin.write("\n")
            writer.stdin.flush()
        cut_power(writer, before.image, after.image)
        after.mount()
        found = (after.mountpoint / "log").read_bytes().count(b"\n")
        return answered, max(0, answered - found)
    finally:
        if writer:
            writer.kill()
            writer.wait()
        before.unmount()
        after.unmount()
