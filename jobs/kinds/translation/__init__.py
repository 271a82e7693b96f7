"""Translation: a text in, the same text in another language out, with all that must survive."""

from jobs.kinds.kind import FieldFault, Plan
from jobs.kinds.translation.json_plan import JsonPlan
from jobs.kinds.translation.line import TranslationLine, check
from jobs.kinds.translation.text_plan import TextPlan

__all__ = ["Translation", "TranslationLine"]


class Translation:
    """The kind `translation`."""

    name = "translation"
    line_type = TranslationLine

    def check(self, line: TranslationLine) -> FieldFault | None:
        """Return what is wrong between the fields."""
        return check(line)

    def plan(self, line: TranslationLine) -> Plan:
        """Return the calls of the line: one, or as many as its text has parts."""
        return JsonPlan(line) if line.format == "json" else TextPlan(line)
