//! Two implementations that check DKIM signatures and are not ours: dkimpy and `OpenDKIM`. Public keys
//! are handed to them in a file; no DNS is asked.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::packages::need;

/// What is said of one signature.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Verdict {
    /// s=
    pub selector: String,
    /// a=
    pub algorithm: String,
    /// It is good.
    pub pass: bool,
}

/// Reads a message on each path it is given; the first is a file of `name record` lines.
const DKIMPY: &str = "
import dkim, json, sys
records = dict(line.rstrip(b'\\n').split(b' ', 1) for line in open(sys.argv[1], 'rb'))
def record(name, timeout=5):
    return records.get(name.rstrip(b'.').lower())
for path in sys.argv[2:]:
    message = open(path, 'rb').read()
    verdicts = []
    count = sum(1 for name, _ in dkim.DKIM(message).headers if name.lower() == b'dkim-signature')
    for number in range(count):
        check = dkim.DKIM(message, minkey=1024)
        try:
            good = check.verify(idx=number, dnsfunc=record)
        except dkim.DKIMException as error:
            print(path, error, file=sys.stderr)
            good = False
        fields = check.signature_fields
        verdicts.append({'selector': fields[b's'].decode(), 'algorithm': fields[b'a'].decode(), 'pass': good})
    print(json.dumps(verdicts))
";

/// What both say of each message, signature by signature from above; they agree, or the test fails.
/// `records` are names and TXT records.
pub fn verify(messages: &[Vec<u8>], records: &[(String, String)]) -> Vec<Vec<Verdict>> {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let lines: Vec<String> =
        records.iter().map(|(name, record)| format!("{name} {record}\n")).collect();
    std::fs::write(&keys, lines.concat()).unwrap();
    let mut paths = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let path = folder.path().join(number.to_string());
        std::fs::write(&path, message).unwrap();
        paths.push(path);
    }
    let dkimpy = ask_dkimpy(&keys, &paths);
    assert_eq!(dkimpy.len(), messages.len());
    for ((path, message), expected) in paths.iter().zip(messages).zip(&dkimpy) {
        let opendkim = ask_opendkim(folder.path(), &keys, path);
        let shown = String::from_utf8_lossy(&message[..message.len().min(4000)]);
        assert_eq!(opendkim, *expected, "OpenDKIM and dkimpy do not agree on\n{shown}");
    }
    dkimpy
}

fn ask_dkimpy(keys: &Path, paths: &[std::path::PathBuf]) -> Vec<Vec<Verdict>> {
    need("dkimverify", "python3-dkim");
    // Debian's Python, which has Debian's modules.
    let done = Command::new("/usr/bin/python3")
        .args(["-c", DKIMPY])
        .arg(keys)
        .args(paths)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ask_opendkim(folder: &Path, keys: &Path, message: &Path) -> Vec<Verdict> {
    need("opendkim", "opendkim");
    let config = folder.join("opendkim.conf");
    std::fs::write(&config, format!("TestPublicKeys {}\n", keys.display())).unwrap();
    let done = Command::new("/usr/sbin/opendkim")
        .arg("-x")
        .arg(&config)
        .arg("-t")
        .arg(message)
        .arg("-vv")
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&done.stdout);
    let mut verdicts = Vec::new();
    // `dkim=pass (2048-bit key) header.d=… header.a=rsa-sha256 header.s=s1 …;`
    for result in out.split("\tdkim=").skip(1).filter_map(|rest| rest.split(';').next()) {
        let value = |name: &str| result.split_once(name)?.1.split_whitespace().next();
        let (Some(selector), Some(algorithm)) = (value("header.s="), value("header.a=")) else {
            continue;
        };
        verdicts.push(Verdict {
            selector: selector.to_owned(),
            algorithm: algorithm.to_owned(),
            pass: result.starts_with("pass"),
        });
    }
    verdicts
}
