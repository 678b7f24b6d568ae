//! chasquid as a destination: a second implementation of SMTP that is not ours.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use crate::certificate::Certificate;
use crate::packages::need;

/// A chasquid that runs; killed when dropped.
pub struct Chasquid {
    folder: tempfile::TempDir,
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Chasquid {
    /// Keeps mail for `buzon` of the domain in files.
    pub fn start(address: SocketAddr, domain: &str) -> Self {
        need("chasquid", "chasquid");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let host = format!("mx.{domain}");
        for name in ["data", "mail", &format!("certs/{host}"), &format!("domains/{domain}")] {
            std::fs::create_dir_all(path.join(name)).unwrap();
        }
        let certificate = Certificate::new(&[&host]);
        let certs = path.join("certs").join(&host);
        std::fs::write(certs.join("fullchain.pem"), &certificate.certificate).unwrap();
        std::fs::write(certs.join("privkey.pem"), &certificate.private_key).unwrap();
        let script = path.join("deliver");
        let base = path.display();
        let text = format!(
            "#!/bin/sh\nset -e\nfile=$(mktemp {base}/data/in.XXXXXX)\ncat > \"$file\"\nmv \"$file\" {base}/mail/\n"
        );
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(
            path.join("domains").join(domain).join("aliases"),
            format!("buzon: | {}\n", script.display()),
        )
        .unwrap();
        let config = format!(
            "hostname: \"{host}\"\nsmtp_address: \"{address}\"\ndata_dir: \"{base}/data\"\n\
             mail_delivery_agent_bin: \"/bin/true\"\nmail_log_path: \"{base}/mail.log\"\nmax_data_size_mb: 100\n"
        );
        std::fs::write(path.join("chasquid.conf"), config).unwrap();
        let child = Command::new("chasquid")
            .arg("-config_dir")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, child, address }
    }

    /// The messages that it kept.
    pub fn inbox(&self) -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(self.folder.path().join("mail")).unwrap().flatten();
        files.map(|file| std::fs::read(file.path()).unwrap()).collect()
    }
}

impl Drop for Chasquid {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
