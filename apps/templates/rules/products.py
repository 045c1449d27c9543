"""What product a query speaks of: what stands behind "slogan for" and the like, or goods where things are sold."""

from __future__ import annotations

import re
from typing import Final

from apps.templates.rules.features import concepts_of, fold
from apps.templates.rules.language import is_frequent
from apps.templates.rules.patterns import PEOPLE, W, compiled, first_match

__all__ = ["find_product"]

_CJK: Final = "\u3040-\u30ff\u3400-\u9fff"
_STOP: Final = (
    r"(?=$|[,.;:!?()\n\"“”]| (?:and|with|that|which|who|in|on|to|for|from|by|at|as|max|short|please|pls|using|"
    r"because|but|is|are|we|i|aimed|targeting|so|about|und|mit|für|die|der|das|"
    r"bitte|in|auf|con|para|que|en|y|avec|pour|qui|et|dans|com|em|per|che|di|e|voor|met|op|z|na|dla|i|w|для|на|с|"
    r"и)(?!\w))"
)
_THING: Final = rf"(?!(?:my|our|the|a|an|this|these|that|it|me|you|us|them)\b)((?:{W} ){{0,3}}?{W}){_STOP}"
_DETERMINED: Final = (
    r"(?:an? |the |my |our |your |some |this |new |einen? |ein |unsere?n? |die |das |den |mein(?:e|en)? |un |"
    r"una |el |la |los |nuestro |nuestra |mi |"
    r"une |le |notre |nos |mon |ma |um |uma |o |nosso |nossa |meu |minha |uno |il |nostro |nostra |een |het |"
    r"onze |ons )?"
)
_TRIGGERS: Final = (
    r"\b(?:product |short |app store |item )?(?:descriptions?|descripton|discription|listing(?: text)?|slogans?|"
    r"slogun|taglines?|advert(?:isement)?s?|ads?|ad copy|"
    r"product page|packaging|bullets|bullet points|landing page|headlines?|copy) (?:for|of|about) ",
    r"\b(?:produktbeschreibung|beschreibung|produkttext|werbetext|slogan|anzeige|listing) (?:für|von|zu) ",
    r"\b(?:descripción|descripcion|ficha|anuncio|eslogan|texto)(?: de producto)? (?:de|para) ",
    r"\b(?:fiche produit|description(?: produit)?|annonce|slogan|pub) (?:pour|de|d') ?",
    r"\b(?:descrição|anúncio|slogan)(?: de produto)? (?:de|para|pra|do|da) ",
    r"\b(?:descrizione|scheda prodotto|annuncio|slogan)(?: prodotto)? (?:di|per|del|della) ",
    r"\b(?:productbeschrijving|productomschrijving|beschrijving|advertentie(?:tekst)?|slogan) (?:voor|van) ",
    r"\b(?:we (?:sell|make|offer|launched|are launching)|i (?:sell|make)|selling|sells|pitching|"
    r"launch(?:ing)? (?:of )?|wir (?:verkaufen|machen|bieten)|vendemos|vendo|"
    r"on vend|nous vendons|vendiamo|wij verkopen|ofreciendo|offering|продаём|предлагаем) ",
    r"\b(?:product(?: is)?|produkt|producto|produit|prodotto)(?: is|:) ",
)
_PRODUCT: Final = (
    rf"(?:{'|'.join(_TRIGGERS)})" + _DETERMINED + _THING,
    r"\b(?:descriptions?|descripton|discription|listing text|listing|tagline|slogan)(?! (?:for|of|in|to|that|"
    r"text|with|and|about|on|is|gesucht)\b) " + _THING,
    r"\b(?:opis produktu|reklama|slogan)(?: na \w+)?,? (?:dla )?" + _THING,
    r"\b(?:описание товара|реклама|слоган)(?: для (?:вайлдберриз|озон))? (?:для )?" + _THING,
    rf"(?:给|为)([{_CJK}]{{2,8}}?)(?:写|做|想)",
)
_NO_PRODUCT: Final = (
    r"^(?:so|gesucht|products?|experience|pubblicitario|auf|ficha|página|pagina|page|company|cleening|local|"
    r"plumer|sure|"
    r"money|sense|the|it|copy|text|people)(?!\w)",
    rf"^(?:(?:{W} )?{PEOPLE}|(?:instagram|facebook|google|linkedin|tiktok|amazon|etsy|ebay|website|shop|store|blog|"
    r"online|page|homepage)(?!\w))(?!\w)",
)


_SOLD: Final = (
    r"\b(?:ads?|advert\w*|adverts?|slogans?|slogun|taglines?|flyers?|leaflet|billboard|banner|poster|headlines?|"
    r"headlne|"
    r"descriptions?|descripton|discription|describe|listing|products?|prodct|packaging|label|box text|sell|sells|"
    r"selling|"
    r"webshop|shop|store|etsy|ebay|amazon|launch\w*|promo\w*|campaign|landing page|copy|pitch|cold e?mail|sales|"
    r"caption|"
    r"keywords?|meta|seo|serp|newsletter|offer|sale|paragraph|listing|catalogue|menu|features|insta|instagram|blurb|"
    r"werb\w*|anzeige\w*|produkt\w*|beschreib\w*|verkauf\w*|kleinanzeigen|onlineshop|annonce|fiche|pub|vends|vendre|"
    r"descripción|descripcion|anuncio|ficha|tienda|vendo|vendemos|venta|descrição|anúncio|loja|descrizione|"
    r"annuncio|vendita|"
    r"negozio|beschrijving|omschrijving|advertentie\w*|webwinkel|verkoop\w*|opis|sklep\w*|reklam\w*|ürün|satış\w*|"
    r"описани\w*|реклам\w*|магазин\w*|товар\w*|prospect\w*|proponer|consulenza|marque|nomi?|name|naming)\b",
)
"""What says that a thing that is named may be there to be sold."""
_GOODS: Final = frozenset(("goods", "clothing", "furnishing", "electronics", "edible"))
_OFFERS: Final = frozenset(
    (
        "app",
        "software",
        "course",
        "courses",
        "lessons",
        "classes",
        "training",
        "workshop",
        "service",
        "services",
        "tool",
    )
    + (
        "platform",
        "serum",
        "cream",
        "shampoo",
        "insurance",
        "game",
        "school",
        "program",
        "programme",
        "drink",
        "website",
    )
    + ("grooming", "repair", "rental", "catering", "subscription", "kit", "set", "machine", "maker", "sheds", "toys")
)
"""Of these alone nobody knows what is sold: they count together with the word before them."""
_ANY_WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_MOST_WORDS_BEFORE: Final = 2


def find_product(text: str) -> str | None:
    """Return the words of a text for what is to be sold; None if it names nothing of the kind."""
    found = first_match(_PRODUCT, text)
    if found and not any(pattern.match(found) for pattern in compiled(_NO_PRODUCT)):
        return found
    return _thing_sold(text) if compiled(_SOLD)[0].search(text) else None


def _thing_sold(text: str) -> str | None:
    """Return the first word for goods in a text that speaks of selling, with what stands close before it."""
    found = list(_ANY_WORD.finditer(text))
    words = [fold(word[0]).strip() for word in found]
    for at, word in enumerate(words):
        offer = word in _OFFERS
        if not offer and not _GOODS.intersection(concepts_of(word)):
            continue
        end = at
        while end + 1 < len(words) and _joined(text, found[end], found[end + 1]) and _is_thing(words[end + 1]):
            end += 1
        begin = at
        while (
            begin > 0
            and at - begin < _MOST_WORDS_BEFORE
            and _joined(text, found[begin - 1], found[begin])
            and not _is_common(words[begin - 1])
        ):
            begin -= 1
        if begin < at or not offer:
            return text[found[begin].start() : found[end].end()]
    return None


def _joined(text: str, one: re.Match[str], other: re.Match[str]) -> bool:
    return text[one.end() : other.start()] in (" ", "-")


def _is_thing(word: str) -> bool:
    return word in _OFFERS or bool(_GOODS.intersection(concepts_of(word)))


def _is_common(word: str) -> bool:
    return is_frequent(word) or word.isdecimal() or bool(compiled(_SOLD)[0].fullmatch(word))
