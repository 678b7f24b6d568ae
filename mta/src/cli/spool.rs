//! `tambo spool`: an administrator's last resort, on a spool that no relay has open.
//!
//! `check` reads every record and tells what is wrong; `export` writes what waits as files that any other
//! mail server can take. Both only read. What RocksDB itself cannot open is mended in a copy, never in
//! place.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::compose::{MESSAGE_MAX, Parts};
use crate::message::{
    BodyType, Hold, Message, Notify, OriginalRecipient, RecipientState, ReturnContent, Timestamp,
};
use crate::queue::inspect::{self, Finding, Stored};
use crate::spool::Spool;

use super::{load, print_json, print_line};

/// What to do with the spool.
#[derive(Debug, Args)]
pub(super) struct SpoolArguments {
    #[command(subcommand)]
    command: SpoolCommand,
}

#[derive(Debug, Subcommand)]
enum SpoolCommand {
    /// Read every record of a stopped spool and tell what is wrong. Changes nothing.
    Check {
        #[command(flatten)]
        place: Place,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write what waits as ID.eml and ID.json (the envelope) into a folder. Changes nothing.
    Export {
        /// The folder; it must be empty or not exist.
        folder: PathBuf,
        #[command(flatten)]
        place: Place,
        /// Messages that have ended, too, as far as they are still there.
        #[arg(long)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Which spool.
#[derive(Debug, Args)]
struct Place {
    /// The folder of the spool; without it, that of the configuration.
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// The database cannot be opened: copy it into this folder, mend the copy, and read that. Senders,
    /// recipients and states are saved; of the texts only those that had not left the log or are
    /// smaller than 512 octets, because `RocksDB` forgets its blob files when it mends.
    #[arg(long, value_name = "DIR")]
    mended_copy: Option<PathBuf>,
}

pub(super) fn spool(config: &Path, arguments: &SpoolArguments) -> Result<(), String> {
    match &arguments.command {
        SpoolCommand::Check { place, json } => check(&*place.open(config)?, *json),
        SpoolCommand::Export { folder, place, all, json } => {
            let spool = place.open(config)?;
            export(&*spool, folder, *all, *json)
        }
    }
}

impl Place {
    fn open(&self, config: &Path) -> Result<Box<dyn Spool>, String> {
        let folder = match &self.spool {
            Some(folder) => folder.clone(),
            None => load(config)?.server.data_dir.join("spool"),
        };
        if !folder.join("CURRENT").exists() && self.mended_copy.is_none() {
            return Err(format!(
                "{} is no spool (it has no file CURRENT); name its folder with --spool, or try --mended-copy DIR",
                folder.display()
            ));
        }
        open(&folder, self.mended_copy.as_deref())
    }
}

#[cfg(feature = "rocks")]
fn open(folder: &Path, mended_copy: Option<&Path>) -> Result<Box<dyn Spool>, String> {
    use crate::spool::RocksSpool;
    let Some(copy) = mended_copy else {
        return match RocksSpool::open_to_read(folder) {
            Ok(spool) => Ok(Box::new(spool)),
            Err(error) => Err(format!(
                "{error}; if the database itself is damaged, --mended-copy DIR reads what a mended copy still has"
            )),
        };
    };
    if RocksSpool::is_in_use(folder) {
        return Err(format!("{} is in use by a tambo that runs: stop it first", folder.display()));
    }
    eprintln!("copying {} to {}", folder.display(), copy.display());
    copy_folder(folder, copy)?;
    eprintln!("mending the copy; most texts of messages do not survive that, envelopes do");
    let spool = RocksSpool::mend(copy).map_err(|error| error.to_string())?;
    Ok(Box::new(spool))
}

#[cfg(not(feature = "rocks"))]
fn open(_folder: &Path, _mended_copy: Option<&Path>) -> Result<Box<dyn Spool>, String> {
    Err("this program was built without its durable spool (feature `rocks`)".to_owned())
}

#[cfg(feature = "rocks")]
fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    let told = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    make_empty(to)?;
    for entry in std::fs::read_dir(from).map_err(|error| told(from, error))? {
        let path = entry.map_err(|error| told(from, error))?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            std::fs::copy(&path, to.join(name)).map_err(|error| told(&path, error))?;
        }
    }
    Ok(())
}

/// A folder of ours alone, with nothing in it.
fn make_empty(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt as _;
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        if std::fs::read_dir(folder).map_err(told)?.next().is_some() {
            return Err(format!("{} is not empty: name a new folder", folder.display()));
        }
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(told)
}

fn told(finding: &Finding) -> String {
    match finding.message {
        Some(id) => format!("{id}: {}", finding.what),
        None => finding.what.clone(),
    }
}

fn check(spool: &dyn Spool, json: bool) -> Result<(), String> {
    #[derive(Serialize)]
    struct Answer {
        counts: inspect::Counts,
        findings: Vec<Finding>,
    }
    let mut findings = Vec::new();
    let mut progress = |messages: u64| eprintln!("{messages} messages read");
    let counts = inspect::inspect(spool, &mut progress, &mut |finding| {
        if json {
            findings.push(finding.clone());
        } else {
            print_line(&told(finding));
        }
    })
    .map_err(|error| error.to_string())?;
    let wrong = counts.findings;
    if json {
        print_json(&Answer { counts, findings })?;
    } else {
        print_line(&format!(
            "{} messages ({} octets), {} deliveries to {} recipients wait ({} held), {} events",
            counts.messages,
            counts.octets,
            counts.deliveries,
            counts.recipients,
            counts.held,
            counts.events
        ));
    }
    match wrong {
        0 => Ok(()),
        1 => Err("1 thing is wrong; what can be read flows all the same when the relay starts, \
                  and `tambo spool export` writes it as files"
            .to_owned()),
        wrong => Err(format!(
            "{wrong} things are wrong; what can be read flows all the same when the relay starts, \
             and `tambo spool export` writes it as files"
        )),
    }
}

/// What `ID.json` says: enough to send the message by any other means.
#[derive(Serialize)]
struct Described<'a> {
    message: String,
    accepted: String,
    sender: String,
    recipients: Vec<Addressee>,
    account: &'a str,
    listener: &'a str,
    pool: Option<&'a str>,
    tags: &'a [String],
    priority: i8,
    message_id: Option<&'a str>,
    envelope_id: Option<&'a str>,
    returns: Option<&'a str>,
    eight_bit: bool,
    /// What could not be read.
    damage: Vec<String>,
}

#[derive(Serialize)]
struct Addressee {
    address: String,
    state: RecipientState,
    notify: Option<String>,
    original_recipient: Option<String>,
    attempts: u32,
    next_attempt: Option<String>,
    last_reply: Option<String>,
    held: Option<String>,
}

#[derive(Serialize, Default)]
struct Exported {
    messages: u64,
    recipients: u64,
    damaged: u64,
}

fn export(spool: &dyn Spool, folder: &Path, all: bool, json: bool) -> Result<(), String> {
    make_empty(folder)?;
    let mut exported = Exported::default();
    let mut failed = None;
    let mut findings = 0_u64;
    let read = inspect::messages(
        spool,
        &mut |finding| {
            findings += 1;
            eprintln!("{}", told(&finding));
        },
        &mut |stored| {
            let ended = stored.deliveries.is_empty() && !stored.incomplete;
            if failed.is_some() || (ended && !all) {
                return;
            }
            match write_message(spool, folder, &stored) {
                Ok((recipients, whole)) => {
                    exported.messages += 1;
                    exported.recipients += recipients;
                    exported.damaged += u64::from(!whole);
                    if exported.messages.is_multiple_of(1_000) {
                        eprintln!("{} messages written", exported.messages);
                    }
                }
                Err(error) => failed = Some(error),
            }
        },
    );
    read.map_err(|error| error.to_string())?;
    if let Some(error) = failed {
        return Err(error);
    }
    if json {
        print_json(&exported)?;
    } else {
        print_line(&format!(
            "{} messages to {} recipients are in {}",
            exported.messages,
            exported.recipients,
            folder.display()
        ));
    }
    if exported.damaged + findings > 0 {
        return Err(format!(
            "{} of them are not whole (`damage` in their .json says what is missing), and {findings} \
             records could not be read",
            exported.damaged
        ));
    }
    Ok(())
}

/// Writes both files; how many recipients wait, and whether all could be read.
fn write_message(spool: &dyn Spool, folder: &Path, stored: &Stored) -> Result<(u64, bool), String> {
    let message = &stored.message;
    let mut damage = Vec::new();
    if stored.incomplete {
        damage.push("recipients are missing: some deliveries cannot be read".to_owned());
    }
    let body = inspect::body(spool, message).unwrap_or_else(|(what, octets)| {
        damage.push(what);
        octets
    });
    let body = made_of_template(stored, body).unwrap_or_else(|(what, octets)| {
        damage.push(what);
        octets
    });
    let whole = damage.is_empty();
    let envelope = envelope(stored, damage);
    let waiting = envelope.recipients.iter().filter(|it| it.state == RecipientState::Queued);
    let waiting = waiting.count() as u64;
    let text = serde_json::to_vec_pretty(&envelope).map_err(|error| error.to_string())?;
    write_file(&folder.join(format!("{}.json", message.id)), &[&text])?;
    write_file(&folder.join(format!("{}.eml", message.id)), &[&message.prefix, &body])?;
    Ok((waiting, whole))
}

/// The body as it would be sent, where it is a template; an error is what is wrong, and the template.
fn made_of_template(stored: &Stored, body: Vec<u8>) -> Result<Vec<u8>, (String, Vec<u8>)> {
    if stored.message.template.is_none() {
        return Ok(body);
    }
    let mut recipients = stored.deliveries.iter().flat_map(|delivery| &delivery.recipients);
    let made = recipients.next().ok_or_else(|| "its recipient is not known".to_owned());
    let made = made.and_then(|to| {
        let parts = Parts::from_bytes(&body)?;
        let personal = to.personal.clone().unwrap_or_default();
        let made = parts.rendered(&to.address, &personal, MESSAGE_MAX);
        Ok(made.map_err(|error| error.to_string())?.write(stored.message.id))
    });
    made.map_err(|why| (format!("it cannot be made of its template: {why}"), body))
}

fn envelope(stored: &Stored, damage: Vec<String>) -> Described<'_> {
    let message: &Message = &stored.message;
    let mut recipients = Vec::new();
    for delivery in &stored.deliveries {
        for recipient in &delivery.recipients {
            let parameters = &recipient.parameters;
            recipients.push(Addressee {
                address: recipient.address.to_string(),
                state: recipient.state,
                notify: parameters.notify.map(Notify::as_parameter),
                original_recipient: parameters
                    .original
                    .as_ref()
                    .map(OriginalRecipient::as_parameter),
                attempts: delivery.attempts,
                next_attempt: delivery.listed().map(Timestamp::to_rfc3339),
                last_reply: delivery.last.as_ref().map(|last| last.reply.to_string()),
                held: delivery.hold.as_ref().map(Hold::words),
            });
        }
    }
    Described {
        message: message.id.to_string(),
        accepted: message.id.time().to_rfc3339(),
        sender: message.sender.to_string(),
        recipients,
        account: &message.account,
        listener: &message.listener,
        pool: message.pool.as_deref(),
        tags: &message.tags,
        priority: message.priority.value(),
        message_id: message.message_id.as_deref(),
        envelope_id: message.envelope_id.as_deref(),
        returns: message.returns.map(ReturnContent::as_parameter),
        eight_bit: message.body_type == BodyType::EightBit,
        damage,
    }
}

fn write_file(path: &Path, pieces: &[&[u8]]) -> Result<(), String> {
    let write = || -> std::io::Result<()> {
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        for piece in pieces {
            file.write_all(piece)?;
        }
        Ok(())
    };
    write().map_err(|error| format!("{}: {error}", path.display()))
}
