"""What every test would do again is done once per test process; what a test sees stays the same.

Each test makes an app of its own. Most of that time went into compiling the same routes, templates and
statements, and into reading the same entry points and plug-ins.
"""

import sys
from functools import cache
from itertools import cycle
from types import SimpleNamespace
from typing import Any

import jinja2
import pluggy
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Engine
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

from rmplugin import db, plugins
from rmplugin.tenants import keys


class CompiledTemplates(jinja2.BytecodeCache):
    """Templates compiled by an earlier test; a changed source has another checksum."""

    kept: dict[str, bytes] = {}  # noqa: RUF012 - shared on purpose.

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        self.kept[bucket.key] = bucket.bytecode_to_string()


def compile_routes_once() -> None:
    """Let rules that say the same share what was compiled for their address."""
    compile_rule, kept = Rule.compile, {}
    names = ("_parts", "_trace", "_converters", "arguments")

    def compiled(rule: Rule) -> None:
        defaults = tuple(sorted((rule.defaults or {}).items()))
        key = (rule.rule, rule.host, rule.subdomain, rule.merge_slashes, repr(defaults))
        if key not in kept:
            compile_rule(rule)
            functions = {name: getattr(rule, name).__func__ for name in ("_build", "_build_unknown")}
            kept[key] = {name: getattr(rule, name) for name in names}, functions
            return
        values, functions = kept[key]
        vars(rule).update(values)
        for name, function in functions.items():
            setattr(rule, name, function.__get__(rule))

    Rule.compile = compiled


def read_entry_points_once() -> None:
    """Read the metadata of all installed packages once, and again where a test installs one."""
    read = plugins.entry_points

    @cache
    def found(_path: tuple[str, ...], group: str) -> Any:
        return read(group=group)

    plugins.entry_points = lambda group: found(tuple(sys.path), group)


def read_hooks_once() -> None:
    """Look once for the hooks in the modules that are our plug-ins; no test changes one of them."""
    parse, kept = pluggy.PluginManager.parse_hookimpl_opts, {}

    def parsed(manager: pluggy.PluginManager, plugin: Any, name: str) -> Any:
        if not getattr(plugin, "__name__", "").startswith("connectors."):
            return parse(manager, plugin, name)
        if (plugin, name) not in kept:
            kept[plugin, name] = parse(manager, plugin, name)
        return kept[plugin, name]

    pluggy.PluginManager.parse_hookimpl_opts = parsed


def make_tool_keys_once() -> None:
    """Make sixteen pairs of keys for the tool, in turn: as many as no test needs at a time."""
    made, turns = cache(lambda _turn, **kind: rsa.generate_private_key(**kind)), cycle(range(16))
    keys.rsa = SimpleNamespace(generate_private_key=lambda **kind: made(next(turns), **kind))


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
