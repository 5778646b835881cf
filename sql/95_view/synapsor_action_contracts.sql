create or replace view synapsor.synapsor_action_contracts as
select
    contract.action,
    contract.version,
    contract.label,
    contract.kind,
    contract.definition,
    encode(contract.digest, 'hex') as digest,
    contract.declared_by,
    contract.declared_at,
    contract.retired_at
from synapsor.action_contracts as contract;

grant select on synapsor.synapsor_action_contracts to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_action_contracts is
'Every version of every action contract, with its defaults filled in. Contracts belong to no
tenant.';
comment on column synapsor.synapsor_action_contracts.action is 'namespace.verb.';
comment on column synapsor.synapsor_action_contracts.version is
'Counts from 1; invocations pin the version they were made with.';
comment on column synapsor.synapsor_action_contracts.label is
'The declarer''s own name of the version, if any.';
comment on column synapsor.synapsor_action_contracts.kind is 'external, atomic or saga.';
comment on column synapsor.synapsor_action_contracts.definition is
'The definition with every default filled in.';
comment on column synapsor.synapsor_action_contracts.digest is
'SHA-256 of the RFC 8785 canonical JSON of the definition, in hex.';
comment on column synapsor.synapsor_action_contracts.declared_by is 'Principal that declared it.';
comment on column synapsor.synapsor_action_contracts.declared_at is 'When it was declared.';
comment on column synapsor.synapsor_action_contracts.retired_at is
'When it was retired; null while in use.';
