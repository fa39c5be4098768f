"""The tool that answers for the image room, and pictures of every kind that it must read."""

import json
import os
import pathlib
import struct
import subprocess
import zlib

import numpy as np
import skimage
from PIL import Image

# The build without OpenCV reads JPEG and PNG, and rounds otherwise in JPEG's transform and chroma.
WITH_OPENCV = os.environ["FOVEA_WITH_OPENCV"] == "ON"


def is_read(path):
    return WITH_OPENCV or str(path).endswith((".jpg", ".png", ".mpo"))


PHOTOGRAPHS = [
    "astronaut.png", "coffee.png", "chelsea.png", "ihc.png", "motorcycle_left.png", "camera.png",
    "rocket.jpg", "retina.jpg", "hubble_deep_field.jpg", "logo.png", "horse.png",
]


def photograph(name):
    return pathlib.Path(skimage.__file__).parent / "data" / name


class Tool:
    """One process that answers requests, a line each."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.process = subprocess.Popen(
            [pathlib.Path(os.environ["FOVEA_BIN"]) / "image_tool"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=open(self.folder / "stderr.txt", "w"), text=True)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0

    def stderr(self):
        return (self.folder / "stderr.txt").read_text()

    def __call__(self, operation, path, **arguments):
        request = {"operation": operation, "path": str(path), "out": str(self.folder / "out.raw"), **arguments}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def pixels(self, operation, path, **arguments):
        answer = self(operation, path, **arguments)
        assert "error" not in answer, answer
        data = np.fromfile(self.folder / "out.raw", np.uint8)
        return data.reshape(answer["height"], answer["width"], answer["channels"])

    def tensor(self, path, **arguments):
        answer = self("preprocess", path, **arguments)
        assert "error" not in answer, answer
        return np.fromfile(self.folder / "out.raw", np.float32).reshape(answer["shape"])


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width, height, depth, colour, interlace=0):
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(width, height, depth, colour, rows, extra=b""):
    """A PNG of rows of raw bytes, each of its own filter 0."""
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return (PNG_SIGNATURE + png_header(width, height, depth, colour) + extra + png_chunk(b"IDAT", packed) +
            png_chunk(b"IEND", b""))


def small_photograph(size=(151, 97)):
    return Image.open(photograph("chelsea.png")).convert("RGB").resize(size)


def gray_png(depth, rng):
    return png(64, 20, depth, 0, rng.integers(0, 256, (20, 64 * depth // 8), dtype=np.uint8))


def wide_png(colour, channels, rng):
    return png(64, 20, 16, colour, rng.integers(0, 65536, (20, 64 * channels)).astype(">u2"))


def bmp(width, height, bits, compression, data, masks=b"", palette=b""):
    offset = 54 + len(masks) + len(palette)
    return (b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) +
            struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0) +
            masks + palette + data)


def rle_bmp(rng):
    rows = b"".join(bytes([20, i * 5, 0, 3, 1, 2, 3, 0, 9, 7, 0, 0]) for i in range(10))
    return bmp(32, 10, 8, 1, rows[:-2] + b"\0\1", palette=rng.integers(0, 256, 1024, dtype=np.uint8).tobytes())


def write_pictures(folder):
    """Files that must decode to what Pillow makes of them, by name."""
    rng = np.random.default_rng(0)
    picture = small_photograph()
    gray = picture.convert("L")
    rgba, gray_alpha = picture.copy(), gray.copy()
    rgba.putalpha(gray)
    gray_alpha.putalpha(gray)
    palette = picture.quantize(16)

    def save(name, image, **options):
        image.save(folder / name, **options)

    for subsampling in range(3):
        save(f"sub{subsampling}.jpg", picture, subsampling=subsampling)
        save(f"progressive{subsampling}.jpg", picture, subsampling=subsampling, progressive=True)
    save("gray.jpg", gray)
    save("gray_progressive.jpg", gray, progressive=True)
    save("restart.jpg", picture, restart_marker_blocks=2)
    save("rgb.jpg", picture, keep_rgb=True)
    save("optimised.jpg", picture, optimize=True, quality=30)
    save("one.jpg", picture.resize((1, 1)))
    save("column.jpg", picture.resize((1, 61)))
    save("row.jpg", picture.resize((61, 1)))
    save("pictures.mpo", picture, save_all=True, append_images=[picture.rotate(180)])
    save("palette8.png", picture.quantize(256))
    save("palette4.png", palette, bits=4)
    save("palette2.png", picture.quantize(4), bits=2)
    save("palette1.png", picture.quantize(2), bits=1)
    save("palette_transparent.png", palette, transparency=3)
    save("rgba.png", rgba)
    save("gray_alpha.png", gray_alpha)
    save("bilevel.png", gray.convert("1"))
    save("one.png", picture.resize((1, 1)))
    save("column.png", picture.resize((1, 61)))
    save("animated.png", picture, save_all=True, append_images=[picture.rotate(180)])
    for depth in (1, 2, 4, 8):
        (folder / f"gray{depth}.png").write_bytes(gray_png(depth, rng))
    for name, colour, channels in (("gray_alpha16", 4, 2), ("rgb16", 2, 3), ("rgba16", 6, 4)):
        (folder / f"{name}.png").write_bytes(wide_png(colour, channels, rng))
    noise = rng.integers(0, 256, (20, 192), dtype=np.uint8)
    extras = {
        "colour_key": png_chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)),
        "gamma": png_chunk(b"gAMA", struct.pack(">I", 100000)),
        "suggested_palette": png_chunk(b"PLTE", bytes(range(48))),
    }
    for name, extra in extras.items():
        (folder / f"{name}.png").write_bytes(png(64, 20, 8, 2, noise, extra))
    save("rgb.webp", picture)
    save("lossless.webp", picture, lossless=True)
    save("rgba.webp", rgba)
    save("rgba_lossless.webp", rgba, lossless=True)
    for name, image in (("rgb", picture), ("gray", gray), ("bilevel", gray.convert("1")), ("palette", palette),
                        ("rgba", rgba)):
        save(f"{name}.bmp", image)
    (folder / "run_length.bmp").write_bytes(rle_bmp(rng))
    (folder / "top_down.bmp").write_bytes(bmp(64, -20, 32, 0, rng.integers(0, 256, 5120, dtype=np.uint8).tobytes()))
    for compression in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        save(f"{compression}.tif", picture, compression=compression)
    for name, image in (("gray", gray), ("bilevel", gray.convert("1")), ("palette", palette), ("rgba", rgba),
                        ("gray_alpha", gray_alpha), ("cmyk", picture.convert("CMYK"))):
        save(f"{name}.tif", image)
    save("fax.tif", gray.convert("1"), compression="group4")
    for orientation in range(1, 9):
        save(f"turned{orientation}.tif", picture, tiffinfo={274: orientation})
    return sorted(path.name for path in folder.iterdir())


def exif(orientation):
    block = Image.Exif()
    block[274] = orientation
    return block
