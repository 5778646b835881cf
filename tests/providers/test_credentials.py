"""Where credentials come from, who may read them, and where they never go."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from providers.deliveries import deliver, verdict
from synapsor_pg import Delivery, Outcome, Registry, failed, succeeded
from synapsor_pg.providers import ConfigurationError, provides, secret, setting
from synapsor_pg.providers.credentials import masked, number, remember, remembering

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNAPSOR_CREDENTIALS_DIRECTORY", str(tmp_path))
    return tmp_path


def put(path: Path, value: str, mode: int = 0o600) -> Path:
    path.write_text(value)
    path.chmod(mode)
    return path


def test_they_are_named_by_account_and_never_borrowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_KEY", "the default")
    monkeypatch.setenv(
        "SYNAPSOR_STRIPE_API_KEY_EU_WEST_FILE", str(put(tmp_path / "key", "from a file\n"))
    )

    assert setting("stripe", "api_key", "default") == "the default"
    assert setting("stripe", "api_key", "eu-west") == "from a file"
    assert setting("stripe", "api_key", "us") is None


@pytest.mark.parametrize("other", ["eu_west", "EU-WEST", "eu west", "eu.west", "eu--west"])
def test_no_two_accounts_share_a_variable(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_KEY_EU_WEST", "of eu-west")

    assert setting("stripe", "api_key", "eu-west") == "of eu-west"
    assert setting("stripe", "api_key", other) is None


def test_the_name_of_a_file_is_no_credential_of_an_account_called_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_KEY_EU_FILE", "/run/secrets/eu")

    assert setting("stripe", "api_key", "eu-file") is None


def test_a_folder_holds_a_file_for_each(folder: Path) -> None:
    put(folder / "stripe.eu_West.api_key", " in the folder\n")

    assert setting("stripe", "api_key", "eu_West") == "in the folder"
    assert setting("stripe", "api_key", "eu-west") is None


@pytest.mark.parametrize(
    "account", ["../secrets", "a/../secrets", "a/b", "..", "x.api_key/..", "", "a\x00b"]
)
def test_an_account_never_leads_out_of_the_folder(folder: Path, account: str) -> None:
    for name in ("inner", "stripe.a", "stripe.x.api_key"):
        (folder / name).mkdir()
    put(folder / "secrets.api_key", "stolen")
    put(folder / "stripe.a" / "b.api_key", "stolen")

    assert setting("stripe", "api_key", account) is None


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o666, 0o601])
def test_a_file_that_is_open_to_others_is_refused(folder: Path, mode: int) -> None:
    put(folder / "stripe.default.api_key", "sk_live_42", mode)

    with pytest.raises(ConfigurationError, match="open to others") as refusal:
        setting("stripe", "api_key")
    assert "sk_live_42" not in str(refusal.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640])
def test_a_file_of_ours_or_of_our_group_is_read(folder: Path, mode: int) -> None:
    put(folder / "stripe.default.api_key", "sk_live_42", mode)

    assert setting("stripe", "api_key") == "sk_live_42"


def test_what_is_no_text_is_refused_without_showing_it(folder: Path) -> None:
    path = folder / "stripe.default.api_key"
    path.write_bytes(b"sk_live_42\xff")
    path.chmod(0o600)

    with pytest.raises(ConfigurationError) as refusal:
        setting("stripe", "api_key")
    assert "sk_live" not in repr(refusal.value) + repr(refusal.value.__context__.__class__)


def test_a_folder_or_an_endless_file_is_no_credential(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "stripe.default.api_key").mkdir()
    with pytest.raises(ConfigurationError):
        setting("stripe", "api_key")
    monkeypatch.setenv("SYNAPSOR_STRIPE_API_KEY_FILE", "/dev/zero")
    with pytest.raises(ConfigurationError):
        setting("stripe", "api_key")


def test_a_missing_one_is_named_by_the_variable_to_set() -> None:
    with pytest.raises(ConfigurationError, match="SYNAPSOR_ZENDESK_API_TOKEN_EU"):
        secret("zendesk", "api_token", "eu")
    with pytest.raises(ConfigurationError, match=r"zendesk\.EU\.api_token"):
        secret("zendesk", "api_token", "EU")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_a_number_is_positive(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SYNAPSOR_STRIPE_TIMEOUT", value)

    with pytest.raises(ConfigurationError, match="positive"):
        number("stripe", "timeout", 20.0)


def test_a_time_out_of_all_accounts_is_the_default_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNAPSOR_STRIPE_TIMEOUT", "3")

    assert number("stripe", "timeout", 20.0, "eu") == 3


def test_what_was_read_is_taken_out_of_everything_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = "s3cr+t/key"
    monkeypatch.setenv("SYNAPSOR_ECHO_API_KEY", key)
    registry = Registry()
    spellings = [key, base64.b64encode(key.encode()).decode(), quote(key, safe="")]

    @provides("echo", "say", registry=registry)
    def say(_delivery: Delivery) -> Outcome:
        secret("echo", "api_key")
        return succeeded({"headers": [{"Authorization": f"Bearer {key}"}], key: spellings}, key)

    @provides("echo", "fail", registry=registry)
    def fail(_delivery: Delivery) -> Outcome:
        secret("echo", "api_key")
        return failed(f"bad_{key}", f"Invalid key {key}")

    @provides("echo", "raise", registry=registry)
    def raise_it(_delivery: Delivery) -> Outcome:
        raise ValueError(f"no such key {secret('echo', 'api_key')}")

    for operation, expected in (("say", "succeeded"), ("fail", "rejected"), ("raise", "retryable")):
        outcome = deliver("echo", operation, {}, registry=registry)
        assert verdict(outcome) == expected
        assert not any(spelling in repr(outcome) for spelling in spellings)
        assert "[secret]" in repr(outcome)


def test_a_part_of_a_longer_secret_does_not_betray_the_rest() -> None:
    with remembering():
        remember("whsec_ab")
        remember("whsec_abcdefgh")
        assert masked("x whsec_abcdefgh y") == "x [secret] y"


def test_a_secret_that_is_a_word_does_not_take_words_out() -> None:
    with remembering():
        remember("test")
        assert masked("re_test_1") == "re_test_1"


def test_one_deliverys_secret_is_another_ones_word() -> None:
    with remembering():
        remember("sk_live_abcdef")
        with remembering():
            remember("sk_live_ghijkl")
            assert masked("sk_live_abcdef sk_live_ghijkl") == "[secret] [secret]"
        assert masked("sk_live_abcdef sk_live_ghijkl") == "[secret] sk_live_ghijkl"
    assert masked("sk_live_abcdef") == "sk_live_abcdef"


def test_a_file_of_somebody_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(folder / "stripe.default.api_key", "sk_live_42")
    owner = path.stat().st_uid
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    with pytest.raises(ConfigurationError, match="somebody else"):
        setting("stripe", "api_key")


def test_an_answer_that_nests_too_deep_is_cut() -> None:
    value: object = "x"
    for _ in range(5000):
        value = [value]

    assert "[too deep]" in repr(masked(value))


def test_a_missing_configuration_leaves_time_to_mend_it() -> None:
    registry = Registry()

    @provides("echo", "say", registry=registry)
    def say(_delivery: Delivery) -> Outcome:
        return succeeded(secret("echo", "missing_key"))

    outcome = deliver("echo", "say", {}, registry=registry)
    assert (verdict(outcome), outcome.error_code) == ("retryable", "configuration")
    assert outcome.retry_after is not None
    assert outcome.retry_after.total_seconds() >= 10
