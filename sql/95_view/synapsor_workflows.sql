create or replace view synapsor.synapsor_workflows as
select
    stored.workflow,
    stored.version,
    stored.label,
    stored.definition,
    stored.declared_by,
    stored.declared_at
from synapsor.workflows as stored;

grant select on synapsor.synapsor_workflows to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_workflows is
'Every workflow contract, one row per version, with its defaults filled in; start_agent_run takes the latest unless told
otherwise. Source: workflows.';
comment on column synapsor.synapsor_workflows.workflow is 'Its name, which start_agent_run takes.';
comment on column synapsor.synapsor_workflows.version is 'Counts from 1; a run keeps the one it was started with.';
comment on column synapsor.synapsor_workflows.label is 'The declarer''s own name of the version, if any.';
comment on column synapsor.synapsor_workflows.definition is 'The definition with every default filled in.';
comment on column synapsor.synapsor_workflows.declared_by is 'Principal that declared it.';
comment on column synapsor.synapsor_workflows.declared_at is 'When.';
