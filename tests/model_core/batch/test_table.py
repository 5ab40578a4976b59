import pyarrow.parquet as pq
import pytest

from model_core.batch.table import TABLE, Table, schema
from model_core.errors import InvalidInputError
from model_core.skipped import SKIPPED

ABOUT = {"fingerprint": "f" * 64}
COLUMNS = schema((2, 3), ABOUT)


def face(file, index=0, **columns):
    return {"file": file, "face": index, "faces": 1, "code": [1.0, 2, 3, 4, 5, 6]} | columns


def test_rows_come_back_as_one_table(tmp_path):
    with Table(tmp_path, COLUMNS, {}) as table:
        table.write([face("a.jpg", psnr=20.0), face("a.jpg", 1, same_person=True)])
        table.write([{"file": "b.jpg", "faces": 0, "reason": "no face"}])
    read = pq.read_table(tmp_path / TABLE)
    assert read["file"].to_pylist() == ["a.jpg", "a.jpg", "b.jpg"]
    assert read["code"].to_pylist() == [[1, 2, 3, 4, 5, 6]] * 2 + [None]
    assert read["same_person"].to_pylist() == [None, True, None]
    assert b"ffff" in read.schema.metadata[b"wplus"]


def names_of_parts(folder):
    return [file.name for file in sorted((folder / TABLE).glob("*.parquet"))]


def test_another_run_continues_the_table(tmp_path):
    with Table(tmp_path, COLUMNS, {}) as table:
        table.write([face("a.jpg"), face("b.jpg")])
    with Table(tmp_path, COLUMNS, {}) as table:
        assert table.finished() == {"a.jpg", "b.jpg"}
        table.write([face("c.jpg")])
        assert table.finished() == {"a.jpg", "b.jpg", "c.jpg"}
    assert names_of_parts(tmp_path) == ["part-00000.parquet", "part-00001.parquet"]


def test_a_part_is_never_replaced(tmp_path):
    with Table(tmp_path, COLUMNS, {}) as table:
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            table.write([face(name)])
    (tmp_path / TABLE / "part-00000.parquet").unlink()  # to compute it again
    with Table(tmp_path, COLUMNS, {}) as table:
        assert table.finished() == {"b.jpg", "c.jpg"}
        table.write([face("a.jpg")])
        assert table.finished() == {"a.jpg", "b.jpg", "c.jpg"}
    assert names_of_parts(tmp_path)[-1] == "part-00003.parquet"


def test_only_one_process_writes(tmp_path):
    with (
        Table(tmp_path, COLUMNS, {}),
        pytest.raises(InvalidInputError, match="being written by another process"),
    ):
        Table(tmp_path, COLUMNS, {})


def test_a_part_that_was_being_written_is_not_read(tmp_path):
    with Table(tmp_path, COLUMNS, {}) as table:
        table.write([face("a.jpg")])
    whole = (tmp_path / TABLE / "part-00000.parquet").read_bytes()
    (tmp_path / TABLE / ".part-00001.parquet.x1.partial").write_bytes(whole[: len(whole) // 2])
    with Table(tmp_path, COLUMNS, {}) as table:
        assert table.finished() == {"a.jpg"}


def test_a_table_of_other_settings_is_refused(tmp_path):
    with Table(tmp_path, COLUMNS, {"faces": "all"}):
        pass
    with pytest.raises(InvalidInputError, match="started with other settings"):
        Table(tmp_path, COLUMNS, {"faces": "largest"})


def test_photos_without_a_face_are_listed_with_the_reason(tmp_path):
    rows = [face("a.jpg"), {"file": "b\\tc.jpg", "faces": 0, "reason": "no face\nwas found"}]
    with Table(tmp_path, COLUMNS, {}) as table:
        table.write(rows)
        assert table.list_skipped() == 1
    assert (tmp_path / SKIPPED).read_text() == "b\\tc.jpg\tno face was found\n"
