"""Slack through its official library: messages and files.

Settings of an account, a workspace: ``bot_token``; ``timeout``, seconds, 20; ``api_base`` and
``upload_origin`` for another place than https://slack.com/api/ and https://files.slack.com.

Operations and their arguments:

* ``chat.postMessage``: ``channel`` (an id), ``text``, ``blocks``, ``attachments``, ``thread_ts``,
  ``reply_broadcast``, ``mrkdwn``, ``unfurl_links``, ``unfurl_media``, ``username``,
  ``icon_emoji``. The action's id travels in the message's metadata;
* ``files.upload``: ``channel``, ``filename``, ``content`` or ``content_base64``, ``title``,
  ``initial_comment``, ``thread_ts``; the file is there for others only after the last of its three
  requests, so that nothing before that one can leave a doubt;
* ``chat.find`` and ``files.find``: for a contract's ``reconcile``, with the scope
  ``channels:history`` (of private channels ``groups:history``), for files ``files:read``. A file
  carries no trace of its action: one that might be ours is left to a person.

Slack has no idempotency keys, so contracts say so, and have one attempt, whose lost outcome is
reconciled. Another try (of a contract that says it is idempotent all the same) first looks whether
an earlier one is in the channel; two that overlap may both post::

    {"action": "chat.notify", "kind": "external",
     "args": {"channel": {"type": "string", "required": true, "pattern": "^[CDG][A-Z0-9]+$"},
              "text": {"type": "string", "required": true, "max_length": 4000}},
     "hidden": {"tenant_id": {}},
     "provider": "slack", "operation": "chat.postMessage", "queue": "chat",
     "idempotency": {"idempotent": false},
     "reconcile": {"operation": "chat.find", "after": "30 s", "max_attempts": 5}}

    {"action": "chat.share_file", "kind": "external",
     "args": {"channel": {"type": "string", "required": true, "pattern": "^[CDG][A-Z0-9]+$"},
              "filename": {"type": "string", "required": true, "max_length": 200},
              "content": {"type": "string", "required": true}},
     "hidden": {"tenant_id": {}},
     "provider": "slack", "operation": "files.upload", "queue": "chat",
     "idempotency": {"idempotent": false},
     "reconcile": {"operation": "files.find", "after": "30 s", "max_attempts": 5}}

What Slack's ``ok: false`` means: ``ratelimited`` worth another try, not before Retry-After; one of
the refusals below known not done; ``internal_error``, ``fatal_error`` and whatever is not listed
unknown ("some aspect of the operation may have succeeded").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import html
import logging
from typing import TYPE_CHECKING, Any, Final

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from synapsor_pg.handlers import HandlerError, failed, succeeded, unknown
from synapsor_pg.providers.credentials import ConfigurationError, secret, setting
from synapsor_pg.providers.egress import egress_of
from synapsor_pg.providers.sending import (
    MEND_WITHIN,
    by_status,
    digest_of,
    proposed_at,
    provides,
    refused,
    retry_after_of,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.request import Request

    from slack_sdk.web import SlackResponse

    from synapsor_pg.handlers import Delivery, Outcome
    from synapsor_pg.providers.egress import Answer, Egress

API: Final = "https://slack.com/api/"
UPLOADS: Final = "https://files.slack.com"
LONGEST: Final = 1024 * 1024
PAGES: Final = 20
CLOCKS: Final = 300
"""How many seconds Slack's clock may be behind the database's."""

EVENT: Final = "synapsor_action"

MESSAGE: Final = (
    "channel",
    "text",
    "blocks",
    "attachments",
    "thread_ts",
    "reply_broadcast",
    "mrkdwn",
    "unfurl_links",
    "unfurl_media",
    "username",
    "icon_emoji",
)

LATER: Final = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
"""Refusals that end by themselves."""

MENDABLE: Final = frozenset(
    {"account_inactive", "invalid_auth", "not_authed", "token_expired", "token_revoked"}
)
"""Refusals of our credentials, which an operator can mend."""

REFUSALS: Final = frozenset(
    """
    access_denied account_inactive as_user_not_supported attachment_payload_limit_exceeded
    blocked_file_type cannot_reply_to_message channel_not_found channel_type_not_supported
    deprecated_endpoint duplicate_channel_not_found duplicate_message_not_found
    ekm_access_denied enterprise_is_restricted file_not_found file_upload_size_restricted
    file_uploads_disabled file_uploads_except_images_disabled free_team_not_allowed
    invalid_arg_name invalid_arguments invalid_array_arg invalid_attachments invalid_auth
    invalid_blocks invalid_blocks_format invalid_channel invalid_charset invalid_cursor
    invalid_form_data invalid_json invalid_metadata_format invalid_metadata_schema
    invalid_post_type invalid_thread_ts is_archived is_inactive json_not_object
    markdown_text_conflict messages_tab_disabled metadata_must_be_sent_from_app
    metadata_too_large method_deprecated method_not_supported_for_channel_type missing_argument
    missing_post_type missing_scope msg_blocks_too_long msg_too_long no_permission no_text
    not_allowed_token_type not_authed not_in_channel org_login_required
    posting_to_channel_denied posting_to_general_channel_denied restricted_action
    restricted_action_non_threadable_channel restricted_action_read_only_channel
    restricted_action_thread_locked restricted_action_thread_only_channel
    slack_connect_blocked_file_type slack_connect_canvas_sharing_blocked
    slack_connect_file_link_sharing_blocked slack_connect_file_upload_sharing_blocked
    storage_limit_reached team_access_not_granted team_not_found thread_not_found token_expired
    token_revoked too_many_attachments too_many_contact_cards two_factor_setup_required
    unknown_method unsupported_content user_not_found
    """.split()  # noqa: SIM905 - eighty words, not eighty lines
)
"""What Slack documents as said before anything was done."""

_silence = logging.getLogger("synapsor_pg.providers.slack.library")
_silence.addHandler(logging.NullHandler())
_silence.propagate = False  # the library logs the bodies of answers
_silence.setLevel(logging.CRITICAL)


if not hasattr(WebClient, "_perform_urllib_http_request_internal"):
    # overriding nothing would let requests out by the library's own way
    raise ImportError("this slack_sdk sends its requests in another way: use one below 4")


class _Client(WebClient):
    """The library's way out is ours: guarded, limited, and it knows whether anything was sent."""

    def __init__(self, delivery: Delivery, egress: Egress, token: str, base: str) -> None:
        # retrying is the database's business; the library repeats lost requests, keys or no keys
        super().__init__(token, base_url=base, retry_handlers=[], logger=_silence)
        self._egress = egress
        self._delivery = delivery

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        data = req.data
        answer = self._egress.send(
            self._delivery,
            req.get_method(),
            url,
            headers=dict(req.header_items()),
            content=data if isinstance(data, bytes) else b"",
        )
        try:
            readable = isinstance(answer.json(), dict)
        except ValueError:
            readable = False
        if answer.status != 200 or not readable:  # noqa: PLR2004
            raise _UnexpectedAnswerError(answer)
        return {
            "status": answer.status,
            "headers": answer.headers,
            "body": answer.body.decode("utf-8", "replace"),
        }


class _UnexpectedAnswerError(Exception):
    """An answer that is none of Slack's JSON objects."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"Slack answers {answer.status}")
        self.answer = answer


def client_for(delivery: Delivery) -> _Client:
    """Return a client of the delivery's workspace."""
    token = secret("slack", "bot_token", delivery.account)
    base = setting("slack", "api_base", delivery.account) or API
    base = base if base.endswith("/") else f"{base}/"
    egress = egress_of("slack", delivery.account, base, max_response=LONGEST)
    return _Client(delivery, egress, token, base)


@provides("slack", "chat.postMessage")
def post_message(delivery: Delivery) -> Outcome:
    """Post a message; another try looks first whether an earlier one is there."""
    message = {
        name: delivery.arguments[name]
        for name in MESSAGE
        if delivery.arguments.get(name) is not None
    }
    if not isinstance(message.get("channel"), str) or not message.get("channel"):
        raise refused(delivery, "invalid_request", "channel is missing")
    message["metadata"] = {
        "event_type": EVENT,
        "event_payload": {"action_id": delivery.action_id},
    }
    message.setdefault("text", "")  # the library warns of a message without one
    client = client_for(delivery)
    if delivery.sent_before:
        earlier = find_message(delivery)
        if earlier.status != "failed":
            return earlier
    delivery.begin(digest_of("slack", "chat.postMessage", message))
    return _outcome(
        delivery,
        lambda: client.chat_postMessage(**message),
        lambda said: (
            {"channel": said.get("channel"), "ts": said.get("ts")},
            f"{said.get('channel')}:{said.get('ts')}",
        ),
    )


@provides("slack", "files.upload")
def upload_file(delivery: Delivery) -> Outcome:
    """Share a file: ask for a place, put it there, complete it. Only the last step is an effect."""
    arguments = delivery.arguments
    name, channel = arguments.get("filename"), arguments.get("channel")
    if not isinstance(name, str) or not name or not isinstance(channel, str) or not channel:
        raise refused(delivery, "invalid_request", "filename or channel is missing")
    content = _content(delivery)
    client = client_for(delivery)
    if delivery.sent_before:
        earlier = find_file(delivery)
        if earlier.status != "failed":
            return earlier
    rest = {
        each: arguments[each]
        for each in ("initial_comment", "thread_ts")
        if arguments.get(each) is not None
    }
    title = arguments.get("title") or name
    delivery.begin(digest_of("slack", "files.upload", channel, name, title, rest, _sha256(content)))
    try:
        place = client.files_getUploadURLExternal(filename=name, length=len(content))
        file_id, url = str(place["file_id"]), str(place["upload_url"])
        stored = _uploads(delivery).send(
            delivery,
            "POST",
            url,
            headers={"Content-Type": "application/octet-stream"},
            content=content,
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the file is not shared
        return _not_shared(delivery, error)
    if stored.status != 200:  # noqa: PLR2004
        return _not_shared(delivery, _UnexpectedAnswerError(stored))
    return _outcome(
        delivery,
        lambda: client.files_completeUploadExternal(
            files=[{"id": file_id, "title": title}], channel_id=channel, **rest
        ),
        lambda said: ({"files": [{"id": each.get("id")} for each in said["files"]]}, file_id),
        identifier=file_id,
    )


@provides("slack", "chat.find", asks=True)
def find_message(delivery: Delivery) -> Outcome:
    """Look for an action's message in its channel or thread."""
    client = client_for(delivery)
    arguments = delivery.arguments
    where: dict[str, Any] = {
        "channel": arguments.get("channel"),
        "oldest": _since(delivery),
        "include_all_metadata": True,
        "limit": 200,
    }
    read: Callable[..., SlackResponse] = client.conversations_history
    if arguments.get("thread_ts"):
        where["ts"] = arguments["thread_ts"]
        read = client.conversations_replies
    for _ in range(PAGES):
        try:
            page = read(**where)
        except (SlackApiError, _UnexpectedAnswerError) as error:
            return _cannot_ask(error)
        messages = page.get("messages")
        if not isinstance(messages, list):
            return unknown("cannot_ask", "the answer has no messages")
        for message in messages:
            ts = message.get("ts") if isinstance(message, dict) else None
            if _action_of(message) == delivery.action_id:
                return succeeded({"ts": ts}, f"{arguments.get('channel')}:{ts}")
            if _looks_alike(message, arguments):
                # a workspace that does not show us metadata: it may be ours
                return unknown(
                    "needs_a_person", "the channel has such a message", park=True, response=ts
                )
        where["cursor"] = (page.get("response_metadata") or {}).get("next_cursor")
        if not where["cursor"]:
            return failed("not_found", "it is not in the channel: not done", retryable=True)
    return unknown("cannot_ask", f"not on the first {PAGES} pages", park=True)


@provides("slack", "files.find", asks=True)
def find_file(delivery: Delivery) -> Outcome:
    """Look for a file that might be the action's: none is an answer, one is for a person."""
    client = client_for(delivery)
    arguments = delivery.arguments
    for page in range(1, PAGES + 1):
        try:
            answer = client.files_list(
                channel=arguments.get("channel"),
                ts_from=_since(delivery),
                count=200,
                page=page,
            )
        except (SlackApiError, _UnexpectedAnswerError) as error:
            return _cannot_ask(error)
        files = answer.get("files")
        if not isinstance(files, list):
            return unknown("cannot_ask", "the answer has no files")
        alike = [
            str(each.get("id"))
            for each in files
            if isinstance(each, dict) and each.get("name") == arguments.get("filename")
        ]
        if alike:
            return unknown(
                "needs_a_person", "a file of this name was shared", park=True, response=alike
            )
        if page >= int((answer.get("paging") or {}).get("pages") or 1):
            return failed("not_found", "it is not in the channel: not done", retryable=True)
    return unknown("cannot_ask", f"not on the first {PAGES} pages", park=True)


def _outcome(
    delivery: Delivery,
    call: Callable[[], SlackResponse],
    facts: Callable[[SlackResponse], tuple[Any, str]],
    identifier: str | None = None,
) -> Outcome:
    try:
        said = call()
    except SlackApiError as error:
        code, wait = _refusal(error)
        message = f"Slack says {code}"
        if code in LATER:
            return failed(code, message, retryable=True, retry_after=wait)
        if code in MENDABLE:
            return failed(code, message, retryable=True, retry_after=MEND_WITHIN)
        if code in REFUSALS:
            return failed(code, message, retryable=delivery.sent_before)
        return unknown(code, message, retry_after=wait, provider_request_id=identifier)
    except _UnexpectedAnswerError as error:
        return _unexpected(delivery, error.answer)
    response, known_as = facts(said)
    return succeeded(response, known_as)


def _refusal(error: SlackApiError) -> tuple[str, float | None]:
    response = error.response
    headers = {str(name).lower(): value for name, value in dict(response.headers).items()}
    said = response.get("error")
    return (
        text_of(said, 100) if isinstance(said, str) and said else "unexpected_answer",
        retry_after_of(headers.get("retry-after")),
    )


def _unexpected(delivery: Delivery, answer: Answer) -> Outcome:
    if 200 <= answer.status < 300:  # noqa: PLR2004
        return unknown(
            "unexpected_answer", "Slack's answer cannot be read", response=answer.evidence()
        )
    return by_status(
        delivery,
        answer.status,
        f"Slack answers {answer.status}",
        error_code="ratelimited" if answer.status == 429 else None,  # noqa: PLR2004
        retry_after=answer.retry_after,
        response=answer.evidence(),
    )


def _not_shared(delivery: Delivery, error: Exception) -> Outcome:
    """Return what became of a file that was not completed: known not done."""
    if isinstance(error, SlackApiError):
        code, wait = _refusal(error)
        again = code not in REFUSALS - MENDABLE or delivery.sent_before
        return failed(code, f"Slack says {code}", retryable=again, retry_after=wait)
    if isinstance(error, _UnexpectedAnswerError):
        answer = error.answer
        client_error = 400 <= answer.status < 500 and answer.status not in {408, 409, 429}  # noqa: PLR2004
        return failed(
            f"http_{answer.status}",
            f"{error}, and the file was not shared",
            retryable=not client_error or delivery.sent_before,
            retry_after=answer.retry_after,
        )
    if isinstance(error, HandlerError):
        forbidden = error.error_code in {"forbidden_address", "invalid_address"}
        again = not forbidden or delivery.sent_before
        return failed(error.error_code, error.message, retryable=again)
    return failed("not_shared", f"{type(error).__name__}, the file was not shared", retryable=True)


def _cannot_ask(error: SlackApiError | _UnexpectedAnswerError) -> Outcome:
    if isinstance(error, _UnexpectedAnswerError):
        return unknown("cannot_ask", str(error), retry_after=error.answer.retry_after)
    code, wait = _refusal(error)
    return unknown("cannot_ask", f"Slack says {code}", retry_after=wait)


def _uploads(delivery: Delivery) -> Egress:
    """Return the way to where files are put: the address comes from Slack, the origin from us."""
    account = delivery.account
    return egress_of("slack", account, setting("slack", "upload_origin", account) or UPLOADS)


def _content(delivery: Delivery) -> bytes:
    text = delivery.arguments.get("content")
    encoded = delivery.arguments.get("content_base64")
    if isinstance(text, str) and text:
        return text.encode()
    try:
        content = base64.b64decode(encoded or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        content = b""
    if not content:
        raise refused(delivery, "invalid_request", "content is missing, or no base64")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _since(delivery: Delivery) -> str:
    proposed = proposed_at(delivery)
    if proposed is None:
        raise ConfigurationError("the action's id does not tell when it was proposed")
    return f"{proposed.timestamp() - CLOCKS:.6f}"


def _looks_alike(message: Any, arguments: dict[str, Any]) -> bool:
    if not isinstance(message, dict) or message.get("metadata"):
        return False
    text = arguments.get("text")
    return bool(text) and html.unescape(str(message.get("text"))) == html.unescape(str(text))


def _action_of(message: Any) -> str | None:
    metadata = message.get("metadata") if isinstance(message, dict) else None
    if not isinstance(metadata, dict) or metadata.get("event_type") != EVENT:
        return None
    payload = metadata.get("event_payload")
    return payload.get("action_id") if isinstance(payload, dict) else None
