"""Second managers, appraisers and HR partners: never a pair, and what happens to pairs that exist."""

import pytest

from rmplugin.errors import InputError
from rmplugin.jobs import work_outbox
from rmplugin.matching import interruptions, queries
from rmplugin.matching.models import Pairing
from rmplugin.people.side_lines import read_lines, replace_lines, side_lines
from tests.factories.matching import make_scene


def put(scene, *rows: tuple[str, str, str]):
    with scene.transaction() as db:
        return replace_lines(
            db,
            [
                {"person": str(getattr(scene, a).id), "other": str(getattr(scene, b).id), "kind": kind}
                for a, b, kind in rows
            ],
            "command",
            scene.runtime.clock(),
        )


@pytest.mark.parametrize("kind", ["dotted", "appraisal", "hr_partner"])
@pytest.mark.parametrize("names", [("Ana", "Pia"), ("Pia", "Ana")])
def test_run_when_a_line_beside_connects_two_never_pairs_them(runtime, tenant, kind, names):
    scene = make_scene(runtime, tenant, "Ana", "Pia Qin")
    put(scene, (*names, kind))
    assert scene.live(scene.run()) == {("Ana", "Qin")}


def test_pairing_when_a_line_comes_is_suspended_and_when_it_goes_the_manager_hears(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    pairing = scene.pair_up("Ana", "Pia")
    put(scene, ("Pia", "Ana", "appraisal"))
    with scene.transaction() as db:
        assert interruptions.check_firewall(db, runtime.clock()) == 1
        row = db.get_one(Pairing, pairing.id)
        assert (row.state, row.interruption) == ("suspended", "reporting_line")
    assert put(scene).removed == 1
    with scene.transaction() as db:
        interruptions.check_firewall(db, runtime.clock())
        assert db.get_one(Pairing, pairing.id).interruption == "line_gone"


def test_lines_when_they_changed_make_the_worker_look(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    pairing = scene.pair_up("Ana", "Pia")
    put(scene, ("Ana", "Pia", "dotted"))
    work_outbox(runtime)
    with scene.transaction() as db:
        assert queries.get_pairing(db, pairing.id).state == "suspended"


def test_lines_when_a_row_is_bad_add_the_good_ones_and_remove_none(runtime, tenant):
    scene = make_scene(runtime, tenant, "Ana Ben", "Pia")
    assert put(scene, ("Ana", "Pia", "dotted")).as_json() == {
        "lines": 1,
        "added": 1,
        "removed": 0,
        "skipped": [],
    }
    report = put(scene, ("Ben", "Pia", "dotted"), ("Ana", "Pia", "friend"), ("Ben", "Ben", "dotted"))
    assert (report.lines, report.added, report.removed) == (2, 1, 0)
    assert [(entry["ref"], entry["field"]) for entry in report.skipped] == [
        ("row 3", "kind"),
        ("row 4", "person"),
    ]
    again = put(scene, ("Ben", "Pia", "appraisal"))
    assert (again.lines, again.added, again.removed) == (1, 0, 1)
    with scene.transaction() as db:
        assert side_lines(db) == [(scene.Ben.id, scene.Pia.id)]


def test_file_of_lines_when_a_column_is_missing_says_which():
    with pytest.raises(InputError, match="other, kind"):
        read_lines("person\n1\n")
    assert read_lines("\ufeffKind;Person;Other\ndotted; 1 ;2\n") == [
        {"person": "1", "other": "2", "kind": "dotted"}
    ]
