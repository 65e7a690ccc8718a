"""The journal's frames (src/store/journal.rs): length, CRC32C, JSON. To make a large one cheaply, and to damage one."""

import json
import struct
import uuid


def table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


TABLE = list(table())


def crc32c(data):
    """RFC 3720 §12.1."""
    crc, of = 0xFFFFFFFF, TABLE
    for byte in data:
        crc = of[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def frames(journal):
    """Where each whole commit begins and ends, and what it says. Zeros may follow the last."""
    offset = 0
    while offset + 8 <= len(journal):
        length = struct.unpack_from("<I", journal, offset)[0]
        end = offset + 8 + length
        if length == 0 or end > len(journal):
            return
        yield offset, end, json.loads(journal[offset + 8 : end])
        offset = end


def grow(path, size_bytes):
    """Appends commits that say once more what is said of a video, until the journal has about that size. While nothing
    runs."""
    journal = path.read_bytes()
    *_, (_, end, last) = frames(journal)
    *_, op = (op for _, _, commit in frames(journal) for op in commit["ops"] if op["kind"] == "video")
    seq, at, ops = last["seq"], last["at"], [op] * (64_000 // len(json.dumps(op)))
    with at_end(path, end) as file:
        while file.tell() < size_bytes:
            seq += 1
            append(file, {"seq": seq, "durable": file.tell(), "at": at, "ops": ops})


def add_videos(path, count):
    """Appends videos that nothing was uploaded to, fifty a commit. While nothing runs."""
    found = list(frames(path.read_bytes()))
    end, commits = found[-1][1], [commit for _, _, commit in found]
    seq, ops = commits[-1]["seq"], [op for commit in commits for op in commit["ops"] if op["kind"] == "video"]
    empty = next(op for op in ops if op.get("row") and not op["row"]["source"])
    with at_end(path, end) as file:
        for first in range(0, count, 50):
            ids = [str(uuid.UUID(int=1 + number, version=4)) for number in range(first, first + 50)]
            seq, copies = seq + 1, [{**empty, "key": key, "row": {**empty["row"], "id": key}} for key in ids]
            append(file, {"seq": seq, "durable": file.tell(), "at": commits[-1]["at"], "ops": copies})


def forget_prepared(path):
    """Cuts off the zeros that are written behind the last commit ahead of need. While nothing runs."""
    *_, (_, end, _) = frames(path.read_bytes())
    at_end(path, end).close()


def at_end(path, end):
    """Opened to append behind the last commit, where zeros may stand."""
    file = open(path, "r+b")
    file.truncate(end)
    file.seek(end)
    return file


def append(file, commit):
    text = json.dumps(commit).encode()
    file.write(struct.pack("<II", len(text), crc32c(text)) + text)


def drop_last(path, commits):
    """Cuts the last commits off: what a disk does that forgets what it was told to keep."""
    starts = [start for start, _, _ in frames(path.read_bytes())]
    with open(path, "r+b") as file:
        file.truncate(starts[-commits])


def records(path):
    """The latest state of every record: (kind, key) → row."""
    rows = {}
    for _, _, commit in frames(path.read_bytes()):
        for operation in commit["ops"]:
            rows[operation["kind"], operation["key"]] = operation.get("row")
    return {target: row for target, row in rows.items() if row is not None}


def last_audit(path, organization):
    """(number, hash) of the newest entry of an organization's audit log; looked for from the end."""
    journal, starts, offset = path.read_bytes(), [], 0
    while offset < len(journal) and (length := struct.unpack_from("<I", journal, offset)[0]):
        starts.append(offset)
        offset += 8 + length
    for start, end in zip(reversed(starts), [offset, *reversed(starts)]):
        for operation in reversed(json.loads(journal[start + 8 : end])["ops"]):
            if operation["kind"] == "audit" and operation["row"]["organization"] == organization:
                return operation["row"]["number"], operation["row"]["hash"]
    return 0, None
