//! Every limit of the program: a name, a unit, a reason. What an operator may set has its bounds here and its key in
//! the configuration or the organization's settings. What reading a format needs beside stands with its reader: films in
//! `media/source.rs` and `media/samples.rs`, captions and pictures in `media/captions.rs` and `media/picture.rs`.

/// Longest accepted viewer token, in bytes. Real ones are under 400; a header line is bounded anyway.
pub const TOKEN_BYTES: usize = 8_192;
/// How far ahead of our clock `iat` and `nbf` may be, in seconds: backends' clocks differ.
pub const TOKEN_CLOCK_SKEW_S: i64 = 60;
/// Longest accepted `exp - iat` unless the organization sets another, in seconds (24 h): tokens are meant to be short.
pub const TOKEN_LIFETIME_DEFAULT_S: u32 = 86_400;
/// What an organization may set that to, in seconds: a minute to 30 days.
pub const TOKEN_LIFETIME_S: std::ops::RangeInclusive<u32> = 60..=2_592_000;

/// Life of a token that the dashboard signs for a look at a video, in seconds: what the player needs to begin.
pub const PREVIEW_TOKEN_S: u32 = 300;

/// Life of an asset URL unless the organization sets another, in seconds.
pub const ASSET_URL_TTL_DEFAULT_S: u32 = 300;
/// What an organization may set that to, in seconds: long enough to renew on a bad line, no longer than a day.
pub const ASSET_URL_TTL_S: std::ops::RangeInclusive<u32> = 30..=86_400;
/// Longest time a session renews its URLs unless the organization sets another, in seconds (12 h).
pub const SESSION_MAX_AGE_DEFAULT_S: u32 = 43_200;
/// What an organization may set that to, in seconds: 0 forbids renewal; at most 7 days.
pub const SESSION_MAX_AGE_S: std::ops::RangeInclusive<u32> = 0..=604_800;

/// Longest title, label, name or reference, in characters: they stand in lists.
pub const NAME_CHARS: usize = 200;
/// Origin rules of one list: they are repeated in the embed page's header.
pub const ORIGIN_RULES: usize = 30;
/// Bundle ids of one publishable key.
pub const BUNDLE_IDS: usize = 30;
/// Longest bundle id, in bytes (Apple and Google both stay under 155).
pub const BUNDLE_ID_BYTES: usize = 155;
/// Signing keys that one organization may have, revoked ones included: each is held in memory.
pub const SIGNING_KEYS: usize = 10_000;
/// Publishable keys, and private keys, that one organization may have.
pub const API_KEYS: usize = 10_000;

/// Items in a page of a list unless the caller asks otherwise.
pub const PAGE_ITEMS_DEFAULT: usize = 24;
/// What a caller may ask for.
pub const PAGE_ITEMS: std::ops::RangeInclusive<usize> = 1..=100;

/// Records that one search looks at: some 50 ms. Its cursor goes on from there.
pub const SEARCH_SCAN: usize = 2_000;
/// Records that a search looks at before it lets others have a turn.
pub const SEARCH_STEP: usize = 50;

/// Width or height that an oEmbed consumer may set as a bound, in pixels: more than any screen has.
pub const OEMBED_SIDE_PX: std::ops::RangeInclusive<u32> = 1..=10_000;

/// Asset keys that may verify at once, so that dropping all of them is one commit.
pub const ASSET_KEYS: usize = 32;

/// Operations in one commit of the catalog: a commit is applied as one step, which must stay short.
pub const COMMIT_OPERATIONS: usize = 200;
/// Size of one commit in the journal, in bytes.
pub const COMMIT_BYTES: usize = 1 << 20;
/// Commits that share one `fdatasync`.
pub const GROUP_COMMITS: usize = 64;
/// Changes that may wait for the writer; more are answered 503.
pub const WRITE_QUEUE: usize = 1_024;
/// Longest time that the writer may be at one group of changes before that is told, in seconds: a disk that syncs takes
/// milliseconds, and one that resets itself some ten seconds.
pub const WRITER_STUCK_S: u64 = 30;
/// Records of one kind that are changed in one commit: below [`COMMIT_OPERATIONS`], with room for what goes with them.
pub const RECORDS_PER_COMMIT: usize = 60;
/// Captions of one video, one of a language: all of them are removed in one commit with it.
pub const CAPTIONS_PER_VIDEO: usize = 30;
/// Qualities of one video; a ladder has six.
pub const RENDITIONS_PER_VIDEO: usize = 12;
/// It is looked after a change whether compacting the journal wins something when it is larger than this, in bytes, and
/// twice as large as the last time, or as compacting left it.
pub const JOURNAL_COMPACT_BYTES: u64 = 16 << 20;
/// Most room that a journal takes for itself out of the reserve, in bytes, when the disk is full: some 16,000 revocations.
/// What others write can't have it.
pub const JOURNAL_HELD_BYTES: u64 = 16 << 20;
/// Files that a disk must be able to make besides before a film is taken: it becomes up to a dozen.
pub const FREE_FILES: u64 = 64;
/// Least room that is held, in bytes; below it the file system's own records take as much.
pub const HELD_LEAST_BYTES: u64 = 64 << 10;
/// Zeros that are written behind a journal's end at a time, in bytes, when fewer than a quarter are left: some
/// hundreds of changes. A sync of blocks that a file has waits for the disk alone; of new ones, for the kernel's own threads, too, which
/// has been seen to take seconds on a busy machine.
pub const JOURNAL_PREPARED_BYTES: u64 = 1 << 20;
/// Fewest of them before changes that wait have to wait for more, in bytes: a group of common changes.
pub const JOURNAL_PREPARED_LEAST_BYTES: u64 = 64 << 10;
/// Bytes appended to a journal while it is compacted that changes may wait for in the end: some 50 ms.
pub const JOURNAL_FOLLOW_BYTES: u64 = 1 << 20;
/// Longest value in sled, in bytes: over 128 KiB a value becomes a blob file that is never freed.
pub const INDEX_VALUE_BYTES: usize = 48 << 10;

/// Bytes of records that are gathered before an index that is being built takes them, in the order of their keys: as many
/// again are being taken meanwhile.
pub const INDEX_CHUNK_BYTES: usize = 32 << 20;
/// As many times as long as the index may take to open, it may take for such a chunk: with 10 s, a disk that writes a third
/// of a megabyte a second is slow and not broken.
pub const INDEX_CHUNK_TIMES: u32 = 10;
/// Commits that are handed on at a time while a journal is read.
pub const JOURNAL_BATCH: usize = 64;
/// Such batches that may wait: the two threads that hand them on seldom wait for each other then.
pub const JOURNAL_BATCHES: usize = 4;

/// Changed records that may wait in memory for an index that failed, while another one is built: some 20 MB.
pub const UNINDEXED_RECORDS: usize = 10_000;
/// How often what the disk has refused is looked after, in seconds: that soon it recovers when there is room.
pub const STORE_TEND_S: u64 = 5;
/// Looks, one every [`STORE_TEND_S`], before another index is tried again that could not be built: a minute.
pub const INDEX_BUILD_RETRY_LOOKS: u32 = 12;

/// JSON body of an admin or renewal request, in bytes.
pub const JSON_BODY_BYTES: usize = 64 << 10;
/// Bodies longer than [`JSON_BODY_BYTES`] (posters, captions) that are held in memory at once, in bytes: eight of the
/// largest posters, and up to twice as much while they grow. One more is refused with 503.
pub const LONG_BODIES_BYTES: usize = 64 << 20;
/// Where half of that is in use, one organization may have one part in so many: two of the largest posters, and
/// whoever is slow about them leaves room for others.
pub const LONG_BODIES_SHARE: usize = 4;
/// Arrays and objects inside each other in such a body, or in what is read of a viewer token: ours have two.
pub const JSON_DEPTH: usize = 16;
/// The same in what a viewer token says besides: no backend has a claim of half as many.
pub const SKIPPED_JSON_DEPTH: usize = 128;
/// Longest path and query of a request, in bytes: a viewer token and room.
pub const TARGET_BYTES: usize = 12 << 10;
/// Longest head of a request, in bytes: its longest target and its longest token do not come together.
pub const HEAD_BYTES: usize = 16 << 10;
/// Lines of a head after its first: browsers behind two proxies send 30.
pub const HEADERS: usize = 64;
/// Lines of answers in the log in one second; more are counted. 2,000 viewers make half of it, and at 300 bytes a line it
/// is what a journal of 4 GiB keeps for two hours. What failed here (5xx) has as many of its own.
pub const ANSWER_LINES_PER_S: u64 = 2_000;
/// Time to receive a request's head from its first byte, in seconds.
pub const REQUEST_HEAD_S: u64 = 5;
/// Time for a TLS handshake, in seconds.
pub const TLS_HANDSHAKE_S: u64 = 5;
/// One address may have one part in so many of the connections there are: what stands before many viewers gets by, and
/// whoever wants to keep the others out needs as many addresses.
pub const CROWD_SHARE: usize = 4;
/// Life of an idle connection, in seconds.
pub const KEEP_ALIVE_S: u64 = 15;
/// Bytes of a body that may come before its reader has taken some of it: with what lies in other buffers, enough to keep
/// a fast line busy, and what a body can hold of a server's memory.
pub const BODY_WINDOW_BYTES: usize = 64 << 10;
/// Silence after which a connection that has had its last answer is over, in seconds: what still comes before is thrown
/// away, so that a client that reads only when it has sent all gets the answer, a refusal too, and not a reset.
pub const LINGER_S: u64 = 2;
/// Longest time for that, in seconds: whoever goes on sending for as long reads no answer, and holds a connection.
pub const LINGER_MAX_S: u64 = 30;
/// Longest silence inside a request body, in seconds.
pub const BODY_IDLE_S: u64 = 15;
/// Time for a whole body that is held in memory (JSON, a poster, captions), in seconds.
pub const WHOLE_BODY_S: u64 = 60;
/// Slowest body, in bytes a second over all of it, after [`BODY_GRACE_S`] (64 kbit/s): any line is faster today.
pub const BODY_BYTES_PER_S: u64 = 8 << 10;
/// Time before a body's rate counts, in seconds: a line that pauses once is none that is held open.
pub const BODY_GRACE_S: u64 = 30;
/// Longest time that bytes may wait for a peer that takes none, in seconds (`TCP_USER_TIMEOUT`): frees what a dead one
/// holds. A player that has buffered enough stops reading just like one, so it must not be short.
pub const WRITE_STALL_S: u64 = 300;
/// Bytes handed to the kernel that may wait unsent (`TCP_NOTSENT_LOWAT`): what a stalled viewer keeps in memory, and
/// gets after a revocation if its connection can't be cut.
pub const UNSENT_BYTES: u32 = 128 << 10;

/// Viewings whose bytes one connection may carry before it ends, 300 bytes of memory each: a browser has one or a few,
/// and a proxy, which has one after the other, connects anew.
pub const CONNECTION_VIEWINGS: usize = 32;
/// How often the kernel is asked what a connection's peer has, where the connection is given more meanwhile: some
/// milliseconds each.
pub const CUT_LOOKS: usize = 10;
/// How long it is asked again, in milliseconds: a list of many connections takes longer to read, and a second after a change
/// nothing more may leave.
pub const CUT_LOOKS_MS: u64 = 200;
/// Connections that have ended and stay open until their peers close them, so that what is on its way can be taken back: a
/// descriptor each. Most are closed by then; more are crowded out.
pub const DRAINING_CONNECTIONS: usize = 1_024;
/// How long one stays open, in seconds: as long as a reader may stop.
pub const DRAIN_S: u64 = WRITE_STALL_S;
/// How often they are looked at, in seconds: a system call each.
pub const DRAIN_LOOK_S: u64 = 1;
/// How soon again where there is no room, in milliseconds: a peer a hundred milliseconds away takes as long to close.
pub const DRAIN_FULL_LOOK_MS: u64 = 50;

/// Lines of the log that may wait for whoever reads it: some 4 MB. More are lost, and counted.
pub const LOG_LINES: usize = 10_000;

/// Bytes read from a media file at a time for a viewer who takes them at once: keeps a fast line busy.
pub const MEDIA_STEP_BYTES: usize = 256 << 10;
/// The same for one who does not, and of a page's own files: what waits for a slow viewer is in memory.
pub const SLOW_MEDIA_STEP_BYTES: usize = 64 << 10;
/// How soon a step must have been taken to count as taken at once, in milliseconds.
pub const FAST_STEP_MS: u64 = 50;
/// Steps in a row that must have been taken at once for the next to be a large one. TLS and the kernel take in the first
/// ones from a viewer who reads nothing, too.
pub const FAST_STEPS: u32 = 6;
/// How often every media file is read again, in seconds (a week): disks lose bytes unnoticed over months, and a backup
/// that still has them is kept for longer than that.
pub const SCRUB_INTERVAL_S: i64 = 7 * 86_400;
/// How fast they are read, in bytes a second (16 MiB): a tenth of what one spinning disk gives, and 9 TiB a week.
pub const SCRUB_BYTES_PER_S: u64 = 16 << 20;
/// Bytes read at a time: sixteen times a second the disk is held up for the length of one short read.
pub const SCRUB_STEP_BYTES: usize = 1 << 20;
/// Bytes that a file counts as at least: finding it costs a spinning disk as much as reading these.
pub const SCRUB_FILE_BYTES: usize = 64 << 10;
/// How often it is written down how far that has come, in seconds: what a restart reads once more.
pub const SCRUB_NOTE_S: u64 = 60;
/// Longest note of it that is read, in bytes: 100,000 damaged files.
pub const SCRUB_NOTE_BYTES: u64 = 4 << 20;
/// Files taken off the list at a time, in the order of their ids: the list of millions is gone through that seldom.
pub const SCRUB_FILES: usize = 10_000;
/// How often it is looked whether a damaged media file was put back, in seconds: whoever does it waits for that.
pub const DAMAGED_LOOK_S: u64 = 5;
/// How soon a file that the disk did not give is read again without a sign that anything was done to it, in seconds: a
/// disk that fails takes long over each bad place, and may be sound again by itself.
pub const DAMAGED_RETRY_S: u64 = 600;
/// Damaged media files in one answer or on one page: beyond that it is the disk that is damaged.
pub const DAMAGED_LISTED: usize = 100;
/// Longest that the index of a state directory may compute or stand still, beside which a backup is restored, until it says
/// how far it has come, in seconds: with five million videos it takes fewer than twenty, and one that is damaged may hang.
pub const KNOWN_INDEX_S: u64 = 30;
/// Memory that it may use for a cache meanwhile, in bytes: one number is read.
pub const KNOWN_INDEX_CACHE_BYTES: u64 = 8 << 20;
/// Media files that a backup may lack: where more are gone, it is the disk below them that is.
pub const BACKUP_MISSING_FILES: usize = 10_000;
/// Longest manifest of a backup that is read, in bytes: one that names all that a backup may lack is a third of it.
pub const BACKUP_MANIFEST_BYTES: u64 = 4 << 20;
/// Media files that one request may have read again: their ids fit into [`JSON_BODY_BYTES`].
pub const CHECKED_FILES: usize = 1_000;
/// Sources read at the same time: each may hold its whole index, up to 64 MiB.
pub const SOURCES_READ_AT_ONCE: usize = 2;
/// How long an upload is not answered for the sake of its packaging, in seconds: most are done by then, and no proxy has
/// given up yet.
pub const PACKAGING_WAIT_S: u64 = 20;
/// Longest that one thing may take to be made with ffmpeg, in seconds a second of film, beside [`TRANSCODING_START_S`]:
/// 2160p on one slow core takes about 30.
pub const TRANSCODING_PER_S: u64 = 60;
/// What is added to that, in seconds.
pub const TRANSCODING_START_S: u64 = 600;
/// Longest that one thing may take to be made with ffmpeg however long the film is, in seconds: a day.
pub const TRANSCODING_MAX_S: u64 = 24 * 3_600;
/// Longest film that anything is made of with ffmpeg, in milliseconds: 100 hours. What says more is no film.
pub const TRANSCODING_FILM_MS: u64 = 100 * 3_600 * 1_000;
/// Longest segment of a film that qualities are made of with ffmpeg, in milliseconds: an hour in which no picture can be
/// begun with. Nobody is shown that, and what lies in between would be filled with hours of silence.
pub const TRANSCODING_SEGMENT_MS: u64 = 3_600 * 1_000;
/// Longest single piece of memory that ffmpeg may take, in bytes (256 MiB): a picture of the most pixels takes 214, and a
/// pause in the sound, which is filled with silence at once, a gigabyte for each quarter of an hour or two.
pub const TRANSCODING_PIECE_BYTES: u64 = 256 << 20;
/// When what could not be made for want of room or of ffmpeg is tried again, in seconds.
pub const TRANSCODING_RETRY_S: u64 = 60;
/// Sources packaged at the same time: each may hold its whole index, and the disk is one.
pub const SOURCES_PACKAGED_AT_ONCE: usize = 2;
/// Indexes of packaged renditions, and playlists and manifests written from them, held in memory, in bytes: some hundred
/// films of two hours.
pub const SEGMENT_INDEXES_BYTES: usize = 32 << 20;
/// Bytes of an upload gathered before they are written: four times what comes at a time, and a thousand that come at once
/// hold 256 MiB.
pub const UPLOAD_STEP_BYTES: usize = 256 << 10;

/// Life of an upload that nothing more comes of, in seconds: a weekend.
pub const UPLOAD_LIFE_S: i64 = 3 * 86_400;
/// Uploads of one organization that may be open at once: each is held in memory and may hold room on the disk.
pub const OPEN_UPLOADS: usize = 1_000;
/// `Upload-Metadata`, in bytes: a title and a few words.
pub const UPLOAD_METADATA_BYTES: usize = 4 << 10;
/// Silence after which an upload's connection is taken for dead by whoever wants to go on with it, in milliseconds.
pub const UPLOAD_SILENCE_MS: u64 = 1_000;
/// How long such a connection may take to let go, in milliseconds: what came over it is written out and synced.
pub const UPLOAD_RELEASE_MS: u64 = 5_000;

/// How often a viewer is admitted anew whose video or key changed in the moment of being let in.
pub const ADMISSIONS: usize = 8;
/// Live sessions remembered for one organization; public videos' take half of it at most. Past it a session still plays by
/// its grants; it is not listed and cannot prolong old URLs. Some 40 MB.
pub const LIVE_SESSIONS: usize = 200_000;
/// Life of a sign-in to the dashboard, in seconds: a working day. Whoever works longer signs in once more.
pub const SIGN_IN_S: i64 = 12 * 3_600;
/// How long a sign-in may lie unused, in seconds: a browser left open on a desk is not the operator.
pub const SIGN_IN_IDLE_S: i64 = 2 * 3_600;
/// How long the clock has to go on saying that an ended session may be forgotten, in seconds (a day), by a clock that
/// nobody sets: one that is ahead for a moment must not bring its URLs back.
pub const FORGET_AFTER_S: u64 = 86_400;
/// The same for an upload that has expired, in seconds (an hour): its bytes are gone with it, and until then they take
/// room.
pub const UPLOAD_FORGET_AFTER_S: u64 = 3_600;
/// Before this no clock is right, in seconds since 1970 (2026-11-01): the program is younger. What was signed before a
/// power cut would be good again.
pub const EARLIEST_CLOCK_S: i64 = 1_793_491_200;
/// How far the clock may be set back while the server runs before that is told, in milliseconds.
pub const CLOCK_SET_BACK_MS: i64 = 60_000;
/// How often the clock is looked at besides when it is set, in seconds.
pub const CLOCK_LOOK_S: i64 = 1;
/// Sign-ins a minute with one private key, by client address: each is an entry of the audit log for good.
pub const SIGN_INS_PER_MINUTE: u32 = 120;
/// Sign-ins of one organization at once; one more ends the oldest.
pub const SIGN_INS: usize = 100;

/// Notifications kept for a service manager that does not read: the last of them say all that it has to know.
pub const NOTIFICATIONS: usize = 16;
/// How often a start that takes long asks the service manager for more time, in seconds.
pub const START_STEP_S: u64 = 10;
/// Longest start that more time is asked for, in seconds: a catalog of five million videos takes 20, and what takes
/// longer than this hangs.
pub const START_MAX_S: u64 = 900;
/// How long what was accepted last has to be heard before a stop closes silent connections, in milliseconds: a TLS
/// handshake and a request over a line of 200 ms take 400.
pub const LAST_CONNECTIONS_MS: u64 = 500;
/// What a stop may take beyond the grace that running answers have, in seconds: the last records are written.
pub const STOP_MARGIN_S: u64 = 5;
/// How often the files of the certificate are looked at, in seconds.
pub const CERTIFICATE_POLL_S: u64 = 60;
/// A certificate that ends sooner is warned of, in seconds: two weeks are left to renew it by hand.
pub const CERTIFICATE_WARNING_S: i64 = 14 * 86_400;

/// Threads that may wait for the disk at once, of all workers together and one of each at least: as many writes as no disk
/// does at once. With [`TENDING_THREADS`] and [`APPLIANCE_THREADS`] they stay below `TasksMax=` of the unit: where the system
/// gives no thread, requests fail.
pub const WORKERS_THREADS: usize = 128;
/// The same of what the server does by itself.
pub const TENDING_THREADS: usize = 64;
/// The same of the appliance's socket: backups, and questions after the disk.
pub const APPLIANCE_THREADS: usize = 16;
/// How soon a task of the server's own that panicked is begun anew, in seconds: one that does so again at once is no load.
pub const TASK_PAUSE_S: u64 = 5;
/// How long that is a concern, in seconds: one that fails each minute is one all the time, and a look each minute finds it.
pub const FAILED_TASK_TOLD_S: u64 = 300;

/// Descriptors of one connection: its socket, and a file that is sent or received.
pub const CONNECTION_DESCRIPTORS: u64 = 2;
/// Descriptors without which nothing starts: some thirty for the store, the listeners and their loops, and as many again.
pub const START_DESCRIPTORS: u64 = 64;
/// Descriptors that each worker's event loop takes, and one to spare.
pub const WORKER_DESCRIPTORS: u64 = 4;
/// Sockets that systemd may hand over, one for each address: whoever says that there are more is mistaken.
pub const INHERITED_SOCKETS: u64 = 64;
/// Descriptors that no connection gets, for the journal, the index, backups and ffmpeg. Where the system gives fewer than
/// twice as many, half of them.
pub const STORE_DESCRIPTORS: u64 = 256;
/// Client addresses whose rates are tracked before idle ones are swept.
pub const RATE_ENTRIES: usize = 100_000;
/// How often `lastUsedAt` of signing keys is written down, in seconds.
pub const LAST_USED_FLUSH_S: u64 = 60;
