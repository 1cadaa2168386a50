"""What ends a file: its end, damage, a failing disk; and what is no file."""

from __future__ import annotations

import errno
import io
import os
import socket
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import rendered
from footage import make_clip, moving
from PIL import Image

from vidswap import pipeline
from vidswap.errors import InputError
from vidswap.media.sound import sounds
from vidswap.read.clip import frames, open_clip
from vidswap.swap.windows import first_needed


class FailingFile(io.FileIO):
    """A file on a disk that cannot be read beyond its byte `limit`."""

    limit = 0

    def read(self, size: int = -1) -> bytes:
        if self.tell() + max(size, 0) > self.limit:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)


class Failing:
    """An open container that says, `after` packets of one pass, what FFmpeg says where the system fails: that the file
    is at its end (`quiet`), or that there was an error."""

    def __init__(self, container, after, quiet):
        self._container, self._after, self._quiet = container, after, quiet

    def __getattr__(self, name):
        return getattr(self._container, name)

    def __enter__(self):
        self._container.__enter__()
        return self

    def __exit__(self, *error):
        return self._container.__exit__(*error)

    def demux(self, *streams):
        for number, packet in enumerate(self._container.demux(*streams)):
            if number == self._after:
                if not self._quiet:
                    av.error.err_check(-errno.EIO)
                return
            yield packet


@pytest.fixture
def failing(monkeypatch):
    """From when it is called on, a disk that fails after so many packets."""

    def fail(after, quiet=True, limit=0):
        opens, reads = av.open, Path.open

        def opened(path, mode="r", **choices):
            container = opens(path, mode, **choices)
            return Failing(container, after, quiet) if mode == "r" else container

        def read(path, mode="r", *more, **choices):
            file = path.suffix == ".mkv" and mode == "rb"
            return FailingFile(path) if file else reads(path, mode, *more, **choices)

        monkeypatch.setattr(FailingFile, "limit", limit)
        monkeypatch.setattr(av, "open", opened)
        monkeypatch.setattr(Path, "open", read)

    return fail


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    pictures = [np.random.default_rng(i).integers(0, 255, (64, 96, 3), np.uint8) for i in range(60)]
    return make_clip(tmp_path_factory.mktemp("film") / "a.mkv", pictures, unit=Fraction(1, 1000))


@pytest.mark.parametrize("quiet", [True, False])
def test_a_film_whose_disk_fails_is_refused_with_the_second(film, failing, quiet):
    failing(20, quiet, limit=1000)
    with pytest.raises(InputError, match=r"a.mkv cannot be read beyond 0\.[78] s \(Input/output error\)"):
        open_clip(film)


def test_pictures_of_a_disk_that_fails_later_are_not_repeated(film, failing):
    clip = open_clip(film)
    failing(20)
    with pytest.raises(InputError, match="cannot be read beyond"):
        list(frames(clip))


def test_sound_of_a_disk_that_fails_is_not_cut_short(film, failing):
    failing(20)
    with pytest.raises(InputError, match="cannot be read beyond"):
        sounds(film)


def test_a_render_whose_disk_fails_goes_on_when_it_is_mended(film, tmp_path, monkeypatch, failing):
    out = tmp_path / "out.mkv"

    def begun(*words):
        failing(50)
        return first_needed(*words)

    monkeypatch.setattr(pipeline, "first_needed", begun)
    with pytest.raises(InputError, match="cannot be read beyond") as caught:
        rendered.rendered(film, out)
    assert not out.exists()
    (note,) = caught.value.__notes__
    assert note in ("the same command goes on from frame 20", "the same command goes on from frame 40")
    monkeypatch.undo()
    assert rendered.rendered(film, out).resumed == int(note.split()[-1])
    assert len(open_clip(out)) == 60


@pytest.mark.parametrize("quiet", [True, False])
def test_what_only_breaks_off_is_read_as_far_as_it_goes(film, failing, quiet):
    failing(20, quiet, limit=1 << 30)
    assert 10 <= len(open_clip(film)) <= 20


def test_a_picture_that_the_disk_cannot_read_is_no_damaged_picture(tmp_path, monkeypatch):
    for number in range(3):
        Image.fromarray(moving(1)[0]).save(tmp_path / f"{number}.png")
    clip = open_clip(tmp_path)
    (tmp_path / "1.png").unlink()
    (tmp_path / "1.png").symlink_to(tmp_path / "1.png")  # reading it fails: ELOOP
    with pytest.raises(InputError, match=r"1.png cannot be read \("):
        list(frames(clip))


# -- no files ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names there")
def test_what_cannot_be_read_twice_is_refused_at_once(tmp_path):
    pipe, address = tmp_path / "pipe.ts", tmp_path / "socket.ts"
    os.mkfifo(pipe)  # nobody writes into it: whoever opens it waits for ever
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        for path, kind in ((pipe, "a pipe"), (address, "a socket"), (Path(os.devnull), "a device")):
            with pytest.raises(InputError, match=f"is {kind}, which cannot be read twice") as caught:
                open_clip(path)
            assert "save it as a file first" in caught.value.hint


def test_a_pipe_that_a_shell_names_is_refused(film):
    reading, writing = os.pipe()
    try:
        with pytest.raises(InputError, match="is a pipe"):
            open_clip(Path(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
        os.close(writing)
