"""Files as an attacker would make them: small on the disk, huge in what they promise."""

import struct
import zipfile
import zlib

import numpy as np

GIB = 1 << 30


def npy(shape, body=b"", descr="'<f8'", header=None, version=1):
    """The bytes of an .npy file whose header says whatever it is told to."""
    header = header or f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2 if version == 1 else 4, "little") + header + body


def npz(path, compression=zipfile.ZIP_STORED, **members):
    """An .npz file of such bytes, by array."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def bomb(path, name, start, size, fill=b"\0"):
    """A zip of one entry, a thousandth of `size` on the disk: `start` and then nothing but `fill`."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(fill * (1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed += block * (size >> 24) + packer.flush()
    size = len(start) + (size >> 24 << 24)
    # Sizes beyond 4 GiB stand in the zip64 field of the central directory.
    sizes = struct.pack("<HHQQ", 1, 16, size, len(packed))
    entry = struct.pack("<HHHHHLLLHH", 45, 0, 8, 0, 33, 0, 2**32 - 1, 2**32 - 1, len(name), len(sizes))
    local = b"PK\3\4" + entry + name.encode() + sizes
    central = b"PK\1\2" + struct.pack("<H", 45) + entry + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name.encode() + sizes
    end = struct.pack("<HHHHLLH", 0, 0, 1, 1, len(central), len(local) + len(packed), 0)
    path.write_bytes(local + packed + central + b"PK\5\6" + end)
    return path


def sparse(path, size=10 * GIB, start=b""):
    """A file of zeros that takes no room on the disk."""
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(size)
    return path


def png(path, width, height):
    """A PNG of so many pixels that breaks off after its header."""
    header = b"IHDR" + struct.pack(">LLBBBBB", width, height, 8, 6, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(4 * width + 1))[:-6]
    chunks = (struct.pack(">L", len(c) - 4) + c + struct.pack(">L", zlib.crc32(c)) for c in (header, data))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def labels(n=50, classes=5):
    """The bytes of y.npy."""
    return npy(f"({n},)", (np.arange(n) % classes).astype("<i8").tobytes(), "'<i8'")
