//! Runs the dialogs of `tests/scripts` against the pure session, whole and octet by octet, and
//! against the binary.

#![expect(clippy::unwrap_used, reason = "a dialog that cannot go on has failed")]

mod binary;
mod pure;
mod smuggling;

use std::path::Path;

use tests::dialog::Dialog;

fn dialogs() -> Vec<Dialog> {
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("scripts");
    let mut dialogs: Vec<Dialog> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "smtp"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            Dialog::parse(&name, &std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    dialogs.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(dialogs.len() >= 25);
    dialogs
}

/// `[[listener]]` of a dialog.
fn listener(dialog: &Dialog) -> String {
    let mut text = format!("[[listener]]\nname = \"{}\"\nbind = [\"127.0.0.1:0\"]\n", dialog.name);
    let written = |key: &str| {
        dialog.listener.iter().any(|line| line.split('=').next().unwrap().trim() == key)
    };
    if !written("tls") {
        text.push_str("tls = \"off\"\n");
    }
    if !written("relay_from") {
        text.push_str("relay_from = [\"127.0.0.1/32\"]\n");
    }
    for line in &dialog.listener {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// The accounts of all dialogs: ana, whose password is `secreto`.
fn account(hash: &str) -> String {
    format!(
        "[[account]]\nname = \"ana\"\npassword_hash = \"{hash}\"\nsenders = [\"*@x.pe\"]\nallow_headers = true\n"
    )
}
