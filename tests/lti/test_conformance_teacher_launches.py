"""Certification guide, valid teacher launches: the manager's desk, or less where roles say less."""

from tests.fakes.lti_platform import CLAIM, INSTRUCTOR
from tests.lti.conformance import NAMES, PERSON, cases

case = cases("Valid teacher launch")


def teach(suite, roles=(INSTRUCTOR,), **options):
    return suite.launch(**{CLAIM + "roles": list(roles), **options})


@case("Instructor", sent="one context role", shows="manager")
def test_instructor_when_launched_sees_the_managers_desk(suite):
    suite.expect(teach(suite))


@case("Instructor with Multiple Role Values", sent="with institution Staff and Other", shows="manager")
def test_instructor_with_multiple_role_values_when_launched_sees_the_managers_desk(suite):
    suite.expect(teach(suite, [PERSON + "Staff", INSTRUCTOR, PERSON + "Other"]))


@case("Instructor with Short Role", sent='"Instructor"', shows="manager")
def test_instructor_with_short_role_when_launched_sees_the_managers_desk(suite):
    suite.expect(teach(suite, ["Instructor"]))


@case("Instructor with Unknown Role", sent="an unknown URI alone", shows="participant")
def test_instructor_with_unknown_role_when_launched_has_least_privilege(suite):
    suite.expect(teach(suite, ["http://purl.imsglobal.org/vocab/lis/v2/unknown/unknown#Helper"]))


@case("Instructor with No Role", sent='`[""]`', shows="participant")
def test_instructor_with_no_role_when_launched_has_least_privilege(suite):
    suite.expect(teach(suite, [""]))


@case("Instructor with Only Email", sent="no name, given_name, family_name", shows="manager")
def test_instructor_with_only_email_when_launched_sees_the_managers_desk(suite):
    suite.expect(teach(suite, remove=NAMES))


@case("Instructor with Only Names", sent="no email", shows="manager")
def test_instructor_with_only_names_when_launched_sees_the_managers_desk(suite):
    suite.expect(teach(suite, remove=("email",)))


@case("Instructor with No PII", sent="neither names nor email nor HR id", shows="manager")
def test_instructor_with_no_pii_when_launched_sees_the_managers_desk(suite):
    suite.expect(teach(suite, remove=(*NAMES, "email", CLAIM + "custom")))


@case("Instructor with Email, No Context", sent="no context, no names", shows="manager")
def test_instructor_with_email_and_no_context_when_launched_sees_the_managers_desk(suite):
    suite.expect(teach(suite, remove=(*NAMES, CLAIM + "context")))
