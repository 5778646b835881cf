create type synapsor.lane as (
    tenant_id text collate "C",
    queue text collate "C",
    ordering_key text collate "C"
);

comment on type synapsor.lane is
'The scope of an ordering key: its actions are in flight one after the other.';
