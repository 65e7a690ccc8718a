"""The journal: what it says before its acknowledged end is never skipped."""

import os
import struct

from .. import harm, journal
from . import READY, REFUSED, Case, must, of_file

# How often a flipped bit in the middle is drawn.
FLIPS = 6
# The longest append: 64 commits of a megabyte.
APPEND_BYTES = 64 << 20


def cases():
    refused = [
        *[("flipped bit", flipped(harm.flip_bit))] * FLIPS,
        *[("zeroed page", flipped(harm.zero_page))] * 2,
        ("length past every limit", oversize),
        ("a record repeated in the middle", repeated),
        ("two records in the other order", reordered),
        ("a record missing", missing),
        ("first records missing", beheaded),
        ("truncated at a record", rolled_back),
        ("truncated anywhere", truncated),
        ("last record cut", last_cut),
        ("last record flipped", last_flipped),
        ("the one from before the revocations", older),
        ("more at the end than is ever appended", overlong),
        *[(f"{done}{more}", also(how)) for how, done in GONE for more, also in INDEX],
    ]
    dropped = [
        ("a torn record at the end", torn),
        ("zeros at the end", zeros),
        ("garbage at the end", lambda scene: scene.damage("journal", harm.append_garbage)),
        ("megabytes of garbage at the end", much_garbage),
        ("a left-over of compacting", left_over),
    ]
    compacted = [
        *[("flipped bit", flipped(harm.flip_bit))] * 3,
        ("zeroed page", flipped(harm.zero_page)),
        ("truncated anywhere", truncated),
        ("a record of its head missing", beheaded_in_part),
        ("the end of its head missing", headless_end),
    ]
    killed = [
        *[("flipped bit", flipped(harm.flip_bit))] * 2,
        ("zeroed page", flipped(harm.zero_page)),
        ("length past every limit", oversize),
    ]
    either = [("the last record repeated", last_repeated)]
    made = [Case(f"journal: {name}", damage, must(REFUSED)) for name, damage in refused]
    made += [Case(f"journal: {name} ({base})", damage, must(READY), base)
             for name, damage in dropped for base in ["stopped", "killed"]]
    made += [Case(f"journal: compacted, {name}", damage, must(REFUSED), "compacted") for name, damage in compacted]
    made += [Case(f"journal: killed, {name}", damage, must(REFUSED), "killed") for name, damage in killed]
    made += [Case(f"journal: {name}", damage) for name, damage in either]
    return made + of_file("journal", [*harm.KIND, *harm.RIGHTS], must(REFUSED))


def spans(journal_bytes):
    """(begin, end) of each record."""
    return [(begin, end) for begin, end, _ in journal.frames(journal_bytes)]


def content(scene):
    """All records, without the zeros that are written behind them ahead of need."""
    return split(scene)[0]


def split(scene):
    """All records, and the zeros behind them, which a stop takes away and a kill leaves."""
    whole = (scene.state / "journal").read_bytes()
    end = spans(whole)[-1][1]
    return whole[:end], whole[end:]


def rewrite(scene, parts, done):
    harm.overwrite(scene.state / "journal", b"".join(parts))
    scene.done, scene.named = f"journal: {done}", scene.named or str(scene.state / "journal")


def position(scene, at):
    """A refusal must say where the record begins that byte `at` belongs to."""
    begin = next(begin for begin, end in spans(content(scene)) if begin <= at < end)
    return f"{scene.state}/journal is damaged at byte {begin}:"


def flipped(how):
    """Anywhere but in the last record, where only the index knows that it was whole."""
    def damage(scene):
        good, zeros = split(scene)
        last, _ = spans(good)[-1]
        path = scene.state / "journal"
        harm.overwrite(path, good[:last])
        done = how(path, scene.dice)
        changed = path.read_bytes()
        first = next(at for at, (old, new) in enumerate(zip(good, changed)) if old != new)
        harm.overwrite(path, good)
        named = position(scene, first)
        rewrite(scene, [changed, good[last:], zeros], done)
        scene.named = named
    return damage


def middle(scene, count):
    """The content, and the frames of `count` records somewhere in it, not the first nor the last."""
    frames = spans(content(scene))
    at = scene.dice.randrange(1, len(frames) - count)
    return content(scene), frames[at:at + count]


def oversize(scene):
    good, [(begin, _)] = middle(scene, 1)
    length = scene.dice.choice([0, (1 << 20) + 5000, 0x7FFFFFFF, 0xFFFFFFFF])
    rewrite(scene, [good[:begin], struct.pack("<I", length), good[begin + 4:]], f"length {length} at byte {begin}")
    scene.named = f"{scene.state}/journal is damaged at byte {begin}:"


def repeated(scene):
    good, [(begin, end)] = middle(scene, 1)
    rewrite(scene, [good[:end], good[begin:]], f"record at byte {begin} repeated")
    scene.named = f"{scene.state}/journal is damaged at byte {end}:"


def last_repeated(scene):
    good = content(scene)
    begin, end = spans(good)[-1]
    rewrite(scene, [good, good[begin:end]], "last record repeated")


def reordered(scene):
    good, [(a, b), (_, c)] = middle(scene, 2)
    rewrite(scene, [good[:a], good[b:c], good[a:b], good[c:]], f"records at bytes {a} and {b} in the other order")
    scene.named = f"{scene.state}/journal is damaged at byte {a}:"


def missing(scene):
    good, [(begin, end)] = middle(scene, 1)
    rewrite(scene, [good[:begin], good[end:]], f"record at byte {begin} missing")
    scene.named = f"{scene.state}/journal is damaged at byte {begin}:"


def beheaded(scene):
    good, [(begin, _)] = middle(scene, 1)
    rewrite(scene, [good[begin:]], f"the first {begin} bytes missing")


def head(scene):
    """(begin, end) of the records of a compacted journal's head; the last one closes it."""
    return [(begin, end) for begin, end, commit in journal.frames(content(scene)) if commit.get("snapshot")]


def beheaded_in_part(scene):
    """What it said may have been a revocation."""
    good, (begin, end) = content(scene), scene.dice.choice(head(scene)[:-1])
    rewrite(scene, [good[:begin], good[end:]], f"record at byte {begin} missing, of its head")


def headless_end(scene):
    good, (begin, end) = content(scene), head(scene)[-1]
    rewrite(scene, [good[:begin], good[end:]], f"record at byte {begin} missing, the one that closes its head")


def rolled_back(scene):
    good, [(begin, _)] = middle(scene, 1)
    rewrite(scene, [good[:begin]], f"truncated to {begin} bytes, the end of a record")


def truncated(scene):
    good = content(scene)
    length = scene.dice.randrange(1, len(good))
    rewrite(scene, [good[:length]], f"truncated to {length} bytes")


def last_cut(scene):
    good = content(scene)
    begin, end = spans(good)[-1]
    length = scene.dice.randrange(begin, end)
    rewrite(scene, [good[:length]], f"truncated to {length} bytes, in the last record")


def last_flipped(scene):
    good = bytearray(content(scene))
    begin, end = spans(good)[-1]
    at = scene.dice.randrange(begin, end)
    good[at] ^= 1 << scene.dice.randrange(8)
    rewrite(scene, [good], f"bit of byte {at} flipped, in the last record")


def older(scene):
    rewrite(scene, [(scene.original.bases["older"] / "journal").read_bytes()], "the one from before the revocations")


def with_index(how):
    return lambda scene: scene.damage("journal", how)


def without_index(how):
    def damage(scene):
        harm.remove(scene.state / "index")
        scene.damage("journal", how)
    return damage


def with_damaged_index(how):
    def damage(scene):
        harm.overwrite_with_garbage(scene.state / "index" / "conf", scene.dice)
        scene.damage("journal", how)
    return damage


# Nothing of it is left: whoever believed that would forget everything.
GONE = [(harm.empty, "emptied"), (harm.zero, "zeroed"), (harm.overwrite_with_garbage, "overwritten"),
        (harm.delete, "deleted")]
INDEX = [("", with_index), (", and the index gone", without_index), (", and the index damaged", with_damaged_index)]


def torn(scene):
    good = content(scene)
    begin, end = scene.dice.choice(spans(good))
    length = scene.dice.randrange(1, end - begin)
    rewrite(scene, [good, good[begin:begin + length]], f"{length} bytes of a record behind the last one")


def zeros(scene):
    count = scene.dice.randrange(1, 100_000)
    rewrite(scene, [content(scene), bytes(count)], f"{count} zeros behind the last record")


def much_garbage(scene):
    """Such as numbers that all look like lengths."""
    number = scene.dice.randrange(1 << 8, 1 << 20)
    rewrite(scene, [content(scene), struct.pack("<I", number) * (1 << 20)], f"4 MiB of the number {number} at the end")


def overlong(scene):
    """Of which no byte is read: a hole takes no room."""
    path, end = scene.state / "journal", len(content(scene))
    os.truncate(path, end + APPEND_BYTES + 1)
    scene.done = f"journal: {APPEND_BYTES + 1} zeros behind the last record"
    scene.named = f"{path} is damaged at byte {end}:"


def left_over(scene):
    path = scene.state / "journal.compacting"
    path.write_bytes(content(scene)[:-7])
    scene.done = harm.belong("journal.compacting left behind", path)
