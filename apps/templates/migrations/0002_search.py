"""The tables of search: FTS5 on SQLite, full text and pg_trgm on PostgreSQL. See docs/search.md."""

from __future__ import annotations

from django.db import DatabaseError, migrations, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

_SQLITE = (
    # Columns hold rows of stems, cut and folded before: `ascii` splits them at their spaces and nowhere else.
    "CREATE VIRTUAL TABLE prompt_templates_search "
    "USING fts5(title, tags, description, text, label UNINDEXED, tokenize = 'ascii', prefix = '2 3')",
    "CREATE TABLE prompt_templates_search_word "
    "(id integer PRIMARY KEY, word text NOT NULL UNIQUE, spelling text NOT NULL)",
    "CREATE VIRTUAL TABLE prompt_templates_search_trigram USING fts5(spelling, content = '', tokenize = 'trigram')",
    "CREATE TRIGGER prompt_templates_search_word_added AFTER INSERT ON prompt_templates_search_word BEGIN "
    "INSERT INTO prompt_templates_search_trigram (rowid, spelling) VALUES (new.id, new.spelling); END",
    "CREATE TRIGGER prompt_templates_search_template_gone AFTER DELETE ON prompt_templates_template BEGIN "
    "DELETE FROM prompt_templates_search WHERE rowid = old.id; END",
)
_SQLITE_BACK = (
    "DROP TRIGGER IF EXISTS prompt_templates_search_template_gone",
    "DROP TABLE prompt_templates_search_trigram",
    "DROP TABLE prompt_templates_search_word",
    "DROP TABLE prompt_templates_search",
)
_POSTGRESQL = (
    # No foreign key but triggers: a referenced table could not be truncated by itself, as Django's flush does.
    # All that is looked for is in `words`. `head` is all but the text, short enough to stay in its row: for the rank.
    "CREATE TABLE prompt_templates_search (template_id bigint PRIMARY KEY, title text NOT NULL, tags text NOT NULL, "
    "description text NOT NULL, text text NOT NULL, label varchar(16) NOT NULL, "
    "words tsvector NOT NULL, head tsvector NOT NULL)",
    # Without fastupdate: a search would have to read through what writes have left to be sorted in.
    "CREATE INDEX prompt_templates_search_stems ON prompt_templates_search USING gin (words) WITH (fastupdate = off)",
    "CREATE INDEX prompt_templates_search_names ON prompt_templates_search "
    "USING gin (ts_filter(head, '{a,b}')) WITH (fastupdate = off)",
    'CREATE TABLE prompt_templates_search_word (word text COLLATE "C" PRIMARY KEY, spelling text NOT NULL)',
    "CREATE INDEX prompt_templates_search_trigrams ON prompt_templates_search_word "
    "USING gin (spelling gin_trgm_ops) WITH (fastupdate = off)",
    # Functions, because each carries a setting of its own. The planner takes the vectors for narrow and would read the
    # whole table, where they are wide and stored elsewhere.
    "CREATE FUNCTION prompt_templates_search_count(asked tsquery, most integer) RETURNS bigint "
    "LANGUAGE sql STABLE SET enable_seqscan = off AS $$ "
    "SELECT count(*) FROM (SELECT 1 FROM prompt_templates_search WHERE words @@ asked LIMIT most) AS found $$",
    "CREATE FUNCTION prompt_templates_search_matching(asked tsquery, weights real[]) "
    "RETURNS TABLE (template_id bigint, rank real) LANGUAGE sql STABLE ROWS 500 SET enable_seqscan = off AS $$ "
    "SELECT s.template_id, ts_rank(weights, s.head, asked) FROM prompt_templates_search s WHERE s.words @@ asked $$",
    "CREATE FUNCTION prompt_templates_search_named(asked tsquery, weights real[]) "
    "RETURNS TABLE (template_id bigint, rank real) LANGUAGE sql STABLE ROWS 500 SET enable_seqscan = off AS $$ "
    "SELECT s.template_id, ts_rank(weights, s.head, asked) FROM prompt_templates_search s "
    "WHERE ts_filter(s.head, '{a,b}') @@ asked $$",
    # Two pairs of letters that changed places in a word of ten leave a similarity of 0.16.
    "CREATE FUNCTION prompt_templates_search_words_like(asked text, shortest integer, longest integer, most integer) "
    "RETURNS TABLE (word text) LANGUAGE sql STABLE SET pg_trgm.similarity_threshold = 0.14 AS $$ "
    "SELECT w.word FROM prompt_templates_search_word w "
    "WHERE w.spelling % asked AND length(w.word) BETWEEN shortest AND longest "
    "ORDER BY similarity(w.spelling, asked) DESC, w.word LIMIT most $$",
    "CREATE FUNCTION prompt_templates_search_template_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF TG_OP = 'TRUNCATE' THEN DELETE FROM prompt_templates_search; "
    "ELSE DELETE FROM prompt_templates_search WHERE template_id = OLD.id; END IF; RETURN NULL; END $$",
    "CREATE TRIGGER prompt_templates_search_template_gone AFTER DELETE ON prompt_templates_template "
    "FOR EACH ROW EXECUTE FUNCTION prompt_templates_search_template_gone()",
    "CREATE TRIGGER prompt_templates_search_templates_gone AFTER TRUNCATE ON prompt_templates_template "
    "FOR EACH STATEMENT EXECUTE FUNCTION prompt_templates_search_template_gone()",
)
_POSTGRESQL_BACK = (
    "DROP TRIGGER IF EXISTS prompt_templates_search_template_gone ON prompt_templates_template",
    "DROP TRIGGER IF EXISTS prompt_templates_search_templates_gone ON prompt_templates_template",
    "DROP FUNCTION prompt_templates_search_template_gone()",
    "DROP FUNCTION prompt_templates_search_count(tsquery, integer)",
    "DROP FUNCTION prompt_templates_search_matching(tsquery, real[])",
    "DROP FUNCTION prompt_templates_search_named(tsquery, real[])",
    "DROP FUNCTION prompt_templates_search_words_like(text, integer, integer, integer)",
    "DROP TABLE prompt_templates_search_word",
    "DROP TABLE prompt_templates_search",
)


def make(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        _need_trigrams(connection)
        statements: tuple[str, ...] = _POSTGRESQL
    else:
        _need_fts5(connection)
        statements = _SQLITE
    for statement in statements:
        # Without parameters: the percent sign is an operator's.
        schema_editor.execute(statement, params=None)


def unmake(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    statements: tuple[str, ...] = _POSTGRESQL_BACK if schema_editor.connection.vendor == "postgresql" else _SQLITE_BACK
    for statement in statements:
        schema_editor.execute(statement, params=None)


def _need_trigrams(connection: BaseDatabaseWrapper) -> None:
    """Make pg_trgm available, which is there already where an administrator has seen to it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
        if cursor.fetchone():
            return
        try:
            with transaction.atomic(using=connection.alias):
                cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except DatabaseError as error:
            raise RuntimeError(
                "Search needs PostgreSQL's extension pg_trgm, and this role may not create it or the server does not "
                "have it. Install the server's contrib package if needed, let an administrator run "
                "`CREATE EXTENSION pg_trgm;` in this database, then run `migrate` again."
            ) from error


def _need_fts5(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        try:
            cursor.execute("CREATE VIRTUAL TABLE temp.search_probe USING fts5(word, tokenize = 'trigram')")
            cursor.execute("DROP TABLE temp.search_probe")
        except DatabaseError as error:
            raise RuntimeError(
                "Search needs SQLite 3.34 or newer with FTS5. Use a Python linked with one, or PostgreSQL."
            ) from error


class Migration(migrations.Migration):
    dependencies = [("prompt_templates", "0001_initial")]

    operations = [migrations.RunPython(make, unmake)]
