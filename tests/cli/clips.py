"""Clips written and read by hand: AVI files of Motion JPEG, and what the boxes of an MP4 file say."""
import io
import struct

import numpy as np
from PIL import Image


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def group(kind, *chunks):
    return chunk(b"LIST", kind + b"".join(chunks))


def write_avi(path, frames, rate=10):
    """frames: Pillow pictures of one size."""
    width, height = frames[0].size
    pictures = []
    for frame in frames:
        jpeg = io.BytesIO()
        frame.convert("RGB").save(jpeg, "JPEG", quality=95, subsampling=0)
        pictures.append(jpeg.getvalue())
    count, largest = len(pictures), max(map(len, pictures))
    main = struct.pack("<14I", 1_000_000 // rate, largest * rate, 0, 0x10, count, 0, 1, largest, width, height, 0, 0, 0, 0)
    stream = b"vidsMJPG" + struct.pack("<IHHIIIIIIII4H", 0, 0, 0, 0, 1, rate, 0, count, largest, 10_000, 0, 0, 0, width, height)
    bitmap = struct.pack("<IIIHH4sIIIII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
    headers = group(b"hdrl", chunk(b"avih", main), group(b"strl", chunk(b"strh", stream), chunk(b"strf", bitmap)))
    movie, index, offset = [], [], 4
    for picture in pictures:
        movie.append(chunk(b"00dc", picture))
        index.append(b"00dc" + struct.pack("<III", 0x10, offset, len(picture)))
        offset += len(movie[-1])
    path.write_bytes(chunk(b"RIFF", b"AVI " + headers + group(b"movi", *movie) + chunk(b"idx1", b"".join(index))))
    return path


def read_avi(path):
    """The frames of an AVI file of Motion JPEG, [n,h,w,3]."""
    content = path.read_bytes()
    assert content[:4] == b"RIFF" and content[8:12] == b"AVI "
    frames = []

    def walk(begin, end):
        while begin + 8 <= end:
            name, size = content[begin:begin + 4], struct.unpack_from("<I", content, begin + 4)[0]
            if name in (b"LIST", b"RIFF"):
                walk(begin + 12, begin + 8 + size)
            elif name == b"00dc" and size:
                frames.append(np.asarray(Image.open(io.BytesIO(content[begin + 8:begin + 8 + size])).convert("RGB")))
            begin += 8 + size + size % 2

    walk(0, len(content))
    return np.stack(frames)


def describe_mp4(path):
    """Codec, width, height, frames and frames a second of the first track."""
    content = path.read_bytes()
    found = {}

    def walk(begin, end):
        while begin + 8 <= end:
            size, name = struct.unpack_from(">I4s", content, begin)
            head = 8
            if size == 1:
                size, head = struct.unpack_from(">Q", content, begin + 8)[0], 16
            if name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
                walk(begin + head, begin + size)
            elif name != b"mdat":
                found.setdefault(name, content[begin + head:begin + size])
            begin += size

    walk(0, len(content))
    codec = found[b"stsd"][12:16].decode()
    width, height = struct.unpack_from(">HH", found[b"stsd"], 8 + 32)
    frames = struct.unpack_from(">I", found[b"stsz"], 8)[0]
    timescale, duration = struct.unpack_from(">II", found[b"mdhd"], 12)
    return codec, width, height, frames, frames * timescale / duration
