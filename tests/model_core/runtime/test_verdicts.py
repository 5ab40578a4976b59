import json

import pytest
import torch

from model_core.runtime.verdicts import Verdict, Verdicts, source_digest

WEIGHTS = {"generator.safetensors": "12ab"}


@pytest.fixture
def verdicts(tmp_path):
    return Verdicts(tmp_path / "verdicts", "cpu", "float32", WEIGHTS)


def test_a_verdict_is_read_back_with_its_subject(verdicts, tmp_path):
    assert verdicts.read("first refiner") is None
    verdicts.write("first refiner", Verdict(0.2, 0.1))
    assert verdicts.read("first refiner") == Verdict(0.2, 0.1)
    assert verdicts.read("refiner") is None
    (file,) = (tmp_path / "verdicts").iterdir()
    stored = json.loads(file.read_text())
    assert stored["network"] == "first refiner"
    assert (stored["dtype"], stored["weights"]) == ("float32", WEIGHTS)
    assert stored["threads"] == torch.get_num_threads()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder, _patch: Verdicts(folder, "cpu", "bfloat16", WEIGHTS),
        lambda folder, _patch: Verdicts(
            folder, "cpu", "float32", {"generator.safetensors": "34cd"}
        ),
        lambda folder, patch: (
            patch.setattr("model_core.runtime.verdicts.processor_name", lambda _device: "another"),
            Verdicts(folder, "cpu", "float32", WEIGHTS),
        )[1],
        lambda folder, patch: (
            patch.setattr(torch, "get_num_threads", lambda: 96),
            Verdicts(folder, "cpu", "float32", WEIGHTS),
        )[1],
        lambda folder, patch: (
            patch.setattr("model_core.runtime.verdicts.source_digest", lambda: "another"),
            Verdicts(folder, "cpu", "float32", WEIGHTS),
        )[1],
    ],
)
def test_a_verdict_holds_only_for_its_conditions(verdicts, tmp_path, monkeypatch, change):
    verdicts.write("generator", Verdict(0.2, 0.1))
    other = change(tmp_path / "verdicts", monkeypatch)
    assert other.read("generator") is None


def test_source_code_is_told_apart_by_content_and_name(tmp_path):
    def digest(changed, content):
        (tmp_path / changed).parent.mkdir(exist_ok=True)
        (tmp_path / changed).write_text(content)
        return source_digest(tmp_path)

    digests = [digest("a.py", "1"), digest("a.py", "2"), digest("b/c.py", "3")]
    (tmp_path / "a.py").rename(tmp_path / "d.py")
    (tmp_path / "broken.py").symlink_to(tmp_path / "nowhere")
    digests.append(source_digest(tmp_path))
    assert len(set(digests)) == 4
    (tmp_path / "broken.py").unlink()
    assert source_digest(tmp_path) == digests[-1]
    assert source_digest() != source_digest(tmp_path / "b")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fallback_s": null, "compiled_s": 1}', "\x00"])
def test_a_damaged_file_counts_as_missing(verdicts, tmp_path, text):
    verdicts.write("generator", Verdict(0.2, 0.1))
    (file,) = (tmp_path / "verdicts").iterdir()
    file.write_text(text)
    assert verdicts.read("generator") is None


def test_without_a_folder_nothing_is_kept():
    verdicts = Verdicts(None, "cpu", "float32", WEIGHTS)
    verdicts.write("generator", Verdict(0.2, 0.1))
    assert verdicts.read("generator") is None
