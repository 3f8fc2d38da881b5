"""Copies the whole catalog, with people and tokens, from this process's database into another one.

Rows keep their keys. A table with numbers for keys is copied in the order of its keys, many rows in one
transaction, so that what an earlier run brought is there up to a number, and the next run goes on after it.
"""

from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import islice
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.db.models import AutoField, Max
from django.db.models.options import Options

from distfile_mirror.catalog.models import File
from distfile_mirror.errors import ConflictError, MirrorError

TARGET = "target"
ROWS_AT_ONCE = 1000
# Django writes these by itself wherever it migrates, and nothing here refers to them.
_DJANGO_OWN = {
    "contenttypes.contenttype",
    "auth.permission",
    "auth.group_permissions",
    "mirror_admin.user_user_permissions",
}

Model = type[models.Model]


def prepare_target() -> None:
    """Give the target this release's tables.

    Raises:
        ConflictError: if it holds the catalog of another installation.
    """
    call_command("migrate", database=TARGET, verbosity=0, interactive=False)
    first = File.objects.using(TARGET).order_by("pk").first()
    if first is not None and not File.objects.filter(pk=first.pk, uri=first.uri).exists():
        raise ConflictError("the target database holds the catalog of another installation: give an empty one")


def tables() -> list[Model]:
    """Return the tables to copy, those first that others refer to."""
    every = apps.get_models(include_auto_created=True)
    wanted = [model for model in every if _options(model).managed and _name(model) not in _DJANGO_OWN]
    graph = {model: {each for each in _referred(model) if each in wanted} for model in wanted}
    return list(TopologicalSorter(graph).static_order())


def count_rows(model: Model) -> int:
    """Return how many rows there are to copy."""
    return _rows(model).count()


def copy_table(model: Model) -> Iterator[int]:
    """Copy what the target lacks of a table; yield the number of rows after each batch."""
    rows = _rows(model).order_by("pk")
    numbered = isinstance(_options(model).pk, AutoField)
    if numbered:
        there = _rows(model, TARGET).aggregate(last=Max("pk"))["last"] or 0
        if there:
            yield _rows(model).filter(pk__lte=there).count()
        rows = rows.filter(pk__gt=there)
    columns = [field.attname for field in _options(model).concrete_fields]
    found = iter(rows.values(*columns).iterator(chunk_size=ROWS_AT_ONCE))
    while batch := list(islice(found, ROWS_AT_ONCE)):
        with transaction.atomic(using=TARGET):
            _insert(model, batch, ignore_conflicts=not numbered)
        yield len(batch)


def finish_target(copied: list[Model]) -> None:
    """Let new rows have new keys, and compare the numbers of rows.

    Raises:
        MirrorError: if a table does not have as many rows as its source.
    """
    connection = connections[TARGET]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), copied):
            cursor.execute(statement)
    for model in copied:
        here, there = count_rows(model), _rows(model, TARGET).count()
        if here != there:
            table = _options(model).db_table
            raise MirrorError(f"{table} has {here} rows here and {there} in the target: was either changed meanwhile?")


def _insert(model: Model, batch: list[dict[str, Any]], *, ignore_conflicts: bool) -> None:
    rows = [model(**values) for values in batch]
    _rows(model, TARGET).bulk_create(rows, ignore_conflicts=ignore_conflicts)


def _referred(model: Model) -> set[Model]:
    fields = _options(model).concrete_fields
    return {
        field.remote_field.model for field in fields if field.remote_field and field.remote_field.model is not model
    }


def _name(model: Model) -> str:
    return _options(model).label_lower


def _rows(model: Model, database: str = DEFAULT_DB_ALIAS) -> "models.QuerySet[models.Model]":
    return model._default_manager.using(database)  # noqa: SLF001 - documented


def _options(model: Model) -> "Options[models.Model]":
    return model._meta  # noqa: SLF001 - documented
