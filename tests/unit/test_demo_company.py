"""The sample company is shaped like a real one, and its export is written like a real one."""

import csv
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from connectors.hris.csv_file import CsvFileConnector
from rmplugin.demo.company import (
    ADVISOR_GROUP,
    MENTEE_GROUP,
    MENTOR_GROUP,
    READ_GERMAN,
    Company,
    csv_settings,
    lms_people,
    read_german,
    write_company,
)
from rmplugin.demo.company_pilot import pilot_profiles
from rmplugin.demo.company_profiles import CATALOGUE, sample_profiles

DAY = date(2026, 11, 23)


@pytest.fixture(scope="module", params=[100, 400, 20_000])
def company(request, tmp_path_factory) -> Company:
    path = tmp_path_factory.mktemp("company") / "export.csv"
    return write_company(path, request.param, as_of=DAY)


@pytest.fixture(scope="module")
def middle(tmp_path_factory) -> Company:
    return write_company(tmp_path_factory.mktemp("company") / "export.csv", 400, as_of=DAY)


def rows_of(company: Company) -> list[dict[str, str]]:
    with company.path.open(encoding=company.encoding, newline="") as file:
        return list(csv.DictReader(file, delimiter=company.delimiter))


def test_export_when_written_is_a_semicolon_file_with_bom_quotes_and_crlf(middle: Company) -> None:
    raw = middle.path.read_bytes()
    assert raw.startswith(b'\xef\xbb\xbf"Personnel No";"Last name";"First name"')
    assert raw.count(b"\r\n") == 401
    row = rows_of(middle)[0]
    assert row[middle.mapping["employee_number"]] == middle.people[0].employee_number
    assert middle.date_format == "%d.%m.%Y"
    assert row[middle.mapping["hire_date"]] == middle.people[0].hired_on.strftime("%d.%m.%Y")


def test_export_when_read_with_the_mapping_has_every_canonical_field(middle: Company) -> None:
    assert set(middle.mapping.values()) == set(rows_of(middle)[0])
    assert len(middle.mapping) == 19


def test_export_when_read_by_the_csv_connector_loses_nobody(company: Company) -> None:
    connector = CsvFileConnector()
    settings = connector.settings_schema().load(csv_settings(company))
    pages = list(connector.read(settings, None))
    records = [record for page in pages for record in page.records]
    assert [skipped for page in pages for skipped in page.skipped] == []
    known = company.by_number()
    assert {record.employee_number for record in records} == set(known)
    for record in records:
        person = known[record.employee_number]
        assert (record.given_name, record.email) == (person.given_name, person.email)
        assert (record.hire_date, record.termination_date) == (person.hired_on, person.left_on)
        assert record.manager_key == person.manager
        assert record.grade in company.seniority
        assert record.status == person.status.lower()
        assert record.employment_type == person.employment_type.lower()


def test_company_when_written_twice_is_the_same_to_the_byte(middle: Company, tmp_path: Path) -> None:
    again = write_company(tmp_path / "again.csv", 400, as_of=DAY)
    other = write_company(tmp_path / "other.csv", 400, seed=8, as_of=DAY)
    assert again.path.read_bytes() == middle.path.read_bytes()
    assert other.path.read_bytes() != middle.path.read_bytes()
    assert sample_profiles(again) == sample_profiles(middle)


def test_company_when_any_size_has_unique_numbers_and_addresses(company: Company, request) -> None:
    numbers = [person.employee_number for person in company.people]
    addresses = [person.email for person in company.people if person.email]
    assert len(set(numbers)) == len(numbers) in (100, 400, 20_000)
    assert len(set(addresses)) == len(addresses)
    assert all(address.isascii() and " " not in address for address in addresses)
    assert 0 < len(numbers) - len(addresses) < len(numbers) * 0.05


def test_company_when_any_size_is_one_tree_with_real_spans(company: Company) -> None:
    known = company.by_number()
    for person in company.people:
        steps, above = 0, person
        while above.manager is not None:
            assert known[above.manager].level > above.level
            assert known[above.manager].status == "Active"
            above, steps = known[above.manager], steps + 1
            assert steps < 12
        assert above is company.people[0]
    spans = Counter(person.manager for person in company.people if person.manager)
    assert min(spans.values()) >= 4
    assert max(spans.values()) <= 9


def test_company_when_any_size_has_many_juniors_and_few_seniors(company: Company) -> None:
    ranks = [company.seniority[f"G{person.level}"] for person in company.people]
    juniors = sum(rank <= 16 for rank in ranks) / len(ranks)
    seniors = sum(rank >= 70 for rank in ranks) / len(ranks)
    assert 0.25 < juniors < 0.6
    assert 0.01 < seniors < 0.15
    assert sorted(company.seniority.values()) == list(company.seniority.values())


def test_company_when_made_spans_departments_time_zones_and_tenures(middle: Company) -> None:
    assert 8 <= len({person.department.name for person in middle.people}) <= 12
    assert len({person.site.time_zone for person in middle.people}) >= 5
    years = [(DAY - person.hired_on).days / 365.25 for person in middle.people]
    assert min(years) >= 0
    assert 15 < max(years) <= 30
    assert any(year < 1 for year, person in zip(years, middle.people, strict=True) if person.level >= 7)
    kinds = Counter(person.employment_type for person in middle.people)
    assert kinds["Intern"] > 0
    assert kinds["Contractor"] > 0


def test_company_when_somebody_left_knows_the_day_and_only_then(middle: Company) -> None:
    left = [person for person in middle.people if person.status == "Terminated"]
    assert left
    assert all(person.left_on and person.hired_on < person.left_on <= DAY for person in left)
    assert all(person.left_on is None for person in middle.people if person.status != "Terminated")


@pytest.mark.parametrize("people", [99, 20_001])
def test_company_when_size_is_out_of_range_says_so(tmp_path: Path, people: int) -> None:
    with pytest.raises(ValueError, match=str(people)):
        write_company(tmp_path / "x.csv", people)


def test_course_when_filled_has_manager_leaders_juniors_and_strangers(middle: Company) -> None:
    accounts = lms_people(middle)
    known = middle.by_number()
    assert len(accounts) > 50
    assert len({account.user_id for account in accounts}) == len(accounts)
    numbers = [account.employee_number for account in accounts if account.employee_number]
    assert len(set(numbers)) == len(numbers)
    instructors = [account for account in accounts if account.role == "instructor"]
    assert [account.employee_number for account in instructors] == [middle.advisor]
    assert sum(account.employee_number is None for account in accounts) == 2
    assert all(known[number].status == "Active" for number in numbers)
    assert len(middle.mentors) == 60
    top_mentor = max(known[number].level for number in middle.mentors)
    assert top_mentor < min(known[number].level for number in middle.mentees)


def test_accounts_when_some_read_german_are_the_same_people_and_one_more_manager(middle: Company) -> None:
    before, accounts = lms_people(middle), read_german(lms_people(middle))
    assert [account.user_id for account in accounts[:-1]] == [account.user_id for account in before]
    german = [account for account in accounts if account.locale == "de"]
    assert Counter(account.group for account in german) == {
        ADVISOR_GROUP: 1, MENTEE_GROUP: READ_GERMAN, MENTOR_GROUP: READ_GERMAN
    }  # fmt: skip
    assert accounts[-1] in german
    assert accounts[-1].user_id not in {account.user_id for account in before}


def test_profiles_when_made_fit_people_and_catalogue(company: Company) -> None:
    profiles = sample_profiles(company)
    names = {entry.name for entry in CATALOGUE}
    assert [p.employee_number for p in profiles] == [*company.mentees, *company.mentors]
    for profile in profiles:
        assert profile.offers
        assert profile.wants
        assert {*profile.offers, *profile.wants} <= names
        assert not set(profile.offers) & set(profile.wants)
        assert all(1 <= level <= 4 for level in (*profile.offers.values(), *profile.wants.values()))
        assert profile.languages
        assert 1 <= profile.motivation <= 5
        assert profile.motivation_text[0].isupper()
    assert sum(profile.by_hand for profile in profiles) == 6


def test_profiles_when_the_company_is_large_have_three_hard_to_place_and_few_who_offer_one_skill(middle):
    profiles = sample_profiles(middle)
    mentees = [p for p in profiles if p.role == "mentee"]
    mentors = [p for p in profiles if p.role == "mentor"]
    assert sum("en" not in p.languages for p in profiles) == 1
    assert sum(p.working_hours == ("12:15", "13:00") for p in mentees) == 1
    offered = {skill for p in mentors for skill in p.offers}
    assert sum(not offered & set(p.wants) for p in mentees) == 1
    offer = sum("Digital accessibility" in p.offers for p in mentors)
    assert 0 < 2 * offer < sum("Digital accessibility" in p.wants for p in mentees)


def test_profiles_when_the_company_is_small_have_nobody_hard_to_place(tmp_path):
    profiles = sample_profiles(write_company(tmp_path / "export.csv", 150, as_of=DAY))
    assert all("en" in p.languages for p in profiles)


@pytest.mark.parametrize("people", [100, 150])
def test_pilot_when_the_company_is_small_has_nobody(tmp_path, people):
    assert pilot_profiles(write_company(tmp_path / "export.csv", people, as_of=DAY)) == []


def test_pilot_when_made_has_people_of_then_who_are_not_in_the_course(middle: Company) -> None:
    profiles, known = pilot_profiles(middle), middle.by_number()
    assert profiles == pilot_profiles(middle)
    people = [known[profile.employee_number] for profile in profiles]
    assert not {p.employee_number for p in people} & {user.employee_number for user in lms_people(middle)}
    assert all((DAY - p.hired_on).days >= 300 for p in people)
    assert Counter(profile.role for profile in profiles) == {"mentee": 25, "mentor": 30}


def test_profiles_when_matched_give_most_mentees_a_mentor_for_their_first_wish(middle: Company) -> None:
    profiles = sample_profiles(middle)
    offered = {name for p in profiles if p.role == "mentor" for name, level in p.offers.items() if level >= 3}
    mentees = [p for p in profiles if p.role == "mentee"]
    served = [p for p in mentees if next(iter(p.wants)) in offered]
    assert len(served) / len(mentees) > 0.9
