"""Every bound of the program, in one place, with its unit last in its name.

A bound is here when exceeding it is answered to somebody, or when memory or time
would grow without it. Values are deliberate: the reason stands beside each, and the
relations that other code relies on are asserted below, when this module is imported.
"""

# -- What a person may send ------------------------------------------------------------
TEXT_BYTES_MAX = 8 * 1024
"""One message's text, in UTF-8. Several screens full; a longer thing is a file."""

TOKEN_CHARACTERS_MAX = 256
"""A token by which a client takes its session up again; those of our server have 43."""

ADDRESS_CHARACTERS_MAX = 64
"""An address as the server tells it; an IPv6 one with its zone has some 60."""

NAME_BYTES_MAX = 64
"""A user name, in UTF-8."""

PASSWORD_BYTES_MAX = 1024
"""A password, in UTF-8: hashing a longer one would only serve an attacker."""

CLIENT_ID_CHARACTERS_MAX = 64
"""The random name by which a client's requests are told from another client's."""

# -- The wire --------------------------------------------------------------------------
LINE_BYTES_MAX = 64 * 1024
"""One frame with its newline. JSON may escape one byte of text as six (``\\u001b``)."""

SERVER_LINE_BYTES_MAX = 1024 * 1024
"""The same from the server: the names of all users who may be online, in one reply, unless many
of them are long and full of quotes."""

USERS_UNMEASURED_MAX = 7900
"""Names in one reply that fit such a line whatever they are; a list of more is measured."""

LOGIN_LINE_BYTES_MAX = 16 * 1024
"""The same before login: enough for the longest name and password, fully escaped."""

RECEIVE_BYTES_MAX = 64 * 1024
"""How much one read takes from a socket; a batch of requests is what it held."""

LOGIN_RECEIVE_BYTES_MAX = 512
"""The same before login, so that the work of one read is small whatever it holds: a client needs
a few of them to log in, and twenty key updates of TLS take as long as a handshake."""

HANDSHAKE_RECEIVE_BYTES_MAX = 1024
"""The same during a TLS handshake, whose messages have some 500 to 2,000 bytes."""

TLS_WASTED_BYTES_MAX = 17 * 1024
"""What one end of a TLS connection may receive, in all, without getting anything for it: a record
that is not whole yet, or 600 key updates. An honest end sends one in millions of records."""

TLS_RECORD_OVERHEAD_BYTES_MAX = 32
"""Bytes of a record beside its content, which count as received for something: 22 with the
ciphers of TLS 1.3, and a little padding."""

INTEGER_MAX = 2**53 - 1
"""The largest integer on the wire: what every JSON implementation reads exactly."""

# -- A connection ----------------------------------------------------------------------
LOGIN_SECONDS_MAX = 120.0
"""From connecting, before any handshake, to being logged in: time for a person to type a
password three times."""

HANDSHAKE_SECONDS_MAX = 10.0
"""The TLS handshake: two round trips, and some arithmetic."""

HANDSHAKES_AT_ONCE_MAX = 4
"""Handshakes of which a step is computed, at a millisecond each, before others have their turn."""

OUTBOX_BYTES_MAX = 1024 * 1024
"""What may wait for a receiver that does not read, beyond the kernel's buffers."""

DRAIN_SECONDS_MAX = 2.0
"""How long a closing connection may take to read its last lines."""

CONNECTIONS_MAX = 10_000
"""Connections accepted at one time; the next one waits in the kernel."""

DESCRIPTORS_RESERVED_MAX = 64
"""Open files that are left for all else where the system allows too few for so many connections:
the database, what the operator asks, and a file to be read again."""

NO_ROOM_ALARM_SECONDS = 60.0
"""After so long with room for more connections the operator is told again when there is none."""

CONNECTIONS_PER_ADDRESS_MAX = 256
"""Connections of one address at a time: a large office behind one, and a small part of all."""

ADDRESSES_MAX = 10_000
"""Addresses whose logins are counted; the one that made none for longest is forgotten first."""

REQUESTS_PER_SECOND_MAX = 5000
"""Requests of one user in the long run: a small part of what the server can do."""

REQUESTS_BURST_SECONDS = 10.0
"""So many seconds' worth of requests may come at once: pasted, or from a short script."""

STRANGER_REQUESTS_PER_SECOND_MAX = 10
"""The same before login, empty lines included: a client says a handful of lines to log in."""

STRANGER_EMPTY_LINES_MAX = 100
"""Empty lines that one read may bring before login; with more the connection ends."""

REQUEST_RECEIVERS_MAX = 10
"""Receivers of a broadcast that count as one request, as each is work too."""

REQUEST_BYTES_MAX = 16
"""Bytes of a line to others that count as one request: or one user's burst could fill the outbox
of whoever reads it, and log them out as slow."""

INTRODUCTIONS_PER_SECOND_MAX = 50
"""How many a user may ask for in the long run, and ten seconds' worth at once: a download asks for
one for each of its sources, and nobody must be able to make a client forget those of others."""

RECEIVE_BYTES_PER_SECOND_MAX = 8 * 1024 * 1024
"""Bytes that one connection sends in the long run: chat needs far less, and files go to peers."""

RECEIVE_BYTES_BURST_MAX = 64 * 1024 * 1024
"""Bytes at once: all that a mailbox can hold, escaped in JSON, and more."""

STORED_BYTES_PER_SECOND_MAX = 64 * 1024
"""Bytes of one user that are written to the disk in the long run: 480 short messages a second to
people who are offline, and 5.5 GB a day at most."""

STORED_BYTES_BURST_MAX = 8 * 1024 * 1024
"""The same at once: 60,000 short messages, or what a mailbox can hold."""

READ_DELAY_SECONDS_MAX = 30.0
"""One pause in reading who sends too much; so late may the end of a connection be noticed.

At the rate above no pause is longer than a second, as one read brings at most a few thousand
requests. At much lower rates this bound lets those who flood be a little faster. A pause is also
shorter than half the time after which a user is idle, as nobody is whose requests wait here."""

# -- Delivery --------------------------------------------------------------------------
WINDOW_MESSAGES_MAX = 256
"""Messages sent to a client and not yet acknowledged by it; the rest waits in its mailbox."""

WINDOW_TEXT_BYTES_MAX = 64 * 1024
"""The same in bytes of text: or long messages would fill the outbox of one who reads well."""

MAILBOX_MESSAGES_MAX = 10_000
"""Messages waiting for one user; the next sender is told that the mailbox is full."""

MAILBOX_BYTES_MAX = 8 * 1024 * 1024
"""Bytes of text waiting for one user."""

UNSAFE_MESSAGES_MAX = 100_000
"""Messages accepted and neither acknowledged nor on disk; beyond it the server is busy."""

COMMIT_DELAY_SECONDS = 0.05
"""How long a message that is on its way to somebody online may wait to be written.

Nearly every receiver acknowledges sooner, and then it need not be written at all."""

CLEANUP_DELAY_SECONDS = 1.0
"""How long the deletion of acknowledged messages may wait for a commit to join.

Losing one is harmless: the message is delivered again and its receiver knows its key."""

# -- The broker ------------------------------------------------------------------------
COMMANDS_QUEUE_MAX = 1024
"""What waits for the broker and is no request: connections that open, commits that are on disk.
Whoever finds it full waits."""

STORE_QUEUE_MAX = CONNECTIONS_MAX + 1
"""What the store may have to do: one commit, and mailboxes to load, one for each user. Of those
who log in while so many wait, none gets in."""

REQUESTS_BATCH_MAX = 64
"""Requests in one command, and of one connection in the broker's queue: one read may bring
thousands, and others would wait for all of them. In a crowd of 1,000 it is a few milliseconds."""

REQUESTS_ROUND_MAX = 1024
"""Requests handled between two flushes, which bounds what replies may gather in memory."""

REQUEST_INPUT_BYTES_MAX = 1024
"""Bytes read that count as one request there: what brings none takes time too."""

NOTICE_DELAY_SECONDS = 0.1
"""How long a notice of somebody's coming or going may wait for others: when a thousand come at
once, each of those who are told gets a few packets instead of a thousand."""

LINGER_SECONDS = 0.001
"""While there is traffic the hub waits so long for more of it before it lets trio look for what
else there is to do: a wake-up by trio costs as much as a message."""

READS_TURN_MAX = 64
"""Reads of connections before the server's other tasks get their turn, if so many come at once."""

STOP_SECONDS_MAX = 5.0
"""A graceful stop: telling the clients, sending their last lines, saving what waits."""

CLOSE_SECONDS_MAX = 3.0
"""Beyond that, closing the store; a disk that hangs for longer is left alone."""

# -- Operation -------------------------------------------------------------------------
BACKUP_STEP_PAGES_MAX = 128
"""Pages of 4 KiB copied between two commits: 2 to 3 ms."""

BACKUP_BLOCK_BYTES_MAX = 1024 * 1024
"""Read and written at a time, when a backup is restored."""

BACKUP_SECONDS_MAX = 3600.0
"""How long the copy for a backup may take; a million messages take less than a second."""

ADMIN_CONNECTIONS_MAX = 4
"""Commands of the operator answered at one time; the next one waits."""

ADMIN_LINE_BYTES_MAX = 1024 * 1024
"""One line on the admin socket: a path, figures, or some of the registered files."""

FILES_LISTED_MAX = 500
"""Registered files in one such line."""

FORGET_SECONDS_MAX = 10.0
"""How long a removed account may take until a running server has noticed it."""

ADMIN_SECONDS_MAX = 10.0
"""How long an operator's command may take to ask, and to take its answer."""

LAG_SAMPLE_SECONDS = 0.25
"""How often the event loop is asked whether it is late."""

LATE_SECONDS = 1.0
"""A task that is woken later than this after its time was not merely kept waiting: the process, or
its machine, was stopped. What came meanwhile is read before anybody counts as silent."""

LAG_SAMPLES_MAX = 240
"""Samples kept of that: one minute."""

LOG_BYTES_MAX = 1024 * 1024
"""Lines of the log that wait to be written; what comes while nobody reads them is dropped."""

LOG_SECONDS_MAX = 1.0
"""How long the end of the server may wait for them."""

COMMITS_MEASURED_MAX = 1000
"""The latest commits, whose times are kept."""

# -- Accounts --------------------------------------------------------------------------
LOGIN_FAILURES_MAX = 3
"""Consecutive failures that block a user name (assignment, section 3.1)."""

CREDENTIALS_LOOK_SECONDS = 1.0
"""How often the server looks whether the credentials file has changed."""

CREDENTIALS_LOOKS_MAX = 10
"""How often the start of the server looks at one that is being written and has no end."""

PASSWORD_QUEUE_MAX = CONNECTIONS_MAX
"""Passwords that wait to be checked, also those of connections that did not wait for it."""

LOGINS_PER_MINUTE_MAX = 60
"""Logins of one address in a minute, and at once: an office after a restart. Hashing the
passwords of all takes one processor three seconds."""

TOKEN_SECONDS_MAX = 24 * 60 * 60.0
"""How long after its connection was lost a client may come back with its token: over night."""

FAILED_NAMES_MAX = 10_000
"""Names whose failures are counted, and names without an account that are blocked; the oldest is
forgotten first. Whoever has their guesses forgotten by that waits longer than for a block."""

CLIENTS_REMEMBERED_MAX = 8
"""Clients of one user whose request numbers the server remembers, to drop repetitions."""

# -- Peers -----------------------------------------------------------------------------
PEER_CERTIFICATE_BYTES_MAX = 2 * 1024
"""A peer's certificate (DER); our own have a few hundred bytes."""

INTRODUCTION_SECONDS = 30.0
"""For how long somebody who was introduced is let in."""

INTRODUCTIONS_EXPECTED_MAX = 1000
"""Introductions that a client keeps until somebody comes; the oldest is forgotten first."""

PEER_STRANGERS_MAX = 40
"""Connections to a client of those who have not proved to be introduced; that takes an honest one
some milliseconds."""

PEER_STRANGERS_ADDRESS_MAX = 20
"""So many of these from one address: friends who share one, or one who is a nuisance."""

PEER_LINKS_MAX = 40
"""Connections that a client has of others for private messages at one time."""

PEER_LINKS_USER_MAX = 3
"""So many of them of one user: one, and those that are about to end."""

PEER_FETCHERS_MAX = 120
"""Connections that a client has of others who fetch files from it at one time."""

PEER_FETCHERS_USER_MAX = 20
"""So many of them of one user, who has one for each file that is on its way."""

FETCHER_IDLE_SECONDS = 120.0
"""How long a client that fetches may ask for nothing before its place is free for others; it can
come back. It hears of new pieces meanwhile, so there is mostly something to ask for."""

PEER_CONNECTIONS_MAX = PEER_STRANGERS_MAX + PEER_LINKS_MAX + PEER_FETCHERS_MAX
"""Connections that a client has of others at one time.

Most systems let a program have 1,024 open files, or 256; its files and its own connections to
others have to find room beside these."""

PEER_CONNECT_SECONDS_MAX = 10.0
"""From asking for an introduction to the first line of the other peer."""

LINKS_STARTING_MAX = 64
"""Private links that a client makes at a time; the next `startprivate` waits for one of them."""

PEER_ANSWER_SECONDS_MAX = 15.0
"""How long a peer may take to acknowledge a private message, before it counts as gone."""

PRIVATE_UNANSWERED_MAX = 256
"""Private messages on their way to one peer, and lines that wait for the link to be made; who
types more waits for acknowledgements."""

# -- The client ------------------------------------------------------------------------
REQUESTS_UNANSWERED_MAX = 256
"""Requests that a client sends before it waits for answers, as the protocol demands: the server
remembers so many refusals of each client, for those that are repeated."""

KEYS_REMEMBERED_MAX = 2 * MAILBOX_MESSAGES_MAX
"""Message keys that a client remembers, to show each message once."""

CONNECT_SECONDS_MAX = 10.0
"""How long a client tries to reach its server, greeting included."""

RESUME_SECONDS_MAX = 30.0
"""How long the login after that may take: passwords of a whole office may wait to be checked."""

RECONNECT_SECONDS = 60.0
"""How long a client tries to come back to a server that is lost, unless it is told otherwise."""

RECONNECT_DELAY_SECONDS = 0.5
"""How long it waits before the first try; twice as long before each of the next ones, ..."""

RECONNECT_DELAY_SECONDS_MAX = 15.0
"""... but no longer than this. Each wait is a random part of it more or less, up to a half, so
that those who lost a server together do not come back together."""

NAMES_REMEMBERED_MAX = 1000
"""Names of users, and of files, that a client has heard of and offers when one is typed."""

HISTORY_LINES_MAX = 1000
"""Lines that were typed and can be called back after a restart; the file has at most twice as
many."""

HISTORY_BYTES_MAX = 4 * 1024 * 1024
"""The file of these that is still read: larger than any that we have written."""

COMPLETIONS_MAX = 100
"""Names offered at a time; whoever needs one of more types another letter."""

DIRECTORY_ENTRIES_MAX = 10_000
"""Entries of a directory that are looked at when the name of a file is completed."""

# -- Files -----------------------------------------------------------------------------
FILE_BYTES_MAX = 2**40
"""One file: 1 TiB, for which the list of hashes is 16 MiB."""

FILE_NAME_BYTES_MAX = 255
"""The name of a file, in UTF-8: what file systems take."""

CHUNKS_MAX = 10
"""The parts of a file that users see (assignment, section 3.5)."""

PIECE_BYTES_MAX = 4 * 1024 * 1024
"""What is asked for at a time."""

LEAF_BYTES_MAX = 2 * 1024 * 1024
"""What is read, verified and written at a time: a piece, or a half of the largest.

Both ends have one in memory for each connection."""

PIECES_MAX = FILE_BYTES_MAX // PIECE_BYTES_MAX + CHUNKS_MAX
"""Pieces of one file, whatever a manifest says: bounds bitmaps and the list of hashes."""

PEERS_MAX = 64
"""Peers that one download knows at a time; more of them add nothing to its rate."""

WINDOW_BYTES_MAX = 4 * 1024 * 1024
"""Asked of one peer and not yet here: 40 MB/s over a round trip of 0.1 s.

Two pieces are, however large: one that is on its way, and one to go on with."""

WINDOW_PIECES_MAX = 256
"""The same in pieces, which small files have smaller."""

ASKED_TWICE_MAX = 2
"""Peers asked for the same piece at a time, when it is late at the first."""

SILENCE_SECONDS = 5.0
"""A peer that owes pieces and sends nothing for so long is left, and tried again later."""

BACKOFF_SECONDS_MAX = 60.0
"""How long at most a peer that failed again and again is left alone."""

UPLOADS_WAITING_MAX = 2 * WINDOW_PIECES_MAX
"""Requests on one connection, for any files, that wait to be served; the next one is refused."""

UPLOADS_ACTIVE_MAX = 2
"""Pieces of one client on their way at a time: each is soon whole, and can be passed on.

Those whose receiver does not read fast enough do not count."""

UPLOADS_SKIPPED_MAX = 4
"""How often in a row a peer is passed over for one that waits for what nobody has yet."""

FILE_LINE_BYTES_MAX = 128 * 1024
"""One line on a connection for files: the bitmap of a file with the most pieces, in base64."""

SERVED_WAITING_MAX = 1024
"""Announcements that wait for one peer that fetches; one that does not read is left."""

NEWS_SECONDS = 0.03
"""How long the news of a piece waits for others to go with it; a swarm loses nothing by that."""

SOURCES_MAX = 30
"""Holders from whom one file is fetched at a time."""

DOWNLOADS_ACTIVE_MAX = 16
"""Downloads of one client that go on at a time; the next one waits for its turn. With all their
sources they stay below the files that most systems let a program open."""

READINGS_ACTIVE_MAX = 4
"""Files that are read and hashed at a time to be registered: more would only be slower."""

TRANSFERS_MAX = 1000
"""Downloads and registrations of one client that are under way or wait for their turn; the line
that asks for one more waits."""

SERVED_PAUSE_SECONDS = 5.0
"""So long after the last piece a client that would end waits for who fetches from it to ask for
more: they verify, write, and ask others meanwhile."""

SERVED_STALLED_SECONDS = 30.0
"""So long it waits for somebody who has asked, and takes nothing: a block at 10 kB/s."""

SEARCH_SECONDS = 10.0
"""How often a download asks the server for more holders."""

FILES_MAX = 100_000
"""Files in the catalogue; it is kept in memory, at some hundred bytes each."""

FILES_USER_MAX = 10_000
"""Files that one user has brought into the catalogue, if so many are free; and those that one
session holds."""

FILE_KEPT_SECONDS = 30 * 24 * 60 * 60.0
"""For how long the name of a file is kept that nobody holds."""

FILE_VISIT_SECONDS = 60 * 60.0
"""How often each name is looked at; so long after a start may its owner take to come back."""

FILE_VISITS_MAX = 1000
"""Names looked at in one go, which takes about a millisecond; all are in a few minutes, ..."""

FILE_VISITS_PAUSE_SECONDS = 1.0
"""... as these come no more often than this."""

FILE_NOTE_SECONDS = 24 * 60 * 60.0
"""How often the store is told of a file that somebody holds it."""

HOLDERS_MAX = 200
"""Holders that one search tells of, those who logged in first; nobody downloads from more."""

assert LINE_BYTES_MAX > 6 * TEXT_BYTES_MAX + 1024, "the longest text must fit a line"
assert LOGIN_LINE_BYTES_MAX > 6 * (NAME_BYTES_MAX + PASSWORD_BYTES_MAX) + 1024
assert SERVER_LINE_BYTES_MAX > CONNECTIONS_MAX * (NAME_BYTES_MAX + 4)
assert SERVER_LINE_BYTES_MAX > USERS_UNMEASURED_MAX * (2 * NAME_BYTES_MAX + 3) + 1024, (
    "names have no control characters, so JSON may double each of their bytes"
)
assert LINE_BYTES_MAX >= LOGIN_LINE_BYTES_MAX
assert TLS_WASTED_BYTES_MAX > 2**14 + 256 + 5, "a record may be as long (RFC 8446, section 5.2)"
assert OUTBOX_BYTES_MAX > LINE_BYTES_MAX
assert WINDOW_TEXT_BYTES_MAX >= TEXT_BYTES_MAX, "the longest message must fit the window"
assert OUTBOX_BYTES_MAX > 6 * WINDOW_TEXT_BYTES_MAX + 1024 * WINDOW_MESSAGES_MAX, (
    "a whole window, fully escaped, must leave room in the outbox"
)
assert OUTBOX_BYTES_MAX > (
    1.01 * REQUESTS_PER_SECOND_MAX * REQUESTS_BURST_SECONDS * REQUEST_BYTES_MAX
    + REQUESTS_BATCH_MAX * (4 / 3 * PEER_CERTIFICATE_BYTES_MAX + 6 * NAME_BYTES_MAX + 256)
), "what one user sends at once to a receiver, and a batch that is too much, fit the outbox"
assert INTRODUCTIONS_EXPECTED_MAX >= INTRODUCTIONS_PER_SECOND_MAX * (
    REQUESTS_BURST_SECONDS + PEER_CONNECT_SECONDS_MAX
), "who is introduced has time to connect, whatever somebody else asks for"
assert INTRODUCTIONS_PER_SECOND_MAX * REQUESTS_BURST_SECONDS > 10 * SOURCES_MAX, (
    "who begins several downloads is read without a pause"
)
assert CONNECTIONS_PER_ADDRESS_MAX < CONNECTIONS_MAX
assert RECEIVE_BYTES_BURST_MAX > 6 * MAILBOX_BYTES_MAX, "a full mailbox is sent without a pause"
assert KEYS_REMEMBERED_MAX > MAILBOX_MESSAGES_MAX + REQUESTS_UNANSWERED_MAX, (
    "a repetition may stand a whole mailbox behind the message that it repeats"
)
assert ADMIN_LINE_BYTES_MAX > FILES_LISTED_MAX * (
    6 * FILE_NAME_BYTES_MAX + 2 * NAME_BYTES_MAX + 256
), "whatever their names are"
assert DOWNLOADS_ACTIVE_MAX * SOURCES_MAX + PEER_CONNECTIONS_MAX < 1000
assert PEER_FETCHERS_USER_MAX > DOWNLOADS_ACTIVE_MAX
assert UPLOADS_WAITING_MAX > WINDOW_PIECES_MAX, "who keeps to the window is never refused"
