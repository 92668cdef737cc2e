import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from inspect_fer.errors import DataError
from inspect_fer.images import centre_crop, fit, read_image, ten_crops


def saved(picture, **options):
    file = io.BytesIO()
    picture.save(file, **({"format": "PNG"} | options))
    file.seek(0)
    return file


def png_header(width, height):
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_grey_and_colour_keep_their_values():
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert torch.equal(read_image(saved(Image.fromarray(values))), torch.tensor(values)[None])
    colour = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    assert torch.equal(read_image(saved(Image.fromarray(colour))), torch.tensor(colour).permute(2, 0, 1))


def test_channels_are_as_asked():
    assert read_image(saved(Image.new("L", (4, 4), 9)), channels=3)[:, 0, 0].tolist() == [9, 9, 9]
    assert read_image(saved(Image.new("RGB", (4, 4), (0, 255, 0))), channels=1)[0, 0, 0] == 150  # 0.587 of 255
    assert read_image(saved(Image.new("RGBA", (4, 4), (7, 8, 9, 255)))).shape == (3, 4, 4)
    with pytest.raises(DataError, match="1 or 3 channels, not 2"):
        read_image(saved(Image.new("L", (4, 4))), channels=2)


def test_sixteen_bits_keep_their_upper_eight():
    picture = Image.fromarray(np.full((4, 4), 0x8FFF, np.uint16))
    assert read_image(saved(picture), channels=1).unique().tolist() == [0x8F]


def test_a_picture_is_turned_upright():
    picture = Image.new("L", (8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    assert read_image(saved(picture, format="JPEG", exif=exif)).shape == (1, 8, 4)


def test_resizing_crops_to_a_square_about_the_centre():
    wide = Image.new("L", (90, 30), 0)
    wide.paste(200, (30, 0, 60, 30))
    pixels = read_image(saved(wide), size=10)
    assert pixels.shape == (1, 10, 10)
    assert pixels[:, :, 1:-1].unique().tolist() == [200]  # the outermost column is blended with its neighbours


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read as a picture"),
        (b"GIF89a nonsense", "cannot be read as a picture"),
        (png_header(10_000, 10_000), "has too many pixels; pictures may have 1 to 50,000,000"),
        (png_header(40_000, 40_000), "has too many pixels; pictures may have 1 to 50,000,000"),
        (png_header(8_000, 8_000), "has 8000 x 8000 pixels; pictures may have 1 to 50,000,000"),
        (png_header(0, 10), "the file"),
        (saved(Image.new("L", (64, 64), 5)).getvalue()[:60], "cannot be read as a picture"),
    ],
)
def test_hostile_and_damaged_pictures_get_one_clear_line(content, says):
    with pytest.raises(DataError, match=says):
        read_image(io.BytesIO(content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="face.png cannot be read"):
        read_image(tmp_path / "face.png")


def test_fit_changes_size_and_channels():
    pixels = torch.randint(0, 256, (3, 3, 20, 20), dtype=torch.uint8)
    assert fit(pixels, size=None, channels=None) is pixels
    assert fit(pixels, size=10, channels=1).shape == (3, 1, 10, 10)
    grey = fit(pixels[:, :1], size=None, channels=3)
    assert torch.equal(grey[:, 0], grey[:, 2])
    flat = torch.full((1, 1, 20, 20), 77, dtype=torch.uint8)
    assert fit(flat, size=33, channels=1).unique().tolist() == [77]


def test_ten_crops_are_torchvisions_in_another_order():
    from torchvision.transforms.v2 import functional

    image = torch.randint(0, 256, (2, 12, 12), dtype=torch.uint8)
    ours, theirs = ten_crops(image[None], 8)[0], functional.ten_crop(image, [8, 8])
    assert sorted(crop.flatten().tolist() for crop in ours) == sorted(crop.flatten().tolist() for crop in theirs)


def test_ten_crops_of_an_image_of_the_networks_size_come_from_a_larger_one():
    images = torch.rand(2, 1, 18, 18)
    larger = torch.nn.functional.interpolate(images, (20, 20), mode="bilinear")
    assert torch.equal(ten_crops(images, 18), ten_crops(larger, 18))


def test_the_centre_is_cut_from_the_middle():
    image = torch.arange(25).view(1, 1, 5, 5)
    assert centre_crop(image, 3).flatten().tolist() == [6, 7, 8, 11, 12, 13, 16, 17, 18]
