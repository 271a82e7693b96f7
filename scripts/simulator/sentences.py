"""Sentences that the simulated model answers translations with: of the Universal Declaration of Human Rights.

Real prose of each language, by people (the United Nations' own translations, free to use), so that whoever
judges an answer's language judges a real one.
"""

from collections.abc import Mapping

SENTENCES: Mapping[str, tuple[str, ...]] = {
    "English": (
        "All human beings are born free and equal in dignity and rights.",
        "They are endowed with reason and conscience and should act towards one another in a spirit "
        "of brotherhood.",
        "Everyone has the right to freedom of thought, conscience and religion.",
        "Everyone has the right to rest and leisure, including reasonable limitation of working hours "
        "and periodic holidays with pay.",
        "No one shall be subjected to arbitrary arrest, detention or exile.",
    ),
    "French": (
        "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
        "Ils sont doués de raison et de conscience et doivent agir les uns envers les autres dans un "
        "esprit de fraternité.",
        "Toute personne a droit à la liberté de pensée, de conscience et de religion.",
        "Toute personne a droit au repos et aux loisirs et notamment à une limitation raisonnable de "
        "la durée du travail et à des congés payés périodiques.",
        "Nul ne peut être arbitrairement arrêté, détenu ou exilé.",
    ),
    "German": (
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
        "Sie sind mit Vernunft und Gewissen begabt und sollen einander im Geist der Brüderlichkeit "
        "begegnen.",
        "Jeder hat das Recht auf Gedanken-, Gewissens- und Religionsfreiheit.",
        "Jeder hat das Recht auf Erholung und Freizeit und insbesondere auf eine vernünftige "
        "Begrenzung der Arbeitszeit und regelmäßigen bezahlten Urlaub.",
        "Niemand darf willkürlich festgenommen, in Haft gehalten oder des Landes verwiesen werden.",
    ),
    "Spanish": (
        "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están "
        "de razón y conciencia, deben comportarse fraternalmente los unos con los otros.",
        "Toda persona tiene derecho a la libertad de pensamiento, de conciencia y de religión.",
        "Toda persona tiene derecho al descanso, al disfrute del tiempo libre, a una limitación "
        "razonable de la duración del trabajo y a vacaciones periódicas pagadas.",
        "Nadie podrá ser arbitrariamente detenido, preso ni desterrado.",
    ),
    "Italian": (
        "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
        "Essi sono dotati di ragione e di coscienza e devono agire gli uni verso gli altri in spirito "
        "di fratellanza.",
        "Ogni individuo ha diritto alla libertà di pensiero, di coscienza e di religione.",
        "Ogni individuo ha diritto al riposo ed allo svago, comprendendo in ciò una ragionevole "
        "limitazione delle ore di lavoro e ferie periodiche retribuite.",
        "Nessun individuo potrà essere arbitrariamente arrestato, detenuto o esiliato.",
    ),
}
"""By the English name of the language, as requests have it."""
