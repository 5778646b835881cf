"""Sessions end with their transaction: what needs COMMIT, two connections or simple queries."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Connect = Callable[..., psycopg.Connection[Any]]

SECRET = "a secret of thirty-two bytes or more"
ALICE = '{"principal": "alice", "tenant_id": "acme"}'


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def token(principal: str) -> str:
    claims = {"sub": principal, "tenant_id": "acme", "exp": int(time.time()) + 600}
    parts = [{"alg": "HS256", "kid": "main"}, claims]
    text = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    return f"{text}.{encoded(hmac.new(SECRET.encode(), text.encode(), 'sha256').digest())}"


def principal(connection: psycopg.Connection[Any]) -> str:
    found = one(connection, "select synapsor.current_session() ->> 'principal'")
    assert isinstance(found, str)
    return found


def one(connection: psycopg.Connection[Any], statement: str, *values: object) -> object:
    row = connection.execute(statement, values or None).fetchone()
    assert row is not None
    return row[0]


def open_session(connection: psycopg.Connection[Any]) -> str:
    """Open alice's session and return its nonce."""
    connection.execute("select synapsor.set_session(%s)", (ALICE,))
    return str(one(connection, "select current_setting('synapsor.session')"))


def set_again(connection: psycopg.Connection[Any], nonce: str, *, local: bool = True) -> None:
    connection.execute("select set_config('synapsor.session', %s, %s)", (nonce, local))


@pytest.fixture
def gateway(connect_as: Connect) -> psycopg.Connection[Any]:
    return connect_as("test_gateway")


@pytest.mark.parametrize("end", ["commit", "rollback", "commit and chain", "rollback and chain"])
def test_a_session_ends_with_its_transaction(gateway: psycopg.Connection[Any], end: str) -> None:
    gateway.execute("begin")
    nonce = open_session(gateway)
    assert principal(gateway) == "alice"
    gateway.execute(end)
    assert principal(gateway) == "test_gateway"
    set_again(gateway, nonce)
    assert principal(gateway) == "test_gateway"
    gateway.execute("rollback")


def test_without_a_transaction_block_it_ends_with_its_statement(
    gateway: psycopg.Connection[Any],
) -> None:
    open_session(gateway)
    assert principal(gateway) == "test_gateway"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_nonce_kept_past_its_transaction(gateway: psycopg.Connection[Any], moment: str) -> None:
    with gateway.transaction():
        nonce = open_session(gateway)
        if moment == "before":
            set_again(gateway, nonce, local=False)
            assert principal(gateway) == "alice"
    if moment == "after":
        set_again(gateway, nonce, local=False)
    assert one(gateway, "select current_setting('synapsor.session')") == nonce
    assert principal(gateway) == "test_gateway"
    with gateway.transaction():
        assert principal(gateway) == "test_gateway"
        set_again(gateway, nonce)
        assert principal(gateway) == "test_gateway"


def test_a_nonce_copied_to_another_connection(
    gateway: psycopg.Connection[Any], connect_as: Connect
) -> None:
    thief = connect_as("test_caller")
    with gateway.transaction(), thief.transaction():
        set_again(thief, open_session(gateway))
        assert principal(thief) == "test_caller"
        assert principal(gateway) == "alice"


def test_a_nonce_as_the_default_of_a_login(
    connection: psycopg.Connection[Any], connect_as: Connect
) -> None:
    connection.execute("alter role test_caller_b set synapsor.session = 'abc'")
    connection.execute("alter role test_caller_b set synapsor.every_tenant = 'abc'")
    try:
        caller = connect_as("test_caller_b")
        assert one(caller, "select current_setting('synapsor.session')") == "abc"
        assert principal(caller) == "test_caller_b"
        assert one(caller, "select synapsor._sees_every_tenant()") is False
    finally:
        connection.execute("alter role test_caller_b reset all")


def test_rollback_to_a_savepoint_brings_back_no_session(gateway: psycopg.Connection[Any]) -> None:
    with gateway.transaction():
        open_session(gateway)
        with gateway.transaction(force_rollback=True):
            gateway.execute("select synapsor.close_session()")
            assert principal(gateway) == "test_gateway"
        # The setting is back, what it named is not: a session never returns.
        assert principal(gateway) == "test_gateway"


def test_discard_all(gateway: psycopg.Connection[Any]) -> None:
    with gateway.transaction():
        nonce = open_session(gateway)
        set_again(gateway, nonce, local=False)
    gateway.execute("discard all")
    assert one(gateway, "select current_setting('synapsor.session', true)") in (None, "")
    assert principal(gateway) == "test_gateway"


def simple(connection: psycopg.Connection[Any], query: str) -> list[str]:
    """Send one simple-query message and return the last column of each result."""
    result = connection.pgconn.exec_(query.encode())
    assert result.status in (psycopg.pq.ExecStatus.TUPLES_OK, psycopg.pq.ExecStatus.COMMAND_OK), (
        result.error_message
    )
    return [(result.get_value(0, 0) or b"").decode()]


def test_several_statements_in_one_message(gateway: psycopg.Connection[Any]) -> None:
    ask = "select synapsor.current_session() ->> 'principal'"
    opened = f"select synapsor.set_session('{ALICE}');"
    # One message without a block is one transaction.
    assert simple(gateway, f"{opened} {ask}") == ["alice"]
    # The session of the message is not the session of the next.
    assert simple(gateway, ask) == ["test_gateway"]
    # Two transactions share a message and its timestamp: the setting ends with the first.
    assert simple(gateway, f"begin; {opened} commit; begin; {ask}; commit")
    assert simple(gateway, f"begin; {opened} commit; {ask}") == ["test_gateway"]
    # Opening one clears the older.
    bob = ALICE.replace("alice", "bob")
    assert simple(
        gateway,
        f"begin; {opened} select set_config('my.kept', current_setting('synapsor.session'), false);"
        f"commit; begin; select synapsor.set_session('{bob}'); select"
        f" set_config('synapsor.session', current_setting('my.kept'), true); {ask}",
    ) == ["test_gateway"]
    gateway.execute("rollback")


def test_a_commit_inside_a_block_of_code(gateway: psycopg.Connection[Any]) -> None:
    gateway.execute(
        f"""
        do $$
        declare
            nonce text;
        begin
            perform synapsor.set_session('{ALICE}');
            nonce := current_setting('synapsor.session');
            assert synapsor.current_session() ->> 'principal' = 'alice';
            commit;
            assert synapsor.current_session() ->> 'principal' = 'test_gateway', 'after commit';
            perform set_config('synapsor.session', nonce, true);
            assert synapsor.current_session() ->> 'principal' = 'test_gateway', 'set again';
        end
        $$
        """
    )


def test_the_next_client_of_a_pooled_connection(
    connection: psycopg.Connection[Any], connect_as: Connect
) -> None:
    connection.execute("select synapsor.add_session_key('main', %s)", (SECRET,))
    pooled = connect_as("test_stranger")
    for name in ("alice", "bob"):
        with pooled.transaction():
            pooled.execute("select synapsor.open_session(%s)", (token(name),))
            assert principal(pooled) == name
        with pooled.transaction():
            assert principal(pooled) == "test_stranger"


def test_a_removed_key_and_a_removed_binding(
    connection: psycopg.Connection[Any], connect_as: Connect
) -> None:
    connection.execute("select synapsor.add_session_key('main', %s)", (SECRET,))
    connection.execute("""select synapsor.bind_role('test_caller', '{"principal": "carol"}')""")
    caller = connect_as("test_caller")
    assert principal(caller) == "carol"
    with caller.transaction():
        caller.execute("select synapsor.open_session(%s)", (token("alice"),))
        connection.execute("select synapsor.remove_session_key('main')")
        assert principal(caller) == "alice"
    connection.execute("select synapsor.bind_role('test_caller', null)")
    assert principal(caller) == "test_caller"
    with pytest.raises(psycopg.Error) as refused:
        caller.execute("select synapsor.open_session(%s)", (token("alice"),))
    assert refused.value.sqlstate == "SY006"


def test_time_zone_and_other_settings_of_the_caller(gateway: psycopg.Connection[Any]) -> None:
    with gateway.transaction():
        open_session(gateway)
        for setting in (
            "timezone = 'Asia/Kathmandu'",
            "datestyle = 'SQL, DMY'",
            "intervalstyle = 'iso_8601'",
            "standard_conforming_strings = off",
            "bytea_output = escape",
            "extra_float_digits = -15",
            "transform_null_equals = on",
            "row_security = off",
            "search_path = pg_temp, public",
            "quote_all_identifiers = on",
        ):
            gateway.execute(f"set local {setting}")
            assert principal(gateway) == "alice"
        with pytest.raises(psycopg.Error) as refused, gateway.transaction():
            gateway.execute("""select synapsor.set_session('{"principal": "a\\u0085"}')""")
        assert refused.value.sqlstate == "SY006"
        open_session(gateway)


def test_what_is_read_and_written_by_every_data_role(connection: psycopg.Connection[Any]) -> None:
    connection.execute("select synapsor.add_session_key('main', %s)", (SECRET,))
    connection.execute("""select synapsor.bind_role('test_worker', '{"tenants": "*"}')""")
    connection.execute("analyze synapsor.session_keys")
    with connection.transaction(force_rollback=True):
        connection.execute("create role hoover")
        connection.execute("grant pg_read_all_data, pg_write_all_data to hoover")
        connection.execute("set local role hoover")
        for table in ("session_keys", "role_bindings"):
            assert one(connection, f"select count(*) from synapsor.{table}") == 0
            connection.execute(f"delete from synapsor.{table}")
        found = one(connection, "select count(*) from pg_stats where tablename = 'session_keys'")
        assert found == 0
        with pytest.raises(psycopg.Error) as refused, connection.transaction():
            connection.execute(
                "insert into synapsor.role_bindings (login, context, bound_at)"
                """ values ('test_caller', '{"tenants": "*"}', now())"""
            )
        assert refused.value.sqlstate == "42501"
        connection.execute("reset role")
        assert one(connection, "select count(*) from synapsor.session_keys") == 1
        assert (
            one(
                connection,
                "select count(*) from pg_statistic where starelid = 'synapsor.session_keys'"
                "::regclass and staattnum = 2",
            )
            == 0
        )
