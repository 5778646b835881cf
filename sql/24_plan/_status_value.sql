-- The statuses of plans in their order; the highest of several is the greatest number
-- (reference/plans.md, A.1).
create or replace function synapsor._status_value(status text)
returns integer
language sql
immutable
parallel safe
begin atomic
    select case status
        when 'New' then 1
        when 'Initializing' then 2
        when 'Running' then 4
        when 'Waiting' then 8
        when 'Cancelling' then 16
        when 'Zombie' then 32
        when 'Complete' then 128
        when 'Success' then 128
        when 'CompletedWithErrors' then 256
        when 'SuccessWithErrors' then 256
        when 'Failed' then 512
        when 'Cancelled' then 1024
        when 'Tombstoned' then 2048
        when 'None' then 0
    end;
end;

create or replace function synapsor._status_name(value integer)
returns text
language sql
immutable
parallel safe
begin atomic
    select case value
        when 0 then 'None'
        when 1 then 'New'
        when 2 then 'Initializing'
        when 4 then 'Running'
        when 8 then 'Waiting'
        when 16 then 'Cancelling'
        when 32 then 'Zombie'
        when 128 then 'Complete'
        when 256 then 'CompletedWithErrors'
        when 512 then 'Failed'
        when 1024 then 'Cancelled'
        when 2048 then 'Tombstoned'
    end;
end;

-- Whether a node with these execute cases runs: no case, or None, always does.
create or replace function synapsor._is_case(execute_case text[], query_status integer)
returns boolean
language sql
immutable
parallel safe
begin atomic
    select
        execute_case is null
        or execute_case && array['None', 'Any']
        or synapsor._status_name(query_status) = any(execute_case);
end;
