"""Torn writes: a server held up between an append and its sync, and the append's last sectors turned into rubbish."""

import re
import time
from pathlib import Path

# pwrite64(13</mnt/state/journal>, ""..., 512, 4096) = 512
WRITTEN = re.compile(r"pwrite64\(.*, (\d+), (\d+)\) += \d+")
# The call that has not begun, for longer than a cut takes.
HELD_UP = re.compile(r"fdatasync\([^=\n]*$")


def hold_up_sync(path, number, log):
    """Words for `Server.start(under=…)`. strace writes down what is written to a file, and does not let its `number`th
    fdatasync begin."""
    words = ["strace", "-D", "-f", "-qq", "-y", "-s", "0", "--seccomp-bpf", "-o", log, "-P", path, "-e", "signal=none"]
    return [*words, "-e", "trace=pwrite64,fdatasync", "-e", f"inject=fdatasync:delay_enter=60s:when={number}"]


def wait_until_held_up(log, limit_s=10):
    until = time.monotonic() + limit_s
    while not HELD_UP.search(Path(log).read_text(errors="replace")):
        if time.monotonic() > until:
            raise RuntimeError(f"the server did not come to the sync that it is held up at: {log}")
        time.sleep(0.001)


def unsynced(log):
    """From where to where the append reaches that was not synced any more."""
    length, offset = WRITTEN.findall(Path(log).read_text(errors="replace"))[-1]
    return int(offset), int(offset) + int(length)


def tear(path, live, start, end, dice):
    """Lets a file end as a cut in the midst of writing `start..end` may have left it: with what was written (`live` has
    it, from the page cache), but the last 512 to 4,096 bytes of it zero or rubbish. What is before `start` was synced,
    and stays."""
    with open(live, "rb") as file:
        file.seek(start)
        written = bytearray(file.read(end - start))
    torn = min(len(written), dice.randint(512, 4096))
    rubbish = dice.choice([bytes(torn), dice.randbytes(torn)])
    written[len(written) - torn :] = rubbish
    # The zeros behind it were written before.
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(written)
