"""Which words of a job title tell the function, which the level? The lexicon, in English, Finnish and Swedish.

All of it is compared with text that `titles.fold` has made plain: lower case, ä and å as a, ö as o, hyphens gone. In Finnish and
Swedish one word holds both: its front gives the function, its end the level (markkinointi|johtaja, marknads|chef). Patterns
without a word boundary in front are therefore meant to match inside a compound.
"""

from typing import Final, Literal

Function = Literal[
    "operations", "marketing", "sales", "finance", "general_management", "it", "hr", "procurement", "engineering", "product",
    "legal", "support", "education", "administration", "student",
]  # fmt: skip
Level = Literal["c_level", "vp", "director", "head", "manager", "staff", "assistant", "student"]

# One list of (pattern, level), tried in this order on one role; the first that is found decides.
LEVELS: Final[tuple[tuple[str, Level], ...]] = (
    # people who help somebody with a high title carry that title in theirs
    (r"\bassistant to\b|\b(?:ea|pa) to\b|\boffice of the\b", "assistant"),
    (r"\b(?:executive|personal|administrative|admin|office|management|virtual|board) assistant\b", "assistant"),
    (r"\bassistant$|assistentti$|\w*assistent$|\bassistant \w+ services$", "assistant"),
    (
        r"(?<!paa)(?<!general)sihteeri$|(?<!general)(?<!stats)sekreterare$|\b(?:legal |medical |school )?secretary$|\breceptionist$",
        "assistant",
    ),
    # people who learn
    (r"\b(?:student|undergraduate|postgraduate)(?:$| (?:at|of|in|vid|i)\b)|\bphd (?:student|candidate)\b", "student"),
    (r"opiskelija\b|\bstuderande\b|student$|\bylioppilas\b", "student"),
    (
        r"\b(?:intern|internship|trainee|apprentice|thesis worker)\b|harjoittelija\b|praktikant\b|\bkesatyontekija\b|\blarling\b",
        "student",
    ),
    # people who decide for the whole company
    (r"\b(?:vp|svp|evp|avp)\b|\bvice president\b|\b(?:senior|executive) vice president\b", "vp"),
    (
        r"\bvaratoimitusjohtaja\b|\bvice (?:vd|verkstallande direktor)\b|\b(?:deputy|vice) (?:ceo|chief executive)\b",
        "vp",
    ),
    (r"\bc(?:e|f|t|i|m|o|r|p|d|s|c|g|l|x|hr|is|b)o\b", "c_level"),
    (r"\bchief [\w ]*officer\b", "c_level"),
    (
        r"\bchief (?:executive|operating|operations|financial|finance|technology|technical|information|marketing|revenue|commercial|sales"
        r"|people|human|product|digital|data|security|legal|compliance|strategy|growth|customer|innovation|procurement|supply|risk)\b",
        "c_level",
    ),
    (
        r"\b(?:co ?)?founder\b|\bowner operator\b|(?<!product )(?<!process )(?<!service )(?<!system )(?<!business )\bowner\b|\bproprietor\b",
        "c_level",
    ),
    (
        r"\bmanaging (?:director|partner)\b|\b(?:co )?president\b|\bexecutive director\b|\bsecretary general\b|\bentrepreneur\b",
        "c_level",
    ),
    (
        r"^(?:senior |founding |equity )?partner$|\bchair(?:man|woman|person)?\b|\bboard (?:member|director)\b|\bmember of the board\b",
        "c_level",
    ),
    (
        r"\w*toimitusjohtaja\b|\btj\b|\bpaajohtaja\b|\bkonsernijohtaja\b|\btoiminnanjohtaja\b|\bhallituksen (?:jasen|puheenjohtaja)\b",
        "c_level",
    ),
    (
        r"yrittaja\b|\bperustaja\b|\bomistaja\b|\bkauppias\b|\bpaasihteeri\b|^puheenjohtaja\b|\bperustajaosakas\b|^osakas\b",
        "c_level",
    ),
    (
        r"\bvd\b|\bverkstallande direktor\b|\bkoncernchef\b|\bkoncerndirektor\b|\bgeneralsekreterare\b|\bgeneraldirektor\b",
        "c_level",
    ),
    (
        r"\b(?:med)?grundare\b|\b(?:del)?agare\b(?<!produktagare)|\bforetagare\b|\bordforande\b|\bstyrelseledamot\b|\bgeschaftsfuhrer",
        "c_level",
    ),
    # a foreman is called johtaja, too, and leads a shift, not a function; a conductor leads a choir
    (
        r"(?:tyon|vuoron|tyomaan|rakennuksen|leikin|matkan|kuoron|orkesterin|joukkueen|ryhman|laulun)johtaja\b"
        r"|\bsupervisor\b|\bforeman\b|\bsuperintendent\b|arbetsledare\b",
        "staff",
    ),
    (r"\bhead (?:chef|nurse|waiter|cook|gardener|teacher|pastry)\b", "staff"),
    (
        r"\bhead\b(?! office)|\bchief of staff\b|\bchief (?:engineer|architect|accountant|economist|scientist|designer|editor)\b",
        "head",
    ),
    # people who decide for a function
    (r"\bdirector\b|\bdirecteur\b|\bdirektor\b|\b(?:general|country) manager\b", "director"),
    (r"johtaja\b|direktor\b|\brehtori\b", "director"),
    (
        r"\b(?:grupp|team|enhets|skift|avdelnings|projekt|butiks|arbets|bygg|kontors|lag|restaurang|koks|depa|omrades|distrikts)\w{0,2}chef\b",
        "manager",
    ),
    (
        r"(?<!sous)(?<!koks)(?<!pastry)\w{2,}chef\b|\bchef (?:for|inom|pa|av)\b|^chef \w+|\b(?:teknisk|operativ|kommersiell|administrativ|regional|nordisk) chef\b|\brektor\b",
        "head",
    ),
    (
        r"\bmanager\b|\bteam ?lead(?:er)?\b|\bproject lead\b|\bscrum master\b",
        "manager",
    ),
    (
        r"paallikko\b|esimies\b|esihenkilo\b|\w*vetaja\b|ansvarig\b|teamledare\b|projektledare\b|gruppledare\b|mestari\b(?<!kapellimestari)",
        "manager",
    ),
    # people who do the work
    (
        r"\b(?:engineer|developer|programmer|architect|specialist|analyst|consultant|coordinator|officer|representative|rep|associate|adviser|advisor"
        r"|administrator|designer|accountant|bookkeeper|technician|teacher|lecturer|professor|tutor|researcher|scientist|nurse|clerk|agent|buyer"
        r"|executive|recruiter|writer|editor|lawyer|attorney|counsel|auditor|controller|planner|strategist|generalist|operator|worker|expert"
        r"|owner|instructor|trainer|copywriter|tester|salesperson|salesman|seller|merchandiser|inspector|economist|translator|journalist|driver)\b",
        "staff",
    ),
    (
        r"(?:asiantuntija|insinoori|kehittaja|suunnittelija|konsultti|koordinaattori|myyja|edustaja|kirjanpitaja|analyytikko|opettaja|tutkija"
        r"|neuvoja|neuvottelija|kasittelija|hoitaja|ostaja|arkkitehti|juristi|lakimies|tarkastaja|tiedottaja|lehtori|professori|tyontekija|virkailija"
        r"|vastaava|ohjaaja|valmentaja|kouluttaja|toimittaja|ekonomi|teknikko|tyonhakija|asentaja|tekija|rekrytoija|controlleri|merkonomi)\b",
        "staff",
    ),
    (
        r"(?:specialist|ingenjor|utvecklare|konsult|saljare|handlaggare|samordnare|larare|ekonom|revisor|jurist|inkopare|analytiker|strateg"
        r"|redovisare|konstruktor|tekniker|radgivare|koordinator|kommunikator|rekryterare|programmerare|arkitekt|forskare|lektor|assistent"
        r"|redaktor|planerare|ombud|representant|skoterska|arbetare|agare|controller|operator|inspektor)\b",
        "staff",
    ),
)

# Tried first, in this order: pairs of words that mean something else than their parts.
PHRASES: Final[tuple[tuple[str, Function], ...]] = (
    (r"\bproduct marketing\b|\bmarketing operations\b|\bcontent manag|\bsocial media\b|\bdigital marketing\b|\bmarketing automation\b", "marketing"),
    (r"\bsales (?:operations|engineer|enablement|support)|\brev(?:enue )?op(?:eration)?s\b|\b(?:it|software|technical|product) sales\b", "sales"),
    (r"\bbusiness develop|\b(?:key )?account (?:manager|executive|director)|\bavainasiakas|\baffarsutveckl|\bliiketoiminnan kehit", "sales"),
    (r"\bdata protection\b|\btietosuoja|\bdataskydd", "legal"),
    (r"\bhuman resource|\bpeople (?:and culture|operations|ops)\b|\bhuman capital\b|\btalent acquisition\b", "hr"),
    (r"\b(?:customer|client|technical|it|application|product|user) (?:support|service|care)|\bcustomer (?:success|experience)|\bservice ?desk\b", "support"),
    (r"\b(?:financial|business|finance) controller\b|\bfinancial (?:planning|analyst)", "finance"),
    (r"\bsupply chain\b|\btoimitusketju|\bproduction engineer|\bquality (?:manager|director|engineer|assurance)", "operations"),
    (r"\bproduct (?:owner|manager|director|management|lead)\b|\bhead of product\b|\bvp product\b|\bproduct development\b", "product"),
    (r"\binformation (?:technology|systems?|security|management|officer)\b|\bsystems? admin", "it"),
    (r"\btechnology officer\b|\btechnical director\b|\bresearch (?:and )?development\b|\btutkimus ja kehit|\btutkimus ja tuotekehit", "engineering"),
    (r"\bproduct officer\b", "product"),
    (r"\b(?:school|university|college|head) (?:principal|teacher|manager)|\bstudent (?:affairs|services)", "education"),
    (r"\bgeneral manager\b|\bcountry manager\b|\bbusiness unit\b|\bmaajohtaja\b|\bliiketoimintajohtaja\b|\bchief of staff\b|\bexecutive director\b", "general_management"),
)  # fmt: skip

# Of these the one that begins earliest in the title counts.
FUNCTIONS: Final[tuple[tuple[str, Function], ...]] = (
    (
        r"\bmarketing|\bbrand(?:s|ing)?\b|\bcommunications?\b|\bpr\b|\bpublic relations\b|\bcontent\b|\bseo\b|\bdemand gen|\bgrowth\b|\badvertis|\bcmo\b|\bcopywriter"
        r"|markkinoin|markkinoij|viestin|\btiedottaja|\bbrandijohtaja|\bbrandipaal|mainos|\bmainonta"
        r"|(?<!arbets)marknads|\bmarknad\b|kommunikation|\breklam|kommunikator|varumark",
        "marketing",
    ),
    (
        r"\bsales\b|\bsales(?:person|man)|\bseller\b|\brevenue\b|\bcommercial\b|\bcro\b|\bcco\b|\bsdr\b|\bbdr\b|\bexport|\bpartnership"
        r"|myynti|myyja\b|myynnin|\bkaupallinen|asiakkuus|asiakkuuksien|asiakaspaallikko|asiakasvastaava|\bvienti"
        r"|forsalj|salj(?:are|chef|ansvarig|ledare|direktor|support)?\b|\bkommersiell|\baffars|kundansvarig|\bkundchef",
        "sales",
    ),
    (
        r"\bfinanc|\baccountan|\baccounting|\baccounts (?:payable|receivable|manager)|(?<!traffic )\bcontroller|\btreasur|\bcfo\b|\baudit|\bbookkeep|\btax\b|\bpayroll"
        r"|(?<!metsa)(?<!maa)(?<!vesi)(?<!koti)(?<!kala)(?<!jate)talous|\btaloushallin|rahoitus|kirjanpit|laskentapaal|laskenta ?ekon|tilintarkast|\bpalkan|\bpalkka"
        r"|\bekonomi|\bekonom\b|\bfinans|redovis|revisor|\bskatte",
        "finance",
    ),
    (
        r"\bhr\b|(?<!young )\bpeople\b|\btalent (?:manager|management|partner|director)|\brecruit|\bchro\b|\bhrd\b|henkilosto|rekryt|tyohyvinvoin|\bhrjohtaja|\bhrchef"
        r"|\bpersonal(?:handlaggare|chef|ansvarig|direktor|avdelning|specialist)|\brekryter|\bhrspecialist|\bhrpaal",
        "hr",
    ),
    (
        r"\bit\b|\bict\b|\bikt\b|\binformation tech|\bcio\b|\bciso\b|\bcdo\b|\bcyber|\binfosec|\bsecurity (?:officer|manager|engineer)|\bnetwork|\bsysadmin|\bdata(?:base)?\b"
        r"|\bdigital\b|tietohallin|tietoturva|tietojarjest|jarjestelmaasian|jarjestelmapaal|tietotekni|\bdigi|\bdata(?=johtaja|paallikko|chef|analy)|\bit(?=johtaja|paallikko|chef|ansvarig|asian|konsult)"
        r"|\binformations(?:chef|sakerhet)|systemadmin|\bnatverks",
        "it",
    ),
    (
        r"\boperations?\b|\boperating\b|\bcoo\b|\blogistic|\bproduction\b|\bplant\b|\bfactory\b|\bmanufactur|\bwarehouse|\bquality\b|\bmaintenance\b|\bdistribution\b|\bstore manager"
        r"|\boperatiivi|tuotanto|tehdas|tehtaan|logistiikka|varasto|\blaatu|kunnossapito|\boperaatio|tyonjohtaja|\bjakelu|huolinta|toimitusketju|myymalapaal"
        r"|\bdrift|produktions|logistik|\blager|\bfabrik|\bkvalitet|\bunderhall|\bplatschef|\bverksamhets|\boperativ|\bdistributions",
        "operations",
    ),
    (
        r"\bprocure|\bpurchas|\bbuyer\b|\bsourcing\b|\bcategory manager|\bosto|\bostaja|hankinta|hankinnan|hankintojen|\binkop|\binkops",
        "procurement",
    ),
    (
        r"\bengineer|\bdeveloper|\bsoftware\b|\barchitect\b|\bcto\b|\btechnology\b|\btechnical\b|\bresearch\b|\bdevops\b|\bprogrammer|\bdata scien"
        r"|insinoori|(?<!liiketoiminnan )kehittaja\b|ohjelmisto|\btekninen|teknologia|\btutkimus|\bkehitys|suunnittelupaal|\bohjelmoija"
        r"|utvecklare|utvecklings|ingenjor|konstruktor|\bteknisk|\bteknik|\bprogramvar|\bprogrammerare|\bforsknings",
        "engineering",
    ),
    (r"\bproduct\b|\bux\b|\bcpo\b|\btuote|\btuotteiden|\bprodukt(?=chef|agare|ansvarig|utveck|ledare)", "product"),
    (r"\blegal\b|\bcounsel\b|\blawyer|\battorney|\bcompliance\b|\bparalegal|\blakimies|juristi?\b|\blakiasi|\bjuridi|\badvokat|\basianajaj|\bbolagsjurist", "legal"),
    (r"\bsupport\b|\bhelp ?desk\b|asiakaspalvel|asiakastuki|\btuki(?=paallikko|henkilo|asian)|kundtjanst|kundservice|kundsupport", "support"),
    (
        r"\bteacher|\blecturer|\bprofessor|\brector\b|\bdean\b|\bheadmaster|\bschool\b|\beducation|\btutor\b|\binstructor"
        r"|opettaja|\brehtori|lehtori|professori|\bkoulun|\bopinto|larare|\brektor|lektor\b|\bskol",
        "education",
    ),
    (r"\bexecutive assistant|\badministrat|\boffice manager|\breceptionist|\bsecretary\b|\btoimisto|\bjohdon assist|\bhallinto|\bkontors|\badministrativ|sihteeri$|sekreterare$", "administration"),
)  # fmt: skip

# The whole company, when nothing else in the title says what the person is responsible for.
WHOLE_COMPANY: Final = (
    r"\bceo\b|\bchief executive|founder\b|\bowner\b|\bproprietor|\bmanaging (?:director|partner)|\bpresident\b(?<!vice president)|\bentrepreneur|\bchair(?:man|woman|person)?\b|\bboard (?:member|director)|\bof the board\b"
    r"|\bpartner$|toimitusjohtaja|\btj\b|paajohtaja|konsernijohtaja|toiminnanjohtaja|yrittaja\b|perustaja|omistaja|\bkauppias|puheenjohtaja|\bhallituksen\b|osakas\b"
    r"|paasihteeri|\bsecretary general|\bvd\b|\bverkstallande|koncernchef|koncerndirektor|generaldirektor|generalsekreterare|grundare|\bforetagare|ordforande|styrelseledamot|\bgeschaftsfuhrer"
    r"|\b(?:del)?agare\b"
)

# The person does not hold this role any more, or not yet.
NOT_NOW: Final = r"\b(?:former(?:ly)?|ex|previous(?:ly)?|past|retired|emeritus|emerita|aspiring|future|entinen|ent|elakkeella|elakelainen|tidigare|f ?d|pensionerad)\b"
# The person holds the role for a while: the role stands, the word goes.
ACTING: Final = r"\b(?:acting|interim|va|v a|vt|v t|vs|v s|virkaa tekeva|vastuullinen|tf|t f|tillforordnad|tillf)\b"
# The person stands in for somebody: one level lower.
DEPUTY: Final = r"\b(?:deputy|vice|associate|assistant|bitradande|stallforetradande)\b|\b(?:vara|apulais|bitr)(?=\w*(?:johtaja|paallikko|chef|rehtori|esimies))"
