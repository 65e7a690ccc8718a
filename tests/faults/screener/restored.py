"""What `backup restore` has made, started in the place of the state directory that was there."""

from .comparison import compare
from .server import Server


def take_over(server, into, library, notes):
    """Starts a server on a restored directory, with the master key of `server`: why it does not start, or `None`, and
    what it lacks of what was answered before the backup."""
    if not into.is_dir():
        return f"there is no {into}", []
    (into / "master.key").write_bytes((server.state / "master.key").read_bytes())
    (into / "master.key").chmod(0o600)
    restored = Server(server.binary, into.with_name(f"{into.name} home"), into.with_name(f"{into.name}.log"))
    restored.directory.mkdir()
    restored.write_config()
    into.rename(restored.state)
    try:
        if not restored.start():
            return restored.last_words(), []
        return None, compare(restored, library, notes.copy())
    finally:
        restored.kill()
