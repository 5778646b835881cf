create or replace trigger domain_events_are_append_only
before update or delete on synapsor.domain_events
for each row execute function synapsor._refuse_to_rewrite_history();

create or replace trigger domain_events_are_not_truncated
before truncate on synapsor.domain_events
for each statement execute function synapsor._refuse_to_rewrite_history();
