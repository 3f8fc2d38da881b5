"""The web admin."""

import base64
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from distfile_mirror.admin.server import make_application, serve
from distfile_mirror.admin.settings import AdminContext
from distfile_mirror.catalog import database
from distfile_mirror.config import Config
from distfile_mirror.wiring.registries import resolve_tag
from distfile_mirror.wiring.sockets import listen
from distfile_mirror.wiring.storage import open_blob_store

SECRET_KEY_BYTES = 48


def run(config: Config, inherited: int | None) -> None:
    """Serve until SIGTERM or SIGINT, on the descriptor ``inherited`` if given. Raises MirrorError, OSError."""
    store = open_blob_store(config)
    context = AdminContext(
        database_url=config.effective_database_url,
        admin_url=config.effective_admin_url,
        proxy_url=config.effective_proxy_url,
        ca_file=config.ca_dir.absolute() / "ca.pem",
        local_user=config.local_user,
        secret_key=_secret_key(config.data_dir / "secret-key"),
        digests_of=store.digests,
        check_blobs=store.check,
        resolve_tag=resolve_tag(config),
        default_platforms=config.default_platforms,
    )
    application = make_application(context)
    database.check_schema()
    listener = (
        socket.socket(fileno=inherited) if inherited is not None else listen(config.admin_listen, reuse_port=False)
    )
    serve(application, listener, threads=config.admin_threads, stop_grace=config.stop_grace)


def _secret_key(path: Path) -> str:
    """Return the key that signs cookies, made when it is first needed."""
    with suppress(FileExistsError):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(SECRET_KEY_BYTES)))
    return path.read_text(encoding="ascii")
