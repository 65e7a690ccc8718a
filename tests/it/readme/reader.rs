//! Somebody who follows a page to the letter, on a machine of their own: a directory that stands for `/`, and
//! stand-ins for what only a real machine has (`sudo`, `useradd`, systemd, certbot). `systemctl start` runs what the
//! installed unit says.

use crate::support::{log_directory, wait_for};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Installs the libraries of the samples, once.
pub fn install_clients() {
    let output = Command::new(repository().join("tests/clients/install")).output().unwrap();
    assert!(output.status.success(), "tests/clients/install: {}", String::from_utf8_lossy(&output.stderr));
}

const SUDO: &str = r#"while [[ ${1-} == -* ]]; do [[ $1 == -u ]] && shift; shift; done; exec "$@""#;
const INSTALL: &str = r#"words=()
while (($#)); do case $1 in -o | -g) shift 2 ;; *) words+=("$1"); shift ;; esac; done
exec /usr/bin/install "${words[@]}""#;
const CURL: &str = r#"if [[ $* == *https://video.example.com* ]]; then
  SCREENER_URL=$(screener status | sed -n 's#.*"publicUrl": "\(.*\)".*#\1#p')
fi
exec /usr/bin/curl --silent --show-error --fail-with-body --cacert "$CA" "${@/#https:\/\/video.example.com/$SCREENER_URL}""#;
/// The test program's build has made it already.
const CARGO: &str = r#"[[ $* == "build --release" && -x target/release/screener ]]"#;
const SCREENER: &str = r#"config=(--config "$ROOT/etc/screener/config.toml")
case "$1 ${2-}" in "token mint" | "backup verify" | "version "*) config=() ;; esac
exec "$ROOT/usr/local/bin/screener" "$@" "${config[@]}""#;
const SYSTEMCTL: &str = r#"unit=$ROOT/etc/systemd/system/screener.service
command() { sed -n "s#^$1=##p" "$unit" | sed "s#/usr/local/bin/#$ROOT&#g; s#/etc/screener/#$ROOT&#g"; }
start() {
  for name in $(sed -n 's#^StateDirectory=##p' "$unit"); do mkdir -p -m 700 "$ROOT/var/lib/$name"; done
  credential=$ROOT/run/credentials/master.key
  /usr/bin/install -D -m 600 "$ROOT$(sed -n 's#^LoadCredential=master.key:##p' "$unit")" "$credential"
  export SCREENER__STATE__MASTER_KEY_FILE=$credential
  $(command ExecStartPre) > /dev/null
  $(command ExecStart) > /dev/null 2>> "$LOG" &
  echo $! > "$ROOT/pid"
  for _ in {1..600}; do screener status > /dev/null 2>&1 && return; read -rt 0.05 <> <(:) || :; done
  exit 1
}
stop() {
  kill "$(< "$ROOT/pid")"
  tail --pid="$(< "$ROOT/pid")" -f /dev/null
  rm "$ROOT/pid"
}
case "$*" in
"enable --now screener.socket screener.service" | "start screener.socket screener.service")
  # After a failure that has been mended it is started once more; it serves already here.
  [[ -e $ROOT/pid ]] || start ;;
"stop screener.socket screener.service") stop ;;
"restart screener") stop; start ;;
"reload screener")
  while read -r line; do ${line//'$MAINPID'/$(< "$ROOT/pid")} > /dev/null; done < <(command ExecReload) ;;
"--quiet is-active screener") [[ -e $ROOT/pid ]] ;;
# What it starts is run by a real systemd (tests/faults/sandbox).
"enable --now screener-backup.timer") [[ -e $ROOT/etc/systemd/system/screener-backup.service ]] ;;
"daemon-reload" | "status screener" | "reset-failed screener.service screener.socket") ;;
*) exit 2 ;;
esac"#;
const JOURNALCTL: &str = r#"[[ $* == "-u screener -o cat --since today --grep "* ]]; grep -E "${*: -1}" "$LOG" || :"#;
/// What certbot does once it has a certificate.
const CERTBOT: &str = r#"export RENEWED_LINEAGE=$ROOT/etc/letsencrypt/live/video.example.com
"$ROOT/etc/letsencrypt/renewal-hooks/deploy/screener""#;

/// The reader and their machine.
pub struct Reader {
    directory: tempfile::TempDir,
    /// The variables that the README tells them to export, and what a test needs.
    pub variables: BTreeMap<String, String>,
}

impl Reader {
    /// With a clone of the repository and a video called `lesson.mp4`, a poster and captions; `page` is what they read.
    pub fn of(page: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let below =
            ["stubs", "etc/systemd/system", "usr/local/bin", "var/lib", "mnt/elsewhere", "clone/target/release"];
        for name in below {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        let stubs = [
            ("sudo", SUDO),
            ("install", INSTALL),
            ("useradd", "exit 0"),
            ("chown", "exit 0"),
            ("certbot", CERTBOT),
            ("journalctl", JOURNALCTL),
            ("curl", CURL),
            ("cargo", CARGO),
            ("screener", SCREENER),
            ("systemctl", SYSTEMCTL),
        ];
        for (name, script) in stubs {
            let path = root.join("stubs").join(name);
            std::fs::write(&path, format!("#!/usr/bin/env bash\nset -euo pipefail\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_screener"), root.join("clone/target/release/screener")).unwrap();
        symlink(repository().join("systemd"), root.join("clone/systemd")).unwrap();
        symlink(repository().join("docs"), root.join("clone/docs")).unwrap();
        symlink(repository().join("tests/clients/node_modules"), root.join("clone/node_modules")).unwrap();
        for (fixture, name) in [
            ("h264_aac.mp4", "lesson.mp4"),
            ("h264_aac.mp4", "lesson-360p.mp4"),
            ("poster.jpg", "poster.jpg"),
            ("captions.vtt", "lesson.vtt"),
        ] {
            std::fs::copy(repository().join("tests/fixtures").join(fixture), root.join("clone").join(name)).unwrap();
        }
        let text = |path: PathBuf| path.display().to_string();
        let log = log_directory().join(format!("{}-{}.log", page.trim_end_matches(".md"), std::process::id()));
        let variables = [
            ("ROOT", text(root.to_owned())),
            ("LOG", text(log)),
            ("CA", text(root.join("var/lib/screener/tls/ca.pem"))),
            ("SCREENER__STATE__DIR", text(root.join("var/lib/screener"))),
            ("SCREENER__SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            ("PATH", format!("{}:{}", root.join("stubs").display(), std::env::var("PATH").unwrap())),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        Self { directory, variables }
    }

    /// Where the reader works: the clone.
    pub fn clone_directory(&self) -> PathBuf {
        self.directory.path().join("clone")
    }

    /// A path that the README calls `/…`.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.directory.path().join(absolute.trim_start_matches('/'))
    }

    /// A variable the reader has by now.
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).unwrap_or_else(|| panic!("the reader has no {name} yet"))
    }

    /// Notes a variable.
    pub fn export(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Types a block into a shell; what it printed. Any command that fails, fails the test.
    pub fn run(&self, block: &str) -> String {
        let mut script = block.to_owned();
        for place in ["/etc/", "/usr/local/", "/var/lib/", "/mnt/"] {
            script = script.replace(&format!(" {place}"), &format!(" {}{place}", self.directory.path().display()));
        }
        self.interpret(&["bash", "-euo", "pipefail", "-s"], &script)
    }

    /// Gives a sample to an interpreter.
    pub fn interpret(&self, command: &[&str], program: &str) -> String {
        let mut process = Command::new(command[0])
            .args(&command[1..])
            .current_dir(self.clone_directory())
            .envs(&self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
        let output = process.wait_with_output().unwrap();
        let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "failed:\n{program}\n--- printed\n{printed}\n--- errors\n{errors}");
        printed.into_owned()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Ok(pid) = std::fs::read_to_string(self.directory.path().join("pid")) else { return };
        let pid = pid.trim();
        // Ended already is as good.
        let _ = Command::new("kill").arg(pid).status();
        let process = Path::new("/proc").join(pid);
        let is_over = || {
            !process.exists() || std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z"))
        };
        if !std::thread::panicking() {
            wait_for("the server's end", Duration::from_secs(40), is_over);
        }
    }
}
