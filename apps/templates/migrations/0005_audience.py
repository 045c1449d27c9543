"""Who may see a template, as a column that the database computes; and the index of the search divided by it.

The index is empty afterwards: `load_templates`, which `make run` and every deployment run after `migrate`, fills it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

before = importlib.import_module("apps.templates.migrations.0002_search")


def _spaced(row: str) -> Callable[[str], str]:
    """Return what makes of a column of a row the same with the audience before each stem."""
    return lambda column: (
        f"replace({row}.{column}, ' ', ' ' || CASE {row}.audience WHEN 0 THEN '_' ELSE {row}.audience || '_' END)"
    )


# A piece of a word is three letters of it in a row, `^` for what is before its first and behind its last. It stands
# behind its audience, as the stems do: `0^^l` and `0^le` are of everybody's `letter`.
_MOST_PIECES = 41
_COLUMNS = ("title", "tags", "description", "text")
_SQLITE = (
    # Rows of stems, as `search.words.analysed` makes them.
    "CREATE TABLE prompt_templates_search_row (template_id integer PRIMARY KEY, audience integer NOT NULL, "
    "title text NOT NULL, tags text NOT NULL, description text NOT NULL, text text NOT NULL, label text NOT NULL)",
    # Their stems, each behind its audience: `_letter` of everybody, `12_letter` of user 12. `ascii` splits them at
    # their spaces. No statistics of this table are ever looked at: hence no column sizes.
    "CREATE VIRTUAL TABLE prompt_templates_search USING fts5(title, tags, description, text, "
    "content = 'prompt_templates_search_row', content_rowid = 'template_id', "
    "tokenize = \"ascii tokenchars '_'\", prefix = '3 4', columnsize = 0)",
    "CREATE TRIGGER prompt_templates_search_row_added AFTER INSERT ON prompt_templates_search_row BEGIN "
    f"INSERT INTO prompt_templates_search (rowid, {', '.join(_COLUMNS)}) "
    f"VALUES (new.template_id, {', '.join(map(_spaced('new'), _COLUMNS))}); END",
    "CREATE TRIGGER prompt_templates_search_row_gone AFTER DELETE ON prompt_templates_search_row BEGIN "
    f"INSERT INTO prompt_templates_search (prompt_templates_search, rowid, {', '.join(_COLUMNS)}) "
    f"VALUES ('delete', old.template_id, {', '.join(map(_spaced('old'), _COLUMNS))}); END",
    "CREATE TABLE prompt_templates_search_entry "
    "(template_id integer PRIMARY KEY, audience integer NOT NULL, words text NOT NULL)",
    "CREATE INDEX prompt_templates_search_entry_audience ON prompt_templates_search_entry (audience)",
    "CREATE TABLE prompt_templates_search_word "
    "(audience integer NOT NULL, word text NOT NULL, entries integer NOT NULL, "
    "PRIMARY KEY (audience, word)) WITHOUT ROWID",
    "CREATE TABLE prompt_templates_search_piece "
    "(piece text NOT NULL, letters integer NOT NULL, word text NOT NULL, "
    "PRIMARY KEY (piece, letters, word)) WITHOUT ROWID",
    "CREATE TRIGGER prompt_templates_search_word_added AFTER INSERT ON prompt_templates_search_word BEGIN "
    "INSERT INTO prompt_templates_search_piece (piece, letters, word) "
    "SELECT DISTINCT new.audience || substr('^^' || new.word || '^', at.value, 3), length(new.word), new.word "
    f"FROM json_each('{[*range(1, _MOST_PIECES + 1)]}') at WHERE at.value <= length(new.word) + 1; END",
    "CREATE TRIGGER prompt_templates_search_word_gone AFTER DELETE ON prompt_templates_search_word BEGIN "
    "DELETE FROM prompt_templates_search_piece WHERE letters = length(old.word) "
    "AND word = old.word AND piece IN (SELECT old.audience || substr('^^' || old.word || '^', at.value, 3) "
    f"FROM json_each('{[*range(1, _MOST_PIECES + 1)]}') at WHERE at.value <= length(old.word) + 1); END",
    "CREATE TRIGGER prompt_templates_search_entry_gone AFTER DELETE ON prompt_templates_search_entry BEGIN "
    "DELETE FROM prompt_templates_search_row WHERE template_id = old.template_id; "
    "UPDATE prompt_templates_search_word SET entries = entries - 1 "
    "WHERE audience = old.audience AND word IN (SELECT value FROM json_each(old.words)); "
    "DELETE FROM prompt_templates_search_word "
    "WHERE audience = old.audience AND word IN (SELECT value FROM json_each(old.words)) AND entries = 0; END",
    "CREATE TRIGGER prompt_templates_search_template_gone AFTER DELETE ON prompt_templates_template BEGIN "
    "DELETE FROM prompt_templates_search_entry WHERE template_id = old.id; END",
    "CREATE TRIGGER prompt_templates_search_template_moved AFTER UPDATE OF is_public, owner_id "
    "ON prompt_templates_template WHEN old.audience IS NOT new.audience BEGIN "
    "DELETE FROM prompt_templates_search_entry WHERE template_id = old.id; END",
)
_SQLITE_BACK = (
    "DROP TRIGGER IF EXISTS prompt_templates_search_template_moved",
    "DROP TRIGGER IF EXISTS prompt_templates_search_template_gone",
    "DROP TABLE prompt_templates_search_entry",
    "DROP TABLE prompt_templates_search_word",
    "DROP TABLE prompt_templates_search_piece",
    "DROP TABLE prompt_templates_search",
    "DROP TABLE prompt_templates_search_row",
)
_POSTGRESQL_FIRST = (
    "DROP TRIGGER IF EXISTS prompt_templates_search_template_gone ON prompt_templates_template",
    "DROP TRIGGER IF EXISTS prompt_templates_search_templates_gone ON prompt_templates_template",
    "DROP FUNCTION prompt_templates_search_template_gone()",
    "DROP FUNCTION prompt_templates_search_words_like(text, integer, integer, integer)",
    "DROP TABLE prompt_templates_search_word",
    "DELETE FROM prompt_templates_search",
)
# Of a function: row by row through the keys. The planner takes what a trigger is given for more than it is, and would
# read whole tables for it.
_BY_INDEX = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"
_POSTGRESQL = (
    "CREATE TABLE prompt_templates_search_entry "
    "(template_id bigint PRIMARY KEY, audience bigint NOT NULL, words text NOT NULL)",
    "CREATE INDEX prompt_templates_search_entry_audience ON prompt_templates_search_entry (audience)",
    'CREATE TABLE prompt_templates_search_word (audience bigint NOT NULL, word text COLLATE "C" NOT NULL, '
    "entries integer NOT NULL, PRIMARY KEY (audience, word))",
    'CREATE TABLE prompt_templates_search_piece (piece text COLLATE "C" NOT NULL, letters integer NOT NULL, '
    'word text COLLATE "C" NOT NULL, PRIMARY KEY (piece, letters, word))',
    "CREATE FUNCTION prompt_templates_search_words_added() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN "
    "INSERT INTO prompt_templates_search_piece (piece, letters, word) "
    "SELECT DISTINCT w.audience || substr('^^' || w.word || '^', at, 3), length(w.word), w.word "
    "FROM added w, generate_series(1, length(w.word) + 1) at; RETURN NULL; END $body$",
    "CREATE TRIGGER prompt_templates_search_words_added AFTER INSERT ON prompt_templates_search_word "
    "REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION prompt_templates_search_words_added()",
    "CREATE FUNCTION prompt_templates_search_words_gone() RETURNS trigger "
    f"LANGUAGE plpgsql {_BY_INDEX} AS $body$ BEGIN "
    "DELETE FROM prompt_templates_search_piece p USING gone w, generate_series(1, length(w.word) + 1) at "
    "WHERE p.piece = w.audience || substr('^^' || w.word || '^', at, 3) "
    "AND p.letters = length(w.word) AND p.word = w.word; RETURN NULL; END $body$",
    "CREATE TRIGGER prompt_templates_search_words_gone AFTER DELETE ON prompt_templates_search_word "
    "REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION prompt_templates_search_words_gone()",
    # One writer of an audience's words at a time, until it commits: two that meet in them could wait in a circle.
    "CREATE FUNCTION prompt_templates_search_lock(audiences bigint[]) RETURNS void LANGUAGE plpgsql AS $body$ "
    "DECLARE one bigint; BEGIN FOR one IN SELECT DISTINCT a FROM unnest(audiences) a ORDER BY a LOOP "
    "PERFORM pg_advisory_xact_lock(hashtextextended('prompt_templates_search', one)); END LOOP; END $body$",
    "CREATE FUNCTION prompt_templates_search_entries_gone() RETURNS trigger "
    f"LANGUAGE plpgsql {_BY_INDEX} AS $body$ BEGIN "
    "PERFORM prompt_templates_search_lock(ARRAY(SELECT audience FROM gone)); "
    "DELETE FROM prompt_templates_search s USING gone WHERE s.template_id = gone.template_id; "
    "UPDATE prompt_templates_search_word w SET entries = w.entries - lost.entries FROM ("
    "SELECT gone.audience, word.value, count(*) AS entries FROM gone, json_array_elements_text(gone.words::json) word "
    "GROUP BY 1, 2) lost WHERE w.audience = lost.audience AND w.word = lost.value; "
    "DELETE FROM prompt_templates_search_word w USING gone, json_array_elements_text(gone.words::json) word "
    "WHERE w.audience = gone.audience AND w.word = word.value AND w.entries = 0; RETURN NULL; END $body$",
    "CREATE TRIGGER prompt_templates_search_entries_gone AFTER DELETE ON prompt_templates_search_entry "
    "REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION prompt_templates_search_entries_gone()",
    "CREATE FUNCTION prompt_templates_search_templates_gone() RETURNS trigger "
    f"LANGUAGE plpgsql {_BY_INDEX} AS $body$ BEGIN "
    "DELETE FROM prompt_templates_search_entry e USING gone WHERE e.template_id = gone.id; RETURN NULL; END $body$",
    "CREATE TRIGGER prompt_templates_search_templates_gone AFTER DELETE ON prompt_templates_template "
    "REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION prompt_templates_search_templates_gone()",
    "CREATE FUNCTION prompt_templates_search_templates_cleared() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN "
    "DELETE FROM prompt_templates_search_entry; RETURN NULL; END $body$",
    "CREATE TRIGGER prompt_templates_search_templates_cleared AFTER TRUNCATE ON prompt_templates_template "
    "FOR EACH STATEMENT EXECUTE FUNCTION prompt_templates_search_templates_cleared()",
    "CREATE FUNCTION prompt_templates_search_template_moved() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN "
    "DELETE FROM prompt_templates_search_entry WHERE template_id = OLD.id; RETURN NULL; END $body$",
    "CREATE TRIGGER prompt_templates_search_template_moved AFTER UPDATE OF is_public, owner_id "
    "ON prompt_templates_template FOR EACH ROW WHEN (OLD.audience IS DISTINCT FROM NEW.audience) "
    "EXECUTE FUNCTION prompt_templates_search_template_moved()",
)
_POSTGRESQL_BACK = (
    "DROP TRIGGER IF EXISTS prompt_templates_search_template_moved ON prompt_templates_template",
    "DROP TRIGGER IF EXISTS prompt_templates_search_templates_cleared ON prompt_templates_template",
    "DROP TRIGGER IF EXISTS prompt_templates_search_templates_gone ON prompt_templates_template",
    "DROP TABLE prompt_templates_search_entry",
    "DROP TABLE prompt_templates_search_word",
    "DROP TABLE prompt_templates_search_piece",
    "DROP FUNCTION prompt_templates_search_template_moved()",
    "DROP FUNCTION prompt_templates_search_templates_cleared()",
    "DROP FUNCTION prompt_templates_search_templates_gone()",
    "DROP FUNCTION prompt_templates_search_entries_gone()",
    "DROP FUNCTION prompt_templates_search_words_gone()",
    "DROP FUNCTION prompt_templates_search_words_added()",
    "DROP FUNCTION prompt_templates_search_lock(bigint[])",
)
# What 0002 made there and this keeps: rows and vectors, and the functions that look through them.
_POSTGRESQL_KEPT = (
    "DROP FUNCTION prompt_templates_search_count(tsquery, integer)",
    "DROP FUNCTION prompt_templates_search_matching(tsquery, real[])",
    "DROP FUNCTION prompt_templates_search_named(tsquery, real[])",
    "DROP TABLE prompt_templates_search",
)


def make(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    _run(schema_editor, _POSTGRESQL if is_postgresql else _SQLITE)


def empty(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Have every template indexed anew."""
    apps.get_model("prompt_templates", "Template").objects.update(indexed_at=None)


def unmake(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    _run(schema_editor, _POSTGRESQL_BACK if is_postgresql else _SQLITE_BACK)


def leave(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Drop what 0002 made and is made otherwise here. First: a trigger would be lost when a table is made anew."""
    if schema_editor.connection.vendor == "postgresql":
        _run(schema_editor, _POSTGRESQL_FIRST)
    else:
        before.unmake(apps, schema_editor)


def come_back(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        _run(schema_editor, _POSTGRESQL_KEPT)
    before.make(apps, schema_editor)


def _run(schema_editor: BaseDatabaseSchemaEditor, statements: tuple[str, ...]) -> None:
    for statement in statements:
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("prompt_templates", "0004_writes")]

    operations = [
        migrations.RunPython(leave, come_back),
        migrations.RemoveIndex(model_name="template", name="template_by_category"),
        migrations.RemoveIndex(model_name="template", name="template_by_uses"),
        migrations.AddField(
            model_name="template",
            name="audience",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Case(
                    models.When(is_public=True, then=models.Value(0)),
                    default=models.F("owner"),
                    output_field=models.BigIntegerField(),
                ),
                output_field=models.BigIntegerField(null=True),
            ),
        ),
        migrations.AlterField(
            model_name="template", name="slug", field=models.SlugField(db_index=False, max_length=100)
        ),
        migrations.AddIndex(
            model_name="template", index=models.Index(fields=["audience", "slug"], name="template_by_audience")
        ),
        migrations.AddIndex(
            model_name="template", index=models.Index(fields=["audience", "category"], name="template_by_category")
        ),
        migrations.RunPython(make, unmake),
        migrations.RunPython(empty, empty),
    ]
