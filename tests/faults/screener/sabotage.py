"""What the judge of damaged state directories must catch: faults made on purpose, each with the figure that tells."""

from . import harm
from .api import Admin
from .damages import READY, REFUSED, Case, must
from .damages.media import of_kind
from .damages.uploads import SPARED
from .original import UserServer, copy

# Programs in the server's place.
HANGS = "exec sleep 60"
PANICS = "echo \"thread 'main' panicked at src/main.rs:1\" >&2; exit 101"
SPEECHLESS = "echo 'screener: it did not work' >&2; exit 1"


def rolled_back(scene):
    """Journal and index alike, so that nothing tells of what was revoked since."""
    copy(scene.original.bases["older"], scene.state)
    scene.done = "the whole state directory from before the revocations"


def published(scene):
    """A private video made public, as a server would that had forgotten."""
    server = UserServer(scene.original.server.binary, scene.state.parent, scene.state.parent / "sabotage.log")
    if not server.start():
        raise RuntimeError(server.last_words())
    admin, video = Admin(server, scene.original.keys["privateKey"]), scene.original.turned
    admin.call("PATCH", f"/videos/{video}", {"visibility": "public"})
    server.kill()
    scene.done = "a private video made public"


def unseen(scene):
    """A damaged media file that nobody says is damaged."""
    of_kind("poster", harm.overwrite_with_garbage)(scene)
    scene.file = scene.video = None


def floorless(scene):
    """An unfinished piece with a checksum, and nothing that says where it began."""
    with open(scene.state / "uploads" / scene.original.upload, "ab") as file:
        file.write(scene.dice.randbytes(1000))
    scene.done, scene.upload_ceiling = "bytes that were never checked, without a floor", scene.original.upload_offset


def nothing(scene):
    scene.done = "nothing"


# (figure, case, shell script in the server's place)
CAUGHT = [
    ("forgotten", Case("rolled back", rolled_back), None),
    ("lost", Case("rolled back", rolled_back), None),
    ("forgotten", Case("published", published), None),
    ("wrong_bytes", Case("unseen", unseen), None),
    ("wrong_bytes", Case("floorless", floorless, spared=SPARED), None),
    ("believed", Case("nothing was damaged", nothing, must(REFUSED)), None),
    ("hangs", Case("hangs", nothing), HANGS),
    ("panics", Case("panics", nothing), PANICS),
    ("unnamed", Case("speechless", nothing), SPEECHLESS),
    ("refused_wrongly", Case("refuses", nothing, must(READY)), SPEECHLESS),
]
