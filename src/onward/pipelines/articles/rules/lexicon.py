"""The words that tell of a happening, and its type. Written for this room; nothing is computed here.

`TYPES` is closed: an event whose trigger stands in no list is of type `other`. A lemma belongs to one type only, the
one that it most often tells of in the news. Verbs and nouns have lists of their own, since `fire` and `a fire` differ.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ADJECTIVE_TYPES",
    "ASPECT",
    "COPULAS",
    "HEADS",
    "INTENTION",
    "LIGHT",
    "NAMING",
    "NOUN_TYPES",
    "OTHER",
    "PERSONS",
    "PLACES",
    "QUANTITIES",
    "STATEMENT",
    "SUFFERED",
    "TIMES",
    "TYPES",
    "VERB_TYPES",
    "WEAK_VERBS",
    "words",
]


def words(text: str) -> frozenset[str]:
    """Return the words of a text, as a set."""
    return frozenset(text.split())


OTHER = "other"
STATEMENT = "statement"

_VERBS: Mapping[str, str] = {
    "attack": """attack ambush assault batter besiege bomb bombard clash combat detonate fight fire gun hijack
        invade kidnap molest rape raid ram rob seize shell shoot slay stab storm strike torpedo
        torture vandalize wage""",
    "death": "assassinate behead die drown execute kill massacre murder perish poison slaughter strangle suffocate",
    "injury": "burn harm hospitalize hurt injure maim wound",
    "disaster": """blaze collapse crash crumble damage derail destroy devastate erupt explode flood jolt overturn
        rattle ravage rock shake sink topple""",
    "justice": """acquit accuse allege apprehend appeal arraign arrest bail capture charge condemn convict detain
        extradite fine imprison incarcerate indict interrogate investigate jail plead probe prosecute
        question rule sentence sue summon suspect try""",
    "election": "campaign elect nominate vote",
    "protest": "boycott demonstrate march picket protest rally riot",
    "meeting": "attend convene gather host meet negotiate visit",
    STATEMENT: """acknowledge add address admit announce argue assert assure blame call cite claim comment complain
        confess confirm criticize declare denounce deny describe disclose explain inform insist mention
        note pledge post praise promise quote read recall recount remark reply report respond reveal say
        speak state stress suggest talk tell testify tweet unveil urge vow warn write""",
    "business": """acquire auction buy invest merge offer outbid pay purchase sell ship spend sponsor trade""",
    "appointment": """appoint axe dismiss hire inaugurate install oust promote quit recruit replace resign retire sack
        step suspend swear""",
    "movement": """arrive board check depart deploy drive enter escape evacuate exit flee fly go head land leave move
        pull relocate return run rush sail send transfer transport travel turn walk withdraw""",
    "agreement": "adopt agree approve ban enact endorse pass ratify settle sign",
    "contest": "beat capture defeat face lose play score tie win",
    "release": "debut introduce launch premiere publish release",
    "rescue": "aid escort foil free help intercept prevent protect rescue save thwart treat",
}

_NOUNS: Mapping[str, str] = {
    "attack": """airstrike ambush arson assault attack battle beating bombardment bombing clash combat
        conflict fight fighting fray gunfight gunfire heist hijacking invasion kidnapping looting
        offensive piracy raid rampage rape robbery shelling shooting shootout siege spree stabbing strike
        theft torture vandalism violence war warfare hijack burglary insurgency crackdown skirmish
        incursion shot""",
    "death": """assassination death demise execution fatality genocide homicide killing manslaughter massacre
        murder slaying suicide""",
    "injury": "burn injury wound",
    "disaster": """accident aftershock avalanche blackout blast blaze collapse collision crash cyclone damage
        derailment destruction disaster drought earthquake epidemic eruption explosion famine fire flood
        flooding hurricane landslide outbreak outage pandemic quake shipwreck storm temblor tornado tremor
        tsunami typhoon wildfire wreck wreckage""",
    "justice": """acquittal accusation allegation appeal arraignment arrest capture charge conviction custody
        detention extradition fine hearing imprisonment indictment inquest inquiry investigation lawsuit
        manhunt plea probe prosecution ruling sentence sentencing suit trial verdict testimony
        probing""",
    "election": "ballot campaign election inauguration nomination poll primary referendum runoff vote voting",
    "protest": """boycott demonstration march mutiny protest rally riot rioting strike unrest uprising revolt
        rebellion coup sit-in walkout""",
    "meeting": """ceremony concert conference festival forum funeral gala gathering meeting premiere reception
        reunion summit symposium talk talks session vigil visit wedding negotiation mediation""",
    STATEMENT: """accusation announcement apology claim comment complaint confession confirmation criticism
        declaration denial disclosure message pledge promise remark response speech statement testimony
        threat tweet warning""",
    "business": """acquisition auction bankruptcy bid buyout deal investment merger offer payment purchase sale
        takeover trade transaction""",
    "appointment": """appointment departure dismissal firing hiring layoff promotion resignation retirement
        suspension""",
    "movement": """arrival departure deployment escape evacuation exit exodus flight journey landing march migration
        move return tour transfer transport trip withdrawal patrol stay stint""",
    "agreement": "accord agreement approval ban ceasefire compromise pact settlement treaty truce",
    "contest": """championship contest defeat final game match race tournament victory win""",
    "release": "debut launch publication release",
    "rescue": "aid escort help protection relief rescue surgery treatment",
    OTHER: """attempt chase collaboration decision discovery incident mission operation pursuit repair search""",
}

_ADJECTIVES: Mapping[str, str] = {"death": "dead", "injury": "injured wounded"}


def _by_lemma(lists: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, words in lists.items():
        for lemma in words.split():
            found.setdefault(lemma, kind)
    return found


VERB_TYPES = _by_lemma(_VERBS)
"""Lemma of a verb → type of the happening that it tells of."""
NOUN_TYPES = _by_lemma(_NOUNS)
"""Lemma of a noun that names a happening → its type."""
ADJECTIVE_TYPES = _by_lemma(_ADJECTIVES)
"""Lemma of an adjective that tells what became of somebody → its type."""
TYPES = (*_VERBS, OTHER)
"""Every type, `other` last."""

COPULAS = words("be appear become remain seem look sound stay feel mean")
"""Verbs that say how things are, not what happened."""
LIGHT = words("""carry commit conduct do face give have hold host launch lead make mount organise organize perform
        stage suffer sustain take undergo wage""")
"""Verbs that only lend their grammar to an event noun that is their object."""
ASPECT = words("begin cease continue finish keep proceed resume start stop")
"""Verbs that tell of a phase of the happening in their complement."""
INTENTION = words("""agree aim allow ask attempt consider decide demand encourage expect fail force hope intend invite
        manage need offer order plan prepare promise propose refuse seek threaten try urge want wish""")
"""Verbs after which an infinitive tells of something that need not have happened."""
WEAK_VERBS = words("""accord age base belong compare concern consist contain cost depend deserve exist follow have
        include involve know let like live love need own prefer regard relate seem sit stand think understand want
        weigh believe hope care fear hate""")
"""Verbs of having, being in a place, thinking and liking."""
NAMING = words("call dub know name nickname title")
"""Verbs that say what something is called, where a name follows or they describe a noun."""
SUFFERED = frozenset({"death", "injury", "justice", "appointment"})
"""Types whose noun belongs to the one that it befalls: his death, her arrest."""
QUANTITIES = words("""billion bulk couple crowd dozen group half handful hundred kind lot majority member million number
        one part percent rest score series set some string thousand total type""")
"""Nouns that count or measure what their `of` names."""

PERSONS = words(
    """academic activist actor actress adult agent ambassador artist attacker attorney aunt author baby bishop boy
    brother burglar bystander candidate captain ceo chairman chairwoman champion chief child citizen civilian
    cleric coach colleague commander congressman convict cop cousin crew critic crowd customer cyclist daughter
    dealer defendant delegate detainee detective diplomat director doctor driver economist employee engineer
    executive extremist family fan farmer father fighter firefighter fireman fisherman friend fugitive girl
    girlfriend governor grandfather grandmother guard guest gunman hacker hijacker hostage husband infant inmate
    insurgent journalist judge juror kid kidnapper killer king lawmaker lawyer leader man manager marine mayor
    member migrant militant minister monk mother motorist murderer national neighbor nurse officer official
    opponent other owner paramedic parent passenger patient pedestrian pensioner people person personnel pilgrim
    pilot pirate player police policeman policewoman politician pope president priest prince princess prisoner
    prosecutor protester queen rebel refugee relative reporter resident rival robber sailor scientist secretary
    senator sheriff shopper singer sister skier smuggler snowboarder soldier son spectator spokesman spokeswoman
    star student supporter surgeon suspect teacher teen teenager terrorist thief tourist trader troop uncle
    victim villager volunteer voter wife winner witness woman worker youth"""
)
PLACES = words("""airport apartment area bank base beach border building camp capital casino church city coast
        coastline court courthouse courtroom district epicenter facility farm gulf hall highway home
        hospital hotel house island jail market mosque mountain neighborhood ocean office park pier plant
        port prison province region restaurant river road scene school sea store street suburb supermarket
        theater town train university village warehouse water waters zone""")
TIMES = words("""afternoon ago century dawn day decade earlier evening hour january february march april may june
        july last later august september october november december midnight minute monday tuesday
        wednesday thursday friday saturday sunday month morning night noon quarter season spring
        summer time today tomorrow tonight autumn week weekend winter year yesterday""")
HEADS = words("nsubj nsubjpass dobj pobj attr appos conj ROOT oprd dep nmod npadvmod ccomp")
"""Where a noun stands that names a happening by itself, and is no more than part of another name."""
