"""What a query says of the text that is wanted: for whom, how, how long, as what, about what, until when.

Each pattern captures the query's own words. Every repetition in a pattern is bounded and only an excerpt is read, so
the work is, too. A pattern would rather miss than guess: what is not said stays None.
"""

from __future__ import annotations

from typing import Final

from apps.templates.answers import Entities
from apps.templates.rules.features import excerpt
from apps.templates.rules.patterns import PEOPLE, W, compiled, first_match
from apps.templates.rules.products import find_product

__all__ = ["find_entities"]

_HEAD_CHARS, _TAIL_CHARS = 400, 200
"""Less than what the category is judged by: these patterns are the dearest part of an answer."""


# --- length -------------------------------------------------------------------------------------------------------
_COUNT: Final = (
    r"(?:\d{1,3}(?:[., ]?\d{3})?(?: ?[-–] ?\d{1,4})?|one|two|three|four|five|six|seven|eight|ten|twelve|twenty|"
    r"half a|a couple of|"
    r"ein|eine|einen|einem|einer|zwei|drei|vier|fünf|zehn|un|une|deux|trois|quatre|cinq|dix|uno|una|dos|tres|"
    r"cuatro|cinco|diez|"
    r"um|uma|dois|duas|três|quatro|due|tre|quattro|cinque|dieci|een|één|twee|drie|vier|vijf|tien|"
    r"jednym|jedno|dwa|dwóch|trzy|trzech|pięciu|pięć|iki|üç|beş|один|одну|одном|два|две|три|трёх|трех|пять|пяти)"
)
_UNIT: Final = (
    r"(?:words?|characters?|chars?|pages?|sheets?|sentences?|paragraphs?|lines|slides?|tweets|posts|e?-?mails|"
    r"items|ideas|"
    r"questions?|versions?|variants?|options?|headlines?|bullets?|steps?|panels?|letters|tips|examples?|minutes?|"
    r"mins?|secs?|seconds?|"
    r"wörter(?:n)?|worte[n]?|zeichen|seiten?|sätzen?|satz|absatz|absätzen?|zeilen?|folien|minuten?|sekunden?|"
    r"punkten?|stichpunkten?|ideen|"
    r"palabras?|caracteres|páginas?|paginas?|frases?|párrafos?|líneas?|lineas|minutos?|segundos?|viñetas|"
    r"mots|caractères|phrases?|paragraphes?|lignes?|minutes|secondes|diapositives|points|"
    r"palavras|parágrafos?|linhas?|slides|parole|caratteri|pagin[ae]|fras[ei]|paragraf[oi]|righe|minuti|secondi|punti|"
    r"woorden|tekens|pagina'?s?|zinnen|zin|alinea'?s?|regels|minuten|"
    r"słów|słowa|znaków|stron[aęy]?|zdani(?:a|u|ach)|akapit(?:y|ów)?|minut[yę]?|punkt(?:y|ów|ach)?|"
    r"kelime(?:yi|lik)?|karakter|sayfa(?:yı|lık)?|cümle(?:yle|de)?|paragraf|satır|dakika(?:lık)?|madde|"
    r"слов[а]?|знак(?:а|ов)|символ(?:а|ов)|страниц[аеуы]?|предложени(?:е|я|й|ях)|абзац(?:а|ев|е)?|строк[аеи]?|"
    r"минут[ыу]?|пункт(?:а|ов|ах))"
)
_LIMIT: Final = (
    r"(?:(?:max(?:imum|imal|\.)?|at most|no more than|not more than|up to|under|less than|about|around|approx\.?|"
    r"roughly|at least|"
    r"höchstens|maximal|unter|etwa|ungefähr|circa|ca\.?|mindestens|máximo(?: de)?|máx\.?|menos de|unas|unos|"
    r"no más de|maximum|moins de|environ|"
    r"au maximum|no máximo|cerca de|massimo|al massimo|meno di|hoogstens|ongeveer|maks(?:ymalnie|imum|\.)?|około|"
    r"en fazla|yaklaşık|"
    r"не более|до|около|примерно) )"
)
_LENGTH: Final = (
    rf"(?<!\w)({_LIMIT}?(?:{_COUNT}[ -](?:{W} )?|\d{{1,4}}){_UNIT}(?: max(?:imum)?| at most| or less|"
    rf" maximal)?)(?!\w)",
    r"(\d{1,5} ?(?:字|文字|个字|個字|词|页|ページ|行|句|段)(?:以内|以下|くらい|程度|左右)?)",
    r"([一二三四五两]\s?(?:句话|段话|页|段|文で|行で|言で))",
    r"(?<!\w)((?:very |really |sehr |muy |très |molto |heel |bardzo |çok |очень )?"
    r"(?:short(?:er)?|brief(?:ly)?|concise|long(?:er)?(?= (?:version|text|article|post|email|description))|"
    r"half as long|kurz(?:er|e|es|en|em)?|knapp|"
    r"corto|corta|breve|brève|court[e]?|curto|curta|kort(?:e|er)?|krótk(?:i|a|ie|o)|kısa|корот(?:кий|кая|кое|кую|ко)|"
    r"кратко|छोटी|छोटा))(?!\w)(?! (?:story|stories|film|notice|term|time|girl))",
    r"(简短|簡潔|短く|短い)",
)

# --- tone ---------------------------------------------------------------------------------------------------------
_TONE_WORD: Final = (
    r"(?:friendly|formal|informal|casual|professional|funny|humorous|witty|serious|playful|polite|politely|"
    r"nicely|warm|cosy|cozy|honest|neutral|"
    r"empathetic|empathic|sarcastic|ironic|dramatic|inspiring|inspirational|motivational|persuasive|confident|"
    r"enthusiastic|upbeat|chatty|"
    r"conversational|relaxed|laid[- ]back|dignified|respectful|apologetic|firm|assertive|diplomatic|cheerful|"
    r"poetic|romantic|luxury|luxurious|"
    r"elegant|sober|matter[- ]of[- ]fact|plain|thoughtful|edgy|bold|cheeky|quirky|punchy|calm|gentle|kind|"
    r"authoritative|academic|melancholic|spooky|"
    r"freundlich(?:er|e|en)?|förmlich|formell|sachlich|locker(?:er|e)?|witzig|lustig|humorvoll|höflich(?:er|e)?|"
    r"seriös|professionell|ehrlich|"
    r"bestimmt|herzlich|verständlich|ernst|sarkastisch|"
    r"amable|cercano|cercana|profesional|divertid[oa]|gracios[oa]|cordial|educad[oa]|serio|seria|sincer[oa]|"
    r"amical|amicale|formel|formelle|professionnel(?:le)?|drôle|poli|polie|poliment|chaleureux|chaleureuse|"
    r"décontracté|sérieux|sincère|exigeant|"
    r"amigável|profissional|engraçad[oa]|descontraíd[oa]|educad[oa]|simpátic[oa]|formale|informale|professionale|"
    r"divertente|amichevole|cordiale|"
    r"gentile|scherzos[oa]|vriendelijk(?:er|e)?|formeel|zakelijk|grappig|vlot|beleefd|professioneel|"
    r"przyjazn(?:y|a|ym)|formaln(?:y|a|ie)|zabawn(?:y|a|ie)|uprzejm(?:y|ie)|profesjonaln(?:y|a|ie)|luźn(?:y|a|o)|"
    r"grzecznie|"
    r"samimi|resmi|eğlenceli|komik|kibar|profesyonel|esprili|ciddi|"
    r"дружелюбн(?:о|ый|ая|ое|ым)|официальн(?:о|ый|ым|ое)|вежлив(?:о|ый|ое)|весел(?:о|ый|ое)|смешно[йе]?|строго|"
    r"деловой|проще|неформально)"
)
_TONE: Final = (
    rf"(?<!\w)((?:{_TONE_WORD}(?:,? (?:and|but|und|aber|y|pero|et|mais|e|ma|en|maar|i|ve|и|"
    rf"но) (?:not )?))?(?:more |less |not too |not |very |a little |a bit |"
    r"mehr |weniger |más |menos |plus |moins |mais |più |meno |meer |bardziej |daha |более )?"
    + _TONE_WORD
    + r")(?= ?(?:$|[,.;!?)]|tone\b|voice\b|style\b|and\b|but\b|"
    r"please\b|pls\b|newsletter\b|invitation\b|reminder\b|note\b|article\b|caption\b|text\b|message\b|e?-?mail\b|"
    r"reply\b|answer\b|post\b|poem\b|letter\b|speech\b|version\b|"
    r"ton\b|bitte\b|antwort|formulier|tono\b|toon\b|тон|bir\b|olsun|est\b|—|-))",
    r"(?:^|[,;(]) ?(?:not too |a bit |a little |more |less )?("
    + _TONE_WORD
    + r")(?= ?(?:$|[,.;!?)]|and\b|but\b|und\b|y\b|et\b|e\b))",
    r"\b((?:less|weniger|menos|moins|meno|minder|mniej|daha) [^\W\d_]{4,16})(?=$|[,.;!?)]| (?:and|und|please|"
    r"bitte|y|et)\b)",
    r"\btone:? (?:of voice )?(?:is |should be )?([^\W\d_]{3,20})",
    r"\b(?:ton|tono|tom|toon|tonu|тон)\b:? (?!de\b|di\b|of\b)([^\W\d_]{4,20})",
    rf"\b(?:in|mit|con|avec|com|een|w)\b (?:a |an |einem |un |um |uno |een )?({_TONE_WORD}) (?:tone|ton|tono|tom|"
    rf"stil|style|toon|way)\b",
    rf"\b(?:make it|make this|sound|sounds|keep it|be|klingt|klingen|rendi(?:lo)?|hazlo) ((?:more |less |very |"
    rf"a bit )?{_TONE_WORD})\b",
    r"\b(?:make it|make this|sound|sounding) ((?:more|less) [^\W\d_]{4,16})",
    r"(礼貌|正式|幽默|亲切|活泼|敬语|敬語|丁寧|カジュアル|フレンドリー|フォーマル)",
)

# --- format -------------------------------------------------------------------------------------------------------
_FORMAT_NAME: Final = (
    r"(?:json-ld|json|csv|ya?ml|xml|html|markdown|latex|tsv|(?:comparison |markdown )?table|checklist|"
    r"bullet(?:ed)? ?(?:points?|list)|bullets|"
    r"numbered list|list|mind ?map|gantt chart|one[- ]pager|spreadsheet|flow ?chart|rubric|outline|q&a|tabelle|"
    r"stichpunkte[n]?|stichworten?|checkliste|"
    r"aufzählung|tabla|lista|viñetas|puntos|tableau|liste|puces|tabela|tópicos|tabella|elenco(?: puntato)?|punti|"
    r"tabel|lijst(?:je)?|opsomming|"
    r"tabel[aię]|lista punktowana|punktach|listę|tablo|madde(?:ler)?|таблиц[аеуы]|список|списк(?:ом|а)|пункт(?:ами|ах))"
)
_FORMAT: Final = (
    rf"\b(?:as|in|into|als|como|en|comme|sous forme de|em|come|in forma di|w|jako|в|в виде|как|output|format:?|"
    rf"return|into a|mit|with) "
    rf"(?:an? |the |eine[rn]? |una? |une? |uma? |een |clear |two-column )?({_FORMAT_NAME})\b",
    rf"\b({_FORMAT_NAME})(?= (?:format|please|pls|out|output|bitte|only|formatında|olarak|halinde|şeklinde)\b)",
    rf"[,;:(] ?(?:an? |please |bitte |\\d{{1,2}} )?({_FORMAT_NAME}) ?(?=$|[,.;!?)])",
    r"^(checklist|mind ?map|rubric|gantt chart|one[- ]pager|(?:comparison )?table|bullets?|list|checkliste|"
    r"tabelle)(?= )",
    r"\b(one[- ]pager|gantt chart|mind ?map|rubric|checklist|json-ld|yaml|bul+et(?:ed)? points|bullets(?= for)|"
    r"comparison table|annotated bibliography)\b",
    r"\b(?:make|create|give me|need|erstelle|crea|fais|maak) (?:me )?(?:an? |eine |una |une |een )?"
    r"(checklist|table|mind ?map|rubric|gantt chart|tabelle|checkliste|tabla|tableau|tabella)\b",
    r"(表格|列表|清单|箇条書き|表形式|マークダウン|チェックリスト)",
)

# --- deadline -----------------------------------------------------------------------------------------------------
_MONTH: Final = (
    r"(?:jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|mar(?:ch|s|zo)?|märz|apr(?:il|ile)?|may|mai|mayo|june?|juni|"
    r"juin|junio|july?|juli|juillet|julio|"
    r"aug(?:ust)?|août|agosto|sept?(?:ember|embre)?|o[ck]t(?:ober|obre)?|nov(?:ember|embre)?|de[cz](?:ember)?|"
    r"décembre|diciembre|dicembre)"
)
_DAY: Final = (
    r"(?:mon|tues|wednes|thurs|thrus|fri|satur|sun)day(?: (?:morning|evening|noon|afternoon|night))?|(?:montag|"
    r"dienstag|mittwoch|donnerstag|freitag|samstag|"
    r"sonntag)|(?:lunes|martes|miércoles|jueves|viernes|sábado|domingo)|(?:lundi|mardi|mercredi|jeudi|vendredi|"
    r"samedi|dimanche)|"
    r"(?:segunda|terça|quarta|quinta|sexta)(?:-feira)?|(?:lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica)|"
    r"(?:maandag|dinsdag|woensdag|donderdag|vrijdag|zaterdag|zondag)|(?:poniedział(?:ek|ku)|wtor(?:ek|ku)|"
    r"środ[yę]|czwart(?:ek|ku)|piąt(?:ek|ku))|"
    r"(?:pazartesi|salı|çarşamba|perşembe|cuma)(?:ya|ye)?|(?:понедельник[а]?|вторник[а]?|сред[уы]|четверг[а]?|"
    r"пятниц[уы]|суббот[уы]|воскресень[ея])"
)
_WHEN: Final = (
    rf"(?:(?:next |this |nächsten |próximo |prochain )?(?:{_DAY})|tonight|today|tomorrow(?: (?:morning|evening|"
    rf"noon|\d{{1,2}} ?[ap]m))?|tmrw|tmr|eod|eow|"
    r"(?:the )?end of (?:the )?(?:day|week|month|year|"
    + _MONTH
    + r")|heute(?: abend)?|morgen(?: früh)?|ende (?:der woche|des monats|"
    + _MONTH
    + r")|"
    r"mañana|hoy|esta noche|fin de mes|demain(?: matin)?|ce soir|aujourd'hui|fin (?:du mois|"
    + _MONTH
    + r")|amanhã|hoje|domani|stasera|vanavond|"
    r"jutra|jutro|dziś|yarın(?:a)?|bugün|bu akşam|завтра|сегодня|вечера|"
    rf"(?:the )?\d{{1,2}}(?:st|nd|rd|th|\.)?(?: of| de)? {_MONTH}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?|"
    rf"the \d{{1,2}}(?:st|nd|rd|th)|\d{{1,2}}[./]\d{{1,2}}\.?(?:\d{{2,4}})?|"
    rf"q[1-4]|{_MONTH}|christmas|easter|weihnachten|noël|navidad|noon|midnight|\d{{1,2}} ?[ap]m)"
)
_DEADLINE: Final = (
    rf"(?<!\w)(?:by|until|till|til|due(?: on| by)?|before|no later than|deadline(?: is|:)?|bis(?: zum|"
    rf" spätestens)?|spätestens|vor|para(?: el| la)?|antes d(?:e|el|o)|"
    rf"hasta(?: el)?|avant(?: le)?|d'ici(?: à)?|pour(?: le)?|até(?: a| o)?|entro(?: il)?|per|voor|tegen|"
    rf"uiterlijk|do|na|przed|до|к|на) ({_WHEN})(?!\w)",
    r"(?<!on tv )(?<!\w)(tonight|tmrw|asap|heute abend|bis morgen|stasera|vanavond|ce soir|amanhã|"
    r"завтра)(?= ?(?:$|[,.!?]|and\b|pls|please))",
    rf"\b(?:exam|test|due|interview|launch|go live|deadline(?: for all)?|klausur|prüfung|examen)(?: is| on| ist|"
    rf" am| es| el){{0,2}} ({_WHEN})(?!\w)",
    r"(?:(?:is|are|due|ready|done) |^|, )((?:in|within) (?:\d{1,2}|two|three|four|six) (?:hours?|days?|weeks?|"
    r"months?))\b",
    r"(?<!\w)((?:yarın|bugün|akşam|pazartesi|salı|çarşamba|perşembe|cuma|\d{1,2} [^\W\d]{3,8})'?(?:ya|ye|a|"
    r"e)?)(?= kadar\b)",
    r"((?:明天|今天|今晚|后天|下周[一二三四五六日]?|周[一二三四五六日]|\d{1,2}月\d{1,2}日)(?=之?前|要|截止|交))",
    r"((?:明日|今日|今夜|来週|\d{1,2}月\d{1,2}日|[月火水木金土日]曜日?)(?=まで))",
)

# --- audience -----------------------------------------------------------------------------------------------------
_NOT_PEOPLE: Final = (
    r"(?!(?:[- ](?:council|event|song|meeting|film|old|website|account|story|association|evening|night|day|room|"
    r"service|"
    r"support|base|building|without|sans|sin|sem))\b)"
)
"""Behind such a word as "team" or "parents", what makes it a word for something else."""
_FOR: Final = (
    r"(?:for|to(?= (?:my|our|all|every\w{2,4}|existing|people|customers|clients|investors|the (?:board|council|"
    r"trustees))\b)|aimed at|targeting|target|für|"
    r"an(?= (?:die|den|alle|kunden|unsere|meine)\b)|para|a(?= (?:los|las|mis|todos)\b)|pour|aux|per|ai|agli|voor|"
    r"aan|naar|dla|для)"
)
_GROUP: Final = (
    rf"((?:(?!(?:recruiting|hiring|selling|for|to|and|"
    rf"who)\b){W} ){{0,2}}?(?:\d{{1,5}}[ -]?)?{PEOPLE}(?!\w){_NOT_PEOPLE}"
    rf"(?: (?:and|und|et|y|e|en) {PEOPLE}(?!\w))?"
    rf"(?: (?:in|at|of|from|on|aus|von|de|di|van|without|who|with|ohne|über) (?:{W}(?: |(?!\w))){{1,4}}?(?=$|"
    rf"[,.;:!?)\n]))?)"
    r"(?!\w)"
)
_MESSAGE: Final = (
    r"(?:e-?mails?|mails?|mailing|letters?|messages?|note|dm|inmail|outr?each|pitch|appeal|reply|invitation|"
    r"speech|talk|"
    r"newsletter|announcement|explain|teach|tell|write|writing|send|sent|say|text|correo|mensaje|carta|message|lettre|"
    r"mensagem|messaggio|lettera|brief|nachricht|schreiben|akquise|bericht)"
)
_PERSON: Final = (rf"(?<!\w){PEOPLE}(?!\w)",)
_PEOPLE_SPOKEN_TO: Final = (
    rf"(?<!\w){_FOR} (?:an? |einen? |die |den |los |las |les |des |i |gli |le |un |os |as |de |het )?" + _GROUP,
    rf"\b{_MESSAGE}\b[^.?!\n]{{0,50}}? (?:to|an|à|a|ad|aan|for) (?:an? |the |die |den |un |une |el |la |los |"
    rf"las |les )?" + _GROUP,
    r"\b(?:tell|inform|invite|remind|email|thank|ask|persuade|convince|show|teach|targeting|target) "
    r"(?:an? |the )?" + _GROUP,
)
_AUDIENCE: Final = (
    rf"\b(?:to|for|tell|invite) ((?:everyone|everybody|all|people|those|customers|users) (?:who|that|"
    rf"on) (?:{W} ){{0,5}}?{W})"
    r"(?=$|[,.;:!?)\n]| (?:about|that|before|after|with|and|in)\b)",
    r"\b(?:for|für|pour|para|per|voor) (?:an? |einen? |un |una |een )?(\d{1,2}[- ]?(?:year[- ]olds?|yo|"
    r"jährige[n]?|years? old|ans|años|anni|jaar)\b)",
    r"\b((?:grade|year|klasse|class|age|ages|aged|groep|klas|klasa|klasse) \d{1,2}(?:\+|[-–]\d{1,2})?)(?!\w)",
    r"(?<!\w)(\d{1,2}(?:\.|º|ª|er|ème|e|th|rd)? (?:klasse|sınıf|ano|de primaria|de secundaria|eso|graders?|grade|"
    r"класс[а]?))",
    r"(?<!\w)(\d{1,2} ?(?:yo|year[- ]olds?|jährige[n]?))(?!\w)",
    r"\b(like i'?m (?:five|\d{1,2})|non[- ]experts?|non[- ]statisticians?|laypeople|laymen|beginners|seniors)\b",
    r"(?:^|, ?)((?:young |older |elderly )?(?:women|men|teens|kids|seniors|students|parents|mums|moms|dads)"
    r"(?: \d\d ?[-–] ?\d\d| over \d\d| under \d\d)?)(?=,|$)",
    r"\b(?:audience|target group|zielgruppe|público(?: objetivo)?|cible|doelgroep|pubblico|hedef kitle|"
    r"аудитория)(?: is| ist|:)? ([^,.;\n]{3,40})",
    r"(?:给|向|面向|写给)((?:老|新)?(?:客户|顾客|用户|孩子|学生|同事|老板|投资人|初学者|家长))",
    r"([一-鿿ァ-ヶー]{1,8})向け",
    r"([一-鿿ァ-ヶー]{1,8}(?:さん|生|お客様))(?=[にのへ])",
    r"(?<!\w)([\w]{2,16}(?:ler|lar)(?:e|a|in|ın|i|ı)?)(?= (?:için|yönelik)\b)",
    r"(?<!\w)([\w]{3,16}(?:lere|lara|lerimize|larımıza))(?!\w)",
    rf"(?:письмо|сообщение|рассылк[аиу]|ответ) ((?:{W} )?[а-яё]{{3,16}}(?:у|ам|ям)(?: [а-яё]{{4,16}}а)?)(?!\w)",
    r"(?:رسالة|رسائل|بريد|ايميل)[^\n]{0,30}? ل([\u0621-\u064a]{3,12}(?: محتمل)?)",
)
_NO_AUDIENCE: Final = (
    r"(?:cover letter|schedule|rota|roadmap|okrs?|hustle|headline|profile|cv|resumé?|markup|json-ld|keywords?|meta \w+|"
    r"website|slogan|"
    r"names?|logo|application|salary|interview|plantilla de respuesta|plan|budget|word|requête sql|query|ideas)\b"
    r"[^.,;]{0,12}$",
)
"""Before "for nurses" and the like: a thing that is made for somebody to use, not a text for somebody to read."""
_BEFORE_CHARS: Final = 40


def find_entities(query: str) -> Entities:
    """Return what a query says, each in its own words. Of a long query the head and the tail are read."""
    text = excerpt(query, _HEAD_CHARS, _TAIL_CHARS)
    return Entities(
        audience=_audience(text),
        tone=first_match(_TONE, text),
        length=first_match(_LENGTH, text),
        format=first_match(_FORMAT, text),
        product=find_product(text),
        deadline=first_match(_DEADLINE, text),
    )


def _audience(text: str) -> str | None:
    not_for_readers = compiled(_NO_AUDIENCE)[0]
    named = bool(compiled(_PERSON)[0].search(text))
    for pattern in (*(compiled(_PEOPLE_SPOKEN_TO) if named else ()), *compiled(_AUDIENCE)):
        found = pattern.search(text)
        if found and not not_for_readers.search(text[max(0, found.start(1) - _BEFORE_CHARS) : found.start(1)]):
            return found[1].strip()
    return None
