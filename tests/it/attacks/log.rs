//! A log that nobody reads (attack K30).

use crate::support::{Options, Server, Wire, terminate, wait_for};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// Standard error goes on to the test up to the line that says that the server serves. Then nobody reads it, until there
/// is a file `go`; the rest goes into the file `rest`.
const UNREAD: &str = r#"exec "$@" 2> >(
    sed --unbuffered '/"serving"/q' >&2
    exec 2>&-
    while [ -d "$UNREAD" ] && ! [ -e "$UNREAD/go" ]; do sleep 0.1; done
    exec cat > "$UNREAD/rest")"#;

/// The lines that were read in the end; the first may be half a line.
fn lines(directory: &Path) -> Vec<Value> {
    let rest = std::fs::read_to_string(directory.join("rest")).unwrap_or_default();
    rest.lines().skip(1).filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody_and_what_is_lost_of_it_is_told() {
    const BATCH: usize = 500;
    const REQUESTS: usize = 24 * BATCH;
    let directory = tempfile::tempdir().unwrap();
    let environment = vec![("UNREAD".to_owned(), directory.path().to_str().unwrap().to_owned())];
    let server = Server::with(Options { environment, under: vec!["bash", "-c", UNREAD, "-"], ..Options::default() });
    let mut wire = Wire::connect(&server);
    let began = Instant::now();
    for number in 0..REQUESTS / BATCH {
        // Slowly enough for each answer to have its line.
        let due = Duration::from_millis(300) * u32::try_from(number).unwrap();
        wait_for("the next batch to be due", Duration::from_secs(1), || began.elapsed() >= due);
        wire.send_raw(&b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(BATCH)).unwrap();
        for _ in 0..BATCH {
            let head = wire.head();
            assert_eq!(head.status, 200);
            wire.read_exact(&mut vec![0; usize::try_from(head.length().unwrap()).unwrap()]).unwrap();
        }
    }
    assert_eq!(Wire::connect(&server).exchange("GET", "/healthz", &[]).status(), 200);
    std::fs::write(directory.path().join("go"), "").unwrap();
    let lost = || lines(directory.path()).iter().find_map(|line| line["lines"].as_u64());
    wait_for("what was lost to be told", Duration::from_secs(20), || lost().is_some());
    let answered = lines(directory.path()).iter().filter(|line| line["message"] == "answered").count();
    let lost = usize::try_from(lost().unwrap()).unwrap();
    println!("{REQUESTS} requests: {answered} lines, {lost} lost");
    // What `sed` had read ahead is in neither number.
    assert!((REQUESTS - 100..REQUESTS + 10).contains(&(answered + lost)), "{answered} lines, {lost} lost");
    // The end of it is there.
    terminate(server.pid());
    wait_for("the last line", Duration::from_secs(20), || {
        lines(directory.path()).last().is_some_and(|line| line["message"] == "stopped")
    });
}

/// Standard error goes on to the test up to the line that says that the server serves; then its reader is gone.
const CLOSED: &str = r#"exec "$@" 2> >(sed --unbuffered '/"serving"/q' >&2)"#;

#[test]
fn a_log_whose_reader_is_gone_holds_up_nobody() {
    let mut server = Server::with(Options { under: vec!["bash", "-c", CLOSED, "-"], ..Options::default() });
    // Its end of the pipe is the only one left.
    let is_alone = || {
        let of = |pid: u32| std::fs::read_link(format!("/proc/{pid}/fd/2"));
        let Ok(pipe) = of(server.pid()) else { return false };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let fds = pids.filter(|pid| *pid != server.pid());
        !fds.flat_map(|pid| std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten())
            .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target == pipe))
    };
    wait_for("nobody to read the log", Duration::from_secs(20), is_alone);
    let (video, embed) = server.video("private");
    let mut wire = Wire::connect(&server);
    for _ in 0..500 {
        assert_eq!(wire.exchange("GET", "/healthz", &[]).status(), 200);
    }
    server.playback(&embed, Some(&server.token(&video))).expect(200);
    assert!(server.stop(), "it did not end well");
}
