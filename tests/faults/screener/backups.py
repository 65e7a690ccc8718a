"""A server that is backed up while it is written to, and servers on what comes of its backups."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import journal
from .api import Admin
from .history import AuditLog, History, start_paced_writers
from .library import Library
from .server import Server
from .viewer import play, token

WRITES_PER_S = 100


@dataclass
class Backup:
    """One that was made, between two moments, when the audit log had got to `head`."""

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

    def __init__(self, made):
        self.made, self.binary, self.directory = made, made.options.binary, made.directory
        (self.directory / "running").mkdir()
        self.server = Server(self.binary, self.directory / "running", self.directory / "running.log")
        self.keys = self.server.init()
        if not self.server.start():
            raise RuntimeError(f"the server does not start: {self.server.last_words()}")
        self.library, self.history = Library(self.server, self.keys), History()
        self.audit = AuditLog(self.server, self.keys["privateKey"])
        self.dead_keys = self.began = None
        self.threads = []

    def begin(self):
        self.began, self.count = time.monotonic(), self.history.count
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

    def revoke_first_keys(self):
        """A publishable and a private key that the first backup holds as active."""
        admin = Admin(self.server, self.keys["privateKey"])
        for path, key in self.dead_keys.items():
            admin.call("POST", f"/{path}/{key['id']}/revoke", {})

    def make_first_keys(self):
        admin = Admin(self.server, self.keys["privateKey"])
        self.dead_keys = {path: admin.call("POST", f"/{path}", {"label": "first"}) for path in ["publishable-keys", "private-keys"]}

    def writes_per_s(self):
        return (self.history.count - self.count) / (time.monotonic() - self.began)

    def stop(self):
        stopped = self.server.stop(limit_s=30)
        for thread in self.threads:
            thread.join(timeout=15)
        if not stopped or self.server.has_panicked():
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
        asked = known or self.server
        ran = asked.run("backup", "restore", backup.path, "--into", self.server.state)
        if ran.returncode:
            raise RuntimeError(f"backup restore: {ran.stderr}")
        # Before a server starts on it, which goes on with what was not finished.
        self.audit_head = journal.last_audit(self.server.state / "journal", running.keys["organizationId"])
        shutil.copy2(running.server.state / "master.key", self.server.state)

    def __enter__(self):
        if not self.server.start():
            raise RuntimeError(f"no server starts on what was restored: {self.server.last_words()}")
        return self

    def __exit__(self, *_):
        self.server.kill()
        if not self.running.made.options.keep:
            shutil.rmtree(self.directory)

    @property
    def admin(self):
        return Admin(self.server, self.running.keys["privateKey"])

    def statuses(self):
        return {key["id"]: key["status"] for key in self.admin.all("/signing-keys")}

    def videos(self):
        return {video["id"]: video for video in self.admin.all("/videos")}

    def play(self, embed, viewer_token=None):
        """Once more where the file went away in between: what was not packaged yet is now."""
        arguments = self.server, self.running.keys["publishableKey"], embed, viewer_token
        answer = play(*arguments)
        return play(*arguments) if answer[1] == "media" else answer

    def play_with(self, key):
        """What the private video answers to a token of this key."""
        library, history = self.running.library, self.running.history
        answer = self.play(library.embed, token(key, history.secrets[key], library.video))
        return {200: "active"}.get(answer[0], {"playback_token_revoked": "revoked"}.get(answer[1], answer[1]))
