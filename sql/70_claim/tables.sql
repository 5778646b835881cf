create table synapsor.idle_queues (
    queue text collate "C" primary key,
    since timestamptz not null
);

comment on table synapsor.idle_queues is
'Queues whose last claim came back empty. Only into these does queueing an action send a
notification, because a NOTIFY in every transaction would serialise commits.';

select pg_catalog.pg_extension_config_dump('synapsor.idle_queues', '');

create table synapsor.workers (
    worker_principal text collate "C" not null,
    worker_label text not null,
    queues text[] not null,
    last_seen_at timestamptz not null,
    primary key (worker_principal, worker_label)
);

comment on table synapsor.workers is 'Workers that reported themselves by worker_heartbeat.';

select pg_catalog.pg_extension_config_dump('synapsor.workers', '');
