import pyarrow.parquet as pq
import pytest

from model_core.batch.shared_table import SharedTable, SupersededError, write_part
from model_core.batch.storage import Folder
from model_core.batch.table import TABLE, Table, schema
from model_core.errors import InvalidInputError
from model_core.skipped import SKIPPED

COLUMNS = schema((2, 3), {"fingerprint": "f" * 64})
SETTINGS = {"faces": "all"}


@pytest.fixture(params=["path", "uri"])
def folder(request, tmp_path):
    """OUT as a path, and as an address of a file system that knows neither locks nor renaming."""
    out = tmp_path / "out"
    return Folder.open(str(out) if request.param == "path" else out.as_uri())


def face(file):
    return {"file": file, "face": 0, "faces": 1, "code": [1.0, 2, 3, 4, 5, 6]}


def test_parts_of_any_order_are_one_table(folder, tmp_path):
    with SharedTable(folder, SETTINGS) as table:
        assert table.finished() == set()
        assert table.free_numbers(3) == [0, 1, 2]
        write_part(folder, table.run, 2, [face("c.jpg")], COLUMNS)
        write_part(folder, table.run, 0, [face("a.jpg")], COLUMNS)
        assert table.finished() == {"a.jpg", "c.jpg"}
        assert table.free_numbers(3) == [1, 3, 4]
    assert pq.read_table(tmp_path / "out" / TABLE)["file"].to_pylist() == ["a.jpg", "c.jpg"]


def test_a_part_written_twice_is_there_once(folder):
    with SharedTable(folder, SETTINGS) as table:
        for _ in range(2):  # the actor was lost after it wrote, before it said so
            write_part(folder, table.run, 0, [face("a.jpg")], COLUMNS)
        assert table.finished() == {"a.jpg"}
        assert folder.names(TABLE) == ["part-00000.parquet"]


def test_it_continues_what_one_machine_began_and_the_other_way_round(folder, tmp_path):
    with Table(tmp_path / "out", COLUMNS, SETTINGS) as table:
        table.write([face("a.jpg")])
    with SharedTable(folder, SETTINGS) as table:
        assert table.finished() == {"a.jpg"}
        write_part(folder, table.run, 1, [face("b.jpg")], COLUMNS)
    with Table(tmp_path / "out", COLUMNS, SETTINGS) as table:
        assert table.finished() == {"a.jpg", "b.jpg"}
        table.write([face("c.jpg")])
    assert folder.names(TABLE)[-1] == "part-00002.parquet"


def test_numbers_of_more_digits_are_parts_and_other_names_are_not(folder, tmp_path):
    with SharedTable(folder, SETTINGS) as table:
        for number in (99_999, 100_000):
            write_part(folder, table.run, number, [face(f"{number}.jpg")], COLUMNS)
        (tmp_path / "out" / TABLE / "part-00000-copy.parquet").write_bytes(b"no table")
        assert table.finished() == {"99999.jpg", "100000.jpg"}
        assert table.free_numbers(1) == [0]
    with Table(tmp_path / "out", COLUMNS, SETTINGS) as table:
        assert table.finished() == {"99999.jpg", "100000.jpg"}
        table.write([face("c.jpg")])
    assert (tmp_path / "out" / TABLE / "part-100001.parquet").exists()


def test_a_worker_of_an_earlier_run_writes_nothing(folder):
    with SharedTable(folder, SETTINGS) as first:
        pass
    with SharedTable(folder, SETTINGS) as table:
        with pytest.raises(SupersededError):
            write_part(folder, first.run, 0, [face("a.jpg")], COLUMNS)
        assert table.finished() == set()


def test_a_table_of_other_settings_is_refused(folder):
    with SharedTable(folder, SETTINGS):
        pass
    with pytest.raises(InvalidInputError, match="started with other settings"):
        SharedTable(folder, {"faces": "largest"})
    with SharedTable(folder, SETTINGS):  # the refusal left it unlocked
        pass


def test_one_machine_does_not_write_meanwhile(tmp_path):
    with (
        SharedTable(Folder.open(str(tmp_path)), SETTINGS),
        pytest.raises(InvalidInputError, match="being written by another process"),
    ):
        Table(tmp_path, COLUMNS, SETTINGS)


def test_photos_without_a_face_are_listed_with_the_reason(folder, tmp_path):
    with SharedTable(folder, SETTINGS) as table:
        rows = [face("a.jpg"), {"file": "b.jpg", "faces": 0, "reason": "no face\nwas found"}]
        write_part(folder, table.run, 0, rows, COLUMNS)
        assert table.list_skipped() == 1
    assert (tmp_path / "out" / SKIPPED).read_text() == "b.jpg\tno face was found\n"
