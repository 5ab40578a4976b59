"""Log records: their two forms, and the ids that they carry."""

import contextvars
import json
import logging
import sys

import pytest

from service.observability import logs


def record(message="number %d", *args, exc_info=None):
    return logging.LogRecord("service.x", logging.WARNING, "x.py", 1, message, args, exc_info)


def in_context(function, **ids):
    def run():
        for name, value in ids.items():
            getattr(logs, name).set(value)
        return function()

    return contextvars.copy_context().run(run)


def test_json_logs_have_one_object_per_line_with_the_ids():
    line = in_context(
        lambda: logs.JsonFormatter().format(record("line\n%d", 7)), request_id="r1", job_id="j1"
    )
    assert "\n" not in line
    members = json.loads(line)
    assert members.pop("time").endswith("+00:00")
    assert members == {
        "level": "warning",
        "logger": "service.x",
        "message": "line\n7",
        "request_id": "r1",
        "job_id": "j1",
    }


def test_missing_ids_are_left_out():
    assert "request_id" not in json.loads(logs.JsonFormatter().format(record("x")))
    assert logs.TextFormatter().format(record("x")).endswith("WARNING  service.x: x")


def test_exceptions_are_kept_in_one_line():
    try:
        raise KeyError("gone")
    except KeyError:
        line = logs.JsonFormatter().format(record("x", exc_info=sys.exc_info()))
    assert "KeyError: 'gone'" in json.loads(line)["exception"]


def test_text_ends_in_the_ids():
    line = in_context(lambda: logs.TextFormatter().format(record("x")), request_id="r1")
    assert line.endswith("service.x: x request_id=r1")


@pytest.mark.parametrize("form", ["text", "json"])
def test_it_logs_from_its_level_upwards(form, capsys, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    logs.set_up("info", form)
    logging.getLogger("service.y").info("heard")
    logging.getLogger("service.y").debug("unheard")
    err = capsys.readouterr().err
    assert "heard" in err
    assert "unheard" not in err
    assert err.startswith("{") == (form == "json")
