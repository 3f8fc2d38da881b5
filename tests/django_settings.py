"""What the type checker, `makemigrations` and the tests take Django's settings from: the admin's own."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from distfile_mirror.admin.settings import AdminContext, django_settings
from distfile_mirror.errors import TransientFetchError
from tests.databases import KIND, start_database

_FOLDER = Path(tempfile.mkdtemp(prefix="distfile-mirror-tests-"))


def _no_digests(sha256: str, _algorithms: Iterable[str]) -> dict[str, str]:
    raise AssertionError(f"no test stores {sha256}")


def _no_tags(registry: str, repository: str, tag: str) -> NoReturn:
    raise TransientFetchError(f"no test asks for {registry}/{repository}:{tag}")


DISTFILE_MIRROR = AdminContext(
    database_url=start_database(_FOLDER),
    admin_url="http://127.0.0.1:8080",
    proxy_url="http://127.0.0.1:3128",
    ca_file=Path("/srv/ca.pem"),
    local_user="tester",
    secret_key="only for tests",
    digests_of=_no_digests,
    check_blobs=lambda: None,
    resolve_tag=_no_tags,
    default_platforms=("linux/amd64",),
)
_SETTINGS = django_settings(DISTFILE_MIRROR)
DATABASES = _SETTINGS["DATABASES"]
DATABASES["default"]["CONN_MAX_AGE"] = 0  # threads of test servers end without closing theirs
if KIND == "sqlite":
    # A file, not memory: the tests use several connections, as the product does.
    DATABASES["default"]["TEST"] = {"NAME": str(_FOLDER / "test.sqlite3")}
    # What a test leaves need not survive a power cut.
    _OPTIONS = DATABASES["default"]["OPTIONS"]
    _OPTIONS["init_command"] = _OPTIONS["init_command"].replace("synchronous=FULL", "synchronous=OFF")
INSTALLED_APPS = _SETTINGS["INSTALLED_APPS"]
globals().update(_SETTINGS)
