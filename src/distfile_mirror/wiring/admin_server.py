"""The web admin."""

import base64
import os
import secrets
import signal
import socket
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from distfile_mirror.admin.server import make_application, make_server, serve
from distfile_mirror.admin.settings import AdminContext
from distfile_mirror.admin.sign_in import HEADER, OIDC, OpenIdProvider, SignIn, TrustedHeader
from distfile_mirror.catalog import database
from distfile_mirror.config import Config
from distfile_mirror.setting_values import NO_SIGN_IN
from distfile_mirror.supervisor import tell_ready
from distfile_mirror.wiring.hangups import ENDS, Hangups, Reread
from distfile_mirror.wiring.registries import resolve_tag
from distfile_mirror.wiring.sockets import listen
from distfile_mirror.wiring.storage import open_blob_store

SECRET_KEY_BYTES = 48


def run(config: Config, inherited: int | None, reread: Reread) -> None:
    """Serve until SIGTERM or SIGINT, on the descriptor ``inherited`` if given. Raises MirrorError, OSError."""
    store = open_blob_store(config)
    context = AdminContext(
        database_url=config.effective_database_url,
        admin_url=config.effective_admin_url,
        proxy_url=config.effective_proxy_url,
        ca_file=config.effective_ca_dir.absolute() / "ca.pem",
        local_user=config.local_user,
        secret_key=_revealed(config.secret_key) or _secret_key(config.data_dir / "secret-key"),
        digests_of=store.digests,
        check_blobs=store.check,
        resolve_tag=resolve_tag(config),
        default_platforms=config.default_platforms,
        metrics_dir=config.run_dir.absolute() / "metrics",
        sign_in=_sign_in(config),
        allowed_hosts=config.admin_hosts,
        require_approval=config.require_approval,
    )
    application = make_application(context)
    database.check_schema()
    listener = (
        socket.socket(fileno=inherited) if inherited is not None else listen(config.admin_listen, reuse_port=False)
    )
    server = make_server(application, threads=config.admin_threads, stop_grace=config.stop_grace)
    hangups = Hangups(reread, lambda: setattr(server, "should_exit", True))
    for number in ENDS:
        signal.signal(number, lambda _number, _frame: hangups.end())
    hangups.listen()
    # The server closes what it listens on. Who comes until the next run is up waits at this one.
    kept = os.dup(listener.fileno())
    tell_ready()
    serve(server, listener)
    os.set_inheritable(kept, True)
    hangups.begin_anew_if_heard(inherited=str(kept))
    os.close(kept)


def _sign_in(config: Config) -> SignIn:
    """Translate the settings; those of a sign-in that is not on are left out."""
    methods = frozenset(config.sign_in) - {NO_SIGN_IN}
    oidc = OpenIdProvider(
        issuer=config.oidc_issuer,
        client_id=config.oidc_client_id,
        client_secret=_revealed(config.oidc_client_secret),
        groups_claim=config.oidc_groups_claim,
    )
    header = TrustedHeader(config.auth_header, config.auth_groups_header, config.auth_header_from)
    return SignIn(
        methods=methods,
        oidc=oidc if OIDC in methods else None,
        header=header if HEADER in methods else None,
        role_groups=config.role_groups,
        default_role=config.default_role,
        trusted_proxies=config.trusted_proxies,
        metrics_token=_revealed(config.metrics_token),
        session_seconds=config.session_lifetime,
    )


def _revealed(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _secret_key(path: Path) -> str:
    """Return the key that signs cookies, made when it is first needed."""
    with suppress(FileExistsError):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(SECRET_KEY_BYTES)))
    return path.read_text(encoding="ascii")
