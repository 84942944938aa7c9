"""What the database does for names whose sort keys the server has not made yet."""

from pathlib import Path

import asyncpg

from slotwise.db.schema import migrations
from tests.clusters import execute
from tests.db.test_migrations import dbmate, empty_url

__all__ = ["empty_url"]


async def test_doctors_of_before_the_migration_and_of_right_after_it_stand_last_by_name(
    empty_url: str, tmp_path: Path
) -> None:
    """The release before adds doctors, before the functions and triggers of this one are applied."""
    *before, now = migrations()[:3]
    for migration in before:
        (tmp_path / migration.name.rpartition("/")[2]).write_text(migration.text)
    assert dbmate(empty_url, tmp_path).returncode == 0
    await execute(empty_url, "INSERT INTO doctors (name) VALUES ('Berta')")
    (tmp_path / now.name.rpartition("/")[2]).write_text(now.text)
    assert dbmate(empty_url, tmp_path).returncode == 0
    await execute(empty_url, "INSERT INTO doctors (name) VALUES ('Adam')")
    await execute(empty_url, "INSERT INTO doctors (name, name_sort_key) VALUES ('Zoe', '\\xfe')")
    connection = await asyncpg.connect(empty_url)
    in_order = await connection.fetch("SELECT name FROM doctors ORDER BY name_sort_key")
    await connection.close()
    assert [row["name"] for row in in_order] == ["Zoe", "Adam", "Berta"]
