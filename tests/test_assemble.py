"""The assembled scripts: their order, what is stripped, what is embedded."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import assemble
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg
    from support.database import Database

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a small source tree."""

    def write(**files: str) -> Path:
        contents = {
            "synapsor.control": "default_version = '7.8'\n",
            "sql/00_foundation/python.sql": f"sources = {assemble.PLACEHOLDER}\n",
            "plpython/synapsor_plpython/__init__.py": "",
            **{name.replace("__", "/"): text for name, text in files.items()},
        }
        for name, text in contents.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        return tmp_path

    return write


def markers(script: str) -> list[str]:
    return re.findall(r"^-- (sql/\S+)$", script, flags=re.MULTILINE)


def test_files_that_run_once_come_first_in_their_folder(tree: Callable[..., Path]) -> None:
    names = ["a.sql", "_z.sql", "tables.sql", "types.sql", "roles.sql", "schema.sql", "zz.sql"]
    root = tree(**{f"sql/10_session/{name}": "select 1;\n" for name in names})
    script = assemble.install_script(root)
    assert markers(script) == [
        "sql/00_foundation/python.sql",
        "sql/10_session/schema.sql",
        "sql/10_session/roles.sql",
        "sql/10_session/types.sql",
        "sql/10_session/tables.sql",
        "sql/10_session/_z.sql",
        "sql/10_session/a.sql",
        "sql/10_session/zz.sql",
    ]


def test_an_install_replaces_nothing(tree: Callable[..., Path]) -> None:
    body = "create or replace function f() …\n    -- create or replace stays inside\n"
    root = tree(**{"sql/10_session/f.sql": body})
    script = assemble.install_script(root)
    assert "\ncreate function f() …\n    -- create or replace stays" in script
    assert "\ncreate or replace function f() …" in assemble.update_script(root, "7.7", "7.8")


def test_an_update_runs_its_step_and_nothing_that_runs_once(tree: Callable[..., Path]) -> None:
    root = tree(
        **{
            "sql/10_session/tables.sql": "create table t ();\n",
            "sql/10_session/f.sql": "create or replace function f() …\n",
            "sql/upgrades/7.7--7.8.sql": "alter table t …\n",
        }
    )
    assert markers(assemble.update_script(root, "7.7", "7.8")) == [
        "sql/upgrades/7.7--7.8.sql",
        "sql/00_foundation/python.sql",
        "sql/10_session/f.sql",
    ]
    assert markers(assemble.update_script(root, "7.6", "7.8"))[0] == "sql/00_foundation/python.sql"


def test_scripts_refuse_to_run_outside_create_extension(tree: Callable[..., Path]) -> None:
    first, second, *_ = assemble.install_script(tree()).splitlines()
    assert first == '\\echo Use "create extension synapsor" to load this file. \\quit'
    assert second == "set local search_path = pg_catalog, pg_temp;"
    first, *_ = assemble.update_script(tree(), "7.7", "7.8").splitlines()
    assert first.startswith("\\echo Use \"alter extension synapsor update to '7.8'\"")


def test_embedded_sources_equal_the_files(tree: Callable[..., Path]) -> None:
    source = "EURO = \"€ \\n ''' $$\"\n\n\ndef half(n):\n    return n / 2"
    root = tree(**{"plpython/synapsor_plpython/money.py": source})
    text = assemble.embedded_package(root)
    assert text.isascii()
    assert ast.literal_eval(text) == {"synapsor_plpython": "", "synapsor_plpython.money": source}


def test_the_quote_around_the_package_cannot_be_closed_from_inside(
    tree: Callable[..., Path],
) -> None:
    root = tree(**{"plpython/synapsor_plpython/money.py": 'QUOTE = "$python$"\n'})
    with pytest.raises(ValueError, match=r"\$python\$"):
        assemble.install_script(root)


def test_the_repository_itself() -> None:
    script = assemble.install_script(ROOT)
    assert assemble.PLACEHOLDER not in script
    assert assemble.AT_ONCE_PLACEHOLDER not in script
    assert not re.search(r"^create or replace", script, flags=re.MULTILINE)
    assert set(markers(script)) == {
        str(file.relative_to(ROOT)) for file in (ROOT / "sql").glob("[0-9][0-9]_*/*.sql")
    }


def test_every_file_that_runs_again_can(subtests: pytest.Subtests) -> None:
    for file in assemble.sources(ROOT):
        if file.name not in assemble.ONCE:
            with subtests.test(file=str(file.relative_to(ROOT))):
                once = re.findall(
                    r"^create (?!or replace )\w+(?: \S+)?", file.read_text(), re.MULTILINE
                )
                assert once == []


def test_the_version_is_the_control_file_s() -> None:
    version = assemble.default_version(ROOT)
    meta = json.loads((ROOT / "META.json").read_text("utf-8"))
    assert meta["version"] == meta["provides"]["synapsor"]["version"] == version


# An open session must not go on with the old modules after ALTER EXTENSION … UPDATE.

PROBE = """
create or replace function pg_temp.probe() returns text language plpython3u as $python$
if "probe" not in SD:
    plpy.execute("select synapsor._load_python()")
    SD["probe"] = GD["synapsor_python"]["probe"]
return SD["probe"].answer()
$python$
"""


def loader(root: Path) -> str:
    """Return the statement that replaces the loader by one with that tree's modules."""
    script = assemble.update_script(root, "7.7", "7.8")
    return script[script.index("create or replace function synapsor._load_python") :]


@pytest.fixture
def package(tree: Callable[..., Path]) -> Callable[[str], Path]:
    """Give a function that writes a package of two modules around one answer."""

    def write(answer: str) -> Path:
        return tree(
            **{
                "sql/00_foundation/python.sql": (ROOT / "sql/00_foundation/python.sql").read_text(),
                "plpython/synapsor_plpython/words.py": f"WORD = {answer!r}\n",
                "plpython/synapsor_plpython/probe.py": (
                    "from __future__ import annotations\n\n"
                    "from synapsor_plpython.words import WORD\n\n\n"
                    "def answer() -> str:\n    return WORD\n"
                ),
            }
        )

    return write


def answer(connection: psycopg.Connection[tuple[str]]) -> str:
    row = connection.execute("select pg_temp.probe()").fetchone()
    assert row
    return row[0]


def test_an_open_session_uses_the_new_modules(
    database: Database, package: Callable[[str], Path]
) -> None:
    session, administrator = database.connect(), database.connect()
    administrator.execute(loader(package("old")))  # type: ignore[arg-type]
    session.execute(PROBE)
    assert answer(session) == "old"
    administrator.execute(loader(package("new")))  # type: ignore[arg-type]
    session.execute(PROBE)  # as an update replaces every function
    assert answer(session) == "new"


def test_an_update_that_is_rolled_back_leaves_the_old_modules(
    database: Database, package: Callable[[str], Path]
) -> None:
    session = database.connect()
    session.execute(loader(package("old")))  # type: ignore[arg-type]
    session.execute(PROBE)
    assert answer(session) == "old"
    session.execute("begin")
    session.execute(loader(package("new")))  # type: ignore[arg-type]
    session.execute(PROBE)
    assert answer(session) == "new"
    session.execute("rollback")
    assert answer(session) == "old"


def test_no_file_on_the_server_stands_in_for_an_embedded_module(
    database: Database, package: Callable[[str], Path]
) -> None:
    session = database.connect()
    session.execute(loader(package("ours")))  # type: ignore[arg-type]
    session.execute(
        """
        do language plpython3u $python$
        import sys, types
        for name in ("synapsor_plpython", "synapsor_plpython.probe"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["synapsor_plpython.probe"].answer = lambda: "theirs"
        $python$
        """
    )
    session.execute(PROBE)
    assert answer(session) == "ours"
