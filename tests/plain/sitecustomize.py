"""Loaded by the commands that a test runs: what a plain install lacks is hidden, and what is asked of the system and
might leave traces is noted, a line each, in the file $NOTES. $HIDDEN are the names of what is hidden, with a space."""

import json
import os
import sys
from importlib.machinery import PathFinder

HIDDEN = frozenset(os.environ.pop("HIDDEN").split())
NOTES = os.open(os.environ.pop("NOTES"), os.O_WRONLY | os.O_APPEND)
NOTED = {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.system", "subprocess.Popen", "os.posix_spawn",
         "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto",
         "socket.sendmsg", "socket.__new__", "socket.bind", "urllib.Request"}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Plain(PathFinder):
    """Finds what Python finds, but for what is hidden."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else PathFinder.find_spec(name, path, target)


def note(event: str, words: tuple) -> None:
    if event in NOTED:
        os.write(NOTES, (json.dumps([event, str(words[0]), str(words[1:])]) + "\n").encode())
    elif event == "open" and isinstance(words[2], int) and words[2] & WRITING and not isinstance(words[0], int):
        os.write(NOTES, (json.dumps([event, os.path.abspath(os.fsdecode(words[0])), ""]) + "\n").encode())


sys.meta_path = [Plain if finder is PathFinder else finder for finder in sys.meta_path]
sys.addaudithook(note)
