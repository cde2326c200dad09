"""What else the specifications forbid (Security 1.0, section 5.1.3; Core 1.3; the message types)."""

from jwcrypto.jwk import JWK
from sqlalchemy import select

from lti import claims
from rmplugin.tenants.models import LtiDeployment
from tests.factories.launches import TARGET, hire, register
from tests.fakes.lti_platform import CLAIM, LtiPlatform, sign, unsigned
from tests.lti.conformance import DEEP_LINKING, cases

signature = cases("Signature")
addressee = cases("Issuer and audience")
one_time = cases("Nonce and state")
times = cases("Times")
content = cases("Claims")


# The signature


@signature("alg none", sent="header alg none, no signature", code="algorithm_not_allowed", status=401)
def test_alg_none_when_launched_is_refused_algorithm_not_allowed(suite):
    suite.expect(suite.launch(sign=unsigned))
    assert suite.platform.requests == []


@signature("alg HS256", sent="signed with a shared secret", code="algorithm_not_allowed", status=401)
def test_alg_hs256_when_launched_is_refused_algorithm_not_allowed(suite):
    secret = JWK(kty="oct", k="c2VjcmV0" * 8)
    suite.expect(suite.launch(sign=lambda body: sign(body, secret, {"alg": "HS256", "kid": "Kid-One"})))


@signature(
    "alg HS256 with the public key",
    sent="signed with the published key taken as a secret",
    code="algorithm_not_allowed",
    status=401,
)
def test_alg_hs256_with_public_key_when_launched_is_refused_algorithm_not_allowed(suite):
    modulus = suite.platform.keys[0].export_public(as_dict=True)["n"]
    secret = JWK(kty="oct", k=modulus)
    suite.expect(suite.launch(sign=lambda body: sign(body, secret, {"alg": "HS256", "kid": "Kid-One"})))


@signature("alg RS384", sent="the right key, another algorithm", code="algorithm_not_allowed", status=401)
def test_alg_rs384_when_launched_is_refused_algorithm_not_allowed(suite):
    header = {"alg": "RS384", "kid": "Kid-One"}
    suite.expect(suite.launch(sign=lambda body: sign(body, suite.platform.keys[0], header)))


@signature("Bad signature", sent="another key under the published kid", code="signature_invalid", status=401)
def test_bad_signature_when_launched_is_refused_signature_invalid(suite, platform_keys):
    header = {"alg": "RS256", "kid": "Kid-One"}
    suite.expect(suite.launch(sign=lambda body: sign(body, platform_keys[2], header)))


@signature(
    "Claims exchanged", sent="another sub under a valid signature", code="signature_invalid", status=401
)
def test_claims_exchanged_when_launched_is_refused_signature_invalid(suite):
    def forge(body):
        head, _, proof = suite.platform.id_token(body).split(".")
        return ".".join((head, unsigned({**body, "sub": "1"}).split(".")[1], proof))

    suite.expect(suite.launch(sign=forge))


@signature("Broken token", sent="no compact JWS", code="token_malformed", status=400)
def test_broken_token_when_launched_is_refused_token_malformed(suite):
    suite.expect(suite.launch(sign=lambda _: "abc"), read=False)


@signature("Key set unreachable", sent="while /jwks answers 503", code="key_set_unreachable", status=503)
def test_key_set_unreachable_when_launched_is_refused_key_set_unreachable(suite):
    suite.platform.jwks_answer = (503, "{}")
    suite.expect(suite.launch())


# For whom and from whom


@addressee("Issuer not registered, login", sent="login with another iss", code="issuer_unknown", status=403)
def test_issuer_not_registered_when_logging_in_is_refused_issuer_unknown(suite):
    suite.expect(suite.log_in(iss="https://elsewhere.example"), read=False, known=False)


@addressee("Issuer not registered", sent="another iss in the token", code="issuer_unknown", status=403)
def test_issuer_not_registered_when_launched_is_refused_issuer_unknown(suite):
    suite.expect(suite.launch(iss="https://elsewhere.example"))


@addressee("Client not registered", sent="login with another client_id", code="client_unknown", status=403)
def test_client_not_registered_when_logging_in_is_refused_client_unknown(suite):
    suite.expect(suite.log_in(client_id="other"), read=False, known=False)


@addressee("Login without iss", sent="login without iss", code="login_incomplete", status=400)
def test_login_without_iss_when_sent_is_refused_login_incomplete(suite):
    suite.expect(suite.log_in(iss=None), read=False, known=False)


@addressee("Login without login_hint", sent="login without login_hint", code="login_incomplete", status=400)
def test_login_without_login_hint_when_sent_is_refused_login_incomplete(suite):
    suite.expect(suite.log_in(login_hint=None), read=False, known=False)


@addressee("aud lacks client_id", sent="aud of another tool", code="audience_invalid", status=403)
def test_aud_lacks_client_id_when_launched_is_refused_audience_invalid(suite):
    suite.expect(suite.launch(aud=["other"]))


@addressee(
    "aud of another registration",
    sent="login for one client, token for another",
    code="audience_invalid",
    status=403,
)
def test_aud_of_another_registration_when_launched_is_refused_audience_invalid(
    suite, database, tenant, clock, platform_keys
):
    with LtiPlatform(platform_keys[0], dict, clock) as second:
        second.client_id = "client-2"
        register(database, tenant, second, clock.now, name="second")
        suite.expect(suite.launch(aud="client-2"))


@addressee("Several aud without azp", sent="two audiences, no azp", code="azp_missing", status=403)
def test_several_aud_without_azp_when_launched_is_refused_azp_missing(suite):
    suite.expect(suite.launch(aud=["client-1", "other"]))


@addressee("azp differs", sent="azp of another tool", code="azp_invalid", status=403)
def test_azp_differs_when_launched_is_refused_azp_invalid(suite):
    suite.expect(suite.launch(aud=["client-1", "other"], azp="other"))


@addressee("Several aud with azp", sent="two audiences, our azp", shows="participant")
def test_several_aud_with_azp_when_launched_opens(suite):
    suite.expect(suite.launch(aud=["other", "client-1"], azp="client-1"))


# Once, in one browser


@one_time("Nonce missing", sent="no nonce", code="nonce_missing", status=400)
def test_nonce_missing_when_launched_is_refused_nonce_missing(suite):
    suite.expect(suite.launch(remove=("nonce",)))


@one_time("Nonce not ours", sent="a nonce that no login gave out", code="nonce_invalid", status=403)
def test_nonce_not_ours_when_launched_is_refused_nonce_invalid(suite):
    suite.expect(suite.launch(nonce="n" * 43))


@one_time("Nonce replayed", sent="an accepted token with a new state", code="nonce_invalid", status=403)
def test_nonce_replayed_when_launched_is_refused_nonce_invalid(suite):
    client = suite.app.test_client()
    first, second = suite.begin(client), suite.begin(client)
    assert suite.post(client, first).status_code == 200
    suite.forget()
    suite.expect(suite.send(client, {"state": second["state"], "id_token": suite.id_token}))


@one_time("State missing", sent="no state", code="state_missing", status=400)
def test_state_missing_when_launched_is_refused_state_missing(suite):
    client = suite.app.test_client()
    suite.expect(suite.post(client, {**suite.begin(client), "state": ""}), read=False, known=False)


@one_time("State unknown", sent="a state that no login gave out", code="state_unknown", status=403)
def test_state_unknown_when_launched_is_refused_state_unknown(suite):
    client = suite.app.test_client()
    suite.expect(suite.post(client, {**suite.begin(client), "state": "A" * 43}), read=False, known=False)


@one_time("State of another browser", sent="the state of another browser's login", code="state_mismatch")
def test_state_of_another_browser_when_launched_is_offered_a_new_tab(suite):
    query = suite.begin(suite.app.test_client())
    words, _ = suite.expect(suite.post(suite.app.test_client(), query))
    assert "new tab" in words


@one_time("State used", sent="the same post again (browser's Back)", code="state_unknown", status=403)
def test_state_used_when_posted_again_is_told_to_reopen(suite):
    client = suite.app.test_client()
    query = suite.begin(client)
    assert suite.post(client, query).status_code == 200
    suite.forget()
    words, _ = suite.expect(
        suite.send(client, {"state": query["state"], "id_token": suite.id_token}), read=False, known=False
    )
    assert "from your course" in words


@one_time("State expired", sent="ten minutes after the login", code="state_expired", status=403)
def test_state_expired_when_launched_is_refused_state_expired(suite, clock):
    client = suite.app.test_client()
    query = suite.begin(client)
    clock.advance(minutes=10)
    suite.expect(suite.post(client, query), read=False)


@one_time(
    "OIDC error response", sent="`error=login_required` instead of a token", code="oidc_error", status=403
)
def test_oidc_error_response_when_posted_is_refused_oidc_error(suite):
    client = suite.app.test_client()
    query = suite.begin(client)
    form = {"error": "login_required", "error_description": "Ada is signed out", "state": query["state"]}
    _, line = suite.expect(suite.send(client, form), read=False)
    assert line["detail_error"] == "login_required"


# Times


@times("exp missing", sent="no exp", code="exp_missing", status=400)
def test_exp_missing_when_launched_is_refused_exp_missing(suite):
    suite.expect(suite.launch(remove=("exp",)))


@times("iat missing", sent="no iat", code="iat_missing", status=400)
def test_iat_missing_when_launched_is_refused_iat_missing(suite):
    suite.expect(suite.launch(remove=("iat",)))


@times("exp just past", sent="exp 61 s ago; the leeway is 60 s", code="token_expired", status=401)
def test_exp_just_past_when_launched_is_refused_token_expired(suite, clock):
    suite.expect(suite.launch(exp=int(clock().timestamp()) - 61))


@times("iat older than 10 min", sent="iat 11 min 2 s ago, exp ahead", code="iat_too_old", status=401)
def test_iat_older_than_ten_minutes_when_launched_is_refused_iat_too_old(suite, clock):
    suite.expect(suite.launch(iat=int(clock().timestamp()) - 662))


@times("iat in the future", sent="iat 62 s ahead", code="iat_in_future", status=401)
def test_iat_in_the_future_when_launched_is_refused_iat_in_future(suite, clock):
    now = int(clock().timestamp())
    suite.expect(suite.launch(iat=now + 62, exp=now + 120))


@times("Clocks differ a little", sent="iat 59 s ahead", shows="participant")
def test_clocks_differ_a_little_when_launched_opens(suite, clock):
    now = int(clock().timestamp())
    suite.expect(suite.launch(iat=now + 59, exp=now + 120))


# Claims and message types


@content(
    "target_link_uri not ours", sent="a target on another site", code="target_link_uri_foreign", status=403
)
def test_target_link_uri_not_ours_when_launched_is_refused_target_link_uri_foreign(suite):
    suite.expect(suite.launch(**{TARGET: "https://evil.example/lti/launch"}))


@content(
    "target_link_uri not ours, login",
    sent="login with a target on another site",
    code="target_link_uri_foreign",
    status=403,
)
def test_target_link_uri_not_ours_when_logging_in_is_refused_target_link_uri_foreign(suite):
    answer = suite.log_in(target_link_uri="https://evil.example/lti/launch")
    suite.expect(answer, read=False)


@content("sub longer than 255", sent="256 characters", code="id_too_long", status=400)
def test_sub_longer_than_255_when_launched_is_refused_id_too_long(suite):
    suite.expect(suite.launch(sub="x" * 256))


@content("deployment_id longer than 255", sent="256 characters", code="id_too_long", status=400)
def test_deployment_id_longer_than_255_when_launched_is_refused_id_too_long(suite):
    suite.expect(suite.launch(**{CLAIM + "deployment_id": "x" * 256}))


@content("context.id longer than 255", sent="256 characters", code="id_too_long", status=400)
def test_context_id_longer_than_255_when_launched_is_refused_id_too_long(suite):
    suite.expect(suite.launch(**{CLAIM + "context": {"id": "x" * 256}}))


@content("resource_link.id longer than 255", sent="256 characters", code="id_too_long", status=400)
def test_resource_link_id_longer_than_255_when_launched_is_refused_id_too_long(suite):
    suite.expect(suite.launch(**{CLAIM + "resource_link": {"id": "x" * 256}}))


@content("Ids of 255 characters", sent="sub, context.id, resource_link.id of 255", shows="participant")
def test_ids_of_255_characters_when_launched_open(suite):
    long = {"id": "ü" * 255}
    changes = {CLAIM + "context": long, CLAIM + "resource_link": long, "sub": "x" * 255}
    suite.expect(suite.launch(**changes))


@content("custom value null", sent='`{"emp": null}`, known by e-mail', shows="participant")
def test_custom_value_null_when_launched_is_no_value(suite, database, tenant):
    suite.expect(suite.launch(**{CLAIM + "custom": {"emp": None}}))


@content("custom value a number", sent='`{"emp": 1001}`, the employee number 1001', shows="participant")
def test_custom_value_number_when_launched_is_read_as_text(suite, database, tenant, clock):
    hire(database, tenant, clock.now, employee_number="1001", display_name="Grace Hopper")
    suite.expect(suite.launch(remove=("email",), **{CLAIM + "custom": {"emp": 1001}}))


@content("custom value not substituted", sent='`{"emp": "$Person.sourcedId"}`', shows="participant")
def test_custom_value_not_substituted_when_launched_is_no_value(suite):
    suite.expect(suite.launch(**{CLAIM + "custom": {"emp": "$Person.sourcedId"}}))


@content("custom value empty", sent='`{"emp": ""}`, nothing else', shows="stranger")
def test_custom_value_empty_when_launched_is_no_value(suite):
    suite.expect(suite.launch(remove=("email",), **{CLAIM + "custom": {"emp": ""}}))


@content("custom null", sent="`custom: null`, known by e-mail", shows="participant")
def test_custom_null_when_launched_opens(suite):
    suite.expect(suite.launch(**{CLAIM + "custom": None}))


@content("Unknown message_type", sent="LtiUnheardOf", code="message_type_unknown", status=400)
def test_unknown_message_type_when_launched_is_refused_message_type_unknown(suite):
    suite.expect(suite.launch(**{CLAIM + "message_type": "LtiUnheardOf"}))


@content(
    "Deep linking without return address",
    sent="LtiDeepLinkingRequest without deep_link_return_url",
    code="deep_link_return_url_missing",
    status=400,
)
def test_deep_linking_without_return_address_when_launched_is_refused(suite):
    asked = dict(DEEP_LINKING[claims.DEEP_LINKING_SETTINGS])
    del asked["deep_link_return_url"]
    suite.expect(suite.launch(**{**DEEP_LINKING, claims.DEEP_LINKING_SETTINGS: asked}))


@content(
    "Privacy launch with context",
    sent="DataPrivacyLaunchRequest that names a course",
    code="context_not_allowed",
    status=400,
)
def test_privacy_launch_with_context_when_launched_is_refused_context_not_allowed(suite):
    changes = {CLAIM + "message_type": "DataPrivacyLaunchRequest", CLAIM + "for_user": {"user_id": "9"}}
    suite.expect(suite.launch(**changes))


@content(
    "Submission review without person",
    sent="LtiSubmissionReviewRequest without for_user.user_id",
    code="for_user_missing",
    status=400,
)
def test_submission_review_without_person_when_launched_is_refused_for_user_missing(suite):
    changes = {CLAIM + "message_type": "LtiSubmissionReviewRequest", CLAIM + "for_user": {"name": "Ada"}}
    suite.expect(suite.launch(**changes))


@content(
    "Deployment unknown",
    sent="deployment_id 99: waits for approval",
    code="deployment_pending",
    status=403,
)
def test_deployment_unknown_when_launched_waits_for_an_administrator(suite, database, tenant):
    words, _ = suite.expect(suite.launch(**{CLAIM + "deployment_id": "99"}))
    assert "administrator" in words
    with database.transaction(tenant.id, write=False) as db:
        states = dict(db.execute(select(LtiDeployment.deployment_id, LtiDeployment.state)).all())
    assert states == {"36": "approved", "99": "pending"}
