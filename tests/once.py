"""What every test would do again is done once per test process; what a test sees stays the same.

Each test makes an app of its own. Most of that time went into compiling the same routes, templates and
statements, and into reading the same entry points.
"""

import sys
from functools import cache
from typing import Any

import jinja2
from sqlalchemy import Engine
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

from rmplugin import db, plugins


class CompiledTemplates(jinja2.BytecodeCache):
    """Templates compiled by an earlier test; a changed source has another checksum."""

    kept: dict[str, bytes] = {}  # noqa: RUF012 - shared on purpose.

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        self.kept[bucket.key] = bucket.bytecode_to_string()


def compile_routes_once() -> None:
    """Let rules that say the same share the function that builds their address."""
    compile_builder, built = Rule._compile_builder, {}

    def compiled(rule: Rule, append_unknown: bool = True) -> Any:
        defaults = tuple(sorted((rule.defaults or {}).items()))
        key = (tuple(rule._trace), tuple(rule.arguments), repr(defaults), append_unknown)
        if key not in built:
            built[key] = compile_builder(rule, append_unknown)
        return built[key]

    Rule._compile_builder = compiled


def read_entry_points_once() -> None:
    """Read the metadata of all installed packages once, and again where a test installs one."""
    read = plugins.entry_points

    @cache
    def found(_path: tuple[str, ...], group: str) -> Any:
        return read(group=group)

    plugins.entry_points = lambda group: found(tuple(sys.path), group)


def compile_statements_once(first: Engine) -> None:
    """Let engines of one kind share the statements that they compiled, as one engine does in a process.

    :param first: has been connected, so that its dialect knows its server.
    """
    make, kept = db.create_engine, LRUCache(2000)

    def made(url: str, **options: Any) -> Engine:
        engine = make(url, **options)
        if engine.dialect.name == first.dialect.name:
            engine.dialect = engine.pool._dialect = first.dialect
            engine._compiled_cache = kept
        return engine

    db.create_engine = made
