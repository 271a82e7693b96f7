"""Rows without their long columns, for those that look often, or at many."""

from typing import Any, cast

from sqlalchemy.orm import QueryableAttribute, defer
from sqlalchemy.sql.base import ExecutableOption


def without(*columns: object) -> list[ExecutableOption]:
    """Return the options of a query that leave columns out; reading one of these from a row is an error."""
    return [defer(cast("QueryableAttribute[Any]", column), raiseload=True) for column in columns]
