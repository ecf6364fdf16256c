"""Every format, depth and layout of cameras: from the reference set over the log to the model's input."""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from fmi_engine.classifier import Preprocessing, build_network
from inspection.errors import ImageError
from inspection.evidence.reproduced import reproduce_errors
from inspection.evidence.subject import open_subject
from inspection.findings import ReferenceImage
from inspection.inputs.images import AS_STORED, Reading, measured_bit_depth, read_image, reading
from inspection.models import registry as models
from inspection.models.registry import ModelSpec
from inspection.nights import night as nights
from inspection.workspace.folder import Workspace, open_workspace
from inspection.workspace.settings import ImageSettings
from inspection.workspace.store import Store
from tests.inspection.conftest import rewrite_settings
from tests.inspection.inputs.files import NOISE, encoded, saved
from tests.inspection.inputs.logs import HEADER, logged, read

TINY = "tests.inspection.tiny_network:tiny_network"
NAMES = ("good", "pit", "stain")
Pixels = NDArray[np.uint8]
Writer = Callable[[Pixels], bytes]  # of (height, width) grey or (height, width, 3) RGB


def deep(image: Pixels, bits: int = 12) -> NDArray[np.uint16]:
    """The values of a camera of so many bits; read again, these are the image's."""
    values: NDArray[np.float64] = np.rint(image.astype(np.float64) * (2**bits - 1) / 255)
    return values.astype(np.uint16)


def floats(image: Pixels, kind: str = "float32") -> NDArray[Any]:
    return (image / 255).astype(kind)


def by_opencv(suffix: str, image: NDArray[Any], *options: int) -> bytes:
    return encoded(suffix, np.ascontiguousarray(image[:, :, ::-1]) if image.ndim == 3 else image, *options)


def by_pillow(image: Pixels, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    file = BytesIO()
    kind = {"photometric": "rgb" if values.ndim == 3 else "minisblack"}
    tifffile.imwrite(file, values, **kind | options)
    return file.getvalue()


def planar(values: NDArray[Any], **options: Any) -> bytes:
    return tiff(np.moveaxis(values, 2, 0), photometric="rgb", planarconfig="separate", **options)


def pages(*images: NDArray[Any], derived: int = 0) -> bytes:
    """A TIFF whose first page is the first image; of the others it says that they are derived from it."""
    file, first = BytesIO(), images[0]
    with tifffile.TiffWriter(file) as writer:
        for page in images:
            kind = 0 if page is first else derived
            writer.write(page, photometric="rgb" if page.ndim == 3 else "minisblack", subfiletype=kind)
    return file.getvalue()


def plain(image: NDArray[Any], white: int) -> bytes:
    """P2 or P3: the values as text."""
    kind, (height, width) = "P3" if image.ndim == 3 else "P2", image.shape[:2]
    return f"{kind}\n{width} {height}\n{white}\n{' '.join(map(str, image.ravel()))}\n".encode()


def raw(image: NDArray[Any], white: int) -> bytes:
    """P5 or P6: the values as bytes, the higher first."""
    kind, (height, width) = "P6" if image.ndim == 3 else "P5", image.shape[:2]
    return (
        f"{kind} {width} {height} {white}\n".encode() + image.astype(">u2" if white > 255 else "u1").tobytes()
    )


def bitmap_without_alpha(image: Pixels) -> bytes:
    """A BMP of 32 bits whose masks name no alpha; the fourth byte is 0, as cameras leave it."""
    height, width = image.shape[:2]
    rows = np.zeros((height, width, 4), np.uint8)
    rows[:, :, :3] = image[::-1, :, ::-1] if image.ndim == 3 else image[::-1, :, None]
    data, start = rows.tobytes(), 14 + 40 + 12
    head = struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start)
    about = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 32, 3, len(data), 0, 0, 0, 0)
    return head + about + struct.pack("<III", 0xFF0000, 0xFF00, 0xFF) + data


def opaque(image: Pixels) -> Pixels:
    return np.full(image.shape[:2], 255, np.uint8)


BOTH: dict[str, Writer] = {
    "jpeg": lambda x: by_pillow(x, "JPEG", quality=95),
    "jpeg, progressive": lambda x: by_pillow(x, "JPEG", quality=90, progressive=True),
    "png": lambda x: by_opencv(".png", x),
    "png, 12 in 16": lambda x: by_opencv(".png", deep(x)),
    "bmp": lambda x: by_opencv(".bmp", x),
    "bmp of 32 bits": bitmap_without_alpha,
    "webp": lambda x: by_pillow(x, "WEBP", lossless=True),
    "tiff": tiff,
    "tiff, 12 in 16": lambda x: tiff(deep(x)),
    "tiff, big-endian": lambda x: tiff(deep(x), byteorder=">"),
    "tiff, tiles": lambda x: tiff(deep(x), tile=(16, 16)),
    "tiff, tiles of 8 bits": lambda x: tiff(x, tile=(32, 32)),
    "tiff, strips": lambda x: tiff(deep(x), rowsperstrip=7),
    "tiff, BigTIFF": lambda x: tiff(deep(x), bigtiff=True),
    "tiff, Deflate": lambda x: tiff(deep(x), compression="zlib"),
    "tiff, Deflate in tiles": lambda x: tiff(x, compression="zlib", tile=(16, 16)),
    "tiff, LZW": lambda x: by_pillow(x, "TIFF", compression="tiff_lzw"),
    "tiff, LZW, 12 in 16": lambda x: by_opencv(".tif", deep(x), cv2.IMWRITE_TIFF_COMPRESSION, 5),
    "tiff, PackBits": lambda x: by_pillow(x, "TIFF", compression="packbits"),
    "tiff, preview": lambda x: pages(x, 255 - x[::2, ::2]),
    "tiff, preview as large": lambda x: pages(x, 255 - x, derived=1),
    "tiff, float32": lambda x: tiff(floats(x)),
    "tiff, float64": lambda x: tiff(floats(x, "float64")),
    "tiff, float32, big-endian": lambda x: tiff(floats(x), byteorder=">"),
    "tiff, float32, Deflate": lambda x: tiff(floats(x), compression="zlib"),
    "tiff, float32, tiles": lambda x: tiff(floats(x), tile=(16, 16)),
    "tiff, small tiles": lambda x: tiff(x, tile=(16, 16)),
    "tiff, BigTIFF, float32": lambda x: tiff(floats(x), bigtiff=True),
    "netpbm": lambda x: raw(x, 255),
    "netpbm, text": lambda x: plain(x, 255),
    "netpbm, 12 bits": lambda x: raw(deep(x), 4095),
    "netpbm, 12 in 16": lambda x: raw(deep(x), 65535),
    "netpbm, text of 12 bits": lambda x: plain(deep(x), 4095),
}
GREY: dict[str, Writer] = {
    "tiff, 0 is white": lambda x: tiff(255 - x, photometric="miniswhite"),
    "tiff, 0 is white, 12 in 16": lambda x: tiff(4095 - deep(x), photometric="miniswhite"),
    "tiff, 0 is white, float32": lambda x: tiff(1 - floats(x), photometric="miniswhite"),
}
COLOUR: dict[str, Writer] = {
    "tiff, planes": planar,
    "tiff, planes, 12 in 16": lambda x: planar(deep(x)),
    "tiff, planes, float32": lambda x: planar(floats(x)),
    "tiff, planes, Deflate in tiles": lambda x: planar(deep(x), compression="zlib", tile=(16, 16)),
    "tiff, planes of 8 bits, Deflate": lambda x: planar(x, compression="zlib"),
    "png, alpha": lambda x: encoded(".png", np.dstack([x[:, :, ::-1], opaque(x)])),
    "tiff, float32, alpha": lambda x: tiff(np.dstack([floats(x), floats(opaque(x))]), extrasamples=[2]),
}
WRITERS = {1: BOTH | GREY, 3: BOTH | COLOUR}


@dataclass(frozen=True)
class Site:
    """A workspace whose model has reference images, and a log, of one image in each format."""

    workspace: Workspace
    pixels: NDArray[np.uint8]  # (n, 32, 32, channel), as they are meant
    log: Path


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def site(request: pytest.FixtureRequest, workspace: Workspace, tmp_path: Path) -> Site:
    """Labelled by the model itself, so that every reference is right and every logged error is made again."""
    channels = request.param
    torch.manual_seed(1)
    network = build_network(TINY, 3, channels)
    mean, std = (0.4,) * channels, (0.2,) * channels
    spec = ModelSpec(
        TINY,
        NAMES,
        ("good",),
        Preprocessing(32, 32, channels, mean, std),
    )
    torch.save(network.state_dict(), tmp_path / "theirs.pt")
    rewrite_settings(workspace.root, 'reference.minimum_per_class = 1\ncompute.device = "cpu"')
    mine = open_workspace(workspace.root)
    meant = _pictures(len(WRITERS[channels]), channels)
    paths = _written(tmp_path, WRITERS[channels], meant)
    references = [ReferenceImage(f"{path}", "good", "train") for path in paths]
    record = models.register(mine, spec, tmp_path / "theirs.pt", references)
    answers = models.load_model(mine.root, record, "cpu").predict(meant, 64).argmax(1)
    references = [replace(each, label=NAMES[i]) for each, i in zip(references, answers, strict=True)]
    store = Store(mine.store_path)
    store.create()
    store.add_model(record, references)
    rows = [f"{each.image_path},{each.label},{_another(each.label)}" for each in references]
    return Site(mine, meant, logged(tmp_path, "\n".join([HEADER, *rows])))


def _another(label: str) -> str:
    return NAMES[NAMES.index(label) - 1]


def _written(folder: Path, writers: dict[str, Writer], meant: NDArray[np.uint8]) -> list[Path]:
    """A file in each format; what JPEG loses is not meant any more, as another library reads it."""
    paths = []
    for number, (name, write) in enumerate(writers.items()):
        data = write(np.squeeze(meant[number]))
        paths.append(saved(folder / f"{number}.{name.split(',')[0]}", data))
        if name.startswith("jpeg"):
            meant[number] = np.asarray(Image.open(BytesIO(data))).reshape(meant[number].shape)
    return paths


def _pictures(count: int, channels: int) -> NDArray[np.uint8]:
    """Black and white are in each, as in what a camera sees; dark and bright ones, so that classes differ."""
    rng = np.random.default_rng(5)
    levels = rng.uniform(0.2, 1, (count, 1, 1, 1))
    drawn = (rng.integers(0, 256, (count, 32, 32, channels)) * levels).astype(np.uint8)
    drawn[:, 0, 0], drawn[:, 0, 1] = 0, 255
    return drawn


def test_every_format_reaches_the_models_input_as_it_is_meant(site: Site) -> None:
    here = nights.open_site(site.workspace.root)
    night = nights.begin(here, site.log, None, None, again=False)
    model = here.store.model()
    assert model.bit_depth == 12
    log = nights.read_log(here, night, None)
    assert log.set_aside == ()
    subject = open_subject(here.workspace, model, here.store.references(model.model_hash))
    by_path = dict(zip(subject.paths, subject.labelled.images, strict=True))
    found = reproduce_errors(subject, night.night_id, log)
    assert found.set_aside == ()
    for row, meant, taken in zip(log.rows, site.pixels, found.images[:], strict=True):
        np.testing.assert_array_equal(by_path[row.image_path], meant, row.image_path.name)
        np.testing.assert_array_equal(taken, meant, row.image_path.name)


# --- what cannot be read as it is meant is told, never guessed ---


def grey_with_alpha(image: Pixels) -> bytes:
    """OpenCV reduces it to 8 bits by the whole range of the format: 12 bits of 16 would be nearly black."""
    values = np.dstack([deep(image), np.full(image.shape, 65535, np.uint16)])
    return tiff(values, photometric="minisblack", extrasamples=[2], planarconfig="contig")


GREY_NOISE = NOISE[:, :, 0]
UNSUPPORTED = {
    "pages.tif": (pages(GREY_NOISE, GREY_NOISE), r"holds 2 pictures of one size; expected one.*write each"),
    "signed.tif": (tiff(GREY_NOISE.astype(np.int16)), "its values are int16"),
    "long.tif": (tiff(GREY_NOISE.astype(np.uint32)), "its values are uint32"),
    "alpha.tif": (grey_with_alpha(GREY_NOISE), "its values are uint8 .a TIFF of 2 x 16 bits"),
    "mosaic.tif": (
        tiff(GREY_NOISE, photometric="cfa"),
        "of a kind that is not read .*CFA.* with compression NONE",
    ),
    "zstd.tif": (by_pillow(GREY_NOISE, "TIFF", compression="zstd"), "with compression ZSTD"),
    "channels.tif": (tiff(np.dstack([GREY_NOISE] * 5)), "a TIFF of 5 x 8 bits"),
    "nan.tif": (tiff(np.full((4, 4), np.nan, np.float32)), "no finite numbers .NaN or infinity"),
    "infinite.tif": (tiff(np.full((4, 4), np.inf, np.float32)), "no finite numbers"),
    "raw.tif": (
        tiff(deep(GREY_NOISE).astype(np.float32)),
        "numbers from 0 to 4095; 0 is black and 1 is white.*float_white",
    ),
    "below.tif": (tiff(floats(GREY_NOISE) - 0.5), "numbers from -0.5 to 0.5; .*below 0, convert"),
    "planes.tif": (planar(deep(NOISE), compression="lzma")[:-9], "cut short or damaged"),
    "a.gif": (by_pillow(GREY_NOISE, "GIF"), "not an image"),
    "a.pgm": (b"P7\n" + raw(GREY_NOISE, 255)[3:], "not an image"),
    "a.jp2": (by_pillow(GREY_NOISE, "JPEG2000"), "not an image"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_supported_is_set_aside_with_what_it_is(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data, says = UNSUPPORTED[name]
    saved(tmp_path / name, data)
    log = read(logged(tmp_path, f"{HEADER}\n{name},scratch,good\n"))
    assert log.rows == ()
    assert [(each.reason, each.image_path) for each in log.set_aside] == [("unreadable_image", name)]
    assert re.search(says, log.set_aside[0].detail), log.set_aside[0].detail
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("channels", [1, 3])
def test_every_format_that_was_cut_or_lost_its_beginning_is_set_aside(
    tmp_path: Path, channels: int, capfd: pytest.CaptureFixture[str]
) -> None:
    image = NOISE if channels == 3 else GREY_NOISE
    rows = []
    for number, write in enumerate(WRITERS[channels].values()):
        data = write(image)
        saved(tmp_path / f"cut-{number}", data[: len(data) // 3])
        saved(tmp_path / f"begun-{number}", data[: 20 + number])
        saved(tmp_path / f"magic-{number}", b"\x00\x01" + data[2:])
        rows += [f"{kind}-{number},scratch,good" for kind in ("cut", "begun", "magic")]
    log = read(logged(tmp_path, "\n".join([HEADER, *rows])), images=of_bits(12))
    assert log.rows == ()
    assert {each.reason for each in log.set_aside} == {"unreadable_image"}
    assert all(re.search("cut short|not an image", each.detail) for each in log.set_aside)
    assert capfd.readouterr().err == ""


def of_bits(bits: int | None) -> Reading:
    return replace(AS_STORED, bit_depth=bits)


def test_which_value_of_floating_point_is_white_a_setting_says(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", tiff(np.array([[0, 1023.75, 2047.5, 4095]], np.float32)))
    how = reading(ImageSettings(float_white=4095), None)
    assert read_image(path, None, 1, how).tolist() == [[[0], [64], [128], [255]]]  # 63.75, 127.5
    with pytest.raises(ImageError, match=r"a\.tif: its values are floating-point numbers from 0 to 4095"):
        measured_bit_depth([path], ImageSettings())


def test_half_precision_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", tiff(np.array([[0, 0.5, 1]], np.float16)))
    assert read_image(path, None, 1).tolist() == [[[0], [128], [255]]]


def test_floating_point_that_looks_nearly_black_is_told_when_a_model_is_registered(tmp_path: Path) -> None:
    told: list[str] = []
    for number, brightest in enumerate((0.01, 4095 / 65535)):
        saved(tmp_path / f"{number}.tif", tiff(np.array([[0, brightest]], np.float32)))
    measured_bit_depth(sorted(tmp_path.iterdir()), ImageSettings(), told.append)
    assert len(told) == 1
    assert "of 2 images of floating-point numbers is 0.0624857, and 1 is white: they look nearly" in told[0]
    saved(tmp_path / "bright.tif", tiff(np.array([[0, 0.2]], np.float32)))
    measured_bit_depth(sorted(tmp_path.iterdir()), ImageSettings(), told.append)
    assert len(told) == 1


def test_a_12_bit_image_of_a_line_that_was_registered_with_8_bits_is_not_read_as_nearly_black(
    tmp_path: Path,
) -> None:
    eight = saved(tmp_path / "eight.png", by_opencv(".png", GREY_NOISE))
    saved(tmp_path / "deep.tif", tiff(deep(GREY_NOISE)))
    measured = measured_bit_depth([eight], ImageSettings())
    log = logged(tmp_path, f"{HEADER}\ndeep.tif,scratch,good\n")
    found = read(log, images=reading(ImageSettings(), measured))
    assert [each.reason for each in found.set_aside] == ["unreadable_image"]
    assert "none of the images that the model was registered with has 16 bits" in found.set_aside[0].detail
    assert len(read(log, images=reading(ImageSettings(bit_depth=12), measured)).rows) == 1
    for spread in (257, 256):  # 8 bits in 16, as any brightness shows
        path = saved(tmp_path / "spread.tif", tiff(GREY_NOISE.astype(np.uint16) // 9 * spread))
        image = read_image(path, None, 1, reading(ImageSettings(), measured))[:, :, 0]
        assert np.abs(image.astype(int) - GREY_NOISE // 9).max() <= (spread == 256)
