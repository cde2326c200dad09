"""What the people of a simulated programme write: short, kind, about nobody."""

from typing import Any

EXPECTATIONS: tuple[dict[str, Any], ...] = (
    {
        "place": "A quiet room on a floor where neither of us works",
        "hopes": "See how the tools look when somebody uses them every day.",
        "boundaries": "No talk about salaries or about colleagues by name.",
        "confidentiality": "What we say stays between us; what we try, we may show.",
        "feedback": "One thing that helped, one to do differently, at the end of each hour.",
    },
    {
        "place": "Video, cameras on, nobody else in the room",
        "hopes": "Understand how decisions are made, and give something back for it.",
        "boundaries": "No work is handed over in these hours.",
        "confidentiality": "Nothing is repeated. We ask before we tell anybody.",
        "feedback": "We say at once when something does not help.",
    },
)
GOALS: dict[str, tuple[dict[str, Any], ...]] = {
    "mentee": (
        {
            "theme": "technology",
            "title": "Write my weekly report with an AI assistant",
            "baseline": "I have it written for me.",
            "level_minus_2": "Nothing changed.",
            "level_minus_1": "I tried it twice.",
            "level_0": "Every second report.",
            "level_plus_1": "Every report.",
            "level_plus_2": "I showed it to two colleagues.",
        },
        {
            "theme": "outside_world",
            "title": "Hear what newcomers notice in their first weeks",
            "baseline": "I read one survey a year.",
            "level_minus_2": "I asked nobody.",
            "level_minus_1": "I talked to one newcomer.",
            "level_0": "I talked to three and changed one thing.",
            "level_plus_1": "I talk to a newcomer every month.",
            "level_plus_2": "My leads do the same.",
        },
    ),
    "mentor": (
        {
            "theme": "organisation",
            "title": "Present an idea where decisions are made",
            "baseline": "I have never spoken in such a meeting.",
            "level_minus_2": "I did not ask for a slot.",
            "level_minus_1": "I prepared the slides.",
            "level_0": "I presented once.",
            "level_plus_1": "I presented, and it was decided on.",
            "level_plus_2": "I was asked to come again.",
        },
        {
            "theme": "own",
            "title": "Explain my subject without jargon",
            "baseline": "People nod and ask nothing.",
            "level_minus_2": "Nothing changed.",
            "level_minus_1": "I explained it once.",
            "level_0": "My partner can repeat it.",
            "level_plus_1": "Two more people can.",
            "level_plus_2": "I run a short lesson for a team.",
        },
    ),
}
AGENDAS = (
    "What happened since last time\nTry one tool together\nWhat to do until next time",
    "Show me your week\nOne thing to automate",
    "How a decision was made\nWhat I would have asked",
    "",
)
MESSAGES = (
    "I found an example for what we talked about and bring it next time.",
    "Would half an hour later suit you, too?",
    "I tried it yesterday and it worked at the second attempt.",
    "Thank you for today. I have a question for next time.",
    "The meeting went well. Your advice about the first slide helped.",
    "Could we go through the same steps once more?",
)
NOTES = (
    "We tried three prompts. The second one was good enough to send.",
    "We looked at who is asked before such a decision, and who is not.",
    "Went through the shared drive. Next time: rights.",
)
TAKEAWAYS = (
    "Ask for one example before judging an idea.",
    "Five minutes of preparation save half an hour.",
    "Say what I do not know, first.",
)
ITEMS = (
    "Bring the next team meeting to the shared board",
    "Introduce my partner to the project office",
    "Write down three questions for the next town hall",
    "Try the new assistant for one week",
)
OUTCOMES = ("Done, and it stays that way.", "Done once; we will see.", "")
CHECKIN_WORDS = (
    "More time for trying things out would help.",
    "I look forward to it each time.",
    "I try the second example before we meet again.",
    "We should agree earlier on what we talk about.",
    "Ask how the decision about the pilot was made.",
    "An hour is short; two topics are enough.",
    "",
    "",
)
THANKS = (
    "Thank you for your patience and your honest questions.",
    "I learned more than I expected. Thank you.",
    "You made time for me when there was none. Thank you.",
)
CONCERNS = (
    ("hierarchy", "Will my own head hear that I criticised something?"),
    ("time", "The hour will be the first thing to go in December."),
    ("relevance", "What is in it for the juniors?"),
    ("exposure", ""),
    ("time", ""),
    ("other", "Is it fine to take part from a shared desk?"),
)
PUBLIC_ANSWERS = (
    (
        "time",
        "What happens when there is no time in a busy week?",
        "Move the session. Who cannot find an hour for weeks can pause or stop, without a reason.",
    ),
    (
        "hierarchy",
        "Does anybody's own line hear what is said?",
        "No. Nobody is paired within their own reporting line, and the programme team reads no notes.",
    ),
)
HELP = "I would like to talk to somebody about how our last session went."
