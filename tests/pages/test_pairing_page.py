"""The page of a pair: the one next action, who is who, and whose it is."""

from datetime import timedelta

import pytest

from tests.factories.people import make_person
from tests.factories.pairs import make_pair


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def test_pairing_when_new_asks_to_write_the_agreement(sign_in, tenant, pair):
    page = sign_in(tenant, pair.mentor).get(pair.path)
    assert page.status == 200, page.says()
    assert "You are the mentor: you teach. Sven Senior is the mentee and learns." in page.says()
    assert f'href="{pair.path}/agreement/new"' in page.text


def test_pairing_when_version_unsigned_asks_only_the_other_side_to_sign(sign_in, tenant, pair):
    agreement = pair.propose(pair.mentor)
    pair.sign(agreement, pair.mentor)
    assert "Read and sign it" in sign_in(tenant, pair.mentee).get(pair.path).says()
    assert "Read and sign it" not in sign_in(tenant, pair.mentor).get(pair.path).says()
