"""What every campaign begins with: an organization, its keys, a private video; and what sources are packaged into."""

from .api import Admin
from .campaign import ROOT
from .viewer import play

SOURCES = [(ROOT / "tests/fixtures" / name).read_bytes() for name in ["h264_aac.mp4", "moov_last.mp4"]]


class Library:
    """Made on a running server, by its API."""

    # Source → SHA-256 of the file that it is packaged into; the same each time.
    packaged = {}

    def __init__(self, server, keys):
        """`keys` are those that `init` printed."""
        self.private_key, self.publishable_key = keys["privateKey"], keys["publishableKey"]
        admin = Admin(server, self.private_key)
        admin.call("PATCH", "/organization", {"tokenAccess": True})
        private = admin.call("POST", "/videos", {"title": "Private", "visibility": "private"})
        admin.call("PUT", f"/videos/{private['id']}/source", raw=SOURCES[0])
        # The private video, for tokens.
        self.video, self.embed = private["id"], private["embedId"]
        for source in SOURCES:
            if source not in Library.packaged:
                shown = admin.call("POST", "/videos", {"title": "Sample", "visibility": "public"})
                admin.call("PUT", f"/videos/{shown['id']}/source", raw=source)
                Library.packaged[source] = play(server, self.publishable_key, shown["embedId"])[2]
