"""What a checker says of something wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def refusal(check: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The message of the AssertionError that ``check`` must raise.

    (``pytest.raises`` would keep the frames of the error, and the tensors in them, in a reference cycle.)
    """
    try:
        check(*arguments, **options)
    except AssertionError as error:
        return str(error)
    raise TypeError(f"{check.__name__} accepted what is wrong")
