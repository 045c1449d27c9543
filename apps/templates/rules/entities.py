"""What a query says of the text that is wanted: for whom, how it is to sound, how long, in what form, until when.

Each pattern captures the query's own words. A pattern is here only if what it finds is right nine times in ten: what is
said in another way stays None, and so does a product, which no pattern finds so surely. Every repetition is bounded and
only an excerpt is read, so the work is, too.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from apps.templates.answers import Entities
from apps.templates.rules.features import excerpt

__all__ = ["compiled", "find_entities"]

_HEAD_CHARS, _TAIL_CHARS = 400, 200
"""Less than what the category is judged by: these patterns are the dearest part of an answer."""
_END: Final = r" ?(?=$|[,.;:!?)\n])"
_MATERIAL = re.compile('["“„«]|:(?: |\\s*\\n)(?=.{40})', re.S)
"""Behind it a query no longer asks: it quotes, or holds what is to be worked on."""

# --- length: a number and a unit of text --------------------------------------------------------------------------
_NUMBER: Final = (
    r"(?:\d{1,3}(?:[., ]?\d{3})?(?: ?[-–] ?\d{1,4})?|one|two|three|four|five|six|seven|eight|ten|"
    r"einem|einer|zwei|drei|vier|fünf|zehn|deux|trois|quatre|cinq|dos|tres|cuatro|cinco|dois|duas|três|quatro|"
    r"due|tre|quattro|cinque|een|twee|drie|vijf|dwóch|trzech|pięciu|iki|üç|beş|двух|трёх|трех|пяти)"
)
_UNIT: Final = (
    r"(?:words?|characters?|chars?|pages?|sentences?|paragraphs?|lines?(?! of)|slides?|(?:bullet|key) points|"
    r"wörtern?|worten?|zeichen|seiten?|sätzen?|satz|absätzen?|zeilen?|stichpunkten?|"
    r"palabras|caracteres|páginas?|frases?|párrafos?|líneas|mots|caractères|phrases?|paragraphes?|lignes?|"
    r"palavras|parágrafos?|linhas|parole|caratteri|pagin[ae]|fras[ei]|paragraf[oi]|righe|"
    r"woorden|tekens|pagina's|zinnen|alinea's|regels|słów|znaków|stron|zdaniach|punktach|"
    r"kelimeyi?|karakter|sayfa|cümle(?:yle|de)?|слов|знаков|символов|страниц|предложениях|пунктах)"
)
_LIMIT: Final = (
    r"(?:(?:max(?:imum|imal|\.)?|at most|no more than|not more than|up to|under|less than|about|around|roughly|"
    r"at least|höchstens|maximal|unter|etwa|ungefähr|ca\.?|mindestens|máximo|menos de|unas|moins de|environ|maximum|"
    r"até|cerca de|massimo|al massimo|hoogstens|ongeveer|maksymalnie|około|en fazla|yaklaşık|не более|до|около) )"
)
_LENGTH: Final = (
    rf"(?<!\w)(?<!is )(?<!'s )(?<!of )({_LIMIT}{_NUMBER}[ -]{_UNIT}(?: each)?)(?!\w)",
    rf"(?<!\w)({_NUMBER} {_UNIT} (?:max(?:imum)?|at most|or less))(?!\w)",
    rf"(?:^|[,;(:.\n]|\b(?:in|to|en|em|auf|w|на)) ?({_NUMBER} (?!pag|pág|seite|stron|sayfa|страниц){_UNIT})"
    r"(?= ?(?:$|[,.;:!?)\n]|please|pls|bitte|and\b|for\b|für\b|pour\b|para\b))",
    r"(?<!\w)(\d{1,4}[- ](?:word|page|sentence)) (?:essay|summary|article|post|blog|story)",
    r"(\d{2,5} ?(?:字|文字|个字|個字)(?:以内|以下|くらい|程度|左右)?)",
    r"\b(?:keep|make|cut) (?:it|this) ((?:very |much )?short(?:er)?)\b",
    r"(?:^|, ?)((?:very )?short|kurz|breve|court|kort|kısa|коротко|кратко)" + _END,
)

# --- tone: a word for how a text sounds, where it says so -----------------------------------------------------------
_TONE_WORD: Final = (
    r"(?:friendly|formal|informal|casual|professional|funny|humorous|witty|serious|playful|polite|warm|cosy|cozy|"
    r"honest|neutral|empathetic|sarcastic|dramatic|inspiring|persuasive|confident|enthusiastic|upbeat|chatty|"
    r"conversational|relaxed|respectful|apologetic|firm|assertive|diplomatic|cheerful|cheeky|punchy|thoughtful|calm|gentle|"
    r"academic|freundlich(?:er|e|en|es)?|förmlich(?:er|e|en|es)?|formell|sachlich|locker|witzig|lustig|humorvoll|"
    r"höflich(?:er|e|en|es)?|seriös|professionell|herzlich|amable|cercano|profesional|divertido|cordial|amical|"
    r"formel|professionnel|drôle|poli|chaleureux|décontracté|amusant|amigável|profissional|engraçado|descontraído|"
    r"formale|informale|professionale|divertente|amichevole|cordiale|vriendelijk|formeel|zakelijk|grappig|beleefd|"
    r"uprzejm(?:y|ie)|formaln(?:y|ie)|samimi|resmi|eğlenceli|вежливо|официально|весело|дружелюбно)"
)
_DEGREE: Final = r"(?:(?:more|less|very|a bit|a little|mehr|weniger|más|menos|plus|moins|mais|più|meno|daha) )?"
_TONES: Final = rf"{_DEGREE}{_TONE_WORD}(?:(?:,| and| but| und| aber| y| et| e| en) {_DEGREE}{_TONE_WORD})?"
_TEXT: Final = (
    r"(?:newsletter|invitation|reminder|note|message|e-?mail|mail|reply|answer|letter|welcome|speech|complaint|"
    r"mitteilung|nachricht|antwort|kündigung|brief|bericht)"
)
_TONE: Final = (
    rf"\b({_TONES}) (?:tone|voice|style|ton|tono|tom|toon)\b",
    rf"\b(?:tone|ton|tono|tom|toon|тон)(?: of voice)?(?::| is| should be)? ({_TONES})(?!\w)",
    rf"\b(?:keep it|make it|make this|sounds?|and|be) ({_DEGREE}{_TONE_WORD}){_END}",
    rf"(?:, ?|\()({_TONES})(?: please| pls| bitte)?{_END}",
    rf"(?:^|\b(?:an?|eine?n?|write|schreib|écris|een|short) )({_TONES}) (?:welcome )?{_TEXT}\b",
    rf"\b(?:e-?mail|mail|correo|lettre|brief|carta|list) ({_TONE_WORD}) (?:a|à|au|aux|ai|per|para|do)\b",
)

# --- format: what an answer is given as -----------------------------------------------------------------------------
_FORM: Final = (
    r"(?:json|csv|ya?ml|xml|html|markdown|latex|(?:comparison |markdown )?table|checklist|"
    r"bullet(?:ed)? ?(?:points|list)|bullets|numbered list|q&a|tabelle|stichpunkten?|checkliste|tabla|viñetas|"
    r"tableau|puces|tabela|tabella|elenco puntato|tabel|opsomming|tabeli|punktach|tablo|таблиц[аеуы]|списком)"
)
_FORMAT: Final = (
    rf"\b(?:as|in|als|como|comme|sous forme de|come|jako|в виде)(?: (?:an?|eine[rn]?|una?|une?|uma?|een))? "
    rf"({_FORM})(?= ?(?:$|[,.;:!?)\n]|please|pls|bitte|with\b|mit\b|format|for\b|für\b|pour\b))",
    rf"\b(?:make|create|haz|mach|erstelle|fais|faça|maak) (?:me )?(?:an?|eine|una?|une?|uma|een) ({_FORM})\b",
)

# --- deadline -------------------------------------------------------------------------------------------------------
_MONTH: Final = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december|januar|februar|märz|"
    r"mai|juni|juli|oktober|dezember)"
)
_WHEN: Final = (
    r"(?:(?:next |this )?(?:mon|tues|wednes|thurs|fri|satur|sun)day(?: (?:morning|evening|noon))?|tomorrow|tonight|"
    r"today|noon|eod|(?:the )?end of (?:the )?(?:day|week|month|year)|montag|dienstag|mittwoch|donnerstag|freitag|"
    r"samstag|sonntag|morgen|heute abend|ende der woche|lundi|mardi|mercredi|jeudi|vendredi|demain|lunes|martes|"
    r"miércoles|jueves|viernes|mañana|segunda|terça|quarta|quinta|sexta|amanhã|lunedì|martedì|mercoledì|giovedì|"
    r"venerdì|domani|maandag|dinsdag|woensdag|donderdag|vrijdag|"
    rf"(?:the )?\d{{1,2}}(?:st|nd|rd|th|\.)?(?: of)? {_MONTH}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?|"
    r"\d{1,2} ?[ap]m(?: today| tomorrow)?)"
)
_DEADLINE: Final = (
    rf"(?<!\w)(?:by|no later than|deadline(?: is|:)?|needed by|bis(?: spätestens| zum)?|spätestens|"
    rf"avant|d'ici|pour|para(?: el)?|antes d[eo]l?|até|entro|graag voor|uiterlijk) ({_WHEN})(?!\w)",
    rf"\b(?:send|ready|done|finish|finished) before ({_WHEN})(?!\w)",
)

# --- audience: who reads what is written ------------------------------------------------------------------------------
_WHOSE: Final = (
    r"(?:(?:my|our|all|all our|all my|the|an?|new|existing|angry|absolute|alle|unsere|den|dem|meine?n?|mes|nos|mon|un|"
    r"une|los|mis|nuestros|mi|os|meus|nossos|ai|agli|miei|nostri|onze|mijn|alle onze) ){0,2}"
)
_READERS: Final = (
    r"(?:(?:gym )?members|customers?|clients?|subscribers|users|readers|beginners|kids|children|teenagers|parents|"
    r"students|employees|colleagues|investors|seniors|stakeholders|donors|volunteers|guests|tenants|landlord|boss|"
    r"manager|team|board|wife|husband|daughter|son|mum|mom|prospects|restaurant owners|dentists|"
    r"kunden|kundinnen|anfänger|kinder|eltern|mitarbeiter|kollegen|mieter|vermieter|chef|laien|"
    r"clientes|principiantes|niños|padres|estudiantes|empleados|jefe|proveedores|enfants|débutants|propriétaire|"
    r"collègues|salariés|crianças|iniciantes|fornecedores|alunos|clienti|principianti|bambini|colleghi|klanten|"
    r"kinderen|ouders|huurders|collega's|leden|klientów|dzieci|początkujących|клиентам|детей|начинающих)"
)
_LETTER: Final = (
    r"(?:e-?mails?|mails?|letters?|messages?|newsletter|note|speech|pitch|announcement|reply|invitation|complaint|"
    r"reminder|explain|teach|tell|erklär\w{0,3}|kündigung|nachricht|brief|mitteilung|correo|carta|mensaje|lettre|"
    r"message|explique|explica|mensagem|messaggio|lettera|spiega|scrivi|schrijf|list|письмо)"
)
_LEARNERS: Final = (
    r"(?:(?:absolute |complete )?beginners|dummies|kids|children|(?:an? )?\d{1,2}[- ]year[- ]olds?|anfänger|laien|"
    r"kinder|débutants|enfants(?: de \d{1,2} ans)?|principiantes|niños|iniciantes|crianças|principianti|bambini|"
    r"kinderen)"
)
_AUDIENCE: Final = (
    rf"\b{_LETTER}\b(?:[^.?!\n]{{0,40}}?) (?:to|for|an|für|à|au|aux|para|ai|per|aan|voor|do|dla|"
    r"a(?= (?:mis?|los|las|una?|nuestros|i|gli|os?)\b)) "
    rf"({_WHOSE}{_READERS}(?: of [\w' ]{{3,30}}(?=$|[,.;\n]))?)(?![\w-])"
    r"(?! (?:council|meeting|event|account|portal|page)\b)",
    rf"\b(?:explain|teach|explique|explica|spiega|erklär\w{{0,3}}|leg|uitleg|lesson|worksheet|post|guide|tutorial)\b"
    rf"[^.?!\n]{{0,60}}? (?:to|for|für|à|a|pour|para|per|ai|voor)(?: des| een| un)? ({_LEARNERS})(?!\w)",
    r"\b(?:lesson|worksheet|quiz|rubric|test|arbeitsblatt|unterricht\w{0,12})\b[^.?!\n]{0,40}? "
    r"((?:grade|year|klasse) \d{1,2})(?!\w)",
    r"\b(?:audience|zielgruppe)(?: is| ist)?:? ([^\W\d_]{3,16}(?: [^\W\d_]{3,16}){0,2})" + _END,
    r"\b(?:aimed at|targeting) ([^\W\d_]{3,16}(?: [^\W\d_]{3,16}){0,2})(?= ?(?:$|[,.;!?)\n]|for\b|with\b))",
    r"([一-鿿ァ-ヶー]{2,8})向け",
    r"(?:给|面向)((?:老|新)?(?:客户|顾客|用户|孩子|学生|同事|初学者|家长))",
)


def find_entities(query: str) -> Entities:
    """Return what a query says, each in its own words. Of a long query the head and the tail are read."""
    text = _MATERIAL.split(excerpt(query, _HEAD_CHARS, _TAIL_CHARS), maxsplit=1)[0]
    return Entities(
        audience=_first(_AUDIENCE, text),
        tone=_first(_TONE, text),
        length=_first(_LENGTH, text),
        format=_first(_FORMAT, text),
        deadline=_first(_DEADLINE, text),
    )


def _first(patterns: tuple[str, ...], text: str) -> str | None:
    for pattern in compiled(patterns):
        if found := pattern.search(text):
            return found[1].strip()
    return None


@functools.cache
def compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """Return patterns compiled, when they are first needed: it takes time that the server's start should not pay."""
    return tuple(re.compile(pattern, re.I) for pattern in patterns)
