import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from model_core.alignment.ffhq import AlignedFace, DetectedFace, FaceAligner, ffhq_quad
from model_core.errors import InvalidInputError, NoFaceError
from tests.model_core.faces import LANDMARK_MODEL, pixels, portrait


@pytest.fixture(scope="module")
def aligner(cache):
    return FaceAligner(cache / "weights" / LANDMARK_MODEL)


def face_at(centre, eye_distance, degrees=0.0):
    """A face of known eyes and mouth: its quad is centred a little below the eyes."""
    landmarks = np.zeros((68, 2))
    landmarks[36:42] = [-eye_distance / 2, 0]
    landmarks[42:48] = [eye_distance / 2, 0]
    landmarks[48] = [-eye_distance / 3, eye_distance]
    landmarks[54] = [eye_distance / 3, eye_distance]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    landmarks = landmarks @ np.array([[cos, sin], [-sin, cos]]) + centre
    return DetectedFace((0.0, 0.0, 1.0, 1.0), landmarks, 1.0)


def reference(photo, quad, size):
    """FFHQ's recipe in plain floats, with no shrinking: transform at four times the size."""
    side = np.linalg.norm(quad[3] - quad[0])
    border = max(round(side * 0.1), 3)
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    left, top = np.maximum(low - border, 0)
    right, bottom = np.minimum(high + border, photo.shape[1::-1])
    img, quad = photo[top:bottom, left:right].astype(np.float32), quad - (left, top)
    low, high = low - (left, top), high - (left, top)
    pad = np.maximum(np.concatenate([border - low, high + border - img.shape[1::-1]]), 0)
    if pad.max() > border - 4:
        pad = np.maximum(pad, round(side * 0.3))
        img = np.pad(img, ((pad[1], pad[3]), (pad[0], pad[2]), (0, 0)), "reflect")
        height, width = img.shape[:2]
        y, x, _ = np.ogrid[:height, :width, :1]
        in_x = np.minimum(x / pad[0], (width - 1 - x) / pad[2])
        in_y = np.minimum(y / pad[1], (height - 1 - y) / pad[3])
        out = np.maximum(1 - in_x, 1 - in_y)
        blurred = scipy.ndimage.gaussian_filter(img, [side * 0.02, side * 0.02, 0])
        img += (blurred - img) * np.clip(out * 3 + 1, 0, 1)
        img += (np.median(img, axis=(0, 1)) - img) * np.clip(out, 0, 1)
        quad = quad + pad[:2]
    image = Image.fromarray(np.rint(img).clip(0, 255).astype(np.uint8))
    corners = tuple((quad + 0.5).ravel())
    large = (4 * size, 4 * size)
    image = image.transform(large, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))


@pytest.mark.parametrize(
    ("magnify", "window", "size"),
    [
        (1, (0, 0, 512, 512), 256),
        (4, (0, 0, 512, 512), 256),
        (1, (150, 40, 300, 190), 256),
        (4, (150, 40, 300, 190), 256),
        (4, (150, 40, 300, 190), 512),
    ],
    ids=["small", "shrunk", "padded", "shrunk and padded", "512 px"],
)
def test_crop_agrees_with_the_published_recipe(aligner, magnify, window, size):
    image = portrait().crop(window)
    wide, high = image.width * magnify, image.height * magnify
    photo = pixels(image.resize((wide, high), Image.Resampling.BICUBIC))
    crop = aligner.crop(photo, size=size)
    assert crop.image.shape == (size, size, 3)
    difference = np.abs(crop.image.astype(float) - reference(photo, crop.quad, size))
    assert difference.mean() < 0.6


def test_the_portrait_fits_ffhqs_frame(aligner):
    crop = aligner.crop(pixels(portrait()))
    to_crop = np.linalg.inv(crop.to_photo())
    points = np.column_stack([crop.face.landmarks, np.ones(68)]) @ to_crop.T
    left_eye, right_eye, mouth = points[36:42].mean(0), points[42:48].mean(0), points[48:60].mean(0)
    assert left_eye[:2] == pytest.approx([97, 121], abs=5)
    assert right_eye[:2] == pytest.approx([159, 121], abs=5)
    assert mouth[:2] == pytest.approx([128, 182], abs=8)


def test_an_aligned_crop_is_found_at_its_position(aligner):
    first = aligner.crop(pixels(portrait()), size=512)
    second = aligner.crop(first.image)
    corners = np.array([[0, 0], [0, 512], [512, 512], [512, 0]]) - 0.5
    assert np.abs(second.quad - corners).max() < 512 * 0.03


@pytest.mark.parametrize("size", [64, 256, 1024])
@pytest.mark.parametrize("degrees", [0, 25, -160])
def test_crop_points_map_back_to_the_photo_within_a_pixel(aligner, size, degrees):
    # A photo of its own coordinates: red counts columns, green rows, in halves.
    rows, columns = np.mgrid[:128, :128].astype(np.uint8)
    photo = np.stack([2 * columns, 2 * rows, rows], axis=-1)
    crop = aligner.align(photo, face_at([62, 66], 15, degrees), size)
    y, x = np.mgrid[4 : size - 4, 4 : size - 4]
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    mapped = (crop.to_photo() @ points)[:2]
    seen = crop.image[4:-4, 4:-4, :2].reshape(-1, 2).T / 2
    assert np.abs(mapped - seen).max() < 1
    # Pillow truncates what it interpolates, a quarter of a pixel here.
    assert -0.05 < (mapped - seen).mean() < 0.35


def test_quad_is_the_square_that_the_recipe_draws():
    # Eyes 40 px apart and 40 px above the mouth: half a side is max(2.0 * 40, 1.8 * 40) = 80 px,
    # the centre a tenth of the way down.
    quad = ffhq_quad(face_at([100, 100], 40).landmarks)
    assert quad == pytest.approx(np.array([[20, 24], [20, 184], [180, 184], [180, 24]]))


def test_turned_square_turns_with_the_face():
    quad = ffhq_quad(face_at([0, 0], 40, 90).landmarks)
    assert quad == pytest.approx(np.array([[76, -80], [-84, -80], [-84, 80], [76, 80]]))


def test_missing_surroundings_are_filled_with_blurred_reflection(aligner):
    photo = np.full((120, 120, 3), 60, np.uint8)
    photo[::2] = 200
    crop = aligner.align(photo, face_at([60, 45], 30), 256).image.astype(float)
    inner, outer = crop[100:156, 124:132], crop[100:156, :4]
    assert inner.std() > 30
    assert outer.std(axis=0).max() < 10
    assert outer.mean() == pytest.approx(130, abs=12)


def test_index_picks_the_face(aligner):
    pair = Image.new("RGB", (1024, 512))
    pair.paste(portrait(), (0, 0))
    pair.paste(portrait().resize((400, 400)), (560, 60))
    photo = pixels(pair)
    assert aligner.crop(photo, index=0).face.landmarks[30, 0] < 400
    assert aligner.crop(photo, index=1).face.landmarks[30, 0] > 560
    for index in (2, -1):
        with pytest.raises(
            InvalidInputError, match=f"face must be 0 to 1, as 2 faces were found, got {index}"
        ):
            aligner.crop(photo, index=index)


def test_photo_without_a_face_says_what_helps(aligner):
    with pytest.raises(NoFaceError, match="no face was found: use a photo in which"):
        aligner.crop(np.full((64, 64, 3), 128, np.uint8))


@pytest.mark.parametrize("size", [0, -5, 1025])
def test_size_out_of_range_is_named(aligner, size):
    with pytest.raises(InvalidInputError, match=f"size must be 1 to 1024, got {size}"):
        aligner.align(pixels(portrait()), face_at([100, 100], 40), size)


def test_a_face_outside_the_photo_is_refused(aligner):
    with pytest.raises(InvalidInputError, match="face must lie in the photo"):
        aligner.align(pixels(portrait()), face_at([2000, 100], 40))


def test_smallest_sizes_and_photos_work(aligner):
    crop = aligner.align(np.full((3, 2, 3), 7, np.uint8), face_at([1, 1], 2), 1)
    assert isinstance(crop, AlignedFace)
    assert crop.image.tolist() == [[[7, 7, 7]]]


def test_several_faces_are_chosen_by_rank(aligner):
    photo = np.zeros((600, 1100, 3), np.uint8)
    photo[:512, :512] = pixels(portrait())
    photo[100:484, 600:984] = pixels(portrait().resize((384, 384)))
    search = aligner.search(photo)
    large, small = search.faces
    assert large.width > small.width
    chosen = search.choose_several(None)
    assert list(chosen) == [0, 1]
    assert np.array_equal(chosen[1].landmarks, small.landmarks)
    assert list(search.choose_several((1,))) == [1]
    assert list(search.choose_several((1, 0))) == [0, 1]
    with pytest.raises(InvalidInputError, match="face must be 0 to 1, as 2 faces were found, got"):
        search.choose_several((0, 2))
    with pytest.raises(NoFaceError):
        aligner.search(np.zeros((100, 100, 3), np.uint8)).choose_several(None)
