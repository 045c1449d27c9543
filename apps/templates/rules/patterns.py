"""What the patterns that look for entities share: a word, who people are, and how they are applied."""

from __future__ import annotations

import functools
import re
from typing import Final

__all__ = ["PEOPLE", "W", "compiled", "first_match"]

W: Final = r"[\w'’+&-]{1,24}"
"""One word of a query, as a pattern."""
PEOPLE: Final = (
    r"(?:customers?|clients?|subscribers?|members?|prospects?|leads?|users?|readers?|beginners?|kids?|child|"
    r"children|toddlers?|teens?|teenagers?|"
    r"parents?|moms?|mums?|dads?|students?|pupils?|teachers?|managers?|developers?|devs?|engineers?|designers?|"
    r"investors?|employees?|colleagues?|"
    r"staff|seniors?|pensioners?|adults?|people|folks|team|board|boss|ceos?|cfos?|ctos?|hr|owners?|founders?|"
    r"freelancers?|nurses?|doctors?|dentists?|"
    r"lawyers?|marketers?|executives?|stakeholders?|donors?|supporters?|volunteers?|guests?|tenants?|patients?|"
    r"shoppers?|buyers?|graders?|dummies|"
    r"statisticians?|laymen|laypeople|novices?|experts?|professionals?|tourists?|expats?|gamers?|runners?|women|"
    r"men|gen z|millennials|"
    r"wife|husband|gran|grandma|grandpa|daughter|son|friends?|year[- ]olds?|yo|directors?|recruiters?|"
    r"journalists?|regulars|trustees|council|"
    r"podcasters?|bloggers?|influencers?|bakers|gardeners|cyclists|hikers|cooks|photographers|"
    r"restaurants|offices|juniors?|newcomers?|apprentices?|trainees?|visitors?|"
    r"followers|neighbours?|neighbors?|voters|residents|farmers|makers|schools|hotels|companies|firms|agencies|"
    r"heads? of [^\W\d_]{2,16}|colleges|universities|dog owners|home ?owners|first[- ]timers|the elderly|families|"
    r"kunden|kundinnen|anfänger(?:n)?|kinder(?:n)?|eltern|schüler(?:n)?|studenten|studierende|mitarbeiter(?:n)?|"
    r"kollegen|chef|laien|senioren|entwickler|"
    r"lehrer|nutzer|leser|mitglieder|entscheider|handwerksbetriebe|hausbesitzer|-jährige[n]?|jugendliche|erwachsene|"
    r"clientes|principiantes|niños|ninos|padres|estudiantes|alumnos|empleados|jefe|adultos|jóvenes|directores|mujeres|"
    r"débutants?|enfants?|parents|étudiants|élèves|employés|salariés|adultes|collègues|dirigeants|abonnés|"
    r"iniciantes|crianças|pais|estudantes|alunos|funcionários|adolescentes|clienti|principianti|bambini|genitori|"
    r"studenti|dipendenti|colleghi|pmi|"
    r"klanten|beginners|kinderen|ouders|leerlingen|studenten|medewerkers|leden|collega's|volwassenen|aannemers|"
    r"klientów|początkujących|dzieci|rodziców|uczniów|studentów|pracowników|nauczycielki|"
    r"клиентов|новичков|начинающих|детей|родителей|студентов|сотрудников|школьников|подписчиков|директору|коллег)"
)
"""Words for people who may read a text."""


@functools.cache
def compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """Return patterns compiled.

    When they are first needed: it takes tens of milliseconds, which the start of the server should not pay.
    """
    return tuple(re.compile(pattern, re.I) for pattern in patterns)


def first_match(patterns: tuple[str, ...], text: str) -> str | None:
    """Return what the first of the patterns that is found captures."""
    for pattern in compiled(patterns):
        if found := pattern.search(text):
            return found[1].strip()
    return None
