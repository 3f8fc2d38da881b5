"""Licences as SPDX expressions (SPDX specification 2.3, annex D)."""

import re
from functools import cache

from license_expression import ExpressionError, ExpressionParseError, Licensing, get_spdx_licensing

_OWN_REFERENCE = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")


def normalise_licence(text: str) -> str:
    """Return ``text`` with the identifiers in their official spelling; empty stays empty (unknown).

    Identifiers of the SPDX list are known, and ``LicenseRef-…`` for an organisation's own.

    Raises:
        ValueError: naming what is not an SPDX expression.
    """
    text = text.strip()
    if not text:
        return ""
    try:
        parsed = _licensing().parse(text)
        unknown = [str(key) for key in _licensing().unknown_license_keys(parsed) if not _OWN_REFERENCE.fullmatch(key)]
    except Exception as error:  # noqa: BLE001 - of "()" or "(AND MIT" the parser makes IndexError and AssertionError
        told = isinstance(error, (ExpressionError, ExpressionParseError))
        why = str(error).partition("\n")[0] if told else "its brackets and operators do not fit together"
        message = f"{text!r} is not an SPDX licence expression: {why}"
        raise ValueError(message) from None
    if unknown:
        message = (
            f"{', '.join(unknown)}: not in the SPDX licence list; write an expression such as "
            "MIT OR Apache-2.0, or LicenseRef-<name> for a licence of your own"
        )
        raise ValueError(message)
    return str(parsed.render("{symbol.key}"))


@cache
def _licensing() -> Licensing:
    # Reads a list of some 2,000 licences: half a second, once, and only where somebody declares.
    return get_spdx_licensing()
