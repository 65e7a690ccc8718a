"""A server that is backed up while it is written to, and servers on what comes of its backups."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import journal
from .api import Admin
from .comparison import Viewer
from .history import AuditLog, History, start_paced_writers
from .library import Library
from .server import Server

WRITES_PER_S = 100
# How long a restored server may take to package what was not packaged yet.
PACKAGED_S = 10


@dataclass
class Backup:
    """One that was made, between two moments; the audit log had got to entry `head` before."""

    path: Path
    began: float
    ended: float
    head: int


def verify(binary, path):
    """`backup verify`: the completed process."""
    words = [binary, "backup", "verify", path, "--json"]
    return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=60)


class Running:
    """A server that is written to all the time."""

    def __init__(self, made, name):
        self.made, self.binary, self.directory = made, made.options.binary, made.directory / name
        self.directory.mkdir()
        (self.directory / "running").mkdir()
        self.server = Server(self.binary, self.directory / "running", self.directory / "running.log")
        self.keys = self.server.init()
        if not self.server.start():
            raise RuntimeError(f"the server does not start: {self.server.last_words()}")
        self.library, self.history = Library(self.server, self.keys), History()
        self.audit = AuditLog(self.server, self.keys["privateKey"])
        self.began = time.monotonic()
        self.threads = start_paced_writers(self.server, self.library, self.history, WRITES_PER_S)

    def back_up(self, number):
        head, began = self.audit.head(), time.monotonic()
        path = self.directory / f"backup-{number}"
        ran = self.server.run("backup", "create", path)
        if ran.returncode:
            raise RuntimeError(f"backup create: {ran.stderr}")
        backup = Backup(path, began, time.monotonic(), head)
        self.audit.read_on()
        return backup

    def writes_per_s(self):
        return self.history.count / (time.monotonic() - self.began)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.kill()

    def stop(self):
        # The writers' answers are waited for, the server's end is not.
        self.server.process.terminate()
        for thread in self.threads:
            thread.join(timeout=15)
        if self.server.process.wait(60) or self.server.panic():
            self.made.fault(f"the server that was backed up did not end well: {self.server.last_words()}")
        for refusal in self.history.faults:
            self.made.fault(f"a writer was refused: {refusal}")


class Restored:
    """A server on what came of a backup; `known` is the server whose state directory was in use until now."""

    def __init__(self, running, backup, known=None):
        self.running, self.directory = running, running.directory / f"restored-{backup.path.name}"
        self.directory.mkdir()
        self.server = Server(running.binary, self.directory, self.directory / "log")
        self.server.write_config()
        # Where nothing is known, the empty directory is the one that the configuration names.
        ran = (known or self.server).run("backup", "restore", backup.path, "--into", self.server.state)
        if ran.returncode:
            raise RuntimeError(f"backup restore: {ran.stderr}")
        # Before a server starts on it, which goes on with what was not finished.
        self.audit_head = journal.last_audit(self.server.state / "journal", running.keys["organizationId"])
        shutil.copy2(running.server.state / "master.key", self.server.state)

    def __enter__(self):
        if not self.server.start():
            self.server.kill()
            raise RuntimeError(f"no server starts on what was restored: {self.server.last_words()}")
        self.admin = Admin(self.server, self.running.keys["privateKey"])
        self.viewer = Viewer(self.server, self.running.library, self.server.client())
        return self

    def __exit__(self, *_):
        self.server.kill()
        if not self.running.made.options.keep:
            shutil.rmtree(self.directory)

    def statuses(self, kind):
        """Id → active or revoked, of all keys of a kind."""
        items = self.admin.all(f"/{kind.replace(' ', '-')}s")
        return {key["id"]: key.get("status") or ("revoked" if key["revokedAt"] else "active") for key in items}

    def standing(self, kind, key):
        """What the gate says of a key."""
        return self.viewer.standing(kind, key, self.running.history.secrets[key])

    def plays(self, embed, possible):
        """What an embed plays; a film that was not packaged yet is looked at until it is."""
        until = time.monotonic() + PACKAGED_S
        while (found := self.viewer.plays(embed)) not in possible and time.monotonic() < until:
            if found not in ("pending", "404 media"):
                break
            time.sleep(0.05)
        return found
