"""What the type checker, `makemigrations` and the tests take Django's settings from."""

import tempfile
from pathlib import Path

from distfile_mirror.catalog.database import CATALOG_APP, database_settings

_FOLDER = Path(tempfile.mkdtemp(prefix="distfile-mirror-tests-"))

DATABASES = {"default": database_settings(f"sqlite:///{_FOLDER}/catalog.sqlite3")}
# A file, not memory: the tests use several connections, as the product does.
DATABASES["default"]["TEST"] = {"NAME": str(_FOLDER / "test.sqlite3")}
INSTALLED_APPS = [CATALOG_APP]
USE_TZ = True
