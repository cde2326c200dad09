"""What codes of the ledger say to people."""

from rmplugin.texts import Text, texts

CAPS = texts(
    {
        "session_below": "less than %(n)s minutes do not count",
        "session": "one session counts %(n)s minutes at most",
        "day": "one day counts %(n)s minutes at most, in all programmes",
        "programme": "this programme counts %(n)s minutes at most",
        "year": "one year counts %(n)s minutes at most, in all programmes",
    }
)
# Group of states of a delivery -> words for a manager.
GROUPS = texts(
    {
        "delivered": "sent",
        "on_its_way": "on its way",
        "retry": "will be tried again",
        "blocked": "blocked",
        "needs_human": "needs somebody",
    }
)

# Kind of event -> words for a manager.
KINDS = texts(
    {
        "award": "a session",
        "reversal": "a session taken back",
        "adjustment": "an adjustment",
        "completion": "the completion",
        "withdrawal": "the completion taken back",
    }
)


def why_capped(code: str) -> Text:
    """Say which rule cost minutes.

    :param code: `CreditEntry.cap_applied`; a policy's own rule is a sentence already.
    **Touches** pure.
    """
    name, _, number = code.rpartition("_")
    return Text(CAPS[name].template, n=int(number)) if name in CAPS and number.isdecimal() else Text(code)
