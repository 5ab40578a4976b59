import numpy as np
import pytest
from PIL import Image

from model_core.errors import ImageRejectedError, InvalidInputError
from model_core.training.data.photos import Photos


@pytest.fixture
def folder(tmp_path):
    """Forty photos, two of each person; the last two have none."""
    photos = tmp_path / "aligned"
    photos.mkdir()
    lines = ["file\tperson"]
    for i in range(40):
        Image.new("RGB", (512, 512), (i, 0, 0)).save(photos / f"{i:02}.png")
        lines.append(f"aligned/{i:02}.png\t{f'p{i // 2}' if i < 38 else ''}")
    (tmp_path / "persons.tsv").write_text("\n".join(lines))
    return photos


def names(photos):
    return {file.stem for file in photos.files}


def test_persons_land_on_one_side_and_photos_without_one_are_for_training(folder):
    training, held_out = Photos.split([folder], folder.parent / "persons.tsv")
    assert len(training) + len(held_out) == 40
    assert 2 <= len(held_out) <= 16
    for i in range(0, 38, 2):
        assert (f"{i:02}" in names(training)) == (f"{i + 1:02}" in names(training))
    assert {"38", "39"} <= names(training)


def test_the_split_and_its_order_are_the_same_each_time(folder):
    first, second = (Photos.split([folder])[1].files for _ in range(2))
    assert first == second
    assert first


def test_photos_are_read_as_rgb_at_256_px(folder):
    photos = Photos(sorted(folder.iterdir()))
    img = photos.read([3, 5])
    assert img.shape == (2, 3, 256, 256)
    assert img[:, 0].float().mean(dim=(1, 2)).tolist() == [3, 5]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="folders of images"):
        Photos.split([tmp_path])


def test_a_table_without_its_columns_is_refused(folder):
    table = folder.parent / "other.tsv"
    table.write_text("name\tage\na\t3\n")
    with pytest.raises(InvalidInputError, match=r"file and person, got \['name', 'age'\]"):
        Photos.split([folder], table)


def test_a_table_that_cannot_be_read_is_refused(folder):
    with pytest.raises(InvalidInputError, match="persons must be a readable TSV"):
        Photos.split([folder], folder / "missing.tsv")


def test_photos_without_a_held_out_one_are_refused(folder):
    table = folder.parent / "nobody.tsv"
    table.write_text("file\tperson\n")
    with pytest.raises(InvalidInputError, match="got 40 photos, none held out"):
        Photos.split_each([folder], table)


def test_a_file_that_is_not_an_image_is_refused(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ImageRejectedError, match=r"text\.jpg: image must be"):
        Photos([tmp_path / "text.jpg"]).read([0])


def test_a_photo_that_is_not_square_is_not_squashed(tmp_path):
    Image.new("RGB", (300, 200)).save(tmp_path / "wide.png")
    with pytest.raises(ImageRejectedError, match=r"wide.png.*square, got 300x200.*alignment"):
        Photos([tmp_path / "wide.png"]).read([0])


def test_unreadable_photos_are_skipped(folder):
    files = sorted(folder.iterdir())
    files[1].write_bytes(files[1].read_bytes()[:200])
    Image.new("RGB", (300, 200)).save(files[2])
    left_out = []
    img = Photos(files).read_first(3, left_out.append)
    assert img[:, 0, 0, 0].tolist() == [0, 3, 4]
    assert [line.split(":")[1].strip() for line in left_out] == ["01.png", "02.png"]
    assert len(Photos(files[1:3]).read_first(3)) == 0


def test_grey_photos_become_rgb(tmp_path):
    Image.fromarray(np.full((256, 256), 90, np.uint8)).save(tmp_path / "grey.jpg")
    assert Photos([tmp_path / "grey.jpg"]).read([0]).shape == (1, 3, 256, 256)
