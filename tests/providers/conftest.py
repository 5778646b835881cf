"""These tests are about the provider itself."""

from providers.fixtures import stripe_process, stripe_provider

__all__ = ["stripe_process", "stripe_provider"]
