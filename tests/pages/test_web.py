"""Sessions, roles, forms that take effect once."""


def test_home_when_session_unknown_asks_to_reopen(app):
    answer = app.test_client().get("/home")
    assert answer.status_code == 401
    assert "Reopen the activity from your course" in answer.get_data(as_text=True)


def test_home_when_signed_in_opens(sign_in, tenant):
    assert sign_in(tenant).get("/help").status == 200


def test_desk_when_not_manager_is_refused(sign_in, tenant):
    assert sign_in(tenant).get("/manage").status == 403


def test_root_when_opened_outside_the_lms_says_where_the_door_is(app):
    answer = app.test_client().get("/")
    assert answer.status_code == 200
    assert "opens from your learning platform" in answer.get_data(as_text=True)
