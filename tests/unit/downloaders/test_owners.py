import os
import signal
import subprocess
import sys

from distfile_mirror.downloaders.owners import Owner, release_dead_owners

HOLD = """
import sys, time
from pathlib import Path
from distfile_mirror.downloaders.owners import Owner
with Owner(Path(sys.argv[1])) as owner:
    print(owner.name, flush=True)
    time.sleep(60)
"""


def test_a_living_owner_is_left_alone(tmp_path):
    released = []
    with Owner(tmp_path) as owner:
        assert release_dead_owners(tmp_path, lambda name: released.append(name) or 1) == 0
        assert (tmp_path / owner.name).exists()
    assert not (tmp_path / owner.name).exists()
    assert not released


def test_a_killed_owner_is_released(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        name = process.stdout.readline().strip()
        assert name.split(":")[-2] == str(process.pid)
        released = []
        assert release_dead_owners(tmp_path, lambda owner: released.append(owner) or 1) == 0
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert release_dead_owners(tmp_path, lambda owner: released.append(owner) or 3) == 3
    assert released == [name]
    assert not list((tmp_path).iterdir())


def test_no_folder_yet(tmp_path):
    assert release_dead_owners(tmp_path / "none", lambda _name: 1) == 0
