//! What a notice says to a person, in Spanish and English: what happened, why, what to do.
//!
//! Who reads it wrote an invitation and knows nothing of SMTP; the reply is there for whoever helps.

use std::fmt::Write as _;

use crate::message::{Message, Reply, Timestamp};

use super::classify::category;
use super::told::{Told, What};

/// The subject of a notice: the worst of what it tells.
pub(super) fn subject(told: &[Told]) -> &'static str {
    let any = |wanted: fn(&What) -> bool| told.iter().any(|told| wanted(&told.what));
    if any(|what| what.is_failure()) {
        "No se pudo entregar su mensaje / Undelivered mail"
    } else if any(|what| matches!(what, What::Delayed(_))) {
        "Su mensaje está demorado / Delayed mail (still being retried)"
    } else {
        "Su mensaje fue entregado al servidor de destino / Mail was relayed"
    }
}

/// The text of a notice. `about`: the subject of the message that it is about.
pub(super) fn text(
    message: &Message,
    told: &[Told],
    about: Option<&str>,
    (hostname, mx): (&str, Option<&str>),
) -> String {
    let sent = day_and_hour(message.id.time());
    let (titled, named) = match about {
        Some(about) => (format!(" «{about}»"), format!(" \"{about}\"")),
        None => (String::new(), String::new()),
    };
    let mut text = format!("Le escribe el servidor de correo {hostname}.\n\n");
    let _ = writeln!(text, "Es sobre su mensaje{titled} del {sent}.");
    for group in groups(told) {
        let _ = writeln!(text, "\n{}\n", spanish(group[0].what));
        for one in group {
            list(&mut text, one, mx, &Language::SPANISH);
        }
    }
    let _ = write!(text, "\n-----\n\nThis is the mail server {hostname}.\n\n");
    let _ = writeln!(text, "It is about your message{named} of {sent}.");
    for group in groups(told) {
        let _ = writeln!(text, "\n{}\n", english(group[0].what));
        for one in group {
            list(&mut text, one, mx, &Language::ENGLISH);
        }
    }
    let _ = write!(text, "\nId: {}\n", message.id);
    text
}

/// The words that stand before what a server said.
struct Language {
    reply: &'static str,
    reply_of: &'static str,
    reason: fn(&str) -> &'static str,
}

impl Language {
    const SPANISH: Self =
        Self { reply: "Respuesta", reply_of: "Respuesta de", reason: reason_in_spanish };
    const ENGLISH: Self = Self { reply: "Reply", reply_of: "Reply of", reason: reason_in_english };
}

/// Told in one breath: those to whom the same happened.
fn groups(told: &[Told]) -> Vec<Vec<&Told>> {
    let mut groups: Vec<Vec<&Told>> = Vec::new();
    for one in told {
        let same = |group: &&mut Vec<&Told>| group[0].what == one.what;
        match groups.iter_mut().find(same) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups
}

fn list(text: &mut String, one: &Told, mx: Option<&str>, language: &Language) {
    let _ = writeln!(text, "  {}", one.recipient);
    if matches!(one.what, What::Failed)
        && let Some(reply) = &one.reply
    {
        let _ = writeln!(text, "    {}", (language.reason)(category(reply)));
    }
    if let Some(reply) = &one.reply {
        let _ = match mx {
            Some(mx) => writeln!(text, "    {} {mx}: {reply}", language.reply_of),
            None => writeln!(text, "    {}: {reply}", language.reply),
        };
        if !one.cause.is_empty() && told_apart(reply, &one.cause) {
            let _ = writeln!(text, "    ({})", one.cause);
        }
    }
}

fn told_apart(reply: &Reply, cause: &str) -> bool {
    !reply.text.contains(cause)
}

fn spanish(what: What) -> String {
    match what {
        What::Failed => "No se pudo entregar a:".to_owned(),
        What::Expired => "No se pudo entregar a estos destinatarios: se intentó varias veces y se \
             agotó el plazo. Puede enviarlo de nuevo más tarde."
            .to_owned(),
        What::Suppressed => "No se envió a estos destinatarios, porque están en la lista de \
             exclusión de este servidor. Si una de estas direcciones volvió a funcionar, pida a \
             quien administra el servidor que la retire de la lista."
            .to_owned(),
        What::Delayed(until) => format!(
            "Todavía no se pudo entregar a estos destinatarios. Se seguirá intentando hasta el {}. \
             No hace falta que lo envíe de nuevo.",
            day_and_hour(until)
        ),
        What::Relayed => "Fue entregado al servidor de destino de estos destinatarios, que no da \
             más avisos:"
            .to_owned(),
    }
}

fn english(what: What) -> String {
    match what {
        What::Failed => "It could not be delivered to:".to_owned(),
        What::Expired => "It could not be delivered to these recipients: it was tried several \
             times and its time is over. You may send it again later."
            .to_owned(),
        What::Suppressed => "It was not sent to these recipients, because they are on the \
             suppression list of this server. If one of these addresses works again, ask the \
             administrator of the server to take it off the list."
            .to_owned(),
        What::Delayed(until) => format!(
            "It could not be delivered to these recipients yet. It will be tried until {}. \
             There is no need to send it again.",
            day_and_hour(until)
        ),
        What::Relayed => "It was handed to the server of these recipients, which gives no further \
             notice:"
            .to_owned(),
    }
}

fn reason_in_spanish(category: &str) -> &'static str {
    match category {
        "bad-mailbox" => {
            "La dirección no existe en el servidor de destino. Revise cómo está escrita."
        }
        "bad-domain" => {
            "Lo que sigue a la arroba no existe o no recibe correo. Revise cómo está escrito."
        }
        "inactive-mailbox" => "La casilla está desactivada.",
        "mailbox-full" => "La casilla está llena. Avise al destinatario por otro medio.",
        "too-big" => {
            "El mensaje es demasiado grande para el servidor de destino. Envíelo con adjuntos más pequeños."
        }
        "dns" | "connection" | "loop" => {
            "No se pudo llegar al servidor de destino. Consulte a su administrador."
        }
        "tls" | "protocol" | "system" | "bad-sender" => {
            "El servidor de destino no lo aceptó por una causa técnica. Consulte a su administrador."
        }
        "content" => {
            "El servidor de destino no aceptó el contenido o el formato del mensaje. Consulte a su administrador."
        }
        "policy" => {
            "El servidor de destino no lo acepta por sus reglas. Consulte a su administrador."
        }
        _ => "El servidor de destino lo rechazó. Revise la dirección y lo que dice la respuesta.",
    }
}

fn reason_in_english(category: &str) -> &'static str {
    match category {
        "bad-mailbox" => "There is no such address at its destination. Check how it is written.",
        "bad-domain" => {
            "What follows the @ does not exist or takes no mail. Check how it is written."
        }
        "inactive-mailbox" => "The mailbox is disabled.",
        "mailbox-full" => "The mailbox is full. Reach the recipient by other means.",
        "too-big" => {
            "The message is too large for the destination. Send it with smaller attachments."
        }
        "dns" | "connection" | "loop" => {
            "The destination could not be reached. Ask your administrator."
        }
        "tls" | "protocol" | "system" | "bad-sender" => {
            "The destination did not take it for a technical reason. Ask your administrator."
        }
        "content" => {
            "The destination did not take the content or the format of the message. Ask your administrator."
        }
        "policy" => "The rules of the destination do not allow it. Ask your administrator.",
        _ => "The destination refused it. Check the address and what the reply says.",
    }
}

/// The same in both languages: `2026-11-24 13:05 UTC`.
fn day_and_hour(time: Timestamp) -> String {
    let text = time.to_rfc3339();
    format!("{} {} UTC", text.get(..10).unwrap_or(""), text.get(11..16).unwrap_or(""))
}
