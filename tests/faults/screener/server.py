"""The real binary on a state directory."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import time
from pathlib import Path


# Longest that a client waits for an answer: more is a hang.
HANG_S = 10


class Server:
    """The binary with a configuration in `directory`, its state in `directory/state`, its log in the file `log`.

    `settings` are lines added to the configuration, by section: `{"limits": ["playback_per_second = 0"]}`.
    """

    def __init__(self, binary, directory, log, settings=None):
        self.binary, self.directory, self.log = Path(binary).resolve(), Path(directory), Path(log)
        self.settings, self.process, self.context, self.port = settings or {}, None, None, None
        # How long the last start took.
        self.started_s = 0.0

    @property
    def config(self):
        return self.directory / "config.toml"

    @property
    def state(self):
        return self.directory / "state"

    def write_config(self):
        # The floor of free space is off: the disks here are smaller than usual ones.
        sections = {
            "server": ['listen = "127.0.0.1:0"'],
            "media": ["min_free_mib = 0"],
            "log": ['level = "info"'],
            "state": [f'dir = "{self.state}"', "index_open_timeout_s = 2"],
        }
        for section, lines in self.settings.items():
            names = {line.split("=")[0].strip() for line in lines}
            kept = [line for line in sections.get(section, []) if line.split("=")[0].strip() not in names]
            sections[section] = kept + lines
        text = "".join(f"[{section}]\n" + "".join(f"{line}\n" for line in lines) for section, lines in sections.items())
        self.config.write_text(text)

    def run(self, *words, under=(), limit_s=60, environment=None):
        """Another verb, run to its end: the completed process, with stdout and stderr as text."""
        return subprocess.run(
            [*under, *self.command(*words)],
            capture_output=True, text=True, errors="replace", timeout=limit_s, env=merged(environment),
        )

    def command(self, *words):
        """The words of another verb, such as `command("store", "verify")`."""
        return [self.binary, *words, "--json", "--config", self.config]

    def init(self):
        """Makes the state directory; the first keys."""
        self.write_config()
        made = self.run("init")
        if made.returncode:
            raise RuntimeError(f"init failed: {made.stderr}")
        return json.loads(made.stdout)

    def verify(self):
        """What `store verify` has to complain about, a sentence each."""
        checked = self.run("store", "verify")
        return [f"store verify: {checked.stdout}{checked.stderr}"] if checked.returncode else []

    def start(self, limit_s=15, under=(), environment=None):
        """Whether it serves within the limit. `under` are the words of a program that runs it, such as strace."""
        began = time.monotonic()
        with open(self.log, "wb") as log:
            words = [*under, self.binary, "serve", "--config", self.config]
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env=merged(environment))
        while time.monotonic() - began < limit_s:
            if self.find_port():
                self.started_s = time.monotonic() - began
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.005)
        return False

    def find_port(self):
        for line in self.said().splitlines():
            if '"message":"serving"' in line and line.endswith("}"):
                self.port = int(json.loads(line)["base_url"].rsplit(":", 1)[1])
                self.context = self.trust()
                return True
        return False

    def trust(self):
        """Whom clients believe: the authority that the server made for itself."""
        return ssl.create_default_context(cafile=self.state / "tls/ca.pem")

    def said(self):
        return self.log.read_text(errors="replace")

    def says(self, *words, limit_s=HANG_S):
        """Whether its log has one of these words, now or soon: it is written by a thread of its own, after the answer."""
        until = time.monotonic() + limit_s
        while not any(word in self.said() for word in words):
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True

    def last_words(self, lines=2):
        return " ".join(self.said().strip().splitlines()[-lines:])[:600]

    def panic(self):
        """What a panic said; empty if there was none."""
        _, found, rest = self.said().partition("panicked at ")
        return found + " ".join(rest.splitlines()[:2])

    def left_behind(self):
        """What interrupted uploads left for good, a sentence each. While it serves and nothing is uploaded."""
        until = time.monotonic() + HANG_S
        # What is being packaged again is there for a moment.
        while (left := os.listdir(self.state / "incoming")) and time.monotonic() < until:
            time.sleep(0.01)
        sentences = [f"{name} was left in incoming/" for name in left]
        # And what a commit has replaced is removed after it.
        while (count := self.unnamed_media()) and time.monotonic() < until:
            time.sleep(0.05)
        return sentences + ([f"{count} files in media/ that no record names"] if count else [])

    def unnamed_media(self):
        """Files in `media/` beyond those that records name."""
        named = json.loads(self.run("store", "verify").stdout)["mediaFiles"]
        return len(os.listdir(self.state / "media")) - named

    def stop(self, limit_s=HANG_S):
        """Whether it ends on SIGTERM, and well, within the limit."""
        self.process.terminate()
        try:
            return self.process.wait(limit_s) == 0
        except subprocess.TimeoutExpired:
            return False

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def client(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=HANG_S, context=self.context)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def merged(environment):
    """With a panic said in one line."""
    return {**os.environ, "RUST_BACKTRACE": "0", **(environment or {})}


# For `under`: strace runs apart (-D), so that the process is the server; fsync does nothing and says that it did.
WITHOUT_FSYNC = [
    *("strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"),
    *("-e", "inject=fsync,fdatasync:retval=0"),
]
