"""Definitions in files: YAML, JSON or TOML, read safely, with the line of every part.

YAML is read by its present rules (1.2): `no`, `on` and `12:30` are text. Keys that repeat are
refused, and so are files that grow beyond bounds through their aliases.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from synapsor_pg.cli.shared import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MOST_BYTES = 2 * 1024 * 1024
MOST_VALUES = 200_000
DEEPEST = 200
SUFFIXES = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}

NO_YAML = "YAML needs an extra: pip install 'synapsor-pg[plans]'"

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """One definition of a file, and at which line each of its parts stands."""

    value: Any
    file: Path
    lines: dict[Place, int] = field(default_factory=dict)

    def where(self, path: str) -> str:
        """Return `file:line` of a path as `Actions[0].Handler.Type`, or of what contains it."""
        words = re.findall(r"[^.\[\]\"'/]+", path)
        place: Place = tuple(int(word) if word.isdecimal() else word for word in words)
        for length in range(len(place), -1, -1):
            if (line := self.lines.get(place[:length])) is not None:
                return f"{self.file}:{line}"
        return str(self.file)

    def below(self, place: Place, value: Any) -> Definition:
        """Return a part of it as a definition of its own."""
        deep = len(place)
        lines = {at[deep:]: line for at, line in self.lines.items() if at[:deep] == place}
        return Definition(value, self.file, lines)


def definitions(paths: Sequence[Path]) -> list[Definition]:
    """Return the definitions of files, and of the files below folders, in order of their names."""
    return [each for path in paths for file in _files(path) for each in _read(file)]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not found:
        raise UsageError(f"{path}: there is no {', '.join(SUFFIXES)} file")
    return found


def _read(file: Path) -> Iterator[Definition]:
    form = SUFFIXES.get(file.suffix.lower())
    if form is None:
        raise UsageError(f"{file}: the name ends in none of {', '.join(SUFFIXES)}")
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 at byte {error.start}") from None
    if len(content) > MOST_BYTES:
        raise UsageError(f"{file}: larger than {MOST_BYTES // 1024} KiB")
    try:
        found = {"yaml": read_yaml, "json": _json, "toml": _toml}[form](file, text)
    except RecursionError:
        raise UsageError(f"{file}: nested too deeply") from None
    if not found:
        raise UsageError(f"{file}: the file is empty")
    return iter(found)


def _json(file: Path, text: str) -> list[Definition]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for name, value in pairs:
            if name in names:
                raise UsageError(f"{file}: {name} is there twice in one object")
            names[name] = value
        return names

    def refuse(constant: str) -> Any:
        raise UsageError(f"{file}: {constant} is no JSON")

    try:
        value = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise UsageError(f"{file}:{error.lineno}:{error.colno}: {error.msg}") from None
    except ValueError as error:  # a number without end
        raise UsageError(f"{file}: {error}") from None
    return [Definition(value, file)]


def _toml(file: Path, text: str) -> list[Definition]:
    def storable(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: storable(each) for name, each in value.items()}
        if isinstance(value, list):
            return [storable(each) for each in value]
        if isinstance(value, (datetime, date, time)):
            return value.isoformat()
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{file}: {value} is no JSON")
        return value

    try:
        return [Definition(storable(tomllib.loads(text)), file)]
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from None


# YAML


def read_yaml(file: Path, text: str) -> list[Definition]:
    """Return the documents of a YAML text."""
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(NO_YAML) from None
    loader_class, loader = _loader(), None
    found = []
    try:
        loader = loader_class(text)
        while loader.check_node():
            node = loader.get_node()
            reader = _Reader(file)
            value = reader.value(node, (), ())
            found.append(Definition(value, file, reader.lines))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UsageError(f"{file}{place}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: {str(error).splitlines()[0]}") from None
    finally:
        if loader is not None:
            loader.dispose()
    return [each for each in found if each.value is not None]


TAG = "tag:yaml.org,2002:"
FLOAT = (
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
PLAIN = [
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", FLOAT, "-+0123456789."),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"^<<$", "<"),
]


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(number)
    return number


def _loader() -> Any:
    """Return a loader that knows YAML 1.2's plain scalars and constructs nothing."""
    from yaml import SafeLoader  # noqa: PLC0415

    class Loader(SafeLoader):
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as PyYAML has it

    for name, pattern, first in PLAIN:
        Loader.add_implicit_resolver(TAG + name, re.compile(pattern), list(first))
    return Loader


def write_yaml(value: Any) -> str:
    """Return JSON's values as YAML that reads the same by the rules of 1.1 and of 1.2."""
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(NO_YAML) from None

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, _data: Any) -> bool:
            return True

    for name, pattern, first in PLAIN:
        Dumper.add_implicit_resolver(TAG + name, re.compile(pattern), list(first))
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)


class _Reader:
    """Turns the nodes of one YAML document into JSON's values, with bounds."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: dict[Place, int] = {}
        self.count = 0

    def value(self, node: Any, place: Place, above: tuple[int, ...]) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        self.count += 1
        if self.count > MOST_VALUES:
            raise self.mistake(node, f"more than {MOST_VALUES} values, aliases included")
        if id(node) in above:
            raise self.mistake(node, "an alias contains itself")
        if len(above) > DEEPEST:
            raise self.mistake(node, f"nested deeper than {DEEPEST}")
        within = (*above, id(node))
        if node.id == "scalar":
            return self.scalar(node)
        if node.id == "sequence":
            self.expect_tag(node, "seq")
            return [
                self.value(each, (*place, position), within)
                for position, each in enumerate(node.value)
            ]
        self.expect_tag(node, "map")
        return self.mapping(node, place, within)

    def mapping(self, node: Any, place: Place, within: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.id != "scalar":
                raise self.mistake(key, "a key is a list or a mapping")
            if key.tag == TAG + "merge":
                sources = value.value if value.id == "sequence" else [value]
                for source in sources:
                    content = self.value(source, place, within)
                    if not isinstance(content, dict):
                        raise self.mistake(source, "what is merged is no mapping")
                    merged = content | merged
                continue
            if key.value in found:
                raise self.mistake(key, f"{key.value} is there twice in one mapping")
            self.lines[*place, key.value] = key.start_mark.line + 1
            found[key.value] = self.value(value, (*place, key.value), within)
        return merged | found if merged else found

    def scalar(self, node: Any) -> Any:
        text = node.value
        try:
            match node.tag.removeprefix(TAG):
                case "str" | "merge":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    digits = text.lower().lstrip("+")
                    return int(digits, 0 if digits.startswith(("0x", "0o")) else 10)
                case "float":
                    return _finite(float(text))
        except (ValueError, KeyError):
            raise self.mistake(node, f"{text!r} is no {node.tag.removeprefix(TAG)}") from None
        raise self.mistake(node, f"the tag {node.tag} is not known")

    def expect_tag(self, node: Any, name: str) -> None:
        if node.tag != TAG + name:
            raise self.mistake(node, f"the tag {node.tag} is not known")

    def mistake(self, node: Any, fact: str) -> UsageError:
        mark = node.start_mark
        return UsageError(f"{self.file}:{mark.line + 1}:{mark.column + 1}: {fact}")
