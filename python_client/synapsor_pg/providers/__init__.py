"""Handlers for real providers, one module each: importing it registers them.

Credentials come from the environment or from files, named per provider and account; never from the
database, and never into a log.
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def setting(provider: str, name: str, account: str) -> str | None:
    """Return a provider's setting for an account.

    Looks for ``SYNAPSOR_<PROVIDER>_<NAME>_<ACCOUNT>``, then the same with ``_FILE`` (a path whose
    content it is), and for the account ``default`` also without ``_<ACCOUNT>``. An account of its
    own never falls back to another one's credentials.
    """
    base = f"SYNAPSOR_{provider}_{name}".upper()
    names = [f"{base}_{re.sub(r'[^A-Za-z0-9]', '_', account).upper()}"]
    if account == "default":
        names.append(base)
    for each in names:
        if value := os.environ.get(each):
            return value
        if path := os.environ.get(f"{each}_FILE"):
            return Path(path).read_text(encoding="utf-8").strip()
    return None
