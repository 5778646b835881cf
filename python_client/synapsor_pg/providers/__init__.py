"""Handlers for real providers, one module each: importing it registers them.

``sending`` has what they share, ``egress`` the way out for HTTP, ``credentials`` where keys come
from: the environment or files, named per provider and account; never the database, never a log.
"""

from __future__ import annotations

from synapsor_pg.providers.credentials import ConfigurationError, secret, setting
from synapsor_pg.providers.sending import by_status, digest_of, provider_key, provides

__all__ = [
    "ConfigurationError",
    "by_status",
    "digest_of",
    "provider_key",
    "provides",
    "secret",
    "setting",
]
