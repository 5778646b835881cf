create or replace view synapsor.synapsor_provider_health with (security_barrier) as
select
    health.provider,
    health.account,
    health.tenant_id,
    health.breaker_state,
    health.failure_rate,
    health.calls,
    health.opens_until,
    health.tokens,
    health.in_flight,
    health.retry_after_until,
    health.paused
from synapsor._provider_health() as health;

grant select on synapsor.synapsor_provider_health to
synapsor_caller, synapsor_approver, synapsor_worker, synapsor_auditor;

comment on view synapsor.synapsor_provider_health is
'How the accounts of providers are: one row per account, and one per tenant of the reader at an
account that limits tenants. An account whose name came out of a session is shown to auditors only.';
comment on column synapsor.synapsor_provider_health.provider is 'Provider.';
comment on column synapsor.synapsor_provider_health.account is 'Account of the provider.';
comment on column synapsor.synapsor_provider_health.tenant_id is
'Tenant whose share the row tells; null for the account as a whole.';
comment on column synapsor.synapsor_provider_health.breaker_state is
'CLOSED, OPEN, HALF_OPEN, DISABLED (also where none is declared), FORCED_OPEN, or METRICS_ONLY
(mode monitor).';
comment on column synapsor.synapsor_provider_health.failure_rate is
'Failed calls of the window in percent; null below the minimum of calls.';
comment on column synapsor.synapsor_provider_health.calls is 'Calls in the window.';
comment on column synapsor.synapsor_provider_health.opens_until is
'Until when an open breaker lets nothing through; then probes begin.';
comment on column synapsor.synapsor_provider_health.tokens is
'What the token bucket holds; null without a rate limit.';
comment on column synapsor.synapsor_provider_health.in_flight is 'Deliveries claimed now.';
comment on column synapsor.synapsor_provider_health.retry_after_until is
'Until when the provider asked not to be called.';
comment on column synapsor.synapsor_provider_health.paused is
'Whether the provider, the row''s tenant, or everything is suspended.';
