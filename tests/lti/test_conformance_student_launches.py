"""Certification guide, valid student launches: each opens the participant's home and never the desk."""

from lti import claims
from tests.factories.identity import the_user
from tests.fakes.lti_platform import CLAIM, LEARNER
from tests.lti.conformance import NAMES, PERSON, cases

case = cases("Valid student launch")


def learn(suite, roles=(LEARNER,), **options):
    return suite.launch(**{CLAIM + "roles": list(roles), **options})


@case("Student", sent="one context role", shows="participant")
def test_student_when_launched_sees_their_home(suite):
    suite.expect(learn(suite))


@case("Student with Multiple Role Values", sent="with institution Student and Mentor", shows="participant")
def test_student_with_multiple_role_values_when_launched_is_not_promoted(suite):
    suite.expect(learn(suite, [PERSON + "Mentor", LEARNER, PERSON + "Student", PERSON + "Instructor"]))


@case("Student with Short Role", sent='"Learner"', shows="participant")
def test_student_with_short_role_when_launched_sees_their_home(suite):
    suite.expect(learn(suite, ["Learner"]))


@case("Student with Unknown Role", sent="an unknown URI with Learner", shows="participant")
def test_student_with_unknown_role_when_launched_sees_their_home(suite):
    suite.expect(learn(suite, ["http://purl.imsglobal.org/vocab/lis/v2/unknown/unknown#Helper", LEARNER]))


@case("Student with No Role", sent="`[]`", shows="participant")
def test_student_with_no_role_when_launched_sees_their_home(suite):
    suite.expect(learn(suite, []))


@case("Student with Only Email", sent="no names, no HR id: found by the address", shows="participant")
def test_student_with_only_email_when_launched_is_named_by_the_address(suite, database, tenant):
    suite.expect(learn(suite, remove=(*NAMES, CLAIM + "custom")))
    assert the_user(database, tenant).name == "ada@company.example"


@case("Student with Only Names", sent="no email", shows="participant")
def test_student_with_only_names_when_launched_is_not_keyed_on_email(suite, database, tenant):
    suite.expect(learn(suite, remove=("email",)))
    user = the_user(database, tenant)
    assert (user.name, user.email, user.link_source) == ("Ada Byron", None, "custom")


@case("Student with No PII", sent="neither names nor email", shows="participant")
def test_student_with_no_pii_when_launched_sees_their_home(suite, database, tenant):
    suite.expect(learn(suite, remove=(*NAMES, "email")))
    assert the_user(database, tenant).name is None


@case("Student with No PII, no HR id", sent="neither names nor email nor HR id", shows="stranger")
def test_student_with_no_pii_and_no_hr_id_when_launched_is_told_what_is_missing(suite):
    words, _ = suite.expect(learn(suite, remove=(*NAMES, "email", CLAIM + "custom")))
    assert "LMS" in words


@case("Student with Email, No Context", sent="no context, no names", shows="participant")
def test_student_with_email_and_no_context_when_launched_sees_their_home(suite):
    suite.expect(learn(suite, remove=(*NAMES, CLAIM + "context")))


@case("Student Only Resource Link", sent="no optional claim at all", shows="stranger")
def test_student_with_only_resource_link_when_launched_sees_a_page(suite):
    optional = ("context", "custom", "launch_presentation")
    services = (claims.NRPS_SERVICE, claims.AGS_ENDPOINT)
    suite.expect(learn(suite, remove=(*(CLAIM + name for name in optional), *services, *NAMES, "email")))
