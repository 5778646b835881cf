"""A worker that kills itself (SIGKILL) when it crosses a boundary.

    worker_process.py DSN QUEUE PROVIDER BOUNDARY[@OPERATION]

A boundary is a name of `Worker`'s checkpoints, `sent` (the request is out, its answer unread), or
`none`: then it works until nothing is left to do. With an operation it is fatal only once that has
been sent, and waited for.
"""

from __future__ import annotations

import http.client
import os
import signal
import sys
from urllib.parse import urlsplit

from synapsor_pg import Delivery, Outcome, Worker, handler, succeeded

dsn, queue, provider, fatal = sys.argv[1:]
fatal, _, operation = fatal.partition("@")
sent = {""}


def die_at(boundary: str) -> None:
    if boundary == fatal and operation in sent:
        os.kill(os.getpid(), signal.SIGKILL)


@handler("crm", "contacts.restore")
@handler("crm", "contacts.update")
def update(delivery: Delivery) -> Outcome:
    connection = http.client.HTTPConnection(urlsplit(provider).netloc, timeout=5)
    headers = {"Idempotency-Key": delivery.idempotency_key}
    sent.add(delivery.claim.operation)
    connection.request("POST", "/", body=b"{}", headers=headers)
    if fatal == "sent":
        connection.sock.recv(1)  # the provider has acted; we have not read what it says
    die_at("sent")
    with connection.getresponse() as answer:
        return succeeded({"status": answer.status})


Worker(dsn, queues=[queue], batch=1, concurrency=1, poll=0.1, checkpoint=die_at, listen=False).run(
    until_idle=not operation
)
