"""Where somebody's name or address is kept: a search through all text of all tables and of the planner's samples."""

from tests.clinic import rows


def places_of(database_url: str, *words: str) -> set[str]:
    """`table.column` of every value that holds one of these words, whatever its case and type."""
    columns = rows(
        database_url,
        "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
    )
    # A bytea as text is in hexadecimal: its bytes are looked at too.
    searches = [
        f"SELECT '{table}.{column}' FROM {table}"
        f" WHERE strpos(lower({column}::text), lower(word)) + strpos(lower({column}::text),"
        f" encode(convert_to(word, 'UTF8'), 'hex')) > 0"
        for table, column in columns
    ]
    searches.append(
        "SELECT concat('pg_stats.', tablename, '.', attname) FROM pg_stats WHERE schemaname = 'public' AND"
        " strpos(lower(concat(most_common_vals, histogram_bounds, most_common_elems)), lower(word)) > 0"
    )
    found = rows(
        database_url,
        "SELECT DISTINCT place.name FROM unnest($1::text[]) AS word CROSS JOIN LATERAL ("
        + " UNION ALL ".join(searches)
        + ") AS place (name)",
        list(words),
    )
    return {row["name"] for row in found}
