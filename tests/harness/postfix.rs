//! A Postfix of its own, in a folder: as the client in front of the relay, or as a destination.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::packages::need;

/// A Postfix that runs; stopped when dropped.
pub struct Postfix {
    folder: tempfile::TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Postfix {
    /// Starts one that listens there. `extra` are lines of main.cf.
    pub fn start(address: SocketAddr, hostname: &str, extra: &str) -> Self {
        need("postfix", "postfix");
        assert!(
            nix::unistd::geteuid().is_root(),
            "Postfix starts as root only: run the tests as root"
        );
        let folder = tempfile::Builder::new().prefix("postfix-").tempdir_in("/var/tmp").unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path();
        for name in ["etc", "data", "mail"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        std::fs::create_dir(path.join("queue")).unwrap();
        own(&path.join("data"), "postfix");
        own(&path.join("mail"), "nobody");
        let base = path.display();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {base}/queue\ndata_directory = {base}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n\
             setgid_group = postdrop\nmyhostname = {hostname}\nmydestination =\ninet_interfaces = all\n\
             inet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nmaillog_file = {base}/mail.log\n\
             maillog_file_prefixes = {base}\nmessage_size_limit = 0\nmailbox_size_limit = 0\n\
             virtual_mailbox_limit = 0\nsmtp_dns_support_level = disabled\nsmtp_host_lookup = native\n\
             alias_maps =\nalias_database =\n{extra}\n",
        );
        std::fs::write(path.join("etc/main.cf"), main).unwrap();
        let master = std::fs::read_to_string("/etc/postfix/master.cf").unwrap();
        let master = master
            .lines()
            .map(|line| match line.strip_prefix("smtp      inet") {
                Some(rest) => format!("{address} inet{rest}"),
                None => line.to_owned(),
            })
            .map(|line| line.replace("  y       ", "  n       "))
            .collect::<Vec<_>>()
            .join("\n");
        std::fs::write(path.join("etc/master.cf"), master + "\n").unwrap();
        let postfix = Self { folder, address };
        let done = postfix.command("postfix", &["start"]).output().unwrap();
        assert!(done.status.success(), "postfix start: {}{}", text(&done.stderr), postfix.log());
        postfix
    }

    /// main.cf of a destination that keeps mail for a domain in a Maildir.
    pub fn destination(address: SocketAddr, domain: &str) -> Self {
        let uid = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid;
        let extra = format!(
            "virtual_mailbox_domains = {domain}\nvirtual_mailbox_base = /\nvirtual_minimum_uid = 1\n\
             virtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{uid}\n"
        );
        let made = Self::start(address, &format!("mx.{domain}"), &extra);
        // The folder is known only now.
        let inbox = made.folder.path().join("mail");
        let setting = format!(
            "virtual_mailbox_maps = static:{}/",
            inbox.join("inbox").display().to_string().trim_start_matches('/')
        );
        let main = made.folder.path().join("etc/main.cf");
        std::fs::OpenOptions::new()
            .append(true)
            .open(main)
            .unwrap()
            .write_all(setting.as_bytes())
            .unwrap();
        assert!(made.command("postfix", &["reload"]).output().unwrap().status.success());
        made
    }

    /// Hands a message to `sendmail`, as a program on that machine does.
    pub fn sendmail(&self, from: &str, to: &str, message: &[u8]) {
        let mut child = self
            .command("sendmail", &["-i", "-f", from, to])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(message).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "sendmail: {}", text(&done.stderr));
    }

    /// The messages in the Maildir of a destination.
    pub fn inbox(&self) -> Vec<Vec<u8>> {
        let folder = self.folder.path().join("mail/inbox/new");
        let files = std::fs::read_dir(folder).map(|files| files.flatten().collect::<Vec<_>>());
        files.unwrap_or_default().iter().map(|file| std::fs::read(file.path()).unwrap()).collect()
    }

    /// Nothing waits.
    pub fn queue_is_empty(&self) -> bool {
        ["maildrop", "incoming", "active", "deferred"]
            .iter()
            .all(|name| is_empty(&self.folder.path().join("queue").join(name)))
    }

    /// The process that all others descend from.
    pub fn master_pid(&self) -> i32 {
        let pid = std::fs::read_to_string(self.folder.path().join("queue/pid/master.pid")).unwrap();
        pid.trim().parse().unwrap()
    }

    /// Its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("mail.log")).unwrap_or_default()
    }

    fn command(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(format!("/usr/sbin/{name}"));
        let etc = self.folder.path().join("etc");
        command.arg(if name == "sendmail" { "-C" } else { "-c" }).arg(etc).args(words);
        command.env("MAIL_CONFIG", self.folder.path().join("etc"));
        command.stdout(Stdio::null());
        command
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = self.command("postfix", &["stop"]).output();
    }
}

/// No file in the folder or, where it is hashed, in those below.
fn is_empty(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return true };
    entries.flatten().all(|entry| entry.path().is_dir() && is_empty(&entry.path()))
}

fn own(path: &Path, user: &str) {
    let user = nix::unistd::User::from_name(user).unwrap().unwrap();
    nix::unistd::chown(&PathBuf::from(path), Some(user.uid), None).unwrap();
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
