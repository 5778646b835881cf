create or replace function synapsor._caller_role() returns name
language sql
stable
parallel restricted
begin atomic
    select coalesce(nullif(current_setting('role'), 'none'), session_user)::name;
end;

comment on function synapsor._caller_role() is
'Who asks, seen from inside a SECURITY DEFINER function: the role last SET, else the login.';

grant execute on function synapsor._caller_role() to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor, synapsor_admin,
synapsor_gateway;
