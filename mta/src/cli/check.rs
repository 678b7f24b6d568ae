//! `tambo check`: everything that can be known before the relay runs.

use std::path::Path;
use std::sync::Arc;

use crate::app::{missing_gateways, missing_sources, what_a_day_carries};
use crate::outside::real::{KeyFiles, SystemClock, SystemNet};
use crate::outside::{DkimKeys as _, Net};
use crate::smtp_in::ServerTls;

use super::{load, print_line};

pub(super) fn check(path: &Path) -> Result<(), String> {
    let config = load(path)?;
    let mut problems = missing_sources(&config, &SystemNet);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let net: Arc<dyn Net> = Arc::new(SystemNet);
    problems.extend(runtime.block_on(missing_gateways(&config, &net)));
    if let Some(files) = &config.tls
        && let Err(error) = ServerTls::load(files)
    {
        problems.push(format!("[tls]: {error}"));
    }
    match KeyFiles.open(&config.dkim) {
        Ok(open) => {
            for warning in &open.warnings {
                eprintln!("warning: {warning}");
            }
        }
        Err(flaws) => problems.extend(flaws.iter().map(ToString::to_string)),
    }
    for route in config.routes.iter() {
        if let Some(credentials) = &route.smarthost.credentials
            && let Err(error) = std::fs::metadata(&credentials.password_file)
        {
            problems.push(format!(
                "route.smarthost.password_file: {}: {error}",
                credentials.password_file.display()
            ));
        }
    }
    for key in config.blocklists.iter().filter_map(|list| list.key.as_ref()) {
        if let Err(error) = std::fs::metadata(&key.path) {
            problems.push(format!(
                "{}: blocklist.key_file: {}: {error}",
                key.place,
                key.path.display()
            ));
        }
    }
    for webhook in &config.webhooks {
        if let Err(error) = std::fs::metadata(&webhook.secret_file) {
            problems.push(format!(
                "{}: webhook.secret_file: {}: {error}",
                webhook.place,
                webhook.secret_file.display()
            ));
        }
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() {
        for words in what_a_day_carries(&config, &SystemClock) {
            print_line(&words);
        }
        print_line(&format!("{} is good", path.display()));
        Ok(())
    } else {
        Err(format!(
            "the file is well written, but {} of this machine does not fit it",
            problems.len()
        ))
    }
}
