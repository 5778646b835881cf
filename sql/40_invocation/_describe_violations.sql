-- One sentence per violation, for the DETAIL of an error and for explanations. Violations hold no
-- value, so neither does this.
create or replace function synapsor._describe_violations(violations jsonb)
returns text
language sql
immutable
begin atomic
    select
        string_agg(
            case violation.value ->> 'path'
                when 'idempotency.key' then 'the idempotency key'
                when 'ordering_key' then 'the ordering key'
                else coalesce(violation.value ->> 'path', 'the arguments')
            end || case violation.value ->> 'rule'
                when 'hidden' then ' is hidden: it is bound from the session.'
                when 'undeclared' then ' is not declared by the contract.'
                when 'required' then ' is required.'
                when 'type'
                    then
                        format(
                            ' is of type %s, not %s.', violation.value ->> 'kind',
                            coalesce(violation.value ->> 'expected', 'as declared')
                        )
                when 'template'
                    then
                        format(
                            ' needs %s, which %s.', violation.value ->> 'name',
                            case
                                when violation.value ->> 'code' = 'SY005' then 'the session has no text for'
                                when violation.value ->> 'kind' = 'absent' then 'was not passed'
                                when violation.value ->> 'kind' = 'number' then 'is too large a number'
                                else format('is of type %s', violation.value ->> 'kind')
                            end
                        )
                else format(
                    ' violates %s.', concat_ws(' ', violation.value ->> 'rule', violation.value ->> 'expected')
                )
            end,
            E'\n' order by violation.ordinality
        )
    from jsonb_array_elements(violations) with ordinality as violation (value, ordinality);
end;

grant execute on function synapsor._describe_violations(jsonb)
to synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

create or replace function synapsor._hint_for_violations(error_code text, action text)
returns text
language sql
immutable
begin atomic
    select case error_code
        when 'SY004' then 'Leave hidden values out, even equal ones: they are copied from the trusted session.'
        when 'SY005' then 'Open a session that carries every value the contract binds.'
        else format(
            'See what it takes: select definition from synapsor.synapsor_action_contracts where action = %L.', action
        )
    end;
end;
