"""The hooks. A hookspec's docstring is its contract; tests fail on one that is undocumented or unused.

Two shapes only: *registration* hooks return objects typed by a Protocol; *notification* hooks run after the
commit, in a task, and return nothing. Plug-ins are called one at a time, so one that raises stops no other.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from rmplugin.notifiers import MailNotifier, NewsNotifier
    from rmplugin.policies import CreditPolicy
    from rmplugin.records import HrisConnector, MatchCriterion, NavLink, PlatformQuirks
    from rmplugin.sinks import CompletionSink, CreditSink, PaperSink

PROJECT = "rmplugin"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def rm_register_hris_connectors() -> "Sequence[HrisConnector]":
    """Return the HR connectors that this plug-in brings. Called once, at start-up."""
    return ()


@hookspec
def rm_register_match_criteria() -> "Sequence[MatchCriterion]":
    """Return what this plug-in adds to the matching: points for pairs, or pairs taken out.

    Called once, at start-up. The proof that no better set of pairs exists counts these points, too, as long
    as a criterion keeps to the `most` that it declares; a run fails when it does not.
    """
    return ()


@hookspec
def rm_register_credit_policies() -> "Sequence[CreditPolicy]":
    """Return ways to count credit that this plug-in brings. Called once, at start-up.

    A programme names the one that it counts by. Each line of the ledger keeps the policy's key and version,
    so a policy that counts differently must carry another version.
    """
    return ()


@hookspec
def rm_register_completion_sinks() -> "Sequence[CompletionSink | CreditSink | PaperSink]":
    """Return what this plug-in does with completions and credits. Called once, at start-up.

    A `CompletionSink` is told how far somebody has come, a `CreditSink` every line of the ledger; a
    `PaperSink` makes what people take along.
    """
    return ()


@hookspec
def rm_register_platform_quirks() -> "Sequence[PlatformQuirks]":
    """Return the dialects of learning platforms that this plug-in knows. Called once, at start-up.

    The core asks them when it recognises a platform, decides who makes a gradebook column, sends and checks
    scores, and names the setting that an administrator has to change. A platform whose family nobody brings
    is taken for one that keeps to the standard.
    """
    return ()


@hookspec
def rm_register_notifiers() -> "Sequence[MailNotifier | NewsNotifier]":
    """Return what carries notices out of the tool. Called once, at start-up.

    A `MailNotifier` takes letters to people when the setting `RM_SMTP_URL` begins with one of its schemes. A
    `NewsNotifier` posts news of a programme into a channel that a manager entered; nothing about a person is
    ever given to it.
    """
    return ()


@hookspec
def rm_register_blueprints(pages: "Callable[[str, str], Any]") -> "Sequence[Any]":
    """Return pages of this plug-in, made with ``pages(name, __name__)``.

    That gives an object with ``get(rule, role=…)`` and ``post(rule, role=…)``, which register a view and
    have the core check the role ("visitor", "participant", "manager" or "public") before it runs. A view is
    called with the visit: the person, a transaction on their company's rows, the moment. Other objects are
    refused at start-up.
    """
    return ()


@hookspec
def rm_nav_links() -> "Sequence[NavLink]":
    """Return links to add to the navigation of participants or managers."""
    return ()


@hookspec
def rm_roster_synced(tenant_id: str, run_id: str, status: str) -> None:
    """Be told that a roster run has ended ("complete", "held" or "failed"). After the commit, in a task."""


@hookspec
def rm_pairing_started(tenant_id: str, pairing_id: str) -> None:
    """Be told that both people accepted and a pairing began. After the commit, in a task."""


@hookspec
def rm_session_confirmed(tenant_id: str, session_id: str, minutes: int) -> None:
    """Be told that both people confirmed a session. After the commit, in a task.

    :param minutes: counted minutes, the lower of both claims after caps.
    """


@hookspec
def rm_credit_awarded(tenant_id: str, entry_id: str, person_id: str, minutes: int) -> None:
    """Be told that a credit entry was written. After the commit, in a task."""


@hookspec
def rm_pairing_closed(tenant_id: str, pairing_id: str) -> None:
    """Be told that a pairing ended. Neither who ended it nor why is said. After the commit, in a task."""
