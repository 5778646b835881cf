create or replace function synapsor._is_control_step(kind text)
returns boolean
language sql
immutable
parallel safe
begin atomic
    select kind in ('checkpoint', 'guardrail', 'interrupt', 'handoff');
end;

comment on function synapsor._is_control_step(text) is
'Whether a step of that kind steers the run and does nothing itself: no contract names it.';
