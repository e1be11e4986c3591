"""BLAKE3 and LZ4's block format in plain Python: slow, but there when nothing else is."""
import struct

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
MIXES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF


def compress(chaining, block, counter, size, flags):
    m = struct.unpack("<16I", block)
    s = [*chaining, *IV[:4], counter & MASK, counter >> 32, size, flags]
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(MIXES):
            for word, r, q in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                s[a] = (s[a] + s[b] + word) & MASK
                x = s[d] ^ s[a]
                s[d] = (x >> r | x << (32 - r)) & MASK
                s[c] = (s[c] + s[d]) & MASK
                x = s[b] ^ s[c]
                s[b] = (x >> q | x << (32 - q)) & MASK
        m = [m[p] for p in PERMUTATION]
    return [s[i] ^ s[i + 8] for i in range(8)]


def subtree(data, first, flags):
    """The chaining value of `data`, whose first chunk of 1024 bytes has the number `first`."""
    if len(data) > 1024:
        left = 1024
        while left * 2 < len(data):
            left *= 2
        pair = subtree(data[:left], first, 0) + subtree(data[left:], first + left // 1024, 0)
        return compress(IV, struct.pack("<16I", *pair), 0, 64, PARENT | flags)
    value = IV
    for at in range(0, max(len(data), 1), 64):
        block = data[at:at + 64]
        bits = (CHUNK_START if at == 0 else 0) | (CHUNK_END | flags if at + 64 >= len(data) else 0)
        value = compress(value, block.ljust(64, b"\0"), first, len(block), bits)
    return value


def blake3_hash(data):
    return struct.pack("<8I", *subtree(bytes(data), 0, ROOT))


def lz4_decompress(data, size):
    out, at = bytearray(), 0

    def length(nibble):
        nonlocal at
        total = nibble
        while nibble == 15 or nibble == 255:
            nibble = data[at]
            at += 1
            total += nibble
        return total

    while True:
        token = data[at]
        at += 1
        literals = length(token >> 4)
        out += data[at:at + literals]
        at += literals
        if at >= len(data):
            return bytes(out)
        offset = data[at] | data[at + 1] << 8
        at += 2
        match = length(token & 15) + 4
        if not 0 < offset <= len(out) or len(out) + match > size:
            raise ValueError("a match reaches outside the block")
        start = len(out) - offset
        while match:
            piece = out[start:start + match]
            out += piece
            match -= len(piece)
