"""On PostgreSQL the trigrams of URIs move to a table of their own, which claims do not write (ADR 0022).

Each step is a transaction of its own, so that nobody waits for all of them, and may be done again.
"""

import django.db.models.deletion
from django.db import migrations, models

STEPS = (
    "CREATE TABLE IF NOT EXISTS {schema}.catalog_fileuri (file_id bigint PRIMARY KEY, uri text NOT NULL)",
    # Who may add files, such as the admin of the release before, whose grants know nothing of this table.
    """
    DO $$ DECLARE grantee text; BEGIN
        FOR grantee IN SELECT DISTINCT rolname FROM pg_class, aclexplode(relacl) AS given JOIN pg_roles ON pg_roles.oid = given.grantee
            WHERE pg_class.oid = '{schema}.catalog_file'::regclass AND given.privilege_type = 'INSERT'
        LOOP
            EXECUTE format('GRANT SELECT, INSERT ON {schema}.catalog_fileuri TO %I', grantee);
        END LOOP;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION {schema}.catalog_fileuri_add() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO {schema}.catalog_fileuri (file_id, uri) VALUES (NEW.id, NEW.uri) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$
    """,
    """
    CREATE OR REPLACE TRIGGER catalog_fileuri_add AFTER INSERT ON {schema}.catalog_file
    FOR EACH ROW EXECUTE FUNCTION {schema}.catalog_fileuri_add()
    """,
    "INSERT INTO catalog_fileuri (file_id, uri) SELECT id, uri FROM catalog_file ON CONFLICT DO NOTHING",
    "CREATE INDEX IF NOT EXISTS fileuri_uri ON catalog_fileuri USING gin (upper(uri) gin_trgm_ops)",
    "ANALYZE catalog_fileuri",
    # Else it waits for whoever reads, and all who come later wait for it.
    "DROP INDEX CONCURRENTLY IF EXISTS file_uri",
    # Django made it for patterns, which nobody looks for hosts by.
    "DROP INDEX CONCURRENTLY IF EXISTS catalog_file_host_329eccf7_like",
)
BACK = (
    "CREATE INDEX IF NOT EXISTS catalog_file_host_329eccf7_like ON catalog_file (host text_pattern_ops)",
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
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        (schema,) = cursor.fetchone()
    for step in steps:
        schema_editor.execute(step.replace("{schema}", schema), None)


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
