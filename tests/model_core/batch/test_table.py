import pyarrow.parquet as pq
import pytest

from model_core.batch.table import SKIPPED, TABLE, Table, printable, schema
from model_core.errors import InvalidInputError

ABOUT = {"fingerprint": "f" * 64}
COLUMNS = schema((2, 3), ABOUT)


def face(file, index=0, **columns):
    return {"file": file, "face": index, "faces": 1, "code": [1.0, 2, 3, 4, 5, 6]} | columns


def test_rows_come_back_as_one_table(tmp_path):
    table = Table(tmp_path, COLUMNS, {})
    table.write([face("a.jpg", psnr=20.0), face("a.jpg", 1, same_person=True)])
    table.write([{"file": "b.jpg", "faces": 0, "reason": "no face"}])
    read = pq.read_table(tmp_path / TABLE)
    assert read["file"].to_pylist() == ["a.jpg", "a.jpg", "b.jpg"]
    assert read["code"].to_pylist() == [[1, 2, 3, 4, 5, 6]] * 2 + [None]
    assert read["same_person"].to_pylist() == [None, True, None]
    assert b"ffff" in read.schema.metadata[b"wplus"]


def test_another_run_continues_the_table(tmp_path):
    Table(tmp_path, COLUMNS, {}).write([face("a.jpg"), face("b.jpg")])
    table = Table(tmp_path, COLUMNS, {})
    assert table.finished() == {"a.jpg", "b.jpg"}
    table.write([face("c.jpg")])
    assert [file.name for file in sorted((tmp_path / TABLE).iterdir())] == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    assert table.finished() == {"a.jpg", "b.jpg", "c.jpg"}


def test_a_part_that_was_being_written_is_not_read(tmp_path):
    table = Table(tmp_path, COLUMNS, {})
    table.write([face("a.jpg")])
    whole = (tmp_path / TABLE / "part-00000.parquet").read_bytes()
    (tmp_path / TABLE / ".part-00001.parquet.x1.partial").write_bytes(whole[: len(whole) // 2])
    assert Table(tmp_path, COLUMNS, {}).finished() == {"a.jpg"}


def test_a_table_of_other_settings_is_refused(tmp_path):
    Table(tmp_path, COLUMNS, {"faces": "all"})
    with pytest.raises(InvalidInputError, match="started with other settings"):
        Table(tmp_path, COLUMNS, {"faces": "largest"})


def test_photos_without_a_face_are_listed_with_the_reason(tmp_path):
    table = Table(tmp_path, COLUMNS, {})
    table.write([face("a.jpg"), {"file": "b\tc.jpg", "faces": 0, "reason": "no face\nwas found"}])
    assert table.list_skipped() == 1
    assert (tmp_path / SKIPPED).read_text() == "b\\tc.jpg\tno face was found\n"


@pytest.mark.parametrize(
    ("text", "line"), [("a\tb", "a\\tb"), ("a\nb", "a b"), ("caf\udce9.jpg", "caf\\xe9.jpg")]
)
def test_text_stays_on_its_line(text, line):
    assert printable(text) == line
