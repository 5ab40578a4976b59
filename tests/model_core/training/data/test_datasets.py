import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from model_core.errors import InvalidInputError
from model_core.training.data.datasets import read_dataset
from model_core.training.data.photos import Photos

CACD = [f"{20 + year}_{name}_{year:04}" for name in "ABCDEFGHIJ" for year in (1, 2, 3)]
CACD[0] = "53_Zoë_de_la_Ray_0001"
# As CelebA-HQ's authors number them: photo, CelebA's photo, its person.
CELEBA_HQ = [(i, 119_613 - 7 * i, i // 3) for i in range(30)]
HEADER = "idx         orig_idx    orig_file   \n"


def draw(folder, names):
    folder.mkdir(parents=True)
    for i, name in enumerate(names):
        Image.new("RGB", (16, 16), (i, 0, 0)).save(folder / name)


def persons(dataset):
    return {file.stem: person for file, person in dataset.persons.items()}


def sides(folder):
    """On which side each photo fell."""
    training, held_out = Photos.split([folder])
    return {f.stem: False for f in training.files} | {f.stem: True for f in held_out.files}


@pytest.fixture
def cacd(tmp_path):
    """CACD as its authors ship it: thirty photos, three of each person, and the table."""
    draw(tmp_path / "cacd" / "CACD2000", [f"{name}.jpg" for name in CACD])
    names = np.array([[f"{name}.jpg"] for name in CACD], object)
    identity = np.array([[i // 3 + 1] for i in range(len(CACD))], np.uint16)
    table = {"age": identity, "identity": identity, "name": names}
    savemat(tmp_path / "cacd" / "celebrity2000_meta.mat", {"celebrityImageData": table})
    return tmp_path / "cacd"


@pytest.fixture
def celeba_hq(tmp_path):
    """CelebA-HQ as CelebAMask-HQ ships it: thirty photos, three of each person, and the tables."""
    root = tmp_path / "CelebAMask-HQ"
    draw(root / "CelebA-HQ-img", [f"{i}.jpg" for i, _, _ in CELEBA_HQ])
    rows = [f"{i:<12}{number:<12}{number + 1:06}.jpg\n" for i, number, _ in CELEBA_HQ]
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text(HEADER + "".join(rows))
    rows = [f"{number + 1:06}.jpg {person}\n" for _, number, person in CELEBA_HQ]
    (root / "identity_CelebA.txt").write_text("".join(rows))
    return root


@pytest.mark.parametrize("inner", ["", "CACD2000"])
def test_cacd_is_recognised_by_its_table(cacd, inner):
    dataset = read_dataset(cacd / inner)
    assert dataset.name == "CACD"
    assert persons(dataset) == {name: f"CACD {i // 3 + 1}" for i, name in enumerate(CACD)}


def test_cacd_is_recognised_by_file_names_without_its_table(cacd):
    (cacd / "celebrity2000_meta.mat").unlink()
    dataset = read_dataset(cacd)
    assert dataset.name == "CACD"
    assert persons(dataset)[CACD[0]] == "Zoë_de_la_Ray"
    assert persons(dataset)["21_B_0001"] == persons(dataset)["22_B_0002"] == "B"


def test_photos_that_cacds_table_lacks_are_trained_on(cacd):
    draw(cacd / "CACD2000" / "more", [])
    for i in range(40):
        Image.new("RGB", (16, 16)).save(cacd / "CACD2000" / f"30_K{i}_0001.jpg")
    split = sides(cacd)
    assert not any(split[f"30_K{i}_0001"] for i in range(40))


@pytest.mark.parametrize("inner", ["", "CelebA-HQ-img"])
@pytest.mark.parametrize("table", ["CelebA-HQ-to-CelebA-mapping.txt", "image_list.txt"])
def test_celeba_hq_is_recognised_by_its_tables(celeba_hq, inner, table):
    (celeba_hq / "CelebA-HQ-to-CelebA-mapping.txt").rename(celeba_hq / table)
    dataset = read_dataset(celeba_hq / inner)
    assert dataset.name == "CelebA-HQ"
    assert persons(dataset) == {str(i): f"CelebA {person}" for i, _, person in CELEBA_HQ}


def test_celebas_annotation_folder_is_searched(celeba_hq):
    (celeba_hq / "Anno").mkdir()
    (celeba_hq / "identity_CelebA.txt").rename(celeba_hq / "Anno" / "identity_CelebA.txt")
    assert read_dataset(celeba_hq).name == "CelebA-HQ"


@pytest.mark.parametrize("dataset", ["cacd", "celeba_hq"])
def test_persons_land_on_one_side(request, dataset):
    split = sides(request.getfixturevalue(dataset))
    names = CACD if dataset == "cacd" else [str(i) for i in range(30)]
    by_person = [{split[name] for name in names[i : i + 3]} for i in range(0, 30, 3)]
    assert all(len(side) == 1 for side in by_person)
    assert {True} in by_person
    assert {False} in by_person


def test_aligned_copies_are_recognised_by_their_tables(celeba_hq, tmp_path):
    draw(tmp_path / "aligned", [f"{i:05}.png" for i, _, _ in CELEBA_HQ])
    for table in celeba_hq.glob("*.txt"):
        table.rename(tmp_path / "aligned" / table.name)
    assert read_dataset(tmp_path / "aligned").name == "CelebA-HQ"


def test_numbered_photos_without_both_tables_are_plain_photos(celeba_hq):
    (celeba_hq / "identity_CelebA.txt").unlink()
    dataset = read_dataset(celeba_hq)
    assert (dataset.name, len(dataset.files), dataset.persons) == ("photos", 30, {})


def test_numbers_from_one_on_are_refused(celeba_hq):
    (celeba_hq / "CelebA-HQ-img" / "0.jpg").rename(celeba_hq / "CelebA-HQ-img" / "30000.jpg")
    with pytest.raises(InvalidInputError, match=r"from 0 to 29999.*got 30000\.jpg"):
        read_dataset(celeba_hq)


@pytest.mark.parametrize("text", ["", "idx file\n0 000001.jpg\n"])
def test_a_mapping_of_other_columns_is_refused(celeba_hq, text):
    (celeba_hq / "CelebA-HQ-to-CelebA-mapping.txt").write_text(text)
    with pytest.raises(InvalidInputError, match="must have the columns idx, orig_idx"):
        read_dataset(celeba_hq)


@pytest.mark.parametrize("damage", ["text", "cut", "other"])
def test_a_table_that_is_not_cacds_is_refused(cacd, damage):
    table = cacd / "celebrity2000_meta.mat"
    if damage == "other":
        savemat(table, {"celebrityData": {"name": "A"}})
    else:
        table.write_bytes(b"no table" if damage == "text" else table.read_bytes()[:300])
    with pytest.raises(InvalidInputError, match="must be CACD's table of images and persons"):
        read_dataset(cacd)


def test_a_table_of_persons_overrides_the_dataset(cacd, tmp_path):
    rows = "".join(f"cacd/CACD2000/{name}.jpg\t\n" for name in CACD[:15])
    (tmp_path / "persons.tsv").write_text(f"file\tperson\n{rows}")
    before = sides(cacd)
    _, held_out = Photos.split([cacd], tmp_path / "persons.tsv")
    assert {f.stem for f in held_out.files} == {name for name in CACD[15:] if before[name]}


def test_each_folder_is_reported(cacd, celeba_hq):
    lines = []
    Photos.split_each([cacd, celeba_hq], report=lines.append)
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["CACD", "CelebA-HQ"]
