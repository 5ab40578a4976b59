import re

import numpy as np
import pytest
import torch
from PIL import Image

from model_core.errors import InvalidInputError
from model_core.evaluation.identity_threshold import find_people, find_threshold, main
from tests.model_core.judges import need_judge


def turned(*degrees):
    """Descriptors of length 2 at some angles."""
    angles = torch.tensor(degrees).deg2rad()
    return 2 * torch.stack([angles.cos(), angles.sin()], dim=1)


def test_the_threshold_is_what_a_share_of_strangers_reaches():
    random = np.random.default_rng(0)
    count = 200
    descriptors = torch.from_numpy(random.normal(size=(count, 16))).float()
    descriptors = torch.cat([descriptors, descriptors + 0.2])
    persons = [f"p{i % count}" for i in range(2 * count)]
    thumbnails = torch.from_numpy(random.uniform(-1, 1, (2 * count, 12))).float()
    found = find_threshold(descriptors, thumbnails, persons, 0.05)
    unit = descriptors / descriptors.norm(dim=1, keepdim=True)
    alike = (unit @ unit.T).numpy()
    pairs = [(i, j) for i in range(2 * count) for j in range(i)]
    strangers = np.array([alike[i, j] for i, j in pairs if persons[i] != persons[j]])
    assert (strangers >= found.similarity).mean() == pytest.approx(0.05, abs=1e-4)
    assert (found.persons, found.photos) == (count, 2 * count)
    assert (found.same_pairs, found.stranger_pairs) == (count, len(strangers))
    assert found.stranger_mean == pytest.approx(strangers.mean(), abs=1e-5)
    assert found.accepted == found.area == pytest.approx(1, abs=0.01)


def test_pairs_of_one_person_and_their_share():
    persons = ["ann", "ann", "ann", "bob"]
    descriptors = turned(0, 10, 70, 60)
    thumbnails = torch.arange(4).float()[:, None]
    found = find_threshold(descriptors, thumbnails, persons, 0.5)
    # Strangers: 60, 50 and 10 degrees; one person: 10, 70 and 60.
    assert found.similarity == pytest.approx(np.cos(np.deg2rad(50)), abs=1e-6)
    assert found.accepted == pytest.approx(1 / 3)
    cosines = np.cos(np.deg2rad([10, 70, 60]))
    assert found.same_mean == pytest.approx(cosines.mean(), abs=1e-6)


def test_copies_of_one_picture_are_no_pair():
    thumbnails = torch.tensor([[0.0, 0.0], [0.1, 0.1], [0.9, 0.9], [0.5, 0.5]])
    found = find_threshold(turned(0, 1, 20, 60), thumbnails, ["ann", "ann", "ann", "bob"])
    assert (found.same_pairs, found.copies) == (2, 1)


@pytest.mark.parametrize("persons", [["ann", "bob"], ["ann", "ann"]])
def test_both_kinds_of_pairs_are_needed(persons):
    with pytest.raises(
        InvalidInputError, match="must show several persons, and some of them twice"
    ):
        find_threshold(turned(0, 10), torch.tensor([[0.0], [1.0]]), persons)


@pytest.fixture
def folder(tmp_path):
    """Two photos of each of two persons, in folders of their own."""
    random = np.random.default_rng(0)
    for person in ("ann", "bob"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        for i in range(2):
            pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
            photo = Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC)
            photo.save(tmp_path / "photos" / person / f"{i}.png")
    return tmp_path / "photos"


def test_a_person_is_a_folder_unless_a_table_says_otherwise(folder, tmp_path):
    named = {str(file.relative_to(folder)): who for file, who in find_people([folder], None)}
    assert named == {"ann/0.png": "ann", "ann/1.png": "ann", "bob/0.png": "bob", "bob/1.png": "bob"}
    table = tmp_path / "persons.tsv"
    table.write_text("file\tperson\nphotos/ann/0.png\tx\nphotos/bob/1.png\tx\n")
    assert [who for _, who in find_people([folder], table)] == ["x", "x"]
    (folder / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="photos must be folders of images"):
        list(find_people([folder / "empty"], None))


def test_the_command_prints_the_threshold(folder, cache, capsys):
    need_judge(cache)
    (folder / "ann" / "broken.png").write_bytes(b"no image")
    assert main([str(folder)], cache) == 0
    said = capsys.readouterr()
    assert "skipped: broken.png" in said.err
    first, second, *_ = said.out.splitlines()
    assert re.fullmatch(r"threshold -?[01]\.\d{3} at 0\.01 false accepts", first)
    assert second == "2 persons, 4 photos"


def test_without_the_weights_it_says_how_to_get_them(folder, tmp_path, capsys):
    assert main([str(folder)], tmp_path / "cache") == 1
    assert "python -m model_core.checkpoints pull faceres" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["0", "1", "x"])
def test_a_share_is_between_0_and_1(tmp_path, share, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--false-accepts", share], tmp_path)
    assert f"must be a number between 0 and 1, got {share}" in capsys.readouterr().err
