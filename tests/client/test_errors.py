"""Every error code of the database has its exception, and nothing is lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from synapsor_pg import Client, SynapsorError
from synapsor_pg.errors import (
    BY_SQLSTATE,
    HiddenOverrideError,
    UndefinedActionError,
    from_database,
)

if TYPE_CHECKING:
    from client.workshop import Workshop


def test_the_table_of_exceptions_is_the_view_of_error_codes(
    connection: psycopg.Connection[Any],
) -> None:
    rows = connection.execute(
        "select code, condition from synapsor.synapsor_error_codes"
    ).fetchall()

    assert dict(rows) == {code: error.condition for code, error in BY_SQLSTATE.items()}


def test_each_exception_is_named_after_its_condition() -> None:
    for error in BY_SQLSTATE.values():
        words = error.condition.split("_")
        assert error.__name__ == "".join(word.capitalize() for word in words) + "Error"


def test_an_exception_carries_message_detail_and_hint(
    connection: psycopg.Connection[Any],
) -> None:
    raising = """
        do $$ begin
            raise exception using errcode = 'SY004', message = 'the fact', detail = 'Why.',
                hint = 'What to do.';
        end $$
    """
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(raising)
    error = from_database(caught.value)

    assert isinstance(error, HiddenOverrideError)
    assert (error.message, error.detail, error.hint) == ("the fact", "Why.", "What to do.")
    assert str(error) == "SY004: the fact\nDETAIL: Why.\nHINT: What to do."


def test_a_code_of_a_newer_extension_is_still_a_synapsor_error(
    connection: psycopg.Connection[Any],
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("do $$ begin raise exception using errcode = 'SY999'; end $$")
    error = from_database(caught.value)

    assert type(error) is SynapsorError
    assert error.code == "SY999"


def test_other_errors_stay_what_psycopg_made_of_them(workshop: Workshop) -> None:
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        workshop.client("test_stranger") as client,
    ):
        client.expire_claims()


def test_a_refusal_of_the_database_is_raised_as_its_exception(workshop: Workshop) -> None:
    with pytest.raises(UndefinedActionError) as caught, workshop.client("test_caller") as client:
        client.propose_external_action("no.such_action", {})

    assert caught.value.code == "SY001"
    assert isinstance(caught.value.__cause__, psycopg.Error)


def test_a_refusal_leaves_the_callers_connection_usable(workshop: Workshop) -> None:
    with psycopg.connect(workshop.database("test_caller")) as connection:
        client = Client(connection)
        with pytest.raises(UndefinedActionError), connection.transaction():
            client.propose_external_action("no.such_action", {})

        assert client.current_session()["principal"] == "carl"
