"""Notices of mails that came back, made after the manner of several mail servers."""

from tests.dispatcher.support import a_send_id

SEND = a_send_id(1)
WHO = "ann@nowhere.example"

_COPY = f"""Return-Path: <news@shop.example>
Received: from app.shop.example by mx.shop.example; Mon, 02 Mar 2026 09:00:00 +0000
Message-ID: <{SEND}@shop.example>
From: news@shop.example
To: {WHO}
Subject: Your cart
"""


def report(
    *,
    action: str = "failed",
    status: str = "5.1.1",
    said: str = "smtp; 550 5.1.1 no such user here",
    to: str = "news@shop.example",
    copy: str = _COPY,
    copy_type: str = "message/rfc822",
    more: str = "",
) -> bytes:
    """A report after RFC 3464."""
    recipient = [f"Final-Recipient: rfc822; {WHO}", f"Action: {action}"]
    recipient += [f"Status: {status}"] if status else []
    recipient += [f"Diagnostic-Code: {said}"] if said else []
    lines = f"""Return-Path: <>
From: MAILER-DAEMON@mx.shop.example (Mail Delivery System)
To: {to}
Subject: Undelivered
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=b"
{more}
--=b
Content-Type: text/plain; charset=us-ascii

The message could not be handed over.

--=b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.shop.example
Arrival-Date: Mon, 02 Mar 2026 09:00:01 +0000

{chr(10).join(recipient)}

--=b
Content-Type: {copy_type}

{copy}
Hello
--=b--
"""
    return lines.replace("\n", "\r\n").encode()


POSTFIX = report(said="smtp; 550 5.1.1 <ann@nowhere.example>: Recipient address rejected")
SENDMAIL = report(copy_type="text/rfc822-headers", said="SMTP; 550 5.1.1 <ann>... User unknown")
EXCHANGE = report(
    status="5.1.10", said="smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found by lookup"
)
EXIM = report(status="5.0.0", said="smtp; 550-No such person at this address")
GMAIL = report(said="smtp; 550-5.1.1 The account does not exist.\r\n 550-5.1.1 Check the spelling.")
NULL_MX = report(status="5.1.10", said="")
DISABLED = report(status="5.2.1", said="smtp; 550 5.2.1 disabled")
FULL = report(status="5.2.2", said="smtp; 552 5.2.2 mailbox is full")
SPAM = report(status="5.7.1", said="smtp; 550 5.7.1 refused by policy")
DELAYED = report(action="delayed", status="4.4.1", said="smtp; 451 4.4.1 no answer from host")
GAVE_UP = report(status="4.4.7", said="")
RELAYED = report(action="relayed", status="2.0.0", said="")
BY_ADDRESS = report(to=f"bounces+{SEND.replace('-', '')}@shop.example", copy="Subject: x\n")
BY_HEADER = report(copy=f"Message-ID: <renamed@gateway>\nX-Cuestream-Send: {SEND}\n")
BY_REFERENCE = report(copy="Subject: x\n", more=f"In-Reply-To: <{SEND}@shop.example>\n")

QMAIL = f"""From: MAILER-DAEMON@mx.other.example
To: news@shop.example
Subject: failure notice

Hi. This is the qmail-send program at mx.other.example.
Your message could not be delivered to the address below, and will not be tried again.

<{WHO}>:
There is no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

{_COPY}
Hello
""".encode()
OLD_EXIM = f"""From: Mail Delivery System <Mailer-Daemon@mx.other.example>
To: news@shop.example
X-Failed-Recipients: {WHO}
Subject: Mail delivery failed: returning message to sender

A message that you sent could not be delivered. This is permanent.

  {WHO}
    SMTP error from remote mail server after RCPT TO: 550 unrouteable

------ This is a copy of the message, including all the headers. ------

{_COPY}
Hello
""".encode()
AWAY = f"""From: {WHO}
To: bounces+{SEND.replace("-", "")}@shop.example
Subject: Away until Monday
Auto-Submitted: auto-replied
In-Reply-To: <{SEND}@shop.example>

I am away. 550 5.1.1 is not what I mean.
""".encode()
