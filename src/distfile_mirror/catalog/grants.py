"""What each component may do in the database: four roles, by least privilege.

One writer per fact: the admin writes declarations, downloaders write outcomes, the proxy writes nothing but
sightings. Nobody but the owner of the tables, who runs the migration, changes the schema; nobody
but that owner changes or deletes an audit event.
"""

from collections.abc import Iterator, Mapping

from django.apps import apps
from django.db import connection
from django.db.models import Model
from django.db.models.options import Options

READ = "SELECT"
READ_WRITE = "SELECT, INSERT, UPDATE"
ADD = "SELECT, INSERT"
EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"

# Of the catalog. Whatever else there is (people, sessions, tokens) is the admin's alone.
_SIGHTINGS = {"hit": READ_WRITE, "miss": READ_WRITE, "misssource": READ_WRITE, "traffic": READ_WRITE}
_OUTCOMES = {"auditevent": ADD, "growth": READ_WRITE, "lastrequest": READ, "miss": "SELECT, UPDATE"}
# `verify` is a downloader of files to the database; both downloaders repair.
_CARE = {"damagedblob": READ_WRITE, "round": READ_WRITE, "revision": READ_WRITE}
_PROXY_READS = (
    "file",
    "registry",
    "repository",
    "image",
    "manifest",
    "imagemanifest",
    "manifestblob",
    "revision",
    "damagedblob",
    "round",
)
ROLES: Mapping[str, Mapping[str, str]] = {
    "proxy": {**dict.fromkeys(_PROXY_READS, READ), **_SIGHTINGS},
    "files": {
        **_OUTCOMES,
        **_CARE,
        "file": "SELECT, UPDATE",
        "upstreamcheck": READ_WRITE,
        **dict.fromkeys(("image", "imagemanifest", "manifest", "manifestblob", "registry", "repository"), READ),
    },
    "containers": {
        **_OUTCOMES,
        **_CARE,
        "image": "SELECT, UPDATE",
        **dict.fromkeys(("file", "registry", "repository"), READ),
        **dict.fromkeys(("manifest", "imagemanifest", "manifestblob", "storedblob"), READ_WRITE),
    },
}
PREFIX = "distfile_mirror"


def grants(prefix: str = PREFIX) -> Iterator[str]:
    """Yield SQL statements that make the roles and give them their privileges, all at once or not at all.

    Running them again does no harm, not even to components that are at work.

    The roles are PREFIX_proxy, PREFIX_admin, PREFIX_files and PREFIX_containers. They may not sign in:
    make users that may, and grant them the roles. Django must be set up with all tables.
    """
    yield "BEGIN;"
    catalog, others = _tables()
    # Nothing of the catalog is ever deleted.
    admin = {**dict.fromkeys(catalog.values(), READ_WRITE), **dict.fromkeys(others, EVERYTHING)}
    admin[catalog["auditevent"]] = ADD
    if connection.vendor == "cockroachdb":  # which has no such table
        del admin[catalog["fileuri"]]
    else:
        admin[catalog["fileuri"]] = ADD  # a trigger does
    yield from _role(f"{prefix}_admin", {**admin, "django_migrations": READ})
    for name, privileges in ROLES.items():
        given = {catalog[model]: privilege for model, privilege in privileges.items()}
        yield from _role(f"{prefix}_{name}", {**given, "django_migrations": READ})
    yield "COMMIT;"


def _tables() -> tuple[dict[str, str], list[str]]:
    """Return the tables of the catalog, by model, and all others."""
    own = apps.get_app_config("catalog").get_models()
    catalog = {_options(model).model_name or "": _options(model).db_table for model in own}
    every = [_options(model).db_table for model in apps.get_models(include_auto_created=True)]
    return catalog, [table for table in every if table not in catalog.values()]


def _role(role: str, privileges: Mapping[str, str]) -> Iterator[str]:
    yield (
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') "
        f"THEN CREATE ROLE {role} NOLOGIN; END IF; END $$;"
    )
    # What an earlier release granted and this one does not.
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role};"
    yield f"GRANT USAGE ON SCHEMA public TO {role};"
    for table, privilege in sorted(privileges.items()):
        yield f"GRANT {privilege} ON {table} TO {role};"


def _options(model: type[Model]) -> "Options[Model]":
    return model._meta  # noqa: SLF001 - documented
