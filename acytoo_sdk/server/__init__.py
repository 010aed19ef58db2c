"""`acytoo serve`: any OpenAI-compatible server, or none, behind the wire that this package's clients speak.

This page is for whoever operates the server; `acytoo serve --help` has every option. It needs the extra `[serve]`.

Questions are posted to /api/completions, or to the paths that other clients of this wire use, which `GET /` lists.
`GET /healthz` answers 200 while the server is up. The bodies of the Vercel AI SDK (`useChat` and `useCompletion` with
text streams), of chatbot-ui and of chatgpt-demo are understood besides the wire's own five keys. The upstream is asked
for the model that the client names, unless `--model-map A=B` has another for it, or else `--model`: old clients always
ask for gpt-3.5-turbo. Without `--upstream`, the server says back what was said, or what `--reply` holds; `--fault`
makes it go wrong, so that a client's handling of failures can be tried.


When the upstream fails

A reply that broke is never ended as if it were whole. Before the first text, a failure is a status, with a JSON error
object that says why; after it, the text that came is passed on, and the connection ends before the reply's framing
does. (Clients before HTTP/1.1 have no framing: their connection is reset.)

    upstream                                      what the client gets
    an error status                               the same status, the upstream's message, its Retry-After
    no connection, no HTTP, a redirect,           502
      a web page, a compressed reply,
      a proxy that wants credentials (407)
    an error in a reply whose status is 200       the status that the error names, or 502
    no connection in 10 seconds; silent for       504
      longer than --first-byte-timeout, or then
      --idle-timeout, before the first text
    no text at all: a tool call, only             502, whose message says which
      reasoning, an empty reply, a cut
    after text: a cut, a silence, an error,       the text, then a connection that ends too early
      a reason like content_filter, or an end
      with neither a finish reason nor [DONE]

If every question gets 404, `--upstream` may lack its /v1. When a client leaves, its request to the upstream is closed
at once. The server itself refuses questions with 503 and Retry-After while `--max-streams` replies are on their way, or
while it ends; with 413, if they are longer than `--max-body`; and with 408, if they take longer than a minute to
arrive.


Who gets in

The server listens on this machine alone, unless `--host` says otherwise. There it answers only requests whose `Host` is
this machine's, or that of an allowed origin, so that no web page can pass the server off as its own (DNS rebinding): a
proxy on the same machine must pass on `Host: 127.0.0.1`. Web pages of other origins are refused with 403 wherever it
listens, since a page in your browser could spend your key. `--allow-origin https://chat.example.com` lets the pages of
that origin ask, and `*` those of any.

Before others can reach it, by `--host 0.0.0.0`, give it a password and a certificate: `--password-env VARIABLE`, and
`--tls-cert FILE` with `--tls-key FILE`. Clients send the password as `password=` or `key=`, or as a bearer's token;
without it, they get 401. `GET /` and `GET /healthz` ask for none. A client's key goes to the upstream only by
`--pass-client-key`, and the password never does. An upstream over https is verified by the usual authorities, or by
those that `REQUESTS_CA_BUNDLE` names. The proxies of the environment are used (`HTTPS_PROXY`, `NO_PROXY`), but never
for this machine; with one that speaks SOCKS, the server does not start.

Keys and passwords are read from the variables that options name, never from arguments, which every user of the machine
can see. No log line quotes them, and no error, as long as they have four characters or more.


The log

stdout has one line, with the address. stderr tells how to ask the server, warns where anybody may, and then has one
line a request, without its prompt or its reply:

    2026-11-27 09:30:00 5f0c1d2e3a4b5c6d 200 llama3.2 812 characters 3.41 s complete

which are the time, the id that the client was sent as `x-request-id`, the status, the model that the client asked for,
the length of the reply, how long it took, and how it ended: `complete`; `broken: ...` and why; `client left`; `cut at
the end of the server`; the reason of a refusal; `page` or `options`. A "-" stands for no status or no model.


How it ends, and how to keep it running

SIGTERM or Ctrl-C stops it: it accepts nobody any more, lets running replies end for `--grace` seconds (10), cuts those
that do not as broken, and exits with 0. A second signal cuts them at once. What supervises the server must wait longer
than that before it kills it: systemd does, and Docker is told by `--stop-timeout`.

A service of systemd; the upstream's key, if it has one, is `UPSTREAM_KEY=...` in a file that root alone may read, with
`EnvironmentFile=/etc/acytoo.env` and `--upstream-key-env UPSTREAM_KEY`:

    [Service]
    ExecStart=/opt/acytoo/bin/acytoo serve --upstream http://127.0.0.1:11434/v1 --model llama3.2
    DynamicUser=yes
    Restart=on-failure

    [Install]
    WantedBy=multi-user.target

A container, from a checkout, beside an upstream on the same machine:

    docker run --rm --network host --stop-timeout 15 --volume .:/src:ro python:3.13-slim sh -c \\
      "cp -r /src /tmp/src && pip install '/tmp/src[serve]' && \\
       exec acytoo serve --upstream http://127.0.0.1:11434/v1 --model llama3.2"


For whoever changes it

A request comes in by `app`, which asks `access` whether it may and `wire` what it says; `upstream` sends it on, or
`offline` answers it. What an upstream sends becomes events by `sse`, objects by `completions`, and text and an end by
`chunks`. Nothing here is public but the command.
"""
