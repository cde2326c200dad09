"""Hooks: documented, called with what they promise, and tested."""

import ast
import inspect
import re

import pytest

from rmplugin import hookspecs
from rmplugin.api import hookimpl
from rmplugin.jobs import enqueue, work_outbox
from rmplugin.wiring import make_runtime
from tests.rules.source import ROOT, parse, place, python_files

HOOKS = {
    name: function
    for name, function in vars(hookspecs).items()
    if name.startswith("rm_") and inspect.isfunction(function)
}
NOTIFICATIONS = {
    name for name, function in HOOKS.items() if inspect.signature(function).return_annotation is None
}
REGISTRATIONS = set(HOOKS) - NOTIFICATIONS


def hooks_told(runtime) -> dict[str, str]:
    """Give kind of event -> hook that is told."""
    return dict(runtime.hooks)


def enqueued(kinds: set[str]) -> list[tuple[str, str, set[str]]]:
    """Find every place that writes an event: place, kind, names of its facts."""
    found = []
    for path in python_files("rmplugin"):
        for node in ast.walk(parse(path)):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name != "enqueue":
                continue
            kind = node.args[1] if len(node.args) > 1 else None
            if isinstance(kind, ast.Constant) and kind.value in kinds:
                facts = {keyword.arg for keyword in node.keywords if keyword.arg}
                found.append((place(path, node), kind.value, facts))
    return found


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_hook_when_specified_has_a_contract_and_is_documented(name):
    assert HOOKS[name].__doc__
    document = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
    assert f"`{name}({arguments})`" in document


def test_hooks_when_documented_exist():
    document = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\brm_[a-z_]+\b", document)) <= set(HOOKS)


@pytest.mark.parametrize("name", sorted(REGISTRATIONS))
def test_registration_hook_when_specified_is_asked(name):
    asked = {
        node.args[0].value
        for path in python_files("rmplugin")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "gather"
        and isinstance(node.args[0], ast.Constant)
    }
    assert name in asked


def test_notification_hooks_when_specified_belong_to_an_event(runtime):
    assert set(hooks_told(runtime).values()) == NOTIFICATIONS


def test_events_when_written_carry_what_their_hook_promises(runtime):
    told = hooks_told(runtime)
    places = enqueued(set(told))
    lacking = []
    for where, kind, facts in places:
        promised = set(inspect.signature(HOOKS[told[kind]]).parameters) - {"tenant_id", "tenant_slug"}
        if promised - facts:
            lacking.append(f"{where}: {kind} lacks {sorted(promised - facts)}")
    assert lacking == []
    assert {kind for _where, kind, _facts in places} == set(told), "an event that nobody writes"


class Listener:
    """A plug-in that hears everything, and one of whose hooks fails."""

    def __init__(self) -> None:
        self.heard = {}


def _make_listener() -> Listener:
    listener = Listener()
    for name in NOTIFICATIONS:
        arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
        # pluggy gives a hook the arguments that it names, so the function has to name them.
        space = {"heard": listener.heard}
        exec(f"def {name}({arguments}):\n    heard[{name!r}] = dict(locals())", space)
        setattr(listener, name, hookimpl(space[name]))
    return listener


class Breaking:
    """A plug-in that fails whenever it is told something."""


for _name in NOTIFICATIONS:

    def _fail(tenant_id=None, tenant_slug=None):
        raise RuntimeError("a plug-in's own fault")

    setattr(Breaking, _name, staticmethod(hookimpl(_fail)))


@pytest.mark.parametrize("name", sorted(NOTIFICATIONS))
def test_notification_hook_when_its_event_is_worked_on_is_told_although_another_plugin_fails(
    name, settings, tenant, clock
):
    listener = _make_listener()
    runtime = make_runtime(settings, plugins=[Breaking(), listener, Breaking()], clock=clock)
    parameters = inspect.signature(HOOKS[name]).parameters
    facts = {parameter: parameter for parameter in parameters if parameter != "tenant_id"}
    try:
        with runtime.database.transaction(tenant.id) as db:
            enqueue(db, name, clock.now, **facts)
        assert work_outbox(runtime) == 1
        assert work_outbox(runtime) == 0
    finally:
        runtime.database.close()
        runtime.queue.storage.close()
    assert listener.heard[name] == {
        **facts,
        **({"tenant_id": str(tenant.id)} if "tenant_id" in parameters else {}),
    }
