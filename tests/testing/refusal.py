"""What a checker says of something wrong."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any


def refusal(check: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The message of the AssertionError that ``check`` must raise.

    Hypothesis keeps errors, and so the frames and the tensors in them, in reference cycles of its own: these are
    collected here, so that the fixture that looks for cycles finds only tinygen's.
    """
    try:
        check(*arguments, **options)
    except AssertionError as error:
        message = str(error)
    else:
        raise TypeError(f"{check.__name__} accepted what is wrong")
    flags = gc.get_debug()
    gc.set_debug(0)
    gc.collect()
    gc.set_debug(flags)
    return message
