"""Uploads under way: what is said to have come has come, and an upload that is spoilt can be begun anew."""

from .. import harm
from . import READY, Case, must, of_file, words

SPARED = frozenset({"uploads", "audit"})


def cases():
    hows = [*harm.CONTENT, harm.cut_tail, *harm.KIND, *harm.RIGHTS]
    made = [Case(f"upload: {words(how)}", of_upload(how), must(READY), spared=SPARED) for how in hows]
    made.append(Case("upload: longer than it may become", too_long, must(READY), spared=SPARED))
    # Without a floor nobody can know that there was one.
    for how in [whole, *(how for how in [*harm.CONTENT, *harm.KIND, *harm.RIGHTS] if how is not harm.delete)]:
        made.append(Case(f"floor: {words(how)}", of_floor(how), must(READY), spared=SPARED))
    made += of_file("uploads", [harm.delete], must(READY), spared=SPARED)
    return made + of_file("uploads", [harm.replace_by_file, harm.replace_by_fifo, *harm.RIGHTS], spared=SPARED)


def of_upload(how):
    def damage(scene):
        name = f"uploads/{scene.original.upload}"
        scene.damage(name, how)
        scene.upload_ceiling = scene.original.upload_offset + (5000 if how is harm.append_garbage else 0)
        scene.is_upload_spoilt = how not in [harm.truncate, harm.cut_tail, harm.empty]
    return damage


def too_long(scene):
    path = scene.state / "uploads" / scene.original.upload
    with open(path, "ab") as file:
        file.write(bytes(1 << 20))
    scene.done, scene.is_upload_spoilt = f"uploads/{path.name}: a megabyte of zeros appended", True
    # It is as long as was announced, at most.
    scene.upload_ceiling = scene.original.upload_length


def of_floor(how):
    """A crash in the midst of a piece with a checksum, which nobody has found right, and then damage to its floor."""
    def damage(scene):
        upload = scene.state / "uploads" / scene.original.upload
        floor = upload.with_name(f"{upload.name}.floor")
        with open(upload, "ab") as file:
            file.write(scene.dice.randbytes(1000))
        floor.write_bytes(scene.original.upload_offset.to_bytes(8, "big"))
        harm.belong("", floor)
        scene.damage(f"uploads/{floor.name}", how)
        # What lies behind the floor is no part of the upload, whatever has become of the floor.
        scene.upload_ceiling, scene.is_upload_spoilt = scene.original.upload_offset, how is not whole
    return damage


def whole(path, dice):
    return "whole"
