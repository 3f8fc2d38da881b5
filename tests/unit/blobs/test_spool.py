"""Names of files being written."""

import subprocess
import sys

CODE = """
import os, sys
from pathlib import Path
from distfile_mirror.blobs.spool import SpoolFile

folder = Path(sys.argv[1])
first = SpoolFile(folder)
child = os.fork()
files = [SpoolFile(folder) for _ in range(3)]
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(len(list(folder.iterdir())))
"""


def test_forks_do_not_share_them(tmp_path):
    done = subprocess.run([sys.executable, "-c", CODE, tmp_path], capture_output=True, text=True, check=False)
    assert not done.stderr
    assert done.stdout == "7\n"
