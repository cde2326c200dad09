"""Ideas for an agenda, by the kind of session.

They rest on five ways of relating: to change between teaching and learning, to speak of one's own work, to
bring something along, to leave room for what comes up, and to say what one does not know.
"""

from rmplugin.texts import Text, texts

KIND_NAMES = texts(
    {
        "first": "First session: get to know each other",
        "regular": "A regular session",
        "briefing": "Trend briefing: what is new",
        "review": "Review: how we are doing",
    }
)
PROMPTS = {
    "first": (
        Text("How we each came to where we are; something that no profile says"),
        Text("What each of us hopes to have learned at the end, and what would disappoint us"),
        Text("What stays between us, and how we say it when something does not fit"),
        Text("One thing that each of us is unsure about at the moment"),
        Text("Who brings what to the next session"),
    ),
    "regular": (
        Text("What became of what we took on last time"),
        Text("Something from this week's work, tried out together instead of talked about"),
        Text("Change sides: what does the teacher of today want to learn from the other?"),
        Text("What surprised me since we last met"),
        Text("A question that I would not ask in a meeting"),
        Text("Ten minutes without a plan: what is on your mind?"),
    ),
    "briefing": (
        Text("One trend, shown live, and what it changes for the people who use it"),
        Text("Where our organisation is behind, and who notices it first"),
        Text("What I believed about it until today"),
        Text("What we could try within two weeks, small and without asking anybody"),
        Text("What the senior decides or does now: one commitment with a date"),
    ),
    "review": (
        Text("Our goals: where we began, where we are, what helped"),
        Text("What each of us does differently because of the other"),
        Text("Was I heard? Did I listen? One example for each"),
        Text("What we want more of, less of, and to begin"),
        Text("Does the agreement still fit: how often, how long, where?"),
    ),
}
