"""Client commands start without what only servers need, and servers without what only clients need."""

import subprocess
import sys

import pytest

LOADED = """
import sys
from distfile_mirror.cli import app
app.make_app({arguments})
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
OF_SERVERS = {"django", "pydantic", "cryptography", "aiohttp", "structlog", "uvicorn"}
OF_CLIENTS = {"httpx", "rich"}


@pytest.mark.parametrize(("arguments", "unneeded"), [("", OF_SERVERS), ("with_clients=False", OF_SERVERS | OF_CLIENTS)])
def test_the_program_loads_only_what_it_needs(arguments, unneeded):
    script = LOADED.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "typer" in loaded
    assert loaded.isdisjoint(unneeded)
