"""What every campaign begins with: an organization, its keys, a private video; and what sources are packaged into."""

import subprocess

from .api import Admin
from .campaign import ROOT
from .viewer import play

SOURCES = [(ROOT / "tests/fixtures" / name).read_bytes() for name in ["h264_aac.mp4", "moov_last.mp4"]]


def padded(source, size_bytes):
    """A source of that size which is packaged into the same file: what is added is a box that means nothing."""
    padding = size_bytes - len(source)
    return source + padding.to_bytes(4, "big") + b"free" + bytes(padding - 8)


def make_film(directory):
    """A film of 1.5 MB, which is far more than the buffers between hold."""
    path = directory / "film.mp4"
    picture = "testsrc2=size=640x360:rate=25:duration=8,noise=alls=60:allf=t"
    subprocess.run(
        [*("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast")]
        + [*("-b:v", "1500k", "-maxrate", "1500k", "-bufsize", "1500k", "-pix_fmt", "yuv420p", "-g", "50"), path],
        check=True,
    )
    return path.read_bytes()


class Library:
    """Made on a running server, by its API."""

    def __init__(self, server, keys):
        """`keys` are those that `init` printed."""
        self.private_key, self.publishable_key = keys["privateKey"], keys["publishableKey"]
        admin = Admin(server, self.private_key)
        admin.call("PATCH", "/organization", {"tokenAccess": True})
        private = admin.call("POST", "/videos", {"title": "Private", "visibility": "private"})
        admin.put_source(private["id"], SOURCES[0])
        # The private video, for tokens.
        self.video, self.embed = private["id"], private["embedId"]
        # Source → SHA-256 of the file that it is packaged into; the same each time.
        self.packaged = {}
        for source in SOURCES:
            shown = admin.call("POST", "/videos", {"title": "Sample", "visibility": "public"})
            admin.put_source(shown["id"], source)
            # A public video that nobody changes.
            self.public_embed = shown["embedId"]
            status, code, digest = play(server, self.publishable_key, shown["embedId"])
            if digest is None:
                raise RuntimeError(f"a sample does not play: {status} {code}")
            self.packaged[source] = digest
