import os
import signal
import subprocess
import sys

from distfile_mirror.downloaders.owners import Owner, dead_owners

HOLD = """
import sys, time
from pathlib import Path
from distfile_mirror.downloaders.owners import Owner
with Owner(Path(sys.argv[1])) as owner:
    print(owner.name, flush=True)
    time.sleep(60)
"""


def names_of_dead(folder):
    return [dead.name for dead in dead_owners(folder)]


def test_a_living_owner_is_left_alone(tmp_path):
    with Owner(tmp_path) as owner:
        assert names_of_dead(tmp_path) == []
        assert (tmp_path / owner.name).exists()
    assert not (tmp_path / owner.name).exists()


def test_a_killed_owner_is_found_until_it_is_buried(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        name = process.stdout.readline().strip()
        assert name.split(":")[-2] == str(process.pid)
        assert names_of_dead(tmp_path) == []
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert names_of_dead(tmp_path) == [name]
    for dead in dead_owners(tmp_path):
        assert names_of_dead(tmp_path) == []  # somebody sees to it
        dead.bury()
    assert not list(tmp_path.iterdir())


def test_an_owner_that_leaves_notes_is_found(tmp_path):
    with Owner(tmp_path) as owner:
        os.write(owner.fd, b"{}\n")
    assert names_of_dead(tmp_path) == [owner.name]


def test_no_folder_yet(tmp_path):
    assert names_of_dead(tmp_path / "none") == []
