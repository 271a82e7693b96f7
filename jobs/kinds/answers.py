"""What is wrong with an answer before anybody reads it for its kind: none was given, or only a part."""

from jobs.exchange import Answer, Finish
from jobs.kinds.kind import Bad, Remedy


def no_answer(answer: Answer, *, may_be_cut: bool = False) -> Bad | None:
    """Return why this is no complete answer; None if it is one.

    Args:
        answer: of any model.
        may_be_cut: whether the beginning of an answer is worth something by itself.
    """
    match answer.finish:
        case Finish.REFUSED:
            return Bad("refused", answer.refusal or "the model refused to answer", Remedy.TURN)
        case Finish.MALFUNCTION:
            return Bad(
                "model_malfunction", "the model broke off with an error of its own", Remedy.ASK
            )
        case Finish.TRUNCATED if not may_be_cut:
            return Bad("truncated", "the answer was cut off at its `max_tokens`", Remedy.RAISE)
    if not answer.text.strip():
        # Hidden reasoning may have taken all that it was allowed.
        remedy = Remedy.RAISE if answer.finish is Finish.TRUNCATED else Remedy.ASK
        return Bad("empty_output", f"the answer is empty (finish: {answer.finish.value})", remedy)
    return None
