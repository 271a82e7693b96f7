"""What a call will use, before it is made: corrected by what calls like it have really used."""

from jobs.exchange import Usage


class Forecast:
    """Says what is known beforehand: the estimate of the input, the bound of the output."""

    def input_tokens(self, provider: str, model: str, estimated: int) -> int:
        """Return how many tokens will go in, of a request that is estimated at so many."""
        return estimated

    def output_tokens(self, batch_id: int, model: str, max_output_tokens: int) -> int:
        """Return how many tokens will come out."""
        return max_output_tokens

    def observe(
        self, provider: str, model: str, batch_id: int, estimated_tokens: int, usage: Usage | None
    ) -> None:
        """Take note of what a call has really used."""
