//! `tambo dkim`: makes keys that sign mail, and prints what must be in the DNS for them.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use relay_config::values::{parse_domain, parse_selector};
use serde::Serialize;

use crate::outside::DkimKeys as _;
use crate::outside::dkim::PublicKey;
use crate::outside::real::{KeyFiles, KeySize, generate};

use super::{load, print_json, print_line};

#[derive(Debug, Args)]
pub(super) struct DkimArguments {
    #[command(subcommand)]
    command: DkimCommand,
}

#[derive(Debug, Subcommand)]
enum DkimCommand {
    /// Make a key; print its DNS record and its part of the configuration.
    Keygen(Keygen),
    /// Print the DNS records of all keys in the configuration.
    Record {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Keygen {
    /// The domain that signs, as in example.pe.
    #[arg(long)]
    domain: String,
    /// Name of the key: a new key gets a new one, as in s2026a.
    #[arg(long)]
    selector: String,
    /// How it signs. Every receiver knows RSA; Ed25519 may stand beside it, not alone.
    #[arg(long, value_enum, default_value_t = Kind::Rsa)]
    algorithm: Kind,
    /// Bits of an RSA key: 2048, 3072 or 4096.
    #[arg(long, value_parser = ["2048", "3072", "4096"])]
    bits: Option<String>,
    /// File for the private key; must not exist yet.
    #[arg(long)]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Rsa,
    Ed25519,
}

/// What is printed of a key.
#[derive(Debug, Serialize)]
struct Record {
    /// Where the record goes, without a dot at its end.
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// The whole record.
    value: String,
    /// The same in strings that a TXT record can hold.
    strings: Vec<String>,
    algorithm: &'static str,
    domain: String,
    selector: String,
    private_key: PathBuf,
}

pub(super) fn dkim(config: &Path, arguments: &DkimArguments) -> Result<(), String> {
    match &arguments.command {
        DkimCommand::Keygen(keygen) => make(keygen),
        DkimCommand::Record { json } => print_records(config, *json),
    }
}

fn make(asked: &Keygen) -> Result<(), String> {
    let domain = parse_domain(&asked.domain)
        .map_err(|why| format!("--domain {why}; write it as in example.pe"))?;
    let selector = parse_selector(&asked.selector)
        .map_err(|why| format!("--selector {why}; use letters, digits and -, as in s2026a"))?;
    let size = match (asked.algorithm, asked.bits.as_deref()) {
        (Kind::Rsa, None | Some("2048")) => KeySize::Rsa2048,
        (Kind::Rsa, Some("3072")) => KeySize::Rsa3072,
        (Kind::Rsa, Some(_)) => KeySize::Rsa4096,
        (Kind::Ed25519, None) => KeySize::Ed25519,
        (Kind::Ed25519, Some(_)) => return Err("--bits is for RSA keys only; leave it out".into()),
    };
    let out = std::path::absolute(&asked.out).map_err(|error| error.to_string())?;
    let key = generate(size)?;
    write_new(&out, &key.pem)?;
    let record = Record::new(&domain, &selector, &out, &key.public);
    if nix::unistd::geteuid().is_root() {
        let path = out.display();
        eprintln!("{path} is root's: `chown tambo: {path}`, or whoever the relay runs as");
    }
    if asked.json {
        return print_json(&record);
    }
    print_line("; 1. Publish this in the DNS:");
    print_line(&record.zone());
    print_line(
        "\n# 2. When it is there, add this to the configuration, and `systemctl reload tambo`:",
    );
    print_line(&record.section());
    Ok(())
}

/// Writes a file that nobody else may read. One that is there is never replaced: a key that is lost
/// cannot be made again.
fn write_new(path: &Path, text: &str) -> Result<(), String> {
    let place = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("{} is there already; name another file", path.display())
        }
        _ => format!("{}: {error}", path.display()),
    };
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(place)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(place)
}

fn print_records(path: &Path, json: bool) -> Result<(), String> {
    let config = load(path)?;
    let open = KeyFiles.open(&config.dkim).map_err(|flaws| {
        for flaw in &flaws {
            eprintln!("{flaw}");
        }
        format!("{} of the keys cannot be used", flaws.len())
    })?;
    for warning in &open.warnings {
        eprintln!("warning: {warning}");
    }
    let public = |place| open.signer.public_key(place);
    let records: Vec<Record> = (0..)
        .zip(&config.dkim)
        .filter_map(|(place, key)| {
            Some(Record::new(&key.domain, &key.selector, &key.private_key, public(place)?))
        })
        .collect();
    if json {
        return print_json(&records);
    }
    if records.is_empty() {
        return Err("there is no [[dkim]]; `tambo dkim keygen` makes a key".to_owned());
    }
    for record in &records {
        print_line(&record.zone());
    }
    Ok(())
}

impl Record {
    fn new(domain: &str, selector: &str, private_key: &Path, public: &PublicKey) -> Self {
        Self {
            name: format!("{selector}._domainkey.{domain}"),
            kind: "TXT",
            value: public.record(),
            strings: public.record_strings(),
            algorithm: public.algorithm.name(),
            domain: domain.to_owned(),
            selector: selector.to_owned(),
            private_key: private_key.to_owned(),
        }
    }

    /// A line of a zone file.
    fn zone(&self) -> String {
        let quoted: Vec<String> =
            self.strings.iter().map(|string| format!("\"{string}\"")).collect();
        match &quoted[..] {
            [one] => format!("{}. IN TXT {one}", self.name),
            _ => format!("{}. IN TXT ( {} )", self.name, quoted.join("\n    ")),
        }
    }

    /// A section of the configuration.
    fn section(&self) -> String {
        // Debug puts quotes around text and escapes those in it, as TOML wants.
        let path = self.private_key.to_string_lossy();
        format!(
            "[[dkim]]\ndomain = \"{}\"\nselector = \"{}\"\nprivate_key = {path:?}",
            self.domain, self.selector
        )
    }
}
