#!/usr/bin/env python3
"""Runs the vectors of "length", and those of one description, against codecs of its own.

README.md has the form of a vector. All that a program in another language needs is here, and nothing but the standard
library: python3 spec/vectors/reader.py [DIRECTORY]
"""
import hashlib, pathlib, re, sys

LIMIT = 1 << 30  # longest payload, in bytes, whatever a field can say
PADDED = "desc:magic 8 = 0xd7; length 8 len payload; behind 8 = 1; payload; pad to 4; end 8 = 0x7e"

class Malformed(Exception): "The peer's bytes are no frame."
class TooLarge(Exception): "The payload is too long for the codec."

def require(condition):
    if not condition: raise Malformed

class Padded:
    "The description above."

    def encode(self, payload):
        if len(payload) > 255: raise TooLarge
        body = bytes([0xD7, len(payload), 1]) + payload
        return body + bytes(-len(body) % 4) + b"\x7e"

    def frame_len(self, p):
        "Returns the length of the frame that p begins with, None if p is too short to tell."
        require(p[:1] in (b"", b"\xd7"))
        return None if len(p) < 2 else 3 + p[1] + -(3 + p[1]) % 4 + 1

    def decode(self, p):
        require(self.frame_len(p) == len(p) and p[2] == 1 and p[-1] == 0x7E)
        return p[3:3 + p[1]]

class Length:
    "length:WIDTH[,OPTION]... as `encase codec show length` has it."

    def __init__(self, argument):
        width, *options = argument.split(",")
        given = dict(o.partition("=")[::2] for o in options)
        filler = lambda name: re.findall("(~?)(..)", given.pop(name, ""))  # ~ marks bytes that a reader ignores
        self.prefix, self.suffix = filler("prefix"), filler("suffix")
        self.order = "little" if width.endswith("le") else "big"
        self.size = 0 if width == "varint" else int(width.rstrip("bel")) // 8
        self.base = len(self.suffix) - int(given.pop("adjust", 0))  # what the field says of an empty payload
        if "incl" in given:
            self.base = len(self.prefix) + self.size + len(self.suffix)
        self.max = int(given.pop("max", min(LIMIT, 256**(self.size or 8) - 1 - self.base)))
        assert given in ({}, {"incl": ""}), f"unknown option in length:{argument}"

    def field(self, n):
        if self.size: return n.to_bytes(self.size, self.order)
        return (bytes([n & 127 | 128]) + self.field(n >> 7)) if n > 127 else bytes([n])

    def encode(self, payload):
        if len(payload) > self.max: raise TooLarge
        prefix, suffix = (bytes(int(b, 16) for _, b in f) for f in (self.prefix, self.suffix))
        return prefix + self.field(self.base + len(payload)) + suffix + payload

    def parse(self, p):
        "Returns the lengths of header and payload, () if p is too short to tell."
        field = p[len(self.prefix):]
        size = self.size or next((i + 1 for i, b in enumerate(field[:5]) if b < 128), 5)
        if len(field) < size: return ()
        n = int.from_bytes(field[:size], self.order)
        if not self.size:
            n = sum((b & 127) << 7 * i for i, b in enumerate(field[:size]))
            require(self.field(n) == field[:size])  # as short as it can be
        require(self.matches(self.prefix, p) and 0 <= n - self.base <= self.max)
        return len(self.prefix) + size + len(self.suffix), n - self.base

    def matches(self, filler, p): return all(ignored or b == int(want, 16) for (ignored, want), b in zip(filler, p))
    def frame_len(self, p): return sum(self.parse(p)) or None

    def decode(self, p):
        require(self.frame_len(p) == len(p))
        head = self.parse(p)[0]
        require(self.matches(self.suffix, p[head - len(self.suffix):head]))
        return p[head:]

def body(text):
    "Returns the lines of a vector's body: pairs of a mark and bytes."
    unpack = lambda token: bytes.fromhex(token[0]) * int(token[2] or 1)
    return [(mark, b"".join(unpack(t.partition("*")) for t in rest.split()))
            for mark, rest in re.findall(r"^([<>+=!]?)(.*)$", text, re.M)]

def run(v, lines, codec, step):
    "Does what a vector says, with a stream in pieces of so many bytes. Returns the outcome, and what was released."
    data, released = b"".join(p for _, p in lines), b""
    try:
        if v["do"] == "encode":
            frames = [codec.encode(p) for mark, p in lines if mark == "+"]
            return ("ok" if frames == [p for mark, p in lines if mark == ">"] else frames), b""
        if v["do"] == "decode": return "ok", codec.decode(data)
        if v["do"] == "framelen":
            n = codec.frame_len(data)
            return "more" if n is None else "ok" if n == int(v["length"]) else n, b""
        assert v["do"] == "stream", f"do: {v['do']}"
        held = b""
        for at in range(0, len(data), step):
            held += data[at:at + step]
            while (n := codec.frame_len(held)) is not None and n <= len(held):
                released, held = released + codec.decode(held[:n]), held[n:]
        return "more" if held else "ok", released
    except Malformed: return "malformed", released
    except TooLarge: return "too-large", b""

def main(directory):
    ran, failed = 0, 0
    for path in sorted(directory.glob("*/*.txt")):
        head, _, text = path.read_text().partition("\n\n")
        v = dict(line.split(": ", 1) for line in head.splitlines())
        name, _, argument = v["codec"].partition(":")
        if name != "length" and v["codec"] != PADDED: continue
        for step in (1, 1 << 20) if v["do"] == "stream" else (1,):
            got, released = run(v, body(text), Length(argument) if name == "length" else Padded(), step)
            digest = hashlib.sha256(released).hexdigest()
            if got != v["expect"] or digest != v.get("payload", digest):
                failed += 1
                print(f"{v['id']}: {got}, expected {v['expect']}; released: {released.hex()}")
        ran += 1
    print(f"{ran} vectors, {failed} failures")
    return failed or not ran

sys.exit(main(pathlib.Path(sys.argv[1]) if sys.argv[1:] else pathlib.Path(__file__).parent) and 1)
