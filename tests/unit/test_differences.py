"""Which difference between told and shown is whose: a teacher's grade is never called ours to repair."""

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from rmplugin.credits.differences import KINDS, REPAIRED, Shown, Told, Verdict, judge

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
percents = st.integers(1, 100)
tolds = st.builds(Told, percents, st.just(AT), st.frozensets(percents))
times = st.none() | st.timedeltas(timedelta(days=-9), timedelta(days=9)).map(lambda by: AT + by)
showns = st.none() | st.builds(Shown, st.none() | st.floats(0, 120), times)
columns = st.sampled_from(["read", "gone", "copied", "unreadable"])


@given(tolds, showns, columns, st.booleans(), st.booleans(), st.booleans())
def test_judge_whatever_is_found_has_words_for_it(told, shown, column, ours, obstacle, tried):
    verdict = judge(told, shown, column, ours=ours, obstacle=obstacle, tried=tried)
    assert verdict.kind is None or verdict.kind in (REPAIRED if verdict.repair else KINDS)
    assert not (verdict.repair and obstacle)


@given(tolds, percents, times, st.booleans(), st.booleans())
def test_judge_when_the_grade_was_never_ours_leaves_it_to_people(told, shown, at, obstacle, tried):
    assume(shown not in {told.percent, *told.earlier})
    assert judge(told, Shown(shown, at), "read", obstacle=obstacle, tried=tried) == Verdict("overridden")


@given(tolds, percents)
def test_judge_when_the_platform_dates_an_earlier_score_after_our_newest_calls_it_a_teachers(told, shown):
    assume(shown != told.percent)
    told = Told(told.percent, told.at, told.earlier | {shown})
    assert judge(told, Shown(shown, AT + timedelta(hours=1)), "read").kind == "overridden"
    assert judge(told, Shown(shown, AT - timedelta(hours=1)), "read") == Verdict("stale", repair=True)
    assert judge(told, Shown(shown), "read") == Verdict("stale", repair=True)


@given(tolds, times)
def test_judge_when_the_score_is_lost_sends_it_again_once(told, at):
    for shown in (None, Shown(None, at)):
        assert judge(told, shown, "read") == Verdict("lost", repair=True)
        assert judge(told, shown, "read", tried=True) == Verdict("ignored")
        assert judge(told, shown, "read", obstacle=True) == Verdict("left")


@given(tolds, times, st.floats(-0.4, 0.4))
def test_judge_when_the_platform_rounds_is_equal(told, at, off):
    assert judge(told, Shown(told.percent + off, at), "read") == Verdict()


@given(tolds, showns)
def test_judge_when_the_column_is_gone_makes_only_its_own_again(told, shown):
    assert judge(told, shown, "gone", ours=True) == Verdict("column_gone", repair=True)
    assert judge(told, shown, "gone", ours=False) == Verdict("column_gone")
