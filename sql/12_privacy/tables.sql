create table synapsor.redactions (
    data_class text not null,
    field_path text collate "C" not null,
    method text not null,
    reason text,
    declared_by text not null,
    declared_at timestamptz not null,
    primary key (data_class, field_path),
    constraint data_class_is_known check (data_class in (
        'asset_event', 'read_model', 'raw_payload', 'evidence_packet', 'action_evidence', 'access_event'
    )),
    constraint method_is_known check (method in ('nullify', 'mask', 'hash', 'tokenize', 'generalize', 'drop'))
);

comment on table synapsor.redactions is
'What is redacted when views and explanations are shown to readers without synapsor_auditor; the
stored rows stay whole.';

select pg_catalog.pg_extension_config_dump('synapsor.redactions', '');

create table synapsor.redaction_salts (
    is_the_one boolean primary key default true check (is_the_one),
    salt text not null
);

comment on table synapsor.redaction_salts is
'One row, made with the first redaction rule: keeps the surrogates of `tokenize` stable here and
meaningless elsewhere.';

select pg_catalog.pg_extension_config_dump('synapsor.redaction_salts', '');
