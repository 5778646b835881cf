create or replace function synapsor.execute(statement text)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
    asked constant jsonb := synapsor._parse_statement(statement);
    verb constant text := asked ->> 'verb';
    arguments constant jsonb := asked -> 'arguments';
    said text;
begin
    if asked ? 'error' then
        raise exception using
            errcode = 'SY050',
            message = asked -> 'error' ->> 'message',
            detail = asked -> 'error' ->> 'detail',
            hint = asked -> 'error' ->> 'hint';
    end if;
    for said in select jsonb_array_elements_text(asked -> 'notices') loop
        raise notice using message = said;
    end loop;

    -- Queries, not expressions: a right is asked for whenever a query starts, but only once in a transaction for an
    -- expression of PL/pgSQL, whoever executes it next.
    case verb
        when 'declare_action' then
            return query
            select to_jsonb(done) from synapsor.declare_action(arguments -> 'definition') as done;
        when 'declare_workflow' then
            return query
            select to_jsonb(done) from synapsor.declare_workflow(arguments -> 'definition') as done;
        when 'approve_external_action' then
            return query
            select to_jsonb(done)
            from synapsor.approve_external_action(
                arguments ->> 'action_id', arguments ->> 'note', arguments ->> 'expected_digest'
            ) as done;
        when 'reject_external_action' then
            return query
            select to_jsonb(done)
            from synapsor.reject_external_action(arguments ->> 'action_id', arguments ->> 'note') as done;
        when 'cancel_external_action' then
            return query
            select to_jsonb(done)
            from synapsor.cancel_external_action(arguments ->> 'action_id', arguments ->> 'reason') as done;
        when 'retry_external_action' then
            return query
            select to_jsonb(done)
            from synapsor.retry_external_action(arguments ->> 'action_id', arguments ->> 'note') as done;
        when 'settle_external_action' then
            return query
            select to_jsonb(done)
            from synapsor.settle_external_action(
                arguments ->> 'action_id', arguments ->> 'status', note => arguments ->> 'note'
            ) as done;
        when 'retire_action' then
            return query
            select to_jsonb(retired)
            from synapsor.retire_action(arguments ->> 'name', (arguments ->> 'version')::integer) as retired;
        when 'explain_agent_run' then
            return query
            select synapsor._explained_lines(
                synapsor.explain_agent_run(arguments ->> 'run_id', arguments ->> 'format'), arguments ->> 'format'
            );
        when 'explain_action' then
            return query
            select synapsor._explained_lines(
                synapsor.explain_action(arguments ->> 'action_id', arguments ->> 'format'), arguments ->> 'format'
            );
        when 'describe_action' then
            return query select synapsor._describe_action(arguments ->> 'name', arguments ->> 'version');
        when 'describe_workflow' then
            return query select synapsor._describe_workflow(arguments ->> 'name', arguments ->> 'version');
        when 'show' then
            return query select synapsor._show(arguments ->> 'what');
    end case;
end;
$function$;

grant execute on function synapsor.execute(text) to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin, synapsor_gateway;

comment on function synapsor.execute(text) is
'Executes one statement of the documents, with the rights of whoever calls: every statement calls the
same function, or reads the same view, as everybody else, and returns its rows as objects. SY050 for
what is no statement, with line, column, what was found and what was expected; beyond that the errors
of the function called.

CREATE EXTERNAL ACTION namespace.verb, then clauses in any order, each once but for ARG, HIDDEN and
LIMIT: VERSION ''label'', DESCRIPTION ''…'', ARG name type [REQUIRED] [MIN n] [MAX n] [PATTERN ''…'']
[ENUM (…)] with the types VARCHAR[(n)], TEXT, INT64, INTEGER, BIGINT, NUMERIC, DOUBLE, BOOLEAN, JSON,
TIMESTAMP, DATE and UUID, HIDDEN name [FROM SESSION key] [OPTIONAL], PROVIDER p, ACCOUNT ''…'',
OPERATION ''…'', QUEUE q, IDEMPOTENCY KEY ''…'', IDEMPOTENT [FOR ''interval''], APPROVAL REQUIRED
[ROLE r] [QUORUM n] [EXPIRES AFTER ''…''] [UNLESS ''jsonpath''] [SEPARATE DUTIES], POLICIES (…), RETRY
[MAX ATTEMPTS n] [INITIAL ''…''] [MAX ''…''] [MULTIPLIER n] [JITTER FULL|NONE], LEASE ''…'', PRIORITY n,
ORDERING KEY ''…'', DELIVER WITHIN ''…'', RECONCILE OPERATION ''…'' [AFTER ''…''] [MAX ATTEMPTS n],
LIMIT COUNT|SUM arg MAX n PER HOUR|DAY|MONTH [BY (…)] [ON EXCEED BLOCK|APPROVE], ROLES (…), REQUIRE
RUN, REQUIRE CLAIM TOKEN, REDACT (…).

CREATE AGENT WORKFLOW name, then in any order: VERSION, DESCRIPTION, SESSION REQUIRE a, b, ALLOWED
CAPABILITIES (…), ALLOWED EXTERNAL ACTIONS (…), ENTRY CAPABILITY c, EVIDENCE REQUIRED, CHECKPOINT
EVERY STEP, AUTO BRANCH ON PROPOSAL, ON RISK level REQUIRE APPROVAL ROLE r, MAX STEPS n, MAX TOOL CALLS
n, MAX INPUT TOKENS n, MAX OUTPUT TOKENS n, RETENTION RUNS n DAYS, EVIDENCE n DAYS; or line by line up
to END: USING CONTEXT c (no effect), ALLOW CAPABILITY c, ALLOW EXTERNAL ACTION a, REQUIRE EVIDENCE,
APPROVAL REQUIRED ROLE r (of every action), CHECKPOINT NONE|EVERY STEP|PROPOSAL ONLY (the first and
the last write none: a proposal is a step of its own).

APPROVE|REJECT|CANCEL|RETRY EXTERNAL ACTION ''act_…'' [NOTE ''…''] (APPROVE: [DIGEST ''…'']); SETTLE EXTERNAL
ACTION ''…'' AS SUCCEEDED|FAILED|QUEUED [NOTE ''…'']; EXPLAIN AGENT RUN ''run_…'' and EXPLAIN EXTERNAL
ACTION ''act_…'' [FORMAT TEXT|JSON|MERMAID|DOT], a row per line or one object; SHOW EXTERNAL ACTIONS |
CONTRACTS | WORKFLOWS | RUNS | PENDING APPROVALS | QUEUES; DESCRIBE EXTERNAL ACTION | WORKFLOW name
[VERSION v]; DROP EXTERNAL ACTION name [VERSION n], which retires it. Sources: design.md section 9,
reference/external-actions.md section 2.';
