"""Sessions of onnxruntime: whoever opens one tells nobody."""

import pytest

from vidswap.errors import ModelError
from vidswap.models import sessions
from vidswap.swap.light import open_light


def test_the_light_model_is_opened_as_silently_as_those_of_faces(monkeypatch):
    heard = []
    monkeypatch.setattr("onnxruntime.disable_telemetry_events", lambda: heard.append("silent"))
    open_light()
    assert heard == ["silent"]


def test_a_file_that_is_no_model_is_a_model_error(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with (
        pytest.raises(ModelError, match="it cannot be used: ") as caught,
        sessions.translated("it cannot be used", "x"),
    ):
        sessions.open_session(tmp_path / "a.onnx", sessions.session_options())
    assert caught.value.hint == "x"
