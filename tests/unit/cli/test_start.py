"""Client commands start without what only servers need."""

import subprocess
import sys

LOADED = """
import sys
from distfile_mirror.cli import main
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_the_program_loads_no_web_framework():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "typer" in loaded
    assert loaded.isdisjoint({"django", "pydantic", "cryptography", "aiohttp", "structlog", "uvicorn"})
