"""What makes the search for a part of a URI fast.

SQLite reads an index of the URIs alone from one end to the other, a tenth of what the table has.
PostgreSQL has trigrams; an ordinary index there could not hold the longest URIs.
"""

from django.db import migrations


def add(apps, schema_editor):
    vendor = schema_editor.connection.vendor
    if vendor == "sqlite":
        schema_editor.execute("CREATE INDEX file_uri ON catalog_file (uri)")
    elif vendor == "postgresql":
        schema_editor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        schema_editor.execute("CREATE INDEX file_uri ON catalog_file USING gin (upper(uri) gin_trgm_ops)")


def remove(apps, schema_editor):
    schema_editor.execute("DROP INDEX IF EXISTS file_uri")


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_initial")]
    operations = [migrations.RunPython(add, remove)]
