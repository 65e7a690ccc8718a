"""Media files: what is damaged fails alone, and `store verify` finds it."""

from .. import harm
from . import READY, Case, must, words

# Drawn more often than the rest: neither a size nor a type gives it away.
FLIPS = 4


def cases():
    hows = [*harm.CONTENT, harm.cut_tail, *harm.KIND, *harm.RIGHTS, *[harm.flip_bit] * FLIPS]
    made = [Case(f"media: {kind}: {words(how)}", of_kind(kind, how), must(READY))
            for kind in ["source", "rendition", "index", "poster", "captions"] for how in hows]
    return made + [Case("media: strangers", strangers, must(READY))]


def of_kind(kind, how):
    def damage(scene):
        scene.file, scene.video = scene.draw(files(scene.original, kind))
        scene.damage(f"media/{scene.file}", how)
    return damage


def files(original, kind):
    """(file, video) of the media files of a kind. The index of a rendition is kept under the kind of the rendition."""
    indexes = {one["index"] for video in original.embeds for one in original.rows["video", video]["renditions"]}
    found = [row for (record, _), row in original.rows.items() if record == "media_file"]
    kind_of = {row["id"]: "index" if row["id"] in indexes else row["kind"] for row in found}
    return [(row["id"], row["video"]) for row in found if kind_of[row["id"]] == kind and row["video"] in original.embeds]


def strangers(scene):
    """Names that no record knows, ours and others, of each kind of file."""
    media = scene.state / "media"
    for number, how in enumerate([harm.replace_by_directory, harm.replace_by_fifo, harm.replace_by_link]):
        for name in [f"stranger-{number}", f"{number:08d}-0000-4000-8000-000000000000"]:
            (media / name).touch()
            how(media / name, scene.dice)
    scene.done = "media: directories, FIFOs and links that no record names"
