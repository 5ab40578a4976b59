import torch

from model_core.evaluation.records import Record, digest, load_record, save_record

RECORD = Record(
    steps=[0, 1, 5],
    figures=torch.tensor([[0.4, 10.0], [0.3, 11.0], [0.1, 15.0]]),
    marks=[0, 5],
    images=torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4),
    ws=torch.randn(1, 2, 4),
    start_s=0.5,
    step_s=0.25,
    total_s=2.0,
)


def test_a_record_round_trips(tmp_path):
    path = tmp_path / "system" / "0000.safetensors"
    save_record(path, RECORD, "key")
    again = load_record(path, "key")
    for name in ("steps", "marks", "start_s", "step_s", "total_s"):
        assert getattr(again, name) == getattr(RECORD, name), name
    for name in ("figures", "images", "ws"):
        assert torch.equal(getattr(again, name), getattr(RECORD, name)), name
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_figures_and_images_are_found_by_step():
    assert RECORD.after(1).tolist() == RECORD.figures[1].tolist()
    assert torch.equal(RECORD.image(5), RECORD.images[1])
    assert torch.equal(RECORD.image(), RECORD.images[1])


def test_unusable_records_are_ignored(tmp_path):
    path = tmp_path / "0000.safetensors"
    assert load_record(path, "key") is None
    save_record(path, RECORD, "key")
    assert load_record(path, "other key") is None
    path.write_bytes(path.read_bytes()[:40])
    assert load_record(path, "key") is None


def test_the_key_depends_on_settings_and_face():
    face = torch.zeros(3, 4, 4, dtype=torch.uint8)
    key = digest({"steps": 5}, face)
    assert key == digest({"steps": 5}, face)
    assert key != digest({"steps": 6}, face)
    assert key != digest({"steps": 5}, face + 1)
