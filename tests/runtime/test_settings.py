"""Settings come from the environment or from files of secrets; bad ones are named, not shown."""

from pathlib import Path

import pytest

from services.ingest.settings import IngestSettings
from services.runtime.settings import DatabaseSettings, KafkaSettings, load


def test_a_bad_value_ends_the_process_with_the_name_of_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUESTREAM_PARTITIONS", "none")
    monkeypatch.setenv("CUESTREAM_REPLICATION", "0")
    with pytest.raises(SystemExit) as ended:
        load(KafkaSettings)
    message = str(ended.value)
    assert "CUESTREAM_PARTITIONS: " in message
    assert "CUESTREAM_REPLICATION: " in message


def test_a_problem_of_several_settings_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUESTREAM_HOST", "0.0.0.0")
    with pytest.raises(SystemExit, match="set CUESTREAM_WRITE_KEYS to keys of your own") as ended:
        load(IngestSettings)
    assert "CUESTREAM_:" not in str(ended.value)


def test_the_value_of_a_bad_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUESTREAM_DATABASE_URL", "hunter2")
    monkeypatch.setenv("CUESTREAM_DATABASE_POOL", "hunter3")
    with pytest.raises(SystemExit) as ended:
        load(DatabaseSettings)
    assert "hunter" not in str(ended.value)


def test_a_file_of_the_secrets_folder_gives_a_setting_and_the_environment_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUESTREAM_WRITE_KEYS", raising=False)
    (tmp_path / "cuestream_write_keys").write_text("from-a-file,another")
    read = IngestSettings(_secrets_dir=tmp_path)
    assert read.accepted_write_keys == ("from-a-file", "another")
    monkeypatch.setenv("CUESTREAM_WRITE_KEYS", "from-the-environment")
    read = IngestSettings(_secrets_dir=tmp_path)
    assert read.accepted_write_keys == ("from-the-environment",)
