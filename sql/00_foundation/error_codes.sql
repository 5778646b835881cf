create or replace view synapsor.synapsor_error_codes as
select
    code.code::text as code,
    code.condition::text as condition,
    code.meaning::text as meaning,
    code.retryable::boolean as retryable,
    code.http_status::integer as http_status
from (
    values
    (
        'SY001', 'undefined_action', false, 404,
        'No action of that name and version is declared, or it is retired.'
    ),
    (
        'SY002', 'invalid_definition', false, 400,
        'A definition is malformed, contradicts itself, or redefines something immutable.'
    ),
    (
        'SY003', 'validation_failed', false, 422,
        'Arguments do not fit the contract; the detail lists every violation.'
    ),
    (
        'SY004', 'hidden_override', false, 403,
        'The caller passed a value that only the trusted session may supply.'
    ),
    (
        'SY005', 'session_value_missing', false, 401,
        'The session lacks a value the contract requires.'
    ),
    (
        'SY006', 'session_invalid', false, 401,
        'A token, session context, login binding or session key was refused.'
    ),
    (
        'SY007', 'not_permitted', false, 403,
        'The caller lacks a role or permission, or is suspended.'
    ),
    (
        'SY008', 'idempotency_conflict', false, 409,
        'The idempotency key is taken by a request with other content.'
    ),
    (
        'SY009', 'blocked_by_policy', false, 403,
        'A policy blocks the action, or could not be evaluated.'
    ),
    (
        'SY010', 'invalid_transition', false, 409,
        'The state machine has no such transition from the present state.'
    ),
    (
        'SY011', 'not_found', false, 404,
        'It does not exist, or it belongs to another tenant.'
    ),
    (
        'SY012', 'not_entitled', false, 403,
        'The tenant is not entitled to the module of the action.'
    ),
    (
        'SY013', 'handler_failed', true, 500,
        'The handler of the action raised an error; its changes are undone.'
    ),
    (
        'SY014', 'not_in_that_state', false, 409,
        'The action is in a state that does not allow this.'
    ),
    (
        'SY021', 'not_awaiting_approval', false, 409,
        'The action does not wait for approval any more.'
    ),
    (
        'SY022', 'approver_already_counted', false, 409,
        'The approval of this reviewer is counted already.'
    ),
    (
        'SY023', 'separation_of_duties', false, 403,
        'Who proposed an action may not approve it.'
    ),
    (
        'SY024', 'approval_stale', false, 409,
        'What would be sent is not what was approved or rendered before.'
    ),
    (
        'SY030', 'not_claimed', false, 409,
        'The action is not claimed.'
    ),
    (
        'SY031', 'claim_expired', false, 409,
        'The lease of the claim has ended.'
    ),
    (
        'SY032', 'claimed_by_another_worker', false, 409,
        'Another worker principal holds the claim.'
    ),
    (
        'SY033', 'conflicting_confirmation', false, 409,
        'Another outcome is recorded for the claim.'
    ),
    (
        'SY034', 'stale_claim_token', false, 409,
        'The claim token is missing, or belongs to an earlier claim.'
    ),
    (
        'SY040', 'run_not_open', false, 409,
        'The run has finished, or never accepted steps.'
    ),
    (
        'SY041', 'step_not_allowed', false, 403,
        'The workflow does not allow this step.'
    ),
    (
        'SY042', 'run_limit_exceeded', false, 429,
        'The run has used up what its workflow allows.'
    ),
    (
        'SY050', 'statement_syntax', false, 400,
        'The statement is not one of those understood; the detail shows where.'
    ),
    (
        'SY051', 'limit_exceeded', true, 429,
        'A budget or a size limit is exceeded; a budget frees itself with its period.'
    )
) as code (code, condition, retryable, http_status, meaning);

comment on view synapsor.synapsor_error_codes is
'Every error code (SQLSTATE) of the extension, one row each. Clients map by code, never by text.';
comment on column synapsor.synapsor_error_codes.code is 'SQLSTATE: SY and three digits.';
comment on column synapsor.synapsor_error_codes.condition is
'Name of the condition, unique, in snake_case.';
comment on column synapsor.synapsor_error_codes.meaning is 'What has happened, in one sentence.';
comment on column synapsor.synapsor_error_codes.retryable is
'Whether the same call, unchanged, may succeed later.';
comment on column synapsor.synapsor_error_codes.http_status is
'Status an HTTP gateway should answer with: 400 to 599.';

grant select on synapsor.synapsor_error_codes to public;
