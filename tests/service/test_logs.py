import logging
import os
from pathlib import Path
from typing import Any

import pytest

from reqscope.bus import JsonLogSink, Sink
from reqscope.service import Settings
from reqscope.service.access import AccessSink
from reqscope.service.console import ConsoleSink
from reqscope.service.logs import LogSettingsError, log_sinks


def kinds(path: Path, **settings: Any) -> list[type[Sink]]:
    sinks = log_sinks(Settings(log_file=path / "x.jsonl", **settings), "cafe")
    for sink in sinks:
        sink.close()
    return [type(sink) for sink in sinks]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"log": "none"}, []),
        ({"log": "stdout"}, [JsonLogSink]),
        ({"log": "stdout", "log_format": "pretty"}, [ConsoleSink]),
        ({"log": "both", "log_format": "pretty"}, [ConsoleSink, JsonLogSink]),
        ({"log": "none", "access_log": True}, [AccessSink]),
        ({"log": "file", "access_log": True}, [AccessSink, JsonLogSink]),
        ({"log": "stdout", "access_log": True}, [JsonLogSink]),
    ],
)
def test_requests_are_printed_once_whatever_was_asked_for(
    tmp_path: Path, settings: dict[str, Any], expected: list[type[Sink]]
) -> None:
    assert kinds(tmp_path, **settings) == expected


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"log_processors": ["nowhere.logs:add"]},
            "REQSCOPE_LOG_PROCESSORS=nowhere.logs:add: No module named 'nowhere'",
        ),
        ({"log_processors": ["os:nothing"]}, 'Attribute "nothing" not found in module "os"'),
        ({"log_processors": ["os"]}, "must be in format"),
        ({"log_processors": ["os:name"]}, "REQSCOPE_LOG_PROCESSORS=os:name: that is no processor"),
    ],
)
def test_a_processor_that_cannot_be_is_an_error_that_names_the_setting(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(LogSettingsError) as caught:
        log_sinks(Settings(log="stdout", **settings), "cafe")

    assert words in str(caught.value)
    assert log_sinks(Settings(log="none", **settings), "cafe") == []


def test_compression_without_its_package_is_an_error_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)

    with pytest.raises(LogSettingsError, match=r"REQSCOPE_LOG_COMPRESS=zstd: .*pip install 'reqscope\[zstd\]'"):
        log_sinks(Settings(log="file", log_file=tmp_path / "x", log_compress="zstd"), "cafe")


def test_without_a_standard_output_there_is_a_warning_and_the_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def closed(_: int) -> int:
        raise OSError(9, "Bad file descriptor")

    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", closed)
        assert kinds(tmp_path, log="both") == [JsonLogSink]

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
