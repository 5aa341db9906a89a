"""Which language is meant? The two-letter codes of ISO 639-1, out of what forms and browsers write. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

# Source: the Library of Congress, the registration authority of ISO 639-1; loc.gov/standards/iso639-2/php/code_list.php
_CODES: Final = """
aa Afar,ab Abkhazian,ae Avestan,af Afrikaans,ak Akan,am Amharic,an Aragonese,ar Arabic,as Assamese,av Avaric,ay Aymara,
az Azerbaijani,ba Bashkir,be Belarusian,bg Bulgarian,bi Bislama,bm Bambara,bn Bengali,bo Tibetan,br Breton,bs Bosnian,
ca Catalan,ce Chechen,ch Chamorro,co Corsican,cr Cree,cs Czech,cu Church Slavic,cv Chuvash,cy Welsh,da Danish,de German,
dv Divehi,dz Dzongkha,ee Ewe,el Greek,en English,eo Esperanto,es Spanish,et Estonian,eu Basque,fa Persian,ff Fulah,
fi Finnish,fj Fijian,fo Faroese,fr French,fy Western Frisian,ga Irish,gd Gaelic,gl Galician,gn Guarani,gu Gujarati,gv Manx,
ha Hausa,he Hebrew,hi Hindi,ho Hiri Motu,hr Croatian,ht Haitian,hu Hungarian,hy Armenian,hz Herero,ia Interlingua,
id Indonesian,ie Interlingue,ig Igbo,ii Sichuan Yi,ik Inupiaq,io Ido,is Icelandic,it Italian,iu Inuktitut,ja Japanese,
jv Javanese,ka Georgian,kg Kongo,ki Kikuyu,kj Kuanyama,kk Kazakh,kl Kalaallisut,km Khmer,kn Kannada,ko Korean,kr Kanuri,
ks Kashmiri,ku Kurdish,kv Komi,kw Cornish,ky Kirghiz,la Latin,lb Luxembourgish,lg Ganda,li Limburgan,ln Lingala,lo Lao,
lt Lithuanian,lu Luba-Katanga,lv Latvian,mg Malagasy,mh Marshallese,mi Maori,mk Macedonian,ml Malayalam,mn Mongolian,
mr Marathi,ms Malay,mt Maltese,my Burmese,na Nauru,nb Norwegian Bokmål,nd North Ndebele,ne Nepali,ng Ndonga,nl Dutch,
nn Norwegian Nynorsk,no Norwegian,nr South Ndebele,nv Navajo,ny Chichewa,oc Occitan,oj Ojibwa,om Oromo,or Oriya,os Ossetian,
pa Panjabi,pi Pali,pl Polish,ps Pushto,pt Portuguese,qu Quechua,rm Romansh,rn Rundi,ro Romanian,ru Russian,rw Kinyarwanda,
sa Sanskrit,sc Sardinian,sd Sindhi,se Northern Sami,sg Sango,si Sinhala,sk Slovak,sl Slovenian,sm Samoan,sn Shona,so Somali,
sq Albanian,sr Serbian,ss Swati,st Southern Sotho,su Sundanese,sv Swedish,sw Swahili,ta Tamil,te Telugu,tg Tajik,th Thai,
ti Tigrinya,tk Turkmen,tl Tagalog,tn Tswana,to Tonga,tr Turkish,ts Tsonga,tt Tatar,tw Twi,ty Tahitian,ug Uighur,uk Ukrainian,
ur Urdu,uz Uzbek,ve Venda,vi Vietnamese,vo Volapük,wa Walloon,wo Wolof,xh Xhosa,yi Yiddish,yo Yoruba,za Zhuang,zh Chinese,
zu Zulu
"""
LANGUAGES: Final[Mapping[str, str]] = MappingProxyType(
    {one.split(" ", 1)[0]: one.split(" ", 1)[1] for one in _CODES.replace("\n", "").split(",")}
)
# Codes of countries that are taken for those of languages. (`se` and `ee` are languages as well.)
_COUNTRIES: Final[Mapping[str, str]] = {
    "cz": "cs",
    "dk": "da",
    "gb": "en",
    "jp": "ja",
    "cn": "zh",
    "gr": "el",
    "us": "en",
}
_OWN_NAMES: Final[Mapping[str, str]] = {
    "suomi": "fi", "svenska": "sv", "norsk": "no", "dansk": "da", "deutsch": "de", "eesti": "et", "français": "fr",
    "español": "es", "italiano": "it", "nederlands": "nl", "polski": "pl", "português": "pt",
}  # fmt: skip
_NAMES: Final[Mapping[str, str]] = {**{name.lower(): code for code, name in LANGUAGES.items()}, **_OWN_NAMES}


@lru_cache(maxsize=1024)
def code_of(written: str | None) -> str | None:
    """The code of a language however it is written: `fi`, `fi-FI`, `sv_SE`, `Finnish`; None when it is not known."""
    plain = (written or "").strip().lower()
    if plain in _NAMES:
        return _NAMES[plain]
    code = plain.replace("_", "-").partition("-")[0]
    return code if code in LANGUAGES else None


def meant(code: str) -> str:
    """Which code was probably meant by one that is none; empty when there is no guess."""
    return _COUNTRIES.get(code, "")
