"""Finds words that judge people by their age, and says how to put it neutrally. A hint, never a refusal.

Add a phrase to `PHRASES` with a rewrite in its own language; when a phrase is found where it is harmless, add
the harmless wording to `HARMLESS`. Each line of both lists has a test.
"""

import re
from dataclasses import dataclass

from rmplugin.texts import Text, joined

# What turns a group into a judgement: how old it is said to be, who it is, and what they all are or do.
_AGED = r"(?:older|old|elderly|younger|young)"
_PEOPLE = r"(?:people|folks?|workers|employees|colleagues|leaders|managers|staff)"
_JUDGING = (
    r"(?:are|aren't|have|do|don't|can|can't|cannot|always|never|only|just|all|want|need|lack|struggle|fear|think|"
    r"hate|love|know|understand)"
)
_ALT = r"(?:ältere|jüngere|alte|junge)n?"
_LEUTE = (
    r"(?:leuten?|menschen|kolleg(?:inn)?en|mitarbeiter(?:innen)?|mitarbeitenden?|beschäftigten?|führungskräfte|"
    r"chefs)"
)
_SIND = (
    r"(?:sind|haben|hängen|wollen|können|verstehen|tun|brauchen|denken|lernen|kennen|wissen|lieben|hassen|nur|immer|"
    r"nie|alle)"
)
# (pattern, what to show for it, neutral rewrite). Patterns match whole words, whatever their case.
PHRASES = (
    (r"digital natives?", "digital native", "somebody who uses these tools every day"),
    (r"digital immigrants?", "digital immigrant", "somebody who is new to these tools"),
    (r"old[- ]school", "old school", "the way we have done it so far"),
    (r"old guard", "old guard", "long-serving colleagues"),
    (r"old[- ](?:timers?|fog[ey]+s?|farts?|geezers?)", "old-timer", "long-serving colleague"),
    (rf"{_AGED} {_PEOPLE} {_JUDGING}", "older people are, young people are", "some people are"),
    (
        r"(?:older|younger|old|young) generations?",
        "the older generation",
        "colleagues at another point in their career",
    ),
    (r"spring chickens?", "spring chicken", "a beginner"),
    (r"silver surfers?", "silver surfer", "everybody who uses these tools"),
    (r"gr[ea]y[- ]haired", "grey-haired", "long-serving"),
    (r"fresh,? young (?:minds?|talents?|faces?)", "fresh young minds", "new colleagues"),
    (r"too young (?:to|for)", "too young to", "new to"),
    (r"too old (?:to|for)", "too old to", "has not tried yet"),
    (
        r"(?:i am|i'm|you are|you're|he is|he's|she is|she's) (?:\w+ )?too (?:old|young)",
        "I am too old",
        "I have not tried it yet",
    ),
    (
        r"(?:at|for|for (?:someone|somebody|a \w+)(?: of)?) (?:your|my|his|her|their|our) age",
        "at your age",
        "in your situation",
    ),
    (r"(?:young people|kids|youth) (?:of )?(?:today|these days)", "young people today", "new colleagues"),
    (r"millennials?", "millennials", "colleagues who joined lately"),
    (r"gen(?:eration)?[- ][xyz](?:'?ers?)?", "generation Z", "people at the start of their career"),
    (r"(?:baby[- ]?)?boomers?", "boomers", "colleagues with long experience"),
    (r"dinosaurs?", "dinosaur", "long-serving colleague"),
    (r"past (?:your|my|his|her|their) prime", "past their prime", "experienced"),
    (
        r"(?:close|near|nearing|about|due|ready) (?:to retire|(?:to |for )?retirement)",
        "close to retirement",
        "experienced",
    ),
    (
        rf"(?:in|from|of) the stone age|stone[- ]age (?:it|tools?|methods?|thinking|mindset|{_PEOPLE})",
        "stone age",
        "the way we have done it so far",
    ),
    (r"over the hill", "over the hill", "experienced"),
    (r"set in (?:your|my|his|her|their) ways", "set in their ways", "used to another way"),
    (r"old dogs?", "old dog, new tricks", "somebody who is learning something new"),
    (r"youngsters?", "youngsters", "junior colleagues"),
    (r"(?:young|fresh|new) blood", "young blood", "new colleagues"),
    (r"senior moments?", "senior moment", "a slip"),
    (r"young at heart", "young at heart", "open to new things"),
    (r"technophobes?", "technophobe", "somebody who has not used it yet"),
    (r"computer[- ]illiterate", "computer illiterate", "new to this program"),
    (r"even (?:your|my|a) (?:grand(?:ma|pa|mother|father)|granny)", "even your grandmother", "everybody"),
    (r"(?:snowflake generation|generation snowflake)", "generation snowflake", "new colleagues"),
    (r"wet behind the ears", "wet behind the ears", "new to this"),
    (r"young(?:,| and) (?:dynamic|energetic|hungry)", "young and dynamic", "committed"),
    (r"youthful (?:energy|spirit)", "youthful energy", "energy"),
    # German
    (r"digitale[nr]? eingeborenen?r?", "digitale Eingeborene", "wer diese Werkzeuge täglich benutzt"),
    (r"digitale[nr]? einwanderern?", "digitale Einwanderer", "wer diese Werkzeuge neu kennenlernt"),
    (r"alte[nr]? schule", "alte Schule", "so, wie wir es bisher machen"),
    (r"alte[nrs]? hasen?", "alter Hase", "jemand mit langer Erfahrung"),
    (r"alte[ns]? eisen", "altes Eisen", "Menschen mit langer Erfahrung"),
    (r"zu jung,? (?:um|für|zum|dafür)", "zu jung, um", "neu in"),
    (r"zu alt,? (?:um|für|zum|dafür)", "zu alt, um", "hat es noch nicht probiert"),
    (
        r"(?:in|für) (?:dein|mein|sein|ihr|euer|unser)(?:em)? alter",
        "in deinem Alter",
        "in deiner Lage",
    ),
    (
        r"(?:jugend|jungen leuten?|jungen menschen) von heute",
        "die Jugend von heute",
        "neue Kolleginnen und Kollegen",
    ),
    (
        r"(?:kurz|knapp) vor (?:der|dem|ihrer|seiner|meiner|deiner) (?:rente|pension(?:ierung)?|ruhestand)",
        "kurz vor der Rente",
        "jemand mit langer Erfahrung",
    ),
    (
        r"(?:in|aus) der steinzeit|steinzeit-?(?:methoden?|technik|werkzeuge?|denken|chefs?)",
        "aus der Steinzeit",
        "so, wie wir es bisher machen",
    ),
    (r"dinosaurier[n]?", "Dinosaurier", "jemand mit langer Erfahrung"),
    (r"jungspund[es]?|grünschn[aä]bel[n]?", "Grünschnabel", "wer neu dabei ist"),
    (r"(?:junges|frisches|neues) blut", "junges Blut", "neue Kolleginnen und Kollegen"),
    (r"jung(?:e[nmrs]?)?(?:,| und) dynamisch(?:e[nmrs]?)?", "jung und dynamisch", "engagiert"),
    (rf"{_ALT} {_LEUTE} {_SIND}", "die Älteren sind, die Jungen sind", "manche sind"),
    (
        r"(?:ältere[nr]?|jüngere[nr]?|alte[nr]?|junge[nr]?) generation(?:en)?",
        "die ältere Generation",
        "wer in einer anderen Phase des Berufslebens steht",
    ),
    (
        r"(?:ich|du|er|sie) (?:bin|bist|ist) (?:\w+ )?zu (?:alt|jung)",
        "ich bin zu alt",
        "ich habe es noch nicht probiert",
    ),
    (
        r"(?:bin|bist|ist) (?:ich|du|er|sie) (?:\w+ )?zu (?:alt|jung)",
        "ich bin zu alt",
        "ich habe es noch nicht probiert",
    ),
    (r"alte[mnrs]? h[uü]nde?n?", "alter Hund, neue Tricks", "wer etwas Neues lernt"),
    (r"was hänschen nicht lernt", "Was Hänschen nicht lernt", "Lernen kann man immer"),
    (r"jungen? wilden?", "die jungen Wilden", "neue Kolleginnen und Kollegen"),
    (r"silver[- ]surfern?s?", "Silver Surfer", "alle, die diese Werkzeuge benutzen"),
    (r"gruftis?|alte[nr]? (?:sack|säcken?|knackern?)", "Grufti", "jemand mit langer Erfahrung"),
    (r"(?:grün|feucht|nass) hinter den ohren", "grün hinter den Ohren", "neu in diesem Thema"),
    (r"technikmuffeln?", "Technikmuffel", "wer es noch nicht benutzt hat"),
    (r"(?:selbst|sogar) (?:deine|meine|die) (?:oma|großmutter)", "sogar die Oma", "alle"),
    (
        r"schneeflockengeneration|generation schneeflocke",
        "Generation Schneeflocke",
        "neue Kolleginnen und Kollegen",
    ),
)
_NAMES = r"[“„\"']?(?:digital natives?|millennials?|boomers?|gen(?:eration)?[- ][xyz])"
_BUY = r"(?:buy|shop|pay|bank|save|spend|invest|insure|book|choose|order|subscribe)s?"
_KAUFEN = r"(?:kauf|einkauf|bezahl|spar|anleg|versicher|buch|bestell)(?:en|t|n)"
# Where the same words mean something else, or speak about the stereotype itself.
HARMLESS = (
    r"(?:my|your|his|her|our|their|the) old school(?: (?:building|friends?|days))?",
    r"old[- ]school friends?",
    r"(?:company|start-?up|product|tool|market|data)(?: is| was)?(?: still)? too (?:young|old) (?:to|for)",
    r"too old for (?:support|updates?|the update|this version)",
    r"dinosaurs? (?:museum|exhibition|fossils?|bones?)",
    rf"(?:myth|label|term|word|cliché|stereotype|idea) (?:of )?(?:the |a )?{_NAMES}",
    r"baby boom",
    r"old dogs? (?:shelter|home|rescue)",
    # What a group of customers does is a topic; what colleagues are said to be is not.
    rf"how (?:the )?{_NAMES}(?:,? (?:and|or) {_NAMES})* {_BUY}",
    rf"(?:sell|selling|marketing|advertising|insurance|banking|products?|offers?) (?:to|for|among) {_NAMES}",
    rf"{_NAMES}(?:,? (?:and|or) {_NAMES})* (?:customers?|consumers?|buyers?|audience|market|segment)",
    r"(?:older|younger|old|young) generations? of",
    r"(?:new|fresh) blood (?:tests?|banks?|samples?|donors?|pressure)",
    r"(?:meine|deine|seine|ihre|unsere|eure)[nr]? alte[nr]? schule",
    r"(?:firma|produkt|gesetz|daten|markt) (?:(?:ist|sind|war) )?(?:noch )?zu (?:jung|alt),? (?:um|für|zum)",
    r"zu (?:alt|jung),? für (?:updates?|das update|diese version|den support)",
    rf"{_NAMES} als (?:kunden|zielgruppe|kundengruppe|segment|markt)",
    r"(?:ältere[nr]?|jüngere[nr]?|alte[nr]?|junge[nr]?) generation(?:en)? (?:von|der|des|dieser|unserer)",
    r"dinosauriermuseum|dinosaurier-?(?:museum|ausstellung)",
    rf"wie (?:die )?{_NAMES}(?:,? (?:und|oder) {_NAMES})* (?:\w+ )?{_KAUFEN}",
    rf"(?:begriff|wort|klischee|mythos|etikett) (?:der |des |vom |von )?{_NAMES}",
    r"(?:frisches|neues) blut (?:spenden|abnehmen)",
)
_HARMLESS = re.compile("|".join(rf"(?<!\w)(?:{pattern})(?!\w)" for pattern in HARMLESS), re.IGNORECASE)
_PHRASES = [
    (re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE), phrase, rewrite)
    for pattern, phrase, rewrite in PHRASES
]
# So many hints at a time are read.
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """A phrase that judges by age.

    :ivar phrase: as our list has it, never the person's own sentence.
    :ivar rewrite: what to write instead, in the same language.
    :ivar start: where in the text.
    """

    phrase: str
    rewrite: str
    start: int


def find(text: str) -> list[Finding]:
    """Find phrases that judge people by age, in English and German, in the order of the text.

    **Touches** pure.
    """
    plain = re.sub(r"\s", " ", text.replace("’", "'"))
    harmless = [match.span() for match in _HARMLESS.finditer(plain)]
    found = [
        Finding(phrase, rewrite, match.start())
        for pattern, phrase, rewrite in _PHRASES
        for match in pattern.finditer(plain)
        if not any(start <= match.start() and match.end() <= end for start, end in harmless)
    ]
    return sorted(found, key=lambda one: one.start)


def hint(*texts: str | None) -> Text | None:
    """Say of some texts how they could be put more neutrally; None when there is nothing to say.

    **Touches** pure.
    """
    found = {one.phrase: one for text in texts if text for one in find(text)}
    parts = [
        Text(
            "A hint: “%(phrase)s” judges by age. Perhaps: “%(rewrite)s”.",
            phrase=one.phrase,
            rewrite=one.rewrite,
        )
        for one in list(found.values())[:SHOWN]
    ]
    return joined(parts) if parts else None


def with_hint(said: str, *texts: str | None) -> Text:
    """Add the hint about some texts, if there is one, to what is said after saving them.

    **Touches** pure.
    """
    told = hint(*texts)
    return Text(said) if told is None else joined([Text(said), told])
