"""On SQLite URIs get a table of their own, too, with an index of their trigrams (ADR 0023).

Each step is a transaction of its own, so that nobody waits for all of them, and may be done again. Where SQLite
has no such index, all stays as it was.
"""

from django.db import OperationalError, migrations

TOKENIZER = "trigram"
ROWS_AT_ONCE = 20_000

TABLES = (
    "CREATE TABLE IF NOT EXISTS catalog_fileuri (file_id integer NOT NULL PRIMARY KEY, uri text NOT NULL)",
    # Which files have a trigram, and not where: search looks at their URIs anyhow, and this is a third as large.
    f"""
    CREATE VIRTUAL TABLE IF NOT EXISTS catalog_fileuri_trigrams USING fts5(
        uri, tokenize='{TOKENIZER}', detail='none', columnsize=0, content='catalog_fileuri', content_rowid='file_id'
    )
    """,
    """
    CREATE TRIGGER IF NOT EXISTS catalog_fileuri_index AFTER INSERT ON catalog_fileuri BEGIN
        INSERT INTO catalog_fileuri_trigrams (rowid, uri) VALUES (new.file_id, new.uri);
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS catalog_fileuri_unindex AFTER DELETE ON catalog_fileuri BEGIN
        INSERT INTO catalog_fileuri_trigrams (catalog_fileuri_trigrams, rowid, uri)
        VALUES ('delete', old.file_id, old.uri);
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS catalog_fileuri_add AFTER INSERT ON catalog_file BEGIN
        INSERT OR IGNORE INTO catalog_fileuri (file_id, uri) VALUES (new.id, new.uri);
    END
    """,
    # The product deletes no file; who does so by hand leaves nothing behind.
    """
    CREATE TRIGGER IF NOT EXISTS catalog_fileuri_remove AFTER DELETE ON catalog_file BEGIN
        DELETE FROM catalog_fileuri WHERE file_id = old.id;
    END
    """,
)
FILL = """
    INSERT OR IGNORE INTO catalog_fileuri (file_id, uri)
    SELECT id, uri FROM catalog_file WHERE id >= %s AND id < %s ORDER BY id
"""
BACK = (
    "CREATE INDEX IF NOT EXISTS file_uri ON catalog_file (uri)",
    "DROP TRIGGER IF EXISTS catalog_fileuri_add",
    "DROP TRIGGER IF EXISTS catalog_fileuri_remove",
    "DROP TABLE IF EXISTS catalog_fileuri_trigrams",
    "DROP TABLE IF EXISTS catalog_fileuri",
)


def add(apps, schema_editor):
    if not _has_trigrams(schema_editor.connection):
        return
    for step in TABLES:
        schema_editor.execute(step, None)
    _fill(schema_editor)
    # What search read so far, from one end to the other.
    schema_editor.execute("DROP INDEX IF EXISTS file_uri", None)


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for step in BACK:
            schema_editor.execute(step, None)


def _has_trigrams(connection):
    """Tell whether this is SQLite 3.34 or later, compiled with FTS5."""
    if connection.vendor != "sqlite":
        return False
    with connection.cursor() as cursor:
        try:
            cursor.execute(f"CREATE VIRTUAL TABLE temp.has_trigrams USING fts5(uri, tokenize='{TOKENIZER}')")
        except OperationalError as error:
            if "no such module" in str(error) or "no such tokenizer" in str(error):
                return False
            raise
        cursor.execute("DROP TABLE temp.has_trigrams")
    return True


def _fill(schema_editor):
    """Add what is there, a batch at a time; whatever comes meanwhile has been added by the trigger."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(min(id), 0), coalesce(max(id), -1) FROM catalog_file")
        first, last = cursor.fetchone()
    for begin in range(first, last + 1, ROWS_AT_ONCE):
        schema_editor.execute(FILL, [begin, begin + ROWS_AT_ONCE])


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("catalog", "0005_last_requests")]
    operations = [migrations.RunPython(add, remove)]
