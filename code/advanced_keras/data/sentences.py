"""English-Spanish sentence pairs: generated from a small grammar, or read from a file.

The built-in corpus needs no download. A grammar with agreement makes each pair:
Spanish articles, adjectives and participles follow the gender and number of the
noun, verbs follow the person and number of the subject. Every English sentence has
exactly one Spanish translation, so exact match is a fair score. The conventions that
make it so: *you* is the informal singular, *they* and *we* are masculine or mixed,
and Spanish drops the subject pronoun in the first and second person, where the verb
form already tells the person (*I buy the book*, *compro el libro*).

The same loader reads the Anki/Tatoeba archive, or any tab-separated file.
"""

import io
import random
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from advanced_keras import _checks

Pair = tuple[str, str]

TATOEBA_URL = "http://storage.googleapis.com/download.tensorflow.org/data/spa-eng.zip"
MIN_WORDS, MAX_WORDS = 3, 12
MAX_GENERATED = 100_000
SOURCES = ("generated", "tatoeba", "tsv")


# The lexicon ------------------------------------------------------------------


@dataclass(frozen=True)
class Noun:
    """One noun in both languages: forms, gender (m, f) and semantic kind."""

    english: str
    english_plural: str
    spanish: str
    spanish_plural: str
    gender: str
    kind: str


@dataclass(frozen=True)
class Verb:
    """One verb: English base, s, past, ing forms; Spanish forms by tense and person."""

    english: str
    third: str
    past: str
    ing: str
    particle: str
    infinitive: str
    present: tuple[str, ...]
    preterite: tuple[str, ...]
    gerund: str
    objects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Phrase:
    """A noun phrase or pronoun in both languages, with its features.

    `spanish` is empty for a dropped pronoun (first and second person).
    """

    english: str
    spanish: str
    head: str
    person: int
    number: str
    gender: str

    @property
    def slot(self) -> int:
        """Index into a conjugation: 1s, 2s, 3s, 1p, 3p."""
        singular = {1: 0, 2: 1, 3: 2}
        return singular[self.person] if self.number == "s" else 3 + (self.person == 3)


@dataclass(frozen=True)
class SentenceRecord:
    """One generated pair with what the grammar knows about it.

    `template` names the sentence pattern, `tense` is present, past or
    progressive, `subject`, `verb` and `complement` are English head words. The subject
    of a *like* sentence is the English one.
    """

    english: str
    spanish: str
    template: str
    tense: str
    subject: str
    verb: str
    complement: str
    person: int
    number: str
    gender: str
    negated: bool = False
    question: bool = False

    @property
    def pair(self) -> Pair:
        """The two sentences, `(english, spanish)`."""
        return self.english, self.spanish

    @property
    def combination(self) -> tuple[str, str, str]:
        """What a split keeps together: (subject, verb, complement)."""
        return self.subject, self.verb, self.complement


_NOUNS = """
person man hombre m men; woman mujer f women; boy niño m; girl niña f; king rey m
person queen reina f
kin brother hermano m; sister hermana f; uncle tío m; aunt tía f
kin grandfather abuelo m; grandmother abuela f
animal dog perro m; cat gato m; horse caballo m; cow vaca f
food apple manzana f; orange naranja f; egg huevo m; potato patata f
food cake pastel m; tomato tomate m
thing book libro m; letter carta f; key llave f; shirt camisa f; map mapa m
thing photo foto f; pencil lápiz m; flower flor f
furniture chair silla f; table mesa f; lamp lámpara f; clock reloj m
furniture car coche m; bicycle bicicleta f
opening door puerta f; window ventana f; box caja f; house casa f
place:at market mercado m; beach playa f; station estación f
place:in kitchen cocina f; garden jardín m; school escuela f; park parque m
place:in hospital hospital m; library biblioteca f; church iglesia f
"""

# english, kinds it may describe before or after a noun (a), with ser (s), estar (e)
_ADJECTIVES = """
big grande as food thing furniture opening animal
small pequeño as food thing furniture opening animal
red rojo as thing furniture opening
green verde as thing furniture opening
black negro as thing furniture opening animal
white blanco as thing furniture opening animal
new nuevo as thing furniture opening
old viejo as thing furniture opening animal person kin
expensive caro as food thing furniture opening
pretty bonito as thing furniture opening animal
dirty sucio e thing furniture opening animal
clean limpio e thing furniture opening animal
tall alto as person kin
young joven as person kin animal
strong fuerte as person kin animal
tired cansado e person kin animal
sad triste e person kin animal
sick enfermo e person kin animal
"""

# english[+particle] third past ing infinitive: object kinds ("-" has none)
_VERBS = """
eat eats ate eating comer: food
buy buys bought buying comprar: food thing furniture opening
sell sells sold selling vender: food thing furniture opening
look+for looks looked looking buscar: thing furniture opening food
find finds found finding encontrar: thing furniture opening
need needs needed needing necesitar: thing furniture opening food
wash washes washed washing lavar: food furniture opening
paint paints painted painting pintar: furniture opening
open opens opened opening abrir: opening
close closes closed closing cerrar: opening
visit visits visited visiting visitar: person kin
help helps helped helping ayudar: person kin
see sees saw seeing ver: person kin thing furniture opening food
wait+for waits waited waiting esperar: person kin
work works worked working trabajar: -
sleep sleeps slept sleeping dormir: -
sing sings sang singing cantar: -
dance dances danced dancing bailar: -
run runs ran running correr: -
"""

_IRREGULAR = {
    ("buscar", "preterite"): "busqué buscaste buscó buscamos buscaron",
    ("encontrar", "present"): "encuentro encuentras encuentra encontramos encuentran",
    ("cerrar", "present"): "cierro cierras cierra cerramos cierran",
    ("dormir", "present"): "duermo duermes duerme dormimos duermen",
    ("dormir", "preterite"): "dormí dormiste durmió dormimos durmieron",
    ("dormir", "gerund"): "durmiendo",
    ("ver", "present"): "veo ves ve vemos ven",
    ("ver", "preterite"): "vi viste vio vimos vieron",
}
_PRESENT = {
    "ar": "o as a amos an",
    "er": "o es e emos en",
    "ir": "o es e imos en",
}
_PRETERITE = {
    "ar": "é aste ó amos aron",
    "er": "í iste ió imos ieron",
    "ir": "í iste ió imos ieron",
}
_SER = ("soy", "eres", "es", "somos", "son")
_ESTAR = ("estoy", "estás", "está", "estamos", "están")
_MODALS = {
    "want to": ("wants to", ("quiero", "quieres", "quiere", "queremos", "quieren")),
    "can": ("can", ("puedo", "puedes", "puede", "podemos", "pueden")),
    "must": ("must", ("debo", "debes", "debe", "debemos", "deben")),
}
_GO = {
    "present": ("go", "goes", ("voy", "vas", "va", "vamos", "van")),
    "past": ("went", "went", ("fui", "fuiste", "fue", "fuimos", "fueron")),
}
_COME = {
    "present": ("come", "comes", ("vengo", "vienes", "viene", "venimos", "vienen")),
    "past": ("came", "came", ("vine", "viniste", "vino", "vinimos", "vinieron")),
}
_TIMES = {
    "present": (("every day", "todos los días"),),
    "past": (("yesterday", "ayer"), ("last night", "anoche")),
    "progressive": (("now", "ahora"), ("today", "hoy")),
}
_PRONOUNS = (
    Phrase("I", "", "I", 1, "s", ""),
    Phrase("you", "", "you", 2, "s", ""),
    Phrase("he", "él", "he", 3, "s", "m"),
    Phrase("she", "ella", "she", 3, "s", "f"),
    Phrase("we", "", "we", 1, "p", "m"),
    Phrase("they", "ellos", "they", 3, "p", "m"),
)
# English singular, English plural: Spanish m.s., f.s., m.p., f.p.
_DETERMINERS = {
    "the": ("the", "the", "el la los las"),
    "a": ("a", "", "un una - -"),
    "two": ("", "two", "- - dos dos"),
    "three": ("", "three", "- - tres tres"),
    "many": ("", "many", "- - muchos muchas"),
    "this": ("this", "these", "este esta estos estas"),
    "my": ("my", "my", "mi mi mis mis"),
    "your": ("your", "your", "tu tu tus tus"),
    "our": ("our", "our", "nuestro nuestra nuestros nuestras"),
}
_DEFINITE = ("the", "the", "this", "my", "our")
_ANY = ("the", "the", "a", "two", "three", "many", "this", "my", "your", "our")
_OWNED = {"my", "your", "our"}
_RELATIONS = (
    ("near", "cerca de"),
    ("behind", "detrás de"),
    ("in front of", "delante de"),
)


def plural(word: str) -> str:
    """Return the Spanish plural of a noun or adjective: *lápiz*, *lápices*.

    Example:
        >>> plural("rojo"), plural("lápiz")
        ('rojos', 'lápices')
    """
    if word == "joven":
        return "jóvenes"
    if word[-1] in "aeoé":
        return word + "s"
    if word.endswith("z"):
        return word[:-1] + "ces"
    for accented, plain in (("ón", "on"), ("ín", "in")):
        if word.endswith(accented):
            return word[:-2] + plain + "es"
    return word + "es"


def agree(adjective: str, gender: str, number: str) -> str:
    """Inflect a Spanish adjective, given in the masculine singular."""
    if gender == "f" and adjective.endswith("o"):
        adjective = adjective[:-1] + "a"
    return plural(adjective) if number == "p" else adjective


def _english_plural(word: str) -> str:
    if word.endswith(("s", "x", "ch", "sh", "to")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def _read_nouns() -> tuple[dict[str, list[Noun]], dict[str, str]]:
    """Parse the noun table into nouns by kind, and the preposition of each place."""
    kinds: dict[str, list[Noun]] = {}
    prepositions: dict[str, str] = {}
    for line in _NOUNS.strip().splitlines():
        kind, rest = line.split(" ", 1)
        kind, _, preposition = kind.partition(":")
        for entry in rest.split(";"):
            english, spanish, gender, *irregular = entry.split()
            many = irregular[0] if irregular else _english_plural(english)
            noun = Noun(english, many, spanish, plural(spanish), gender, kind)
            kinds.setdefault(kind, []).append(noun)
            if preposition:
                prepositions[english] = preposition
    return kinds, prepositions


def _read_adjectives() -> dict[str, dict[str, list[Pair]]]:
    """Parse the adjective table: use (a, s, e) -> noun kind -> adjectives."""
    table: dict[str, dict[str, list[Pair]]] = {"a": {}, "s": {}, "e": {}}
    for line in _ADJECTIVES.strip().splitlines():
        english, spanish, uses, *kinds = line.split()
        for use in uses:
            for kind in kinds:
                table[use].setdefault(kind, []).append((english, spanish))
    return table


def _forms(infinitive: str, tense: str, endings: dict[str, str]) -> tuple[str, ...]:
    irregular = _IRREGULAR.get((infinitive, tense))
    if irregular:
        return tuple(irregular.split())
    stem, ending = infinitive[:-2], infinitive[-2:]
    return tuple(stem + suffix for suffix in endings[ending].split())


def _read_verb(line: str) -> Verb:
    """Parse one line of the verb table and conjugate the Spanish verb."""
    words, _, objects = line.partition(":")
    english, third, past, ing, infinitive = words.split()
    english, _, particle = english.partition("+")
    gerund = infinitive[:-2] + ("ando" if infinitive.endswith("ar") else "iendo")
    return Verb(
        english,
        third,
        past,
        ing,
        particle,
        infinitive,
        _forms(infinitive, "present", _PRESENT),
        _forms(infinitive, "preterite", _PRETERITE),
        _IRREGULAR.get((infinitive, "gerund"), gerund),
        tuple(kind for kind in objects.split() if kind != "-"),
    )


NOUNS, _PLACE_PREPOSITION = _read_nouns()
ADJECTIVES = _read_adjectives()
VERBS = tuple(_read_verb(line) for line in _VERBS.strip().splitlines())
_TRANSITIVE = tuple(verb for verb in VERBS if verb.objects)
_INTRANSITIVE = tuple(verb for verb in VERBS if not verb.objects)
_ANIMAL_VERBS = {"sleep", "run", "rest", "eat"}
_NO_PROGRESSIVE = {"need", "see", "find"}
_MODAL_VERBS = tuple(verb for verb in _TRANSITIVE if verb.english != "need")


# Phrases ----------------------------------------------------------------------


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def contract(spanish: str) -> str:
    """Apply the two Spanish contractions: *a el* to *al*, *de el* to *del*."""
    words: list[str] = []
    for word in spanish.split():
        if word == "el" and words and words[-1] in ("a", "de"):
            words[-1] = "al" if words[-1] == "a" else "del"
        else:
            words.append(word)
    return " ".join(words)


def _with_article(article: str, rest: str) -> str:
    """Join an English determiner and its noun: *a* becomes *an* before a vowel."""
    return f"{'an' if article == 'a' and rest[0] in 'aeiou' else article} {rest}"


def _noun_phrase(
    noun: Noun, determiner: str, number: str, adjective: Pair | None = None
) -> Phrase:
    """Build determiner, noun and optional adjective in both languages."""
    is_plural = number == "p"
    english_forms = _DETERMINERS[determiner]
    form = 2 * is_plural + (noun.gender == "f")
    english = noun.english_plural if is_plural else noun.english
    spanish = noun.spanish_plural if is_plural else noun.spanish
    if adjective:
        english = f"{adjective[0]} {english}"
        spanish = f"{spanish} {agree(adjective[1], noun.gender, number)}"
    return Phrase(
        _with_article(english_forms[is_plural], english),
        f"{english_forms[2].split()[form]} {spanish}",
        noun.english,
        3,
        number,
        noun.gender,
    )


def _draw_noun(
    rng: random.Random,
    kinds: Iterable[str],
    determiners: tuple[str, ...] = _ANY,
    adjective_share: float = 0.4,
) -> tuple[Phrase, Noun]:
    """Draw a noun of one of these kinds with a determiner that suits it."""
    noun = rng.choice([noun for kind in kinds for noun in NOUNS[kind]])
    if noun.kind == "person":  # "my woman" is English, but says something else
        determiners = tuple(name for name in determiners if name not in _OWNED)
    determiner = rng.choice(determiners)
    numbers = [
        n for n, form in zip("sp", _DETERMINERS[determiner], strict=False) if form
    ]
    suiting = ADJECTIVES["a"].get(noun.kind)
    adjective = None
    if suiting and rng.random() < adjective_share:
        adjective = rng.choice(suiting)
    return _noun_phrase(noun, determiner, rng.choice(numbers), adjective), noun


def _draw_subject(rng: random.Random, animals: bool = False) -> Phrase:
    """Draw a pronoun (one time in three) or a noun phrase as subject."""
    if rng.random() < 1 / 3:
        return rng.choice(_PRONOUNS)
    kinds = ("person", "kin", "animal") if animals else ("person", "kin")
    return _draw_noun(rng, kinds, adjective_share=0.25)[0]


def _draw_place(rng: random.Random) -> tuple[str, str, Noun]:
    noun = rng.choice(NOUNS["place"])
    phrase = _noun_phrase(noun, "the", "s")
    preposition = _PLACE_PREPOSITION[noun.english]
    return f"{preposition} {phrase.english}", f"en {phrase.spanish}", noun


def _draw_time(rng: random.Random, tense: str, share: float = 0.4) -> Pair:
    return rng.choice(_TIMES[tense]) if rng.random() < share else ("", "")


def _draw_object(rng: random.Random, verb: Verb) -> Phrase:
    """Draw a verb's object; Spanish marks a person with the personal *a*."""
    phrase, noun = _draw_noun(rng, verb.objects)
    if noun.kind in ("person", "kin"):
        phrase = replace(phrase, spanish=f"a {phrase.spanish}")
    return phrase


def _be(subject: Phrase) -> str:
    if subject.number == "p" or subject.person == 2:
        return "are"
    return "am" if subject.person == 1 else "is"


def _do(subject: Phrase) -> str:
    return "does" if subject.person == 3 and subject.number == "s" else "do"


def english_verb(verb: Verb, tense: str, subject: Phrase, negated: bool) -> str:
    """Return the English verb group, with *do*-support under negation."""
    is_third = _do(subject) == "does"
    particle = verb.particle
    if tense == "progressive":
        return _join(_be(subject), "not" if negated else "", verb.ing, particle)
    if negated:
        helper = "did" if tense == "past" else _do(subject)
        return _join(helper, "not", verb.english, particle)
    present = verb.third if is_third else verb.english
    return _join(verb.past if tense == "past" else present, particle)


def spanish_verb(verb: Verb, tense: str, subject: Phrase, negated: bool) -> str:
    """Return the Spanish verb group, conjugated by person and number."""
    slot = subject.slot
    forms = {
        "present": verb.present[slot],
        "past": verb.preterite[slot],
        "progressive": f"{_ESTAR[slot]} {verb.gerund}",
    }
    return _join("no" if negated else "", forms[tense])


# Templates: each draws one sentence -------------------------------------------


def _record(
    template: str,
    tense: str,
    subject: Phrase,
    verb: str,
    complement: str,
    english: str,
    spanish: str,
    **flags: bool,
) -> SentenceRecord:
    return SentenceRecord(
        english,
        contract(spanish),
        template,
        tense,
        subject.head,
        verb,
        complement,
        subject.person,
        subject.number,
        subject.gender,
        **flags,
    )


def _draw_tense(rng: random.Random, verb: Verb) -> str:
    tenses = ["present", "past", "progressive"]
    return rng.choice(tenses[:2] if verb.english in _NO_PROGRESSIVE else tenses)


def _transitive(rng: random.Random) -> SentenceRecord:
    verb = rng.choice(_TRANSITIVE)
    subject = _draw_subject(rng, verb.english in _ANIMAL_VERBS)
    tense, negated = _draw_tense(rng, verb), rng.random() < 0.25
    thing, time = _draw_object(rng, verb), _draw_time(rng, tense)
    return _record(
        "transitive",
        tense,
        subject,
        verb.english,
        thing.head,
        _join(
            subject.english,
            english_verb(verb, tense, subject, negated),
            thing.english,
            time[0],
        ),
        _join(
            subject.spanish,
            spanish_verb(verb, tense, subject, negated),
            thing.spanish,
            time[1],
        ),
        negated=negated,
    )


def _intransitive(rng: random.Random) -> SentenceRecord:
    verb = rng.choice(_INTRANSITIVE)
    subject = _draw_subject(rng, verb.english in _ANIMAL_VERBS)
    tense, negated = _draw_tense(rng, verb), rng.random() < 0.25
    place, time = _draw_place(rng), _draw_time(rng, tense)
    return _record(
        "intransitive",
        tense,
        subject,
        verb.english,
        place[2].english,
        _join(
            subject.english,
            english_verb(verb, tense, subject, negated),
            place[0],
            time[0],
        ),
        _join(
            subject.spanish,
            spanish_verb(verb, tense, subject, negated),
            place[1],
            time[1],
        ),
        negated=negated,
    )


def _modal(rng: random.Random) -> SentenceRecord:
    verb = rng.choice(_MODAL_VERBS)
    name, (third, forms) = rng.choice(sorted(_MODALS.items()))
    subject, thing = _draw_subject(rng), _draw_object(rng, verb)
    modal = third if _do(subject) == "does" else name
    return _record(
        "modal",
        "present",
        subject,
        verb.english,
        thing.head,
        _join(subject.english, modal, verb.english, verb.particle, thing.english),
        _join(subject.spanish, forms[subject.slot], verb.infinitive, thing.spanish),
    )


def _question(rng: random.Random) -> SentenceRecord:
    """*Did the girl buy the book?*: Spanish puts the verb before the subject."""
    verb, tense = rng.choice(_TRANSITIVE), rng.choice(("present", "past"))
    where = rng.random() < 0.4
    subject, thing = _draw_subject(rng), _draw_object(rng, verb)
    helper = _do(subject) if tense == "present" else "did"
    body = _join(helper, subject.english, verb.english, verb.particle, thing.english)
    spanish = _join(
        spanish_verb(verb, tense, subject, False), subject.spanish, thing.spanish
    )
    return _record(
        "where" if where else "question",
        tense,
        subject,
        verb.english,
        thing.head,
        _join("where" if where else "", body) + "?",
        "¿" + _join("dónde" if where else "", spanish) + "?",
        question=True,
    )


def _where_is(rng: random.Random) -> SentenceRecord:
    kinds = ("thing", "furniture", "animal", "kin", "person")
    subject, _ = _draw_noun(rng, kinds, _DEFINITE)
    return _record(
        "where is",
        "present",
        subject,
        "be",
        "where",
        f"where {_be(subject)} {subject.english}?",
        f"¿dónde {_ESTAR[subject.slot]} {subject.spanish}?",
        question=True,
    )


def _draw_described(rng: random.Random) -> tuple[Phrase, str]:
    """Draw the subject of *is red*: its gender must be visible in the English."""
    if rng.random() < 0.15:  # "I" and "you" do not tell their gender
        return rng.choice([p for p in _PRONOUNS if p.gender]), "person"
    kinds = ("person", "kin", "animal", "food", "thing", "furniture", "opening")
    subject, noun = _draw_noun(rng, kinds, _DEFINITE)
    return subject, noun.kind


def _predicate(rng: random.Random) -> SentenceRecord:
    """*The red houses are big*: ser for a property, estar for a state."""
    subject, kind = _draw_described(rng)
    uses = [use for use in "se" if kind in ADJECTIVES[use]]
    use, negated = rng.choice(uses), rng.random() < 0.2
    said = set(subject.english.split())  # not "the red hats are red"
    choices = [pair for pair in ADJECTIVES[use][kind] if pair[0] not in said]
    english, spanish = rng.choice(choices)
    copula = (_SER if use == "s" else _ESTAR)[subject.slot]
    predicate = agree(spanish, subject.gender, subject.number)
    return _record(
        "predicate",
        "present",
        subject,
        "be",
        english,
        _join(subject.english, _be(subject), "not" if negated else "", english),
        _join(subject.spanish, "no" if negated else "", copula, predicate),
        negated=negated,
    )


def _motion(rng: random.Random) -> SentenceRecord:
    """*Goes to the*, *comes from the*: the contractions *al* and *del*."""
    name, table, to, a = rng.choice(
        (("go", _GO, "to", "a"), ("come", _COME, "from", "de"))
    )
    tense = rng.choice(sorted(table))
    subject, time = _draw_subject(rng), _draw_time(rng, tense)
    base, third, forms = table[tense]
    place = rng.choice(NOUNS["place"])
    goal = _noun_phrase(place, "the", "s")
    verb = third if _do(subject) == "does" else base
    return _record(
        "motion",
        tense,
        subject,
        name,
        place.english,
        _join(subject.english, verb, to, goal.english, time[0]),
        _join(subject.spanish, forms[subject.slot], a, goal.spanish, time[1]),
    )


def _location(rng: random.Random) -> SentenceRecord:
    """*Is behind the*: Spanish adds *de*, which contracts with *el*."""
    kinds = ("person", "kin", "animal", "thing", "furniture", "opening")
    subject, _ = _draw_noun(rng, kinds, _DEFINITE)
    near, cerca = rng.choice(_RELATIONS)
    other, _ = _draw_noun(rng, ("furniture", "opening"), ("the", "this"), 0.3)
    if other.head == subject.head:
        return _location(rng)
    return _record(
        "location",
        "present",
        subject,
        near,
        other.head,
        _join(subject.english, _be(subject), near, other.english),
        _join(subject.spanish, _ESTAR[subject.slot], cerca, other.spanish),
    )


def _dative(subject: Phrase) -> str:
    """The Spanish side of who likes: *me*, *te*, *nos*, or *a la niña le*."""
    if subject.person < 3:
        return {"I": "me", "you": "te", "we": "nos"}[subject.head]
    return f"a {subject.spanish} {'le' if subject.number == 's' else 'les'}"


def _like(rng: random.Random) -> SentenceRecord:
    """*The girl likes the apples*: in Spanish the apples are the subject."""
    subject, negated = _draw_subject(rng), rng.random() < 0.2
    kinds = ("food", "thing", "furniture", "animal")
    thing, _ = _draw_noun(rng, kinds, ("the", "this", "my", "your", "our"))
    verb = "likes" if _do(subject) == "does" else "like"
    if negated:
        verb = f"{_do(subject)} not like"
    dative = _dative(subject).split()
    if negated:  # "no" stands directly before the dative pronoun
        dative.insert(-1, "no")
    gusta = "gusta" if thing.number == "s" else "gustan"
    return _record(
        "like",
        "present",
        subject,
        "like",
        thing.head,
        _join(subject.english, verb, thing.english),
        _join(*dative, gusta, thing.spanish),
        negated=negated,
    )


_TEMPLATES = {
    _transitive: 8,
    _intransitive: 3,
    _modal: 2,
    _question: 3,
    _where_is: 1,
    _predicate: 4,
    _motion: 2,
    _location: 2,
    _like: 2,
}


def _fits(record: SentenceRecord) -> bool:
    lengths = [len(sentence.split()) for sentence in record.pair]
    return min(lengths) >= MIN_WORDS and max(lengths) <= MAX_WORDS


def _endless(seed: int) -> Iterator[SentenceRecord]:
    rng = random.Random(seed)
    templates, weights = list(_TEMPLATES), list(_TEMPLATES.values())
    while True:
        yield rng.choices(templates, weights)[0](rng)


def generate(num_pairs: int = 12_000, seed: int = 0) -> list[SentenceRecord]:
    """Draw distinct sentence pairs from the grammar.

    Args:
        num_pairs: How many, from 1 to 100,000. No English sentence comes twice.
        seed: A whole number; the same seed gives the same list.

    Returns:
        A list of `SentenceRecord`, each of 3 to 12 words in both languages.

    Raises:
        ValueError: If `num_pairs` is out of range.
        TypeError: If `num_pairs` or `seed` is not a whole number.
    """
    _check_whole("num_pairs", num_pairs)
    _check_whole("seed", seed)
    if not 1 <= num_pairs <= MAX_GENERATED:
        raise ValueError(f"num_pairs must be 1 to {MAX_GENERATED}, got {num_pairs}")
    found: dict[str, SentenceRecord] = {}
    for record in _endless(seed):
        if _fits(record):
            found.setdefault(record.english, record)
        if len(found) == num_pairs:
            break
    return list(found.values())


# Splits -----------------------------------------------------------------------


@dataclass(frozen=True)
class SentencePairs:
    """Three disjoint tuples of `(english, spanish)` pairs."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """The number of pairs in each split."""
        return {name: len(getattr(self, name)) for name in self.__dataclass_fields__}


def _words(pair: Pair) -> set[tuple[int, str]]:
    """The words of a pair, each with its language (0 or 1)."""
    return {
        (side, word.strip("¿?.,!¡"))
        for side, sentence in enumerate(pair)
        for word in sentence.lower().split()
    }


def _check_whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r}")


def _check_fractions(validation: float, test: float) -> None:
    for name, value in (("validation_fraction", validation), ("test_fraction", test)):
        _checks.share(name, value)
    if validation + test >= 1:
        raise ValueError(
            "validation_fraction + test_fraction must be below 1, "
            f"got {validation} + {test}"
        )


def split_records(
    records: list[SentenceRecord],
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
) -> tuple[list[SentenceRecord], list[SentenceRecord], list[SentenceRecord]]:
    """Split generated records so that no combination is in two splits.

    All sentences with the same (subject, verb, complement) go to the same split. A
    group is held out only if each of its words stays in the training sentences, so a
    held-out sentence is a new combination of known words. The held-out parts are
    smaller than asked when too few sentences share their words (below some 300).

    Returns:
        Training, validation and test records.
    """
    _check_fractions(validation_fraction, test_fraction)
    groups: dict[tuple[str, str, str], list[SentenceRecord]] = {}
    for record in records:
        groups.setdefault(record.combination, []).append(record)
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    wanted = [round(f * len(records)) for f in (validation_fraction, test_fraction)]
    held: tuple[list, list] = ([], [])
    train: list[SentenceRecord] = []
    counts = _count_words(records)
    for group in order:
        target = next(
            (
                part
                for part, size in zip(held, wanted, strict=True)
                if len(part) + len(group) <= size
            ),
            None,
        )
        if target is not None and _release(group, counts):
            target.extend(group)
        else:
            train.extend(group)
    return train, *held


def _count_words(records: Iterable[SentenceRecord]) -> dict[tuple[int, str], int]:
    counts: dict[tuple[int, str], int] = {}
    for record in records:
        for word in _words(record.pair):
            counts[word] = counts.get(word, 0) + 1
    return counts


def _release(group: list[SentenceRecord], counts: dict[tuple[int, str], int]) -> bool:
    """Take a group's words out of the training counts, unless one would vanish."""
    needed = _count_words(group)
    if any(counts[word] <= number for word, number in needed.items()):
        return False
    for word, number in needed.items():
        counts[word] -= number
    return True


def _split_pairs(
    pairs: list[Pair], validation_fraction: float, test_fraction: float, seed: int
) -> SentencePairs:
    """Shuffle pairs and split them; one English sentence stays in one split.

    *Go.* and *go!* are one sentence here: a model reads nearly the same tokens.
    """
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        words = " ".join(re.findall(r"\w+", pair[0].casefold()))
        groups.setdefault(words or pair[0], []).append(pair)
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    wanted = [round(f * len(pairs)) for f in (validation_fraction, test_fraction)]
    parts: tuple[list, list, list] = ([], [], [])
    for group in order:
        full = [len(parts[i]) + len(group) > wanted[i] for i in (0, 1)]
        parts[0 if not full[0] else 1 if not full[1] else 2].extend(group)
    return SentencePairs(tuple(parts[2]), tuple(parts[0]), tuple(parts[1]))


# Files ------------------------------------------------------------------------


def _zip_text(path: Path) -> bytes:
    """Read the one text table in a zip archive (notes named _about.txt are not it)."""
    with zipfile.ZipFile(path) as archive:
        names = [
            name
            for name in archive.namelist()
            if name.endswith((".txt", ".tsv"))
            and not name.rsplit("/", 1)[-1].startswith((".", "_"))
            and not name.startswith("__MACOSX")
        ]
        if len(names) != 1:
            raise ValueError(
                f"{path}: expected one .txt or .tsv file in the archive, got {names}"
            )
        return archive.read(names[0])


def read_pairs(path: str | Path) -> list[Pair]:
    """Read English-Spanish pairs from a tab-separated file, or a zip that holds one.

    A line is `english<TAB>spanish`; further columns (Tatoeba's attribution) and blank
    lines are ignored. A pair that comes twice is kept once. Two translations of the
    same English sentence are two pairs.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line has no tab or an empty side, if the text is not UTF-8, or
            if there is no pair at all; the message names the file and the line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no sentence file at {path}")
    raw = _zip_text(path) if zipfile.is_zipfile(path) else path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 text") from None
    lines = enumerate(io.StringIO(text, newline=None), start=1)
    pairs = dict.fromkeys(_parse(path, i, line) for i, line in lines if line.strip())
    if not pairs:
        raise ValueError(f"{path}: no sentence pair in the file (it is empty)")
    return list(pairs)


def _parse(path: Path, number: int, line: str) -> Pair:
    english, tab, rest = line.rstrip("\n").partition("\t")
    spanish = rest.partition("\t")[0]
    if not tab:
        raise ValueError(f"{path}, line {number}: no tab between English and Spanish")
    if not english.strip() or not spanish.strip():
        raise ValueError(f"{path}, line {number}: a side of the pair is empty")
    composed = (unicodedata.normalize("NFC", side) for side in (english, spanish))
    english, spanish = (side.strip() for side in composed)
    return english, spanish


def _download() -> Path:
    """Fetch the Tatoeba archive through Keras' cache, leaving no partial file."""
    import keras  # here: reading a file or generating must not need Keras

    try:
        fetched = Path(keras.utils.get_file("spa-eng.zip", origin=TATOEBA_URL))
        if not zipfile.is_zipfile(fetched):  # a sign-in page, an interrupted download
            fetched.unlink()
            raise OSError("what came is not a zip archive")
    except Exception as error:  # get_file raises a bare Exception
        reason = " ".join(str(error).split())
        raise OSError(
            f"could not download {TATOEBA_URL} ({reason}): get the file by hand and "
            'call load_sentences("tatoeba", path="spa-eng.zip")'
        ) from None
    return fetched


def load_sentences(
    source: str = "generated",
    path: str | Path | None = None,
    num_pairs: int | None = None,
    seed: int = 0,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
) -> SentencePairs:
    """Load English-Spanish sentence pairs in three splits.

    Args:
        source: "generated" for the built-in grammar; "tatoeba" for the Anki/Tatoeba
            archive (downloaded, or read from `path`); "tsv" for the file at `path`.
        path: A tab-separated file `english<TAB>spanish`, or a zip with one inside.
        num_pairs: How many pairs. None: 12,000 generated ones, or the whole file. From
            a file, this many are drawn at random.
        seed: Seed of the grammar, the draw and the split.
        validation_fraction: Share of the pairs for validation.
        test_fraction: Share of the pairs for the test.

    Returns:
        `SentencePairs` with `train`, `validation`, `test`. No English sentence is in
        two splits, whatever its case and punctuation. Generated: no (subject, verb,
        complement) combination is either, and every held-out word is in a training
        sentence.

    Raises:
        ValueError: For an unknown source, a missing or needless path, fractions or a
            number out of range, or a malformed file.
        OSError: If the download fails (with what to do), or there is no such file.

    Example:
        >>> pairs = load_sentences(num_pairs=100, seed=0)
        >>> len(pairs.train), pairs.train[0]
        (84, ('do these kings paint your clock?', '¿pintan estos reyes tu reloj?'))
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {SOURCES}, got {source!r}")
    _check_whole("seed", seed)
    _check_fractions(validation_fraction, test_fraction)
    if source == "generated":
        if path is not None:
            raise ValueError('path is for source="tsv" or "tatoeba", not "generated"')
        records = generate(12_000 if num_pairs is None else num_pairs, seed)
        parts = split_records(records, validation_fraction, test_fraction, seed)
        return SentencePairs(*(tuple(r.pair for r in part) for part in parts))
    if path is None and source == "tsv":
        raise ValueError('source="tsv" needs path=, the tab-separated file to read')
    pairs = _choose(read_pairs(path or _download()), num_pairs, seed)
    return _split_pairs(pairs, validation_fraction, test_fraction, seed)


def _choose(pairs: list[Pair], num_pairs: int | None, seed: int) -> list[Pair]:
    if num_pairs is None:
        return pairs
    _check_whole("num_pairs", num_pairs)
    if not 1 <= num_pairs <= len(pairs):
        raise ValueError(f"num_pairs must be 1 to {len(pairs)}, got {num_pairs}")
    return random.Random(seed).sample(pairs, num_pairs)
