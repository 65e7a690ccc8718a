//! `docs/OPERATIONS.md`: an operator installs, renews, reloads, backs up, restores, rotates and mends, in that order.

use super::reader::Reader;
use super::{blocks, documents, repository, word_after};
use crate::support::{Server, files_below};
use std::os::unix::fs::FileExt;
use std::path::Path;

#[test]
fn every_block_of_the_operations_manual_runs() {
    let manual = std::fs::read_to_string(repository().join("docs/OPERATIONS.md")).unwrap();
    let mut reader = Reader::of("OPERATIONS.md");
    be_certified(&mut reader);
    let mut ran = 0;
    for block in blocks(&manual) {
        match (block.section.as_str(), block.language.as_str()) {
            (_, "sh") if block.text.starts_with("export ") => {}
            ("Install", "toml") => configure(&reader, &block.text),
            (section, "sh") => {
                before(&mut reader, &block.text);
                let printed = reader.run(&block.text);
                after(&mut reader, section, &block.text, &printed);
                ran += 1;
            }
            (section, language) => panic!("no test knows how to run this {language:?} of {section:?}"),
        }
    }
    assert!(ran >= 16, "only {ran} blocks were found");
}

/// Puts a pair where certbot would have it; `curl` trusts it from now on.
fn be_certified(reader: &mut Reader) {
    let live = reader.path("/etc/letsencrypt/live/video.example.com");
    std::fs::create_dir_all(&live).unwrap();
    // Any server's own certificate will do.
    let server = Server::start();
    for (from, to) in [("certificate.pem", "fullchain.pem"), ("key.pem", "privkey.pem"), ("ca.pem", "ca.pem")] {
        std::fs::copy(server.state().join("tls").join(from), live.join(to)).unwrap();
    }
    reader.export("CA", live.join("ca.pem").to_str().unwrap());
}

/// The manual's configuration, with the places of this machine and the address that is listened on here.
fn configure(reader: &Reader, toml: &str) {
    let tls = reader.path("/etc/screener/tls");
    let text = toml.replace("/etc/screener/tls", tls.to_str().unwrap());
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("public_url")).collect();
    std::fs::write(reader.path("/etc/screener/config.toml"), text.join("\n")).unwrap();
}

/// What has happened to the operator before they turn to this block.
fn before(reader: &mut Reader, block: &str) {
    if block.contains("key revoke") {
        let made = admin(reader, "signing-keys", r#"{"label": "leaked"}"#);
        let kid = documents(&made).pop().unwrap()["id"].as_str().unwrap().to_owned();
        reader.export("KEY_ID", &kid);
    } else if block.contains("/media/$FILE") {
        // The backup on the same disk is linked: what damages one damages the other.
        let media = files_below(&reader.path("/var/lib/screener/media"));
        damage(&media[0]);
        let file = media[0].file_name().unwrap().to_str().unwrap().to_owned();
        let said = reader.run("sudo -u screener screener store verify 2>&1 || :");
        assert!(said.contains(&file) && said.contains("is damaged"), "{said}");
        reader.export("FILE", &file);
    }
}

/// Whether it did what the text around it says.
fn after(reader: &mut Reader, section: &str, block: &str, printed: &str) {
    let log = std::fs::read_to_string(reader.variable("LOG")).unwrap_or_default();
    if block.contains("screener init") {
        reader.export("PRIVATE_KEY", &word_after(printed, "mvi_priv_"));
    } else if block.contains("enable --now") && !block.contains(".timer") {
        let made = admin(reader, "videos", r#"{"title": "Lesson 1"}"#);
        let video = documents(&made).pop().unwrap()["id"].as_str().unwrap().to_owned();
        reader.run(&format!(
            "curl -T lesson.mp4 https://video.example.com/admin/v1/videos/{video}/source -H \"Authorization: Bearer $PRIVATE_KEY\""
        ));
        // A renewal, which finds a server to tell.
        reader.run("certbot renew");
        reader.run(WAIT_FOR_RELOAD);
    } else if block.contains("systemctl reload") && !block.contains("certbot certonly") {
        reader.run(WAIT_FOR_RELOAD);
    } else if block.contains("readyz") {
        assert!(printed.contains("\"status\":\"ok\""), "{printed}");
    } else if block.contains("screener version") {
        assert!(printed.contains(concat!("screener ", env!("CARGO_PKG_VERSION"))), "{printed}");
    } else if block.contains("backup restore") {
        let videos = admin(reader, "videos", "");
        assert!(videos.contains("Lesson 1"), "{videos}");
    } else if block.contains("key revoke") {
        let kid = reader.variable("KEY_ID");
        let line = printed.lines().find(|line| line.starts_with(kid)).unwrap();
        assert!(line.contains("active"), "{line}");
        let list = reader.run("sudo -u screener screener key list");
        assert!(list.lines().any(|line| line.starts_with(kid) && line.contains("revoked")), "{list}");
    } else if block.contains("rotate-master") {
        assert!(printed.contains("keys are sealed anew"), "{printed}");
        let list = reader.run("sudo -u screener screener key list");
        assert!(list.contains("active") || list.contains("revoked"), "{list}");
        assert!(admin(reader, "videos", "").contains("Lesson 1"));
    } else if block.contains("index-before") {
        assert!(log.contains("the index was caught up from the journal"), "{log}");
        assert!(admin(reader, "videos", "").contains("Lesson 1"));
    } else {
        let known = [
            "systemd/screener.socket",
            "certbot certonly",
            "air-gapped.conf",
            "screener.old",
            "screener-backup.timer",
            "backup verify",
            "reset-failed",
            "store verify",
        ];
        assert!(known.iter().any(|part| block.contains(part)), "nothing checks this of {section:?}:\n{block}");
    }
}

/// The signal is heard a moment after `systemctl reload` is over.
const WAIT_FOR_RELOAD: &str = r#"for _ in {1..200}; do
  if grep -q '"message":"reloaded"' "$LOG"; then exit; fi
  read -rt 0.05 <> <(:) || :
done
exit 1"#;

/// A call of the admin API: a POST with a body, a GET without one.
fn admin(reader: &Reader, path: &str, body: &str) -> String {
    let body = if body.is_empty() { String::new() } else { format!("-H 'Content-Type: application/json' -d '{body}'") };
    reader.run(&format!(
        "curl https://video.example.com/admin/v1/{path} -H \"Authorization: Bearer $PRIVATE_KEY\" {body}"
    ))
}

/// Changes one bit in the middle of a file, in place.
fn damage(path: &Path) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let (mut byte, at) = ([0], path.metadata().unwrap().len() / 2);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}
