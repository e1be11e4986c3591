#!/usr/bin/env python3
"""Restores a backup from a directory repository: restore_by_the_book.py REPO VOLUME BACKUP OUT

Written from FORMAT.md alone, to prove that it says enough. Needs nothing but Python 3.9; with
`pip install blake3 lz4` it is fast. A lost or damaged map is rebuilt from the segments.
"""
import json
import os
import re
import struct
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
try:
    from blake3 import blake3

    def hash_of(data):
        return blake3(data).digest()
except ImportError:
    from without_pip import blake3_hash as hash_of
try:
    from lz4.block import decompress

    def unlz4(data, size):
        return decompress(data, uncompressed_size=size)
except ImportError:
    from without_pip import lz4_decompress as unlz4


KNOWN = {"generations"}  # the features that this tool knows


class Damaged(Exception):
    pass


class Unsupported(Exception):
    pass


def ensure(good, why):
    if not good:
        raise Damaged(why)


def check_format(what, format, needs):
    if format > 1:
        raise Unsupported(f"{what}: format {format}")
    unknown = set(needs) - KNOWN
    if unknown:
        raise Unsupported(f"{what}: needs {sorted(unknown)}")


def decode(codec, stored, size):
    if codec > 1:
        raise Unsupported(f"codec {codec}")
    try:
        data = unlz4(stored, size) if codec else stored
    except Exception as error:  # each LZ4 library has errors of its own
        raise Damaged(f"LZ4: {error}") from error
    ensure(len(data) == size, f"{len(data)} bytes instead of {size}")
    return data


def read(path, offset=0, size=-1):
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(size)
    ensure(size < 0 or len(data) == size, f"{path} is cut short")
    return data


def newest_record(folder):
    """The manifest or tombstone of the highest generation that can be read."""
    names = [re.fullmatch(r"manifest-(0|[1-9][0-9]{0,3})\.json", name) for name in os.listdir(folder)]
    for generation in sorted((int(name[1]) for name in names if name), reverse=True):
        try:
            record = read_record(os.path.join(folder, f"manifest-{generation}.json"))
            ensure(record["generation"] == generation, f"generation {record['generation']} at {generation}")
            return record
        except Damaged as error:
            print(f"{error}; an older generation is used", file=sys.stderr)
    raise Damaged(f"{folder}: no manifest")


def read_record(path):
    data = read(path)
    front, middle, back = b'{"manifest":', b',"blake3":"', b'"}\n'
    cut = len(data) - len(back) - 64
    inner = data[len(front):cut - len(middle)]
    ensure(data.startswith(front) and data.endswith(middle + data[cut:cut + 64] + back), f"{path}: no manifest")
    ensure(data[cut:cut + 64].decode() == hash_of(inner).hex(), f"{path}: wrong hash")
    record = json.loads(inner)
    check_format(path, record["format"], record["needs_to_read"])
    return record


def read_table(path, entry_bytes, entries, ref):
    """All entries of a table, as one bytearray."""
    data = read(path, 0, ref["bytes"])
    magic, version, size, count, per_chunk, chunks, head_hash = struct.unpack_from("<8sIIQII32s", data)
    ensure(256 <= per_chunk <= 65536 and per_chunk & (per_chunk - 1) == 0, f"{path}: wrong header")
    shape = (b"SEPTETTB", 1, entry_bytes, entries, -(-entries // per_chunk))
    ensure((magic, version, size, count, chunks) == shape, f"{path}: wrong header")
    directory = data[64:64 + 48 * chunks]
    ensure(hash_of(data[:32] + directory) == head_hash, f"{path}: wrong directory")
    hashes = b"".join(directory[at + 16:at + 48] for at in range(0, len(directory), 48))
    ensure(hash_of(data[:32] + hashes).hex() == ref["root"], f"{path}: not the table that the manifest names")
    table = bytearray(entries * entry_bytes)
    for chunk in range(chunks):
        offset, packed, crc, want = struct.unpack_from("<QII32s", directory, 48 * chunk)
        if not packed:
            continue  # absent: all zeros
        start = chunk * per_chunk * entry_bytes
        size = min(per_chunk * entry_bytes, len(table) - start)
        stored = data[offset:offset + (packed & 0xFFFFFF)]
        ensure(zlib.crc32(stored) == crc, f"{path}: chunk {chunk}: wrong CRC-32")
        table[start:start + size] = decode(packed >> 24, stored, size)
        ensure(hash_of(bytes(table[start:start + size])) == want, f"{path}: chunk {chunk}: wrong hash")
    return table


def read_index(path, row):
    """A segment's index: (block, hash, offset, packed) for each block that it holds."""
    end = row["bytes"]
    footer = read(path, end - 64, 64)
    magic, offset, size, version, _, want = struct.unpack("<8sQQII32s", footer)
    ensure((magic, version) == (b"SEPTETSF", 1), f"{path}: wrong footer")
    index = read(path, offset, size)
    ensure(hash_of(index) == want and want.hex() == row["hash"], f"{path}: wrong index")
    ensure(index[:8] == b"SEPTETIX", f"{path}: no index")
    if struct.unpack_from("<I", index, 50)[0] != 56 or any(index[54:64]):
        raise Unsupported(f"{path}: an index of another kind")
    for block, digest, units, packed, _, _ in struct.iter_unpack("<Q32sIIII", index[320:]):
        yield block, digest, units, packed


def rebuild_map(rows, checksums, blocks):
    table = bytearray(12 * blocks)
    for number, (path, row) in reversed(list(enumerate(rows))):
        for block, digest, units, packed in read_index(path, row):
            wanted = checksums[32 * block:32 * block + 32]
            if digest == wanted and not any(table[12 * block:12 * block + 12]):
                struct.pack_into("<III", table, 12 * block, number + 1, units, packed)
    return table


def restore(repo, volume, backup, out):
    info = json.loads(read(os.path.join(repo, "septet.json")))
    check_format("septet.json", info["format"], info["needs_to_read"])
    folder = os.path.join(repo, volume, backup)
    manifest = newest_record(folder)
    if manifest["kind"] != "backup":
        raise Damaged(f"there is no such backup: {manifest['reason']}")
    volume_bytes, block_bytes = manifest["volume_bytes"], manifest["block_bytes"]
    blocks = -(-volume_bytes // block_bytes)
    rows = [
        (os.path.join(repo, source["volume"], source["backup"], "segments", f"{row['number']:06}"), row)
        for source in manifest["sources"]
        for row in source["segments"]
    ]
    checksums = read_table(os.path.join(folder, f"checksums-{manifest['checksums']['generation']}"), 32, blocks, manifest["checksums"])
    try:
        table = read_table(os.path.join(folder, f"map-{manifest['map']['generation']}"), 12, blocks, manifest["map"])
    except (OSError, Damaged) as error:
        print(f"{error}; the map is rebuilt from the segments", file=sys.stderr)
        table = rebuild_map(rows, checksums, blocks)
    damage = 0
    with open(out, "xb") as target:
        target.truncate(volume_bytes)
        for block in range(blocks):
            want = checksums[32 * block:32 * block + 32]
            if not any(want):
                continue  # reads as zeros
            try:
                row, units, packed = struct.unpack_from("<III", table, 12 * block)
                ensure(1 <= row <= len(rows), "it lies in no segment")
                stored = read(rows[row - 1][0], units * 512, packed & 0xFFFFFF)
                size = min(block_bytes, volume_bytes - block * block_bytes)
                data = decode(packed >> 24, stored, size)
                ensure(hash_of(data) == want, "wrong hash")
                target.seek(block * block_bytes)
                target.write(data)
            except (OSError, Damaged) as error:
                print(f"block {block}: {error}", file=sys.stderr)
                damage += 1
    return damage


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    try:
        if restore(*sys.argv[1:]):
            sys.exit(3)
    except (OSError, Damaged, Unsupported, ValueError, KeyError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
