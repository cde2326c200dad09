"""Finds functions, classes, methods, constants and imports of the product that the product itself never uses.

Vulture does the finding. Columns and form fields are declarations that it cannot follow, so they do not
count; names that a template says count as used.
"""

import re
import sys
from pathlib import Path

from vulture import Vulture

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("rmplugin", "connectors", "lti")
# Called by a framework because of the decorator.
DECORATORS = [
    "@pages.*", "@blueprint.*", "@bp.*", "@*.command", "@*.group", "@*.callback", "@hookimpl", "@hookspec",
    "@event.listens_for", "@ma.*", "@*.task", "@*.periodic_task",
]  # fmt: skip
# Called by a framework because of the name.
NAMES = [
    "process_bind_param", "process_result_value", "_serialize", "_deserialize", "Meta", "do_GET", "do_POST",
    "handle_*", "log_message", "log_request", "upgrade", "downgrade", "return_ok_*", "list_commands",
    "get_command", "_new_conn",
]  # fmt: skip
# Not used by the product itself, and wanted all the same: name -> why.
PROTOCOL = "lti is a package of its own: a part of AGS or deep linking that platforms' tests use"
OVERRIDES = "PyLTI1p3 calls it: a step of the message's validation"
CONTRACT = "third parties' tests of their connectors use it"
DISCLOSURE = "disclosure control is one whole: reports that cut by unit or overlap need these two"
WANTED: dict[str, str] = {
    "_get_request_param": OVERRIDES,
    "generate_signing_key": PROTOCOL,
    "load_signing_key": PROTOCOL,
    "may_show": DISCLOSURE,
    "safe_means": DISCLOSURE,
    "make_app": "gunicorn calls it by name",
    "save_launch_data": OVERRIDES,
    "update_line_item": PROTOCOL,
    "validate_deployment": OVERRIDES,
    "validate_jwt_format": OVERRIDES,
    "validate_jwt_signature": OVERRIDES,
    "validate_nonce": OVERRIDES,
    "validate_registration": OVERRIDES,
    "validate_state": OVERRIDES,
}


def find() -> list[str]:
    """Give one line for each finding."""
    vulture = Vulture(ignore_names=NAMES, ignore_decorators=DECORATORS)
    vulture.scavenge([str(ROOT / name) for name in PACKAGES], exclude=["*/migrations/*"])
    pages = " ".join(path.read_text(encoding="utf-8") for path in ROOT.glob("rmplugin/**/*.html"))
    used = set(re.findall(r"\w+", pages)) | set(re.findall(r"\w+", (ROOT / "pyproject.toml").read_text()))
    findings, wanted = [], set()
    for item in vulture.get_unused_code():
        constant = item.typ == "variable" and item.name.isupper()
        if item.typ in ("attribute", "variable") and not constant:
            continue
        if item.name in WANTED:
            wanted.add(item.name)
        elif item.name not in used:
            place = item.filename.resolve().relative_to(ROOT)
            findings.append(f"{place}:{item.first_lineno}: unused {item.typ} '{item.name}'")
    return findings + [
        f".ci/dead_code.py: '{name}' is used now: remove it" for name in WANTED.keys() - wanted
    ]


if __name__ == "__main__":
    found = find()
    print("\n".join(found) or "no dead code")
    sys.exit(bool(found))
