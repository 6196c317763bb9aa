#!/usr/bin/env python3
"""A second implementation of the sealed format, written from FORMAT.md alone.

    second.py check              its own ciphers against published vectors
    second.py vectors FORMAT     prints vectors/v1.json or vectors/v2.json
    second.py open FILE SECRET   prints what a dump of a store holds
    second.py create FILE SECRET makes a dump of a store of what it reads (as `open` prints it)

SECRET is raw:HEX or passphrase:TEXT. A dump is every entry of the engine in the order of the keys: key and
value, each behind its length as 4 bytes, big-endian. Needs the package `cryptography` (44 or later).
"""

import hashlib
import hmac
import json
import os
import struct
import sys
import unicodedata

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"synctable sealed "
# Of blobs, and what slots are bound to.
FIRST = 1
# Of headers and manifests.
FORMAT = 2
SUITE = 1


class Refused(Exception):
    """What is stored is not what its writer stored, or the secret is wrong."""


def u32(number):
    return struct.pack(">I", number)


def field(content):
    return u32(len(content)) + content


# XAES-256-GCM, from the text of C2SP.

def message_key(key, nonce):
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update
    first = int.from_bytes(block(bytes(16)), "big")
    doubled = (first << 1) & ((1 << 128) - 1)
    if first >> 127:
        doubled ^= 0b10000111
    mask = doubled.to_bytes(16, "big")

    def half(number):
        text = bytes([0, number]) + b"X\0" + nonce[:12]
        return block(bytes(a ^ b for a, b in zip(text, mask)))

    return half(1) + half(2)


def xaes_seal(key, nonce, text, aad):
    return AESGCM(message_key(key, nonce)).encrypt(nonce[12:], text, aad)


def xaes_open(key, nonce, sealed, aad):
    try:
        return AESGCM(message_key(key, nonce)).decrypt(nonce[12:], sealed, aad)
    except InvalidTag:
        raise Refused("an entry was changed")


# Keys.

def derive(salt, key, label, context):
    info = b"synctable sealed 1 " + label.encode() + b"\0" + context
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def mac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def stretch(secret, costs, salt):
    """The 32 bytes that a secret is at a slot; None if it is of another kind."""
    name, text = secret.split(":", 1)
    if name == "raw":
        return bytes.fromhex(text) if costs is None else None
    if costs is None:
        return None
    memory, passes, lanes = costs
    normal = unicodedata.normalize("NFKC", text).encode()
    kdf = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
    return kdf.derive(normal)


class Keys:
    """The keys of one epoch."""

    def __init__(self, epoch, data_key, store_id):
        def key(label):
            return derive(store_id, data_key, label, u32(epoch))

        self.epoch, self.store_id = epoch, store_id
        self.records, self.names, self.indexes = key("records"), key("names"), key("indexes")
        self.manifest, self.header = key("manifest"), key("header")
        self.older = key("older")

    def aad(self, kind, physical):
        parts = [b"synctable sealed", bytes([FIRST, SUITE]), self.store_id, kind, physical]
        return b"".join(map(field, parts + [u32(self.epoch)]))

    def seal(self, kind, physical, text, nonce):
        prefix = bytes([FIRST, SUITE]) + struct.pack("<I", self.epoch)
        return prefix + nonce + xaes_seal(self.records, nonce, text, self.aad(kind, physical))

    def open(self, kind, physical, blob):
        if blob[:2] != bytes([FIRST, SUITE]):
            raise Refused("a newer format")
        if len(blob) < 46 or blob[2:6] != struct.pack("<I", self.epoch):
            raise Refused("an entry is cut or of another epoch")
        return xaes_open(self.records, blob[6:30], blob[30:], self.aad(kind, physical))

    def name_token(self, text):
        return mac(self.names, text)[:16]

    def index_token(self, text):
        return mac(self.indexes, text)[:16]

    def manifest_term(self, physical, blob):
        return int.from_bytes(mac(self.manifest, physical + blob[-16:]), "big")

    def older_term(self, physical, blob):
        return int.from_bytes(mac(self.older, physical + blob), "big")


# The header.

def bound_part(store_id, equality):
    """What slots are bound to, in each format."""
    return MAGIC + bytes([FIRST, SUITE, 1 if equality else 0]) + store_id


def first_part(store_id, equality, generation):
    """What a header begins with; the first format has no generations."""
    if generation is None:
        return bound_part(store_id, equality)
    start = MAGIC + bytes([FORMAT, SUITE, 1 if equality else 0]) + store_id
    return start + struct.pack(">Q", generation)


def slot_keys(key, salt, bound):
    return derive(salt, key, "wrap", bound), derive(salt, key, "commit", bound)


def make_slot(number, secret, costs, bound, ring, salt, nonce):
    wrap, commit = slot_keys(stretch(secret, costs, salt), salt, bound)
    public = bytes([number, 1 if costs is None else 2])
    public += b"".join(map(u32, costs or (0, 0, 0))) + salt + commit
    plain = b"".join(u32(epoch) + key for epoch, key in ring)
    return public + nonce + field(AESGCM(wrap).encrypt(nonce, plain, field(bound) + field(public)))


def make_header(store_id, equality, generation, slots, ring):
    body = first_part(store_id, equality, generation) + bytes([len(slots)]) + b"".join(slots)
    epoch, key = ring[0]
    return body + mac(Keys(epoch, key, store_id).header, body)


def open_header(header, secret):
    """Store id, whether equal values are neighbours, number of the slot, keys by epoch (current first), whether it is of the first format."""
    if not header.startswith(MAGIC) or header[17] not in (FIRST, FORMAT) or header[18] != SUITE or header[19] > 1:
        raise Refused("not a sealed store, or a newer one")
    store_id, equality, first = header[20:36], header[19] == 1, header[17] == FIRST
    bound = bound_part(store_id, equality)
    place = 36 if first else 44
    slots = header[place]
    place += 1
    ring = None
    for _ in range(slots):
        public = header[place:place + 62]
        number, kind, memory, passes, lanes = struct.unpack(">BBIII", public[:14])
        salt, commit = public[14:30], public[30:]
        nonce = header[place + 62:place + 74]
        (length,) = struct.unpack(">I", header[place + 74:place + 78])
        wrapped = header[place + 78:place + 78 + length]
        place += 78 + length
        key = stretch(secret, (memory, passes, lanes) if kind == 2 else None, salt)
        if ring is not None or key is None:
            continue
        wrap, expected = slot_keys(key, salt, bound)
        if not hmac.compare_digest(commit, expected):
            continue
        try:
            plain = AESGCM(wrap).decrypt(nonce, wrapped, field(bound) + field(public))
        except InvalidTag:
            raise Refused("the wrapped keys were changed")
        entries = [plain[at:at + 36] for at in range(0, len(plain), 36)]
        slot = number
        ring = [(struct.unpack(">I", entry[:4])[0], entry[4:]) for entry in entries]
    if ring is None:
        raise Refused("wrong key")
    keys = {epoch: Keys(epoch, key, store_id) for epoch, key in ring}
    current = next(iter(keys.values()))
    if len(header) != place + 32 or mac(current.header, header[:place]) != header[place:]:
        raise Refused("the header was changed")
    return store_id, equality, slot, keys, first


# Entries: the map from plain keys to values.

HEADER, MANIFEST = b"\0", b"\0\1"


def group_text(plain):
    """What a plain key belongs to."""
    if plain == b"\0":
        return b"group\x01"
    if plain[:1] == b"\1":
        return b"group\x02"
    if plain[:1] == b"\2" and b"\0" in plain:
        return b"group\x03" + field(plain[1:].split(b"\0", 1)[0])
    if plain[:1] == b"\3" and plain.count(b"\0") > 1:
        table, index, _ = plain[1:].split(b"\0", 2)
        return b"group\x04" + field(table) + field(index)
    return b"group\x00"


def physical_key(keys, plain):
    tokens = keys.name_token(group_text(plain)) + keys.name_token(plain)
    return b"\1" + u32(keys.epoch) + tokens


def stands_for_values(keys, plain, token):
    """Whether a token is that of the values of an index entry, wherever they end and the id begins."""
    values = plain.split(b"\0", 2)[2]
    ends = range(len(values) + 1)
    return any(keys.index_token(group_text(plain) + field(values[:end])) == token for end in ends)


def padded(text):
    length = 64
    while length < len(text):
        length += length // 8
    return text.ljust(length, b"\0")


def unfield(text):
    (length,) = struct.unpack(">I", text[:4])
    if len(text) < 4 + length:
        raise Refused("a cut text")
    return text[4:4 + length], text[4 + length:]


def open_store(dump, secret):
    """What a store holds, by plain key, and its write counter; every entry is checked."""
    _, equality, _, by_epoch, first = open_header(dump[HEADER], secret)
    current = next(iter(by_epoch.values()))
    if MANIFEST not in dump:
        raise Refused("the manifest is gone")
    if first:
        manifest = current.open(b"manifest", MANIFEST, dump[MANIFEST])
        counter, expected = struct.unpack(">Q", manifest[:8])[0], manifest[8:]
    else:
        manifest = current.open(b"manifest 2", MANIFEST, dump[MANIFEST])
        counter, expected = struct.unpack(">Q", manifest[:8])[0], manifest[40:]
        if not hmac.compare_digest(manifest[8:40], dump[HEADER][-32:]):
            raise Refused("the header is an older one")
    entries, now, before = {}, (0, 0), (0, 0)
    for physical, blob in dump.items():
        if physical in (HEADER, MANIFEST):
            continue
        keys = by_epoch.get(struct.unpack(">I", physical[1:5])[0])
        if keys is None or physical[:1] not in (b"\1", b"\2"):
            raise Refused("an entry of an unknown epoch or kind")
        text = keys.open(b"entry", physical, blob)
        plain, rest = unfield(text)
        value, rest = unfield(rest)
        apart = equality and plain[:1] == b"\3"
        named = b"\1" + physical[1:21] + physical[37:] if apart else physical
        if apart and not stands_for_values(keys, plain, physical[21:37]):
            raise Refused("an index entry is at another place")
        if apart != (physical[:1] == b"\2") or physical_key(keys, plain) != named:
            raise Refused("an entry is at another place")
        if padded(text[:len(text) - len(rest)]) != text:
            raise Refused("an entry is not padded as it must be")
        if plain in entries:
            raise Refused("a key twice")
        entries[plain] = value
        if first or keys is current:
            now = now[0] + 1, now[1] + keys.manifest_term(physical, blob)
        else:
            before = before[0] + 1, before[1] + current.older_term(physical, blob)
    if expected != tally(*now) + (b"" if first else tally(*before)):
        raise Refused("entries were dropped, added or put back")
    return entries, counter


def tally(count, total):
    return struct.pack(">Q", count) + (total % (1 << 256)).to_bytes(32, "big")


def make_store(entries, secret, counter):
    store_id, data_key = os.urandom(16), os.urandom(32)
    keys = Keys(1, data_key, store_id)
    costs = (19456, 2, 1) if secret.startswith("passphrase:") else None
    ring, bound = [(1, data_key)], bound_part(store_id, False)
    slot = make_slot(0, secret, costs, bound, ring, os.urandom(16), os.urandom(12))
    dump, total = {HEADER: make_header(store_id, False, 1, [slot], ring)}, 0
    for plain, value in entries.items():
        physical = physical_key(keys, plain)
        text = padded(field(plain) + field(value))
        dump[physical] = keys.seal(b"entry", physical, text, os.urandom(24))
        total += keys.manifest_term(physical, dump[physical])
    manifest = struct.pack(">Q", counter) + dump[HEADER][-32:] + tally(len(entries), total) + tally(0, 0)
    dump[MANIFEST] = keys.seal(b"manifest 2", MANIFEST, manifest, os.urandom(24))
    return dump


def read_dump(path):
    with open(path, "rb") as file:
        rest = file.read()
    dump = {}
    while rest:
        key, rest = unfield(rest)
        dump[key], rest = unfield(rest)
    return dump


def write_dump(path, dump):
    with open(path, "wb") as file:
        for key in sorted(dump):
            file.write(field(key) + field(dump[key]))


# Vectors.

def bytes_of(name, length):
    """Bytes that look random and are always the same."""
    return hashlib.shake_128(name.encode()).digest(length)


def vectors(format):
    store_id = bytes_of("store id", 16)
    epochs = [(epoch, bytes_of(f"data key {epoch}", 32)) for epoch in (1, 2, 0xFFFFFFFF)]
    generation = None if format == FIRST else 7
    manifest = "manifest" if format == FIRST else "manifest 2"

    blobs, tokens = [], []
    for epoch, data_key in epochs:
        keys = Keys(epoch, data_key, store_id)
        about = {"epoch": epoch, "data_key": data_key.hex(), "store_id": store_id.hex()}
        for length in (0, 1, 15, 16, 17, 64, 300):
            name = f"blob {epoch} {length}"
            physical, text = bytes_of(name + " place", 37), bytes_of(name, length)
            nonce = bytes_of(name + " nonce", 24)
            for kind in ("entry", manifest):
                blob = keys.seal(kind.encode(), physical, text, nonce)
                blobs.append(about | {
                    "kind": kind, "physical": physical.hex(), "nonce": nonce.hex(),
                    "text": text.hex(), "blob": blob.hex(),
                    "manifest_term": keys.manifest_term(physical, blob).to_bytes(32, "big").hex(),
                } | ({} if format == FIRST else {
                    "older_term": keys.older_term(physical, blob).to_bytes(32, "big").hex(),
                }))
        for text in (b"", b"todo", bytes_of("long", 200)):
            tokens.append(about | {
                "text": text.hex(), "name": keys.name_token(text).hex(),
                "index": keys.index_token(text).hex(), "header": mac(keys.header, text).hex(),
            })

    stretched = []
    for text, costs in (("e\u0301\ufb01 \uff41", (19456, 2, 1)), ("correct horse", (20000, 3, 4))):
        salt = bytes_of("salt " + text, 16)
        key = stretch("passphrase:" + text, costs, salt)
        stretched.append({
            "passphrase": text, "memory_kib": costs[0], "passes": costs[1], "lanes": costs[2],
            "salt": salt.hex(), "key": key.hex(),
        })

    raw, phrase = "raw:" + bytes_of("raw key", 32).hex(), "passphrase:Gru\u0308\u00dfe"
    headers = []
    for equality, ring in ((False, epochs[:1]), (True, [epochs[1], epochs[0]])):
        bound = bound_part(store_id, equality)

        def slot(number, secret, costs):
            name = f"slot {number} {equality}"
            salt, nonce = bytes_of(name + " salt", 16), bytes_of(name + " nonce", 12)
            return make_slot(number, secret, costs, bound, ring, salt, nonce)

        slots = [slot(0, raw, None), slot(3, phrase, (19456, 2, 1))]
        header = make_header(store_id, equality, generation, slots, ring)
        for number, secret in ((0, raw), (3, phrase)):
            opened = open_header(header, secret)
            assert opened[:3] == (store_id, equality, number) and len(opened[3]) == len(ring)
            headers.append({
                "header": header.hex(), "secret": secret, "slot": number, "equality": equality,
                "store_id": store_id.hex(), "epochs": [epoch for epoch, _ in ring],
                "data_keys": [key.hex() for _, key in ring],
            })
    return {"blobs": blobs, "tokens": tokens, "stretched": stretched, "headers": headers}


def check():
    """The accumulated vector of C2SP: 10,000 random messages, one hash."""
    stream = hashlib.shake_128()
    source = memoryview(stream.digest(10_000 * 600))
    place = 0

    def take(length):
        nonlocal place
        place += length
        return bytes(source[place - length:place])

    result = hashlib.shake_128()
    for _ in range(10_000):
        key, nonce = take(32), take(24)
        text = take(take(1)[0])
        aad = take(take(1)[0])
        sealed = xaes_seal(key, nonce, text, aad)
        assert xaes_open(key, nonce, sealed, aad) == text
        result.update(sealed)
    expected = "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
    assert result.hexdigest(32) == expected, result.hexdigest(32)


def main(arguments):
    if arguments == ["check"]:
        check()
    elif arguments in (["vectors", "1"], ["vectors", "2"]):
        print(json.dumps(vectors(int(arguments[1])), indent=1))
    elif len(arguments) == 3 and arguments[0] == "open":
        try:
            entries, counter = open_store(read_dump(arguments[1]), arguments[2])
        except Refused as refusal:
            sys.exit(f"refused: {refusal}")
        entries = {key.hex(): value.hex() for key, value in sorted(entries.items())}
        print(json.dumps({"counter": counter, "entries": entries}))
    elif len(arguments) == 3 and arguments[0] == "create":
        given = json.load(sys.stdin)
        entries = {bytes.fromhex(key): bytes.fromhex(given["entries"][key]) for key in given["entries"]}
        write_dump(arguments[1], make_store(entries, arguments[2], given["counter"]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
