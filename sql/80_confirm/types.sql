create type synapsor.confirmation as (
    action_id text,
    accepted boolean,
    changed boolean,
    status text,
    error_code text,
    error_message text
);

comment on type synapsor.confirmation is
'How one element of confirm_external_actions was judged: accepted, whether it changed anything,
and the action''s status afterwards.';
