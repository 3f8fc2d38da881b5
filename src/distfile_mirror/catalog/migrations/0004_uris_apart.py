"""On PostgreSQL the trigrams of URIs move to a table of their own, which claims do not write (ADR 0022).

Each step is a transaction of its own, so that nobody waits for all of them, and may be done again.
"""

import django.db.models.deletion
from django.db import migrations, models

STEPS = (
    "CREATE TABLE IF NOT EXISTS catalog_fileuri (file_id bigint PRIMARY KEY, uri text NOT NULL)",
    # With the rights of the tables' owner: nobody else need write there, the release before included.
    """
    CREATE OR REPLACE FUNCTION catalog_fileuri_add() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
    BEGIN
        INSERT INTO catalog_fileuri (file_id, uri) VALUES (NEW.id, NEW.uri) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$
    """,
    """
    CREATE OR REPLACE TRIGGER catalog_fileuri_add AFTER INSERT ON catalog_file
    FOR EACH ROW EXECUTE FUNCTION catalog_fileuri_add()
    """,
    "INSERT INTO catalog_fileuri (file_id, uri) SELECT id, uri FROM catalog_file ON CONFLICT DO NOTHING",
    "CREATE INDEX IF NOT EXISTS fileuri_uri ON catalog_fileuri USING gin (upper(uri) gin_trgm_ops)",
    "ANALYZE catalog_fileuri",
    "DROP INDEX IF EXISTS file_uri",
)
BACK = (
    "CREATE INDEX IF NOT EXISTS file_uri ON catalog_file USING gin (upper(uri) gin_trgm_ops)",
    "DROP TRIGGER IF EXISTS catalog_fileuri_add ON catalog_file",
    "DROP FUNCTION IF EXISTS catalog_fileuri_add",
    "DROP TABLE IF EXISTS catalog_fileuri",
)


def add(apps, schema_editor):
    _take(STEPS, schema_editor)


def remove(apps, schema_editor):
    _take(BACK, schema_editor)


def _take(steps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for step in steps:
            schema_editor.execute(step, None)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("catalog", "0003_care")]
    operations = [
        migrations.CreateModel(
            name="FileUri",
            fields=[
                ('file', models.OneToOneField(on_delete=django.db.models.deletion.DO_NOTHING, primary_key=True, related_name='+', serialize=False, to='catalog.file')),
                ("uri", models.TextField()),
            ],
            options={"managed": False},
        ),
        migrations.RunPython(add, remove),
    ]
