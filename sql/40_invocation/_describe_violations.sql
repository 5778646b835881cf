-- One sentence per violation, for the DETAIL of an error. Violations hold no value, so neither does this.
create or replace function synapsor._describe_violations(violations jsonb)
returns text
language sql
immutable
begin atomic
    select string_agg(
        coalesce(violation.value ->> 'path', 'the arguments') || case violation.value ->> 'rule'
            when 'hidden' then ' is hidden: it is bound from the session.'
            when 'undeclared' then ' is not declared by the contract.'
            when 'required' then ' is required.'
            when 'type' then format(
                ' is of type %s, not %s.', violation.value ->> 'kind', coalesce(violation.value ->> 'expected', 'as declared')
            )
            else format(
                ' violates %s.', concat_ws(' ', violation.value ->> 'rule', violation.value ->> 'expected')
            )
        end,
        E'\n' order by violation.ordinality
    )
    from jsonb_array_elements(violations) with ordinality as violation (value, ordinality);
end;

create or replace function synapsor._hint_for_violations(error_code text, action text)
returns text
language sql
immutable
begin atomic
    select case error_code
        when 'SY004' then 'Leave hidden values out: they are copied from the trusted session, even when they would be equal.'
        when 'SY005' then 'Open a session that carries every value the contract binds.'
        else format(
            'See what it takes: select definition from synapsor.synapsor_action_contracts where action = %L.', action
        )
    end;
end;
