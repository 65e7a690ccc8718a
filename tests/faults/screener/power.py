"""A disk whose power is cut: an image to begin with, what is written to it, and what a server makes of the copy."""

import time

from . import disk, journal
from .comparison import compare
from .disk import Disk, cut_power
from .library import Library
from .notes import Notes
from .server import WITHOUT_FSYNC, Server
from .writers import prepare, start_writers

# A request that was not answered for so long when the power was cut hung, in seconds.
SILENT_S = 2


class Before:
    """A disk image to begin with, made once: a library, and a journal of some size."""

    def __init__(self, made, name, journal_bytes=0):
        self.image = made.directory / f"{name}.img"
        base = Disk(self.image, made.directory / "disk")
        server = Server(made.options.binary, base.mountpoint, made.directory / "base.log")
        try:
            base.make()
            base.mount()
            keys = server.init()
            if not server.start():
                raise RuntimeError(f"the first start failed: {server.said()}")
            self.library, self.notes = Library(server, keys), Notes()
            prepare(server, self.library, self.notes)
            server.kill()
            journal.grow(server.state / "journal", journal_bytes)
        finally:
            server.kill()
            base.unmount()


class Cut:
    """One power cut: the disk before, the disk after, and a server on each."""

    def __init__(self, number, aim, made, before):
        self.number, self.aim, self.made, self.dice = number, aim, made, made.dice
        self.when = f"cut {number} ({aim})"
        self.library, self.notes = before.library, before.notes.copy()
        directory, binary = made.directory, made.options.binary
        self.disk = Disk(directory / "disk.img", directory / "disk")
        self.after = Disk(directory / "after.img", directory / "after")
        self.running = Server(binary, self.disk.mountpoint, directory / "before.log")
        self.restarted = Server(binary, self.after.mountpoint, directory / "after.log")
        disk.copy_image(before.image, self.disk.image)
        self.disk.mount()

    def write(self, until, under=()):
        """Runs the server and the writers until `until()` returns; then cuts. Answers what `until` did."""
        if not self.running.start(under=WITHOUT_FSYNC if self.made.options.without_fsync else under):
            raise RuntimeError(f"the first start failed: {self.running.said()}")
        threads = start_writers(self.running, self.library, self.notes)
        try:
            done = until()
            cut_at = time.monotonic()
            cut_power(self.running.process, self.disk.image, self.after.image)
        finally:
            self.running.kill()
            for thread in threads:
                thread.join(timeout=15)
        for fault in self.notes.faults:
            # Of a request that began just before it, the silence is the cut's.
            if self.notes.hung.get(fault, 0) < cut_at - SILENT_S:
                self.made.fault(f"{self.when}: before the cut, {fault}")
        return done

    def look_at_copy(self):
        """Mounts what the cut left, under the name of another directory."""
        self.after.mount()
        self.restarted.write_config()

    def check(self):
        """The disk as the cut left it must start and hold what was answered."""
        self.made.add(answered=self.notes.count)
        if self.start(self.restarted):
            self.made.highest(slowest_start_s=self.restarted.started_s)
            self.lose(compare(self.restarted, self.library, self.notes))
            self.lose(self.restarted.left_behind())
            self.restarted.kill()
            self.lose(self.restarted.verify())

    def start(self, server):
        if server.start():
            return True
        self.made.add(failed_starts=1)
        self.made.fault(f"{self.when}: did not start: {server.last_words()}")
        return False

    def lose(self, sentences):
        self.made.lose(self.when, sentences)

    def end(self):
        self.running.kill()
        self.restarted.kill()
        self.disk.unmount()
        self.after.unmount()
