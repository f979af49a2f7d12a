import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reqscope.service.identity.private_file import PrivateFile, PrivateFileError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "users.json"


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_a_file_that_is_not_there_holds_nothing_and_is_not_made_by_looking(path: Path) -> None:
    assert PrivateFile(path).records() == {}
    assert not path.parent.exists()


def test_what_is_written_only_its_owner_can_read_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        with PrivateFile(path).changing() as records:
            records["a"] = {"x": 1}
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["users.json"]


def test_what_another_process_writes_is_read_at_once(path: Path) -> None:
    mine, other = PrivateFile(path), PrivateFile(path)
    for number in range(5):
        with other.changing() as records:
            records["a"] = {"x": number}
        assert mine.records() == {"a": {"x": number}}
    path.unlink()
    assert mine.records() == {}


def test_a_change_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    file = PrivateFile(path)
    with file.changing() as records:
        records["a"] = {}

    with pytest.raises(KeyError), file.changing() as records:
        del records["b"]

    assert file.records() == {"a": {}}


def test_changes_from_several_processes_at_once_are_all_kept(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from reqscope.service.identity.private_file import PrivateFile\n"
        "for number in range(20):\n"
        "    with PrivateFile(Path(sys.argv[1])).changing() as records: records[sys.argv[2] + str(number)] = {}\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "abc"]

    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(PrivateFile(path).records()) == 60


@pytest.mark.guarantees("F41")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused_with_what_to_do(path: Path, mode: int) -> None:
    write(path, "{}", mode)

    with pytest.raises(PrivateFileError, match=f"chmod 600 {path}"):
        PrivateFile(path).records()


@pytest.mark.guarantees("F41")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "null", "\x00"])
def test_a_file_of_something_else_is_refused_and_left_alone(path: Path, text: str) -> None:
    write(path, text)
    file = PrivateFile(path)

    with pytest.raises(PrivateFileError, match="is not a file that reqscope wrote"):
        file.records()
    with pytest.raises(PrivateFileError), file.changing():
        pass
    assert path.read_text() == text


@pytest.mark.guarantees("F41")
def test_a_link_is_not_followed_to_a_file_of_somebody_else(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    write(target, json.dumps({"a": {}}))
    path.parent.mkdir()
    path.symlink_to(target)

    with pytest.raises(PrivateFileError, match="cannot read"):
        PrivateFile(path).records()


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(PrivateFileError, match=r"cannot write .*/file/users\.json"),
        PrivateFile(tmp_path / "file" / "users.json").changing(),
    ):
        pass
