"""Files: whole or not at all, on drives that cannot do all that a disk can; nothing is written over that is read."""

import errno
import os
import stat
from pathlib import Path

import pytest

from vidswap import files
from vidswap.errors import OutputError
from vidswap.files import as_output_error, check_place, check_room, publish, refuse_clash, whole, write_whole


def sync_that_fails(monkeypatch, number: int, folders: bool) -> None:
    """Let fsync of folders, or of files, fail."""
    sync = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode) == folders:
            raise OSError(number, os.strerror(number))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO, errno.EACCES])
def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch, number):
    sync_that_fails(monkeypatch, number, folders=True)
    write_whole(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"


@pytest.mark.parametrize(("number", "fails"), [(errno.EINVAL, False), (errno.EIO, True), (errno.ENOSPC, True)])
def test_bytes_that_do_not_reach_the_disk_are_one(tmp_path, monkeypatch, number, fails):
    sync_that_fails(monkeypatch, number, folders=False)
    (tmp_path / "a").write_bytes(b"before")
    if fails:
        with pytest.raises(OSError, match=os.strerror(number)):
            write_whole(tmp_path / "a", b"after")
    else:
        write_whole(tmp_path / "a", b"after")
    assert (tmp_path / "a").read_bytes() == (b"before" if fails else b"after")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_what_fails_half_way_leaves_what_was_there(tmp_path):
    (tmp_path / "a").write_bytes(b"before")

    def write() -> None:
        with whole(tmp_path / "a") as part:
            part.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"before"}


def test_the_longest_name_can_be_written(tmp_path):
    name = "ä" * 127 + "b"  # 255 bytes
    check_place(tmp_path / name)
    write_whole(tmp_path / name, b"content")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(OutputError, match="too long") as caught:
        check_place(tmp_path / (name + "b"))
    assert "shorter" in caught.value.hint


def test_a_folder_gets_its_name_through_a_link_too(tmp_path):
    for name in ("made", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "made" / "1.png").write_bytes(b"a")
    (tmp_path / "link").symlink_to("empty")
    publish(tmp_path / "made", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "1.png").read_bytes() == b"a"


def test_places_that_take_no_file_are_told_and_nothing_is_left(tmp_path):
    (tmp_path / "file").touch()
    for path, said in ((tmp_path, "is a folder"), (tmp_path / "no" / "a", "there is no folder"),
                       (tmp_path / "file" / "a", "there is no folder"), (Path(), "is a folder")):  # fmt: skip
        with pytest.raises(OutputError, match=said):
            check_place(path)
    check_place(tmp_path / "file")
    check_room(tmp_path / "new")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_hints_fit_what_the_system_says(tmp_path):
    for number, hint in ((errno.ENOSPC, "space"), (errno.EACCES, "permissions"), (errno.ENAMETOOLONG, "shorter")):
        with pytest.raises(OutputError) as caught, as_output_error(tmp_path / "a"):
            raise OSError(number, os.strerror(number))
        assert hint in caught.value.hint


# -- what must not be written over ------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a clip, a photo, a folder of photos, and links to them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("clip.mp4", "me.png", "photos/1.jpg", "photos/2.jpg"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link.png").symlink_to("me.png")
    (tmp_path / "hard.png").hardlink_to(tmp_path / "me.png")
    (tmp_path / "there").symlink_to("photos")
    (tmp_path / "dangling.mp4").symlink_to("new.mp4")
    return tmp_path


INPUTS = [("the clip", Path("clip.mp4")), ("the photo", Path("me.png")), ("a photo", Path("photos"))]


@pytest.mark.parametrize("out", [
    "clip.mp4", "./clip.mp4", "photos/../clip.mp4", "me.png", "link.png", "hard.png", "photos/1.jpg", "there/2.jpg",
    "photos",
])  # fmt: skip
def test_no_output_is_an_input(home, out):
    for path in (Path(out), home / out):
        with pytest.raises(OutputError, match="itself"):
            refuse_clash([("the result", Path("other.mp4")), ("the picture", path)], INPUTS)


@pytest.mark.parametrize(("one", "other"), [
    ("new.mp4", "new.mp4"), ("new.mp4", "./new.mp4"), ("new.mp4", "photos/../new.mp4"), ("new.mp4", "dangling.mp4"),
    ("new.mp4", "NEW.mp4"), ("photos/new.png", "there/new.png"),
])  # fmt: skip
def test_no_output_is_another_one(home, one, other):
    with pytest.raises(OutputError, match="cannot be both the result and the picture"):
        refuse_clash([("the result", Path(one)), ("the picture", Path(other))], [])


def test_a_new_picture_would_be_taken_for_a_photo_the_next_time_and_what_holds_inputs_is_none(home):
    with pytest.raises(OutputError, match="next time"):
        refuse_clash([("the result", Path("there/new.png"))], INPUTS)
    with pytest.raises(OutputError, match="lies in"):
        refuse_clash([("the work folder", Path("photos"))], [("the photo", Path("there/1.jpg"))])


def test_all_else_passes(home):
    for out in ("new.mp4", "photos/new.mp4", "new.png", "dangling.mp4", "new/x.png"):
        refuse_clash([("the result", Path(out)), ("the picture", Path("sheet.png"))], INPUTS)


def test_files_that_a_drive_does_not_number_are_told_by_their_paths(home, monkeypatch):
    class Unnumbered:
        st_ino = st_dev = 0

    monkeypatch.setattr(Path, "stat", lambda self: Unnumbered())
    assert files._mark(Path("clip.mp4")) != files._mark(Path("me.png"))
    assert files._mark(Path("link.png")) == files._mark(Path("me.png"))
